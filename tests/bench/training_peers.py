"""The training loop beside transformers' Trainer (and TRL's, where it is installed): same model, texts and tokens.

`OMP_NUM_THREADS=1 python tests/bench/training_peers.py [--long]`. Every row runs in a process of its own, one after the
other; figures are CPU time of one thread, so that they hold on a busy machine. Texts are random tokens with the lengths
of short prompts (gamma, mean 45), or all of 1,024 tokens; every setting sees each text once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import (
    DataCollatorWithFlattening,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
)

from finetune_api.model import Parallelism
from finetune_api.training import Batch, Checkpoint, Curriculum, Optimizer
from finetune_trainer.batching import ArmExamples, MixtureSource, make_layout
from finetune_trainer.checkpoint import Checkpointer
from finetune_trainer.context import StageContext
from finetune_trainer.curriculum import ArmFacts, create_curriculum
from finetune_trainer.distributed import Ranks
from finetune_trainer.models.segment_attention import use_segment_attention
from finetune_trainer.objectives.causal_lm import CausalLM
from finetune_trainer.objectives.next_token import Example
from finetune_trainer.pod.allocator import keep_freed_memory
from finetune_trainer.run.loop import train
from finetune_trainer.run.schedule import Budget
from finetune_trainer.run.settings import TrainSettings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tiny import PAD, tiny_engine, tiny_plan

VOCABULARY, RATE = 4096, 1e-3
SHORT, LONG = "short", "long"


def texts(kind: str, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    """2,000 prompts of 45 tokens on average, or 90 texts of 1,024; every token follows from the one before."""
    generator = np.random.default_rng(seed)
    lengths = np.clip(generator.gamma(9.0, 5.0, 2000), 12, 128) if kind == SHORT else np.full(90, 1024)
    starts, steps = generator.integers(3, VOCABULARY, (2, len(lengths)))
    return [
        (3 + (start + step % 7 * np.arange(int(length))) % (VOCABULARY - 3)).astype(np.int32)
        for length, start, step in zip(lengths, starts, steps, strict=True)
    ]


def held_out_loss(model: Any, kind: str) -> float:
    """Nats per token of twenty texts that were not trained on, each alone."""
    model.config._attn_implementation = "sdpa"
    losses, tokens = 0.0, 0
    with torch.no_grad():
        for text in texts(kind, seed=1)[:20]:
            ids = torch.from_numpy(text).long()
            logits = model.eval()(input_ids=ids[None]).logits[0, :-1]
            losses += float(torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum"))
            tokens += len(ids) - 1
    return losses / tokens


def new_model(kind: str) -> PreTrainedModel:
    """3.95 M parameters."""
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256 if kind == SHORT else 1024,
        sliding_window=None,
        tie_word_embeddings=True,
        use_cache=False,
    )
    return MistralForCausalLM(config)


class Rows(Dataset[dict[str, Any]]):
    """Texts as transformers' Trainer takes them."""

    def __init__(self, kind: str) -> None:
        self._rows = [{"input_ids": text.tolist(), "labels": text.tolist()} for text in texts(kind)]
        self.column_names = ["input_ids", "labels"]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._rows[index] | {"length": len(self._rows[index]["input_ids"])}


def ours(kind: str) -> float:
    """Our loop with the DDP engine, packed, with the C library set as in a pod."""
    keep_freed_memory()

    class Examples(list[Example]):
        lengths = np.array([len(text) for text in texts(kind)])
        loss_units = lengths - 1

    arm = ArmExamples(CausalLM(), Examples(Example(text, 1) for text in texts(kind)))
    length = 256 if kind == SHORT else 1024
    batch, optimizer = (
        Batch(global_tokens=1536 if kind == SHORT else 2048, sequence_length=length),
        Optimizer(learning_rate=RATE, schedule="Constant", beta2=0.999, warmup_ratio=0.17, weight_decay=0.0),
    )
    fixed = Curriculum(strategy="Fixed")
    model = new_model(kind)
    use_segment_attention(model)
    engine = tiny_engine(model, Parallelism(engine="DDP"), optimizer)
    facts = {"texts": ArmFacts(1.0, len(arm.examples), int(Examples.lengths.sum()))}
    source = MixtureSource(
        {"texts": arm}, create_curriculum(fixed, facts), fixed, make_layout(batch, Ranks(), 1, PAD), 3
    )
    budget = Budget(examples=len(arm.examples))
    settings = TrainSettings(batch, optimizer, fixed, budget, 3, PAD, validate_every_steps=10**6)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        context = StageContext.single(tiny_plan(folder))
        checkpointer = Checkpointer(folder / "checkpoints", Checkpoint(every_steps=10**6), context)
        train(context, engine, source, {}, settings, checkpointer, folder / "history.jsonl")
    return held_out_loss(engine.model, kind)


