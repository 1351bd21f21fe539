"""Greedy decoding beside transformers' `generate` and CTranslate2: same model, prompts and outputs.

`OMP_NUM_THREADS=1 python tests/bench/decoding.py [--model small|large] [--prompts 300] [--rounds 3]`. Figures are CPU
time of one thread, the best of some rounds that take turns, so that they hold on a busy machine. Prompts are random
tokens with the lengths of short prompts (gamma, mean 45); every 25th token ends a row, so that outputs of 40 tokens at
most have 20 on average. Reading the prompts is part of the time. CTranslate2 (fp32) runs where it is installed: the
extra `bench` of pyproject.toml has it.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import importlib.util
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import MistralConfig, MistralForCausalLM, PreTrainedModel

from finetune_trainer.decoding import DecodingLimits, TokenIds, greedy_decode

VOCABULARY, CONTEXT, LONGEST, PAD = 4096, 256, 40, 0
STOPS = list(range(0, VOCABULARY, 25))
SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "hidden_size": 256,
        "intermediate_size": 688,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "large": {
        "hidden_size": 512,
        "intermediate_size": 1408,
        "num_hidden_layers": 10,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
    },
}
Decode = Callable[[list[TokenIds]], list[list[int]]]


def new_model(size: str) -> PreTrainedModel:
    """4.0 or 31.6 M parameters; weights are wide, so that outputs wander."""
    torch.manual_seed(0)
    shared: dict[str, Any] = {"vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT, "sliding_window": None}
    config = MistralConfig(**shared, **SIZES[size], tie_word_embeddings=True, initializer_range=0.06)
    model = MistralForCausalLM(config)
    model.train(False)
    return model


def random_prompts(count: int) -> list[TokenIds]:
    """45 tokens on average."""
    generator = np.random.default_rng(0)
    lengths = np.clip(generator.gamma(9.0, 5.0, count), 12, 128).astype(int)
    return [generator.integers(3, VOCABULARY, length).astype(np.int32) for length in lengths]


def ours(model: PreTrainedModel, batch_size: int | None) -> Decode:
    """The loop of the evaluation."""
    limits = DecodingLimits(frozenset(STOPS), LONGEST, CONTEXT)
    return lambda prompts: [output.tolist() for output in greedy_decode(model, prompts, limits, batch_size)]


def generate(model: PreTrainedModel, batch_size: int, cache: str) -> Decode:
    """transformers' loop: prompts by length, padding at the left."""

    def decode(prompts: list[TokenIds]) -> list[list[int]]:
        outputs: list[list[int]] = [[] for _ in prompts]
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            width = len(prompts[rows[0]])
            ids, mask = torch.full((len(rows), width), PAD), torch.zeros(len(rows), width, dtype=torch.long)
            for row, i in enumerate(rows):
                ids[row, width - len(prompts[i]) :] = torch.from_numpy(prompts[i])
                mask[row, width - len(prompts[i]) :] = 1
            made: Any = model.generate(  # type: ignore[operator]
                input_ids=ids,
                attention_mask=mask,
                do_sample=False,
                max_new_tokens=LONGEST,
                eos_token_id=STOPS,
                pad_token_id=PAD,
                cache_implementation=cache,
                disable_compile=True,
            )
            for i, tokens in zip(rows, made[:, width:].tolist(), strict=True):
                outputs[i] = _until_stop(tokens)
        return outputs

    return decode


def ctranslate2(model: PreTrainedModel, batch_size: int) -> Decode:
    """CTranslate2 in fp32, converted by the way of its own converter."""
    library = importlib.import_module("ctranslate2")
    converters = importlib.import_module("ctranslate2.converters.transformers")

    loader = converters.MistralLoader()
    spec: Any = loader.get_model_spec(_for_converter(model))
    spec.register_vocabulary([str(i) for i in range(VOCABULARY)])
    spec.config.unk_token = spec.config.bos_token = spec.config.eos_token = "0"
    folder = Path(tempfile.mkdtemp()) / "model"
    folder.mkdir()
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    generator = library.Generator(str(folder), compute_type="float32", inter_threads=1, intra_threads=1)
    ends = [str(i) for i in STOPS]

    def decode(prompts: list[TokenIds]) -> list[list[int]]:
        results = generator.generate_batch(
            [[str(token) for token in prompt] for prompt in prompts],
            max_batch_size=batch_size,
            beam_size=1,
            max_length=LONGEST,
            include_prompt_in_result=False,
            end_token=ends,
        )
        return [_until_stop(result.sequences_ids[0]) for result in results]

    return decode


def _for_converter(model: PreTrainedModel) -> PreTrainedModel:
    """A copy, for it takes the layers apart, with a name in the configuration that transformers 5 has moved."""
    copied = copy.deepcopy(model)
    copied.config.rope_theta = copied.config.rope_parameters["rope_theta"]
    return copied


def _until_stop(tokens: list[int]) -> list[int]:
    end = next((i for i, token in enumerate(tokens) if token in set(STOPS)), len(tokens))
    return tokens[:end]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=SIZES, default="small")
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    model, prompts = new_model(arguments.model), random_prompts(arguments.prompts)
    rows: dict[str, Decode] = {
        "ours, batches by memory": ours(model, None),
        "ours, batches of 32": ours(model, 32),
        **{f"generate, dynamic cache, batches of {n}": generate(model, n, "dynamic") for n in (32, 64, 128)},
        "generate, static cache, batches of 32": generate(model, 32, "static"),
    }
    if importlib.util.find_spec("ctranslate2"):
        rows["CTranslate2 fp32, batches of 32"] = ctranslate2(model, 32)
        rows["CTranslate2 fp32, batches of 128"] = ctranslate2(model, 128)
    else:
        print("CTranslate2 is not installed")
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    outputs: dict[str, list[list[int]]] = {}
    for _ in range(arguments.rounds):
        for name, decode in rows.items():
            began = time.process_time()
            outputs[name] = decode(prompts)
            seconds[name].append(time.process_time() - began)
    expected = outputs["generate, dynamic cache, batches of 32"]
    tokens, read = sum(map(len, expected)), sum(map(len, prompts))
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    print(f"{parameters:.1f} M parameters, {len(prompts)} prompts of {read:,} tokens, outputs of {tokens:,} tokens")
    print(f"{'':45} tokens per CPU-second   ratio   same outputs")
    first = min(next(iter(seconds.values())))
    for name, times in seconds.items():
        same = sum(a == b for a, b in zip(outputs[name], expected, strict=True))
        print(f"{name:45} {tokens / min(times):21,.0f} {first / min(times):7.2f} {same:7} of {len(prompts)}")


if __name__ == "__main__":
    main()
