"""D: greedy decoding, ours and transformers' with a static cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from finetune_trainer.decoding import DecodingLimits, greedy_decode
from finetune_trainer.decoding.rows import TokenIds
from gpu.measure import Recorder, elapsed, peak_memory, the_device
from gpu.shapes import CONTEXT, PAD, SHAPES, Scale, new_model

NO_TOKEN = 2**31 - 1
"""What ends an output: nothing does before its limit."""


def run(record: Recorder, scale: Scale) -> None:
    """By batch size; prompts of one length, and no output ends early."""
    shape, sizes = ("7b", (32, 128, 256)) if scale == "full" else ("tiny", (4,))
    prompt, new = (60, 64) if scale == "full" else (8, 6)
    model = new_model(shape, the_device(), bf16=scale == "full").eval()
    generator = np.random.default_rng(0)
    prompts = list(generator.integers(3, SHAPES[shape].vocabulary, (max(sizes), prompt)).astype(np.int32))
    outputs: dict[int, list[TokenIds]] = {}
    for size in sizes:
        record.case(f"ours, batch {size}", ours, model, prompts[:size], new, outputs)
    for size in sizes:
        record.case(f"generate, batch {size}", theirs, model, prompts[:size], new, outputs)


def ours(
    model: PreTrainedModel, prompts: list[TokenIds], new: int, outputs: dict[int, list[TokenIds]]
) -> Mapping[str, Any]:
    """The trainer's own loop."""
    limits = DecodingLimits(frozenset({NO_TOKEN}), new, CONTEXT)
    decoded: list[list[TokenIds]] = []

    def decode() -> None:
        decoded.append(greedy_decode(model, prompts, limits, batch_size=len(prompts)))

    first, later = elapsed(decode), elapsed(decode)
    outputs[len(prompts)] = decoded[0]
    return _figures(first, later, decoded[0]) | {"checks": {"all tokens are there": _count(decoded[0]) > 0}}


def theirs(
    model: PreTrainedModel, prompts: list[TokenIds], new: int, outputs: dict[int, list[TokenIds]]
) -> Mapping[str, Any]:
    """`generate`; on a card it compiles the step of a static cache."""
    ids = torch.from_numpy(np.stack(prompts)).long().to(the_device())
    decoded: list[torch.Tensor] = []

    def generate() -> None:
        decoded.append(
            model.generate(  # type: ignore[operator]
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=new,
                min_new_tokens=new,
                eos_token_id=None,
                pad_token_id=PAD,
                use_cache=True,
                cache_implementation="static",
            )
        )

    first, later = elapsed(generate), elapsed(generate)
    rows = list(decoded[0][:, ids.shape[1] :].cpu().numpy().astype(np.int32))
    figures = _figures(first, later, rows)
    expected = outputs.get(len(prompts))
    if expected is None:
        return figures
    same = float(np.mean([np.array_equal(a, b) for a, b in zip(rows, expected, strict=True)]))
    figures["rows_equal_to_ours"] = round(same, 3)
    if next(model.parameters()).dtype == torch.float32:  # in BF16 two tokens may tie
        figures["checks"] = {"outputs are ours": same == 1.0}
    return figures


def _figures(first: float, later: float, rows: list[TokenIds]) -> dict[str, Any]:
    count = _count(rows)
    return {
        "new_tokens": count,
        "first_seconds": round(first, 3),
        "tokens_per_second": round(count / later),
    } | peak_memory()


def _count(rows: list[TokenIds]) -> int:
    return sum(len(row) for row in rows)