def arguments(folder: str, kind: str, **more: Any) -> dict[str, Any]:
    """The same rate, clipping and no more than the loop needs."""
    return {
        "output_dir": folder,
        "per_device_train_batch_size": 32 if kind == SHORT else 2,
        "num_train_epochs": 1,
        "learning_rate": RATE,
        "warmup_steps": 10,
        "lr_scheduler_type": "constant_with_warmup",
        "logging_steps": 10,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
    } | more


def trainer(kind: str, collator: Any, **more: Any) -> float:
    """transformers' Trainer."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = TrainingArguments(**arguments(folder, kind, remove_unused_columns=False, **more))
        run = Trainer(new_model(kind), chosen, data_collator=collator, train_dataset=Rows(kind))
        run.train()
    return held_out_loss(run.model, kind)


class _Padding:
    """As much of a tokenizer as the collator of labels asks for."""

    padding_side = "right"

    def pad(self, features: list[dict[str, Any]], **_: Any) -> dict[str, Any]:
        longest = max(len(row["input_ids"]) for row in features)
        ids = torch.full((len(features), longest), PAD)
        mask = torch.zeros((len(features), longest), dtype=torch.long)
        labels = torch.full((len(features), longest), -100)
        for row, feature in enumerate(features):
            size = len(feature["input_ids"])
            ids[row, :size] = torch.tensor(feature["input_ids"])
            labels[row, :size] = torch.tensor(feature["labels"])[:size]
            mask[row, :size] = 1
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def padded(kind: str) -> float:
    """Batches padded to their longest text."""
    return trainer(kind, _collate)


def by_length(kind: str) -> float:
    """Batches of texts of like length."""
    return trainer(kind, _collate, train_sampling_strategy="group_by_length")


def flattened(kind: str) -> float:
    """Batches in one row, kept apart by position ids."""
    return trainer(kind, DataCollatorWithFlattening())  # type: ignore[no-untyped-call]


def _collate(features: list[dict[str, Any]]) -> dict[str, Any]:
    return _Padding().pad([{k: v for k, v in row.items() if k != "length"} for row in features])


def trl(kind: str, strategy: str) -> float:
    """TRL's SFTTrainer with packing."""
    from datasets import Dataset as Table
    from trl import SFTConfig, SFTTrainer

    rows = Table.from_dict({"input_ids": [text.tolist() for text in texts(kind)]})
    length = 256 if kind == SHORT else 1024
    with tempfile.TemporaryDirectory() as folder:
        size = {"per_device_train_batch_size": 2048 // length, "max_length": length}
        chosen = SFTConfig(**arguments(folder, kind, packing=True, packing_strategy=strategy, bf16=False, **size))
        run = SFTTrainer(new_model(kind), args=chosen, train_dataset=rows, processing_class=_tokenizer())
        run.train()
    return held_out_loss(run.model, kind)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {f"t{i}": i for i in range(VOCABULARY)}
    plain = Tokenizer(models.WordLevel(words, unk_token="t0"))
    made: Any = PreTrainedTokenizerFast
    return made(tokenizer_object=plain, pad_token="t0", eos_token="t2")


ROWS: dict[str, Callable[[str], float]] = {
    "ours, DDP engine, packed": ours,
    "transformers Trainer, padded": padded,
    "transformers Trainer, group_by_length": by_length,
    "transformers Trainer, flattening collator": flattened,
}
if importlib.util.find_spec("trl"):
    ROWS |= {
        "TRL SFTTrainer, packing bfd": lambda kind: trl(kind, "bfd"),
        "TRL SFTTrainer, packing wrapped (leaks)": lambda kind: trl(kind, "wrapped"),
    }


def measure(name: str, kind: str) -> None:
    """Run one row and print its figures."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.rand(64, 64) @ torch.rand(64, 64)
    began = time.process_time()
    loss = ROWS[name](kind)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tokens = sum(len(text) for text in texts(kind))
    print(json.dumps({"rate": tokens / seconds, "peak": peak, "loss": loss}))


def main() -> None:
    """Print the table."""
    kind = LONG if "--long" in sys.argv else SHORT
    print(f"{sum(len(text) for text in texts(kind)):,} tokens, {kind} texts, one epoch, one thread")
    print(f"{'':45} tokens per CPU-second   ratio   peak MiB   held out")
    first = None
    for name in ROWS:
        command = [sys.executable, __file__, "--row", name, *(["--long"] if kind == LONG else [])]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        row = json.loads(done.stdout.strip().splitlines()[-1])
        first = first or row["rate"]
        print(f"{name:45} {row['rate']:21,.0f} {first / row['rate']:7.2f} {row['peak']:10,.0f} {row['loss']:11.3f}")


if __name__ == "__main__":
    if "--row" in sys.argv:
        measure(sys.argv[sys.argv.index("--row") + 1], LONG if "--long" in sys.argv else SHORT)
    else:
        main()
