"""P: transformers' Trainer with peft on the same model and the same batch."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Mapping
from itertools import islice
from statistics import median
from typing import Any

from torch.utils.data import Dataset
from transformers import DataCollatorWithFlattening, Trainer, TrainerCallback, TrainingArguments

from gpu.measure import Recorder, finish, peak_memory, relative, the_device, throughput
from gpu.shapes import Scale, Texts, Workload, texts, trainable_model
from gpu.steps.training import LORA, RATE, measure

LOSS_TOLERANCE = 2e-2


def run(record: Recorder, scale: Scale) -> None:
    """Ours, and theirs with and without fused kernels."""
    work = LORA.at(scale)
    ours = record.case("ours", measure, work)
    record.case("Trainer", measure_trainer, work, ours)
    if the_device().type == "cuda" and importlib.util.find_spec("liger_kernel"):
        record.case("Trainer, Liger", measure_trainer, work, ours, use_liger_kernel=True)


class _OneBatch(Dataset[list[dict[str, list[int]]]]):
    """The same batch, over and over: one item is all its examples."""

    def __init__(self, chosen: Texts, count: int) -> None:
        self._count = count
        self._examples = [
            {
                "input_ids": example.tokens.tolist(),
                "labels": [-100] * example.loss_from + example.tokens[example.loss_from :].tolist(),
            }
            for row in chosen.rows
            for example in row
        ]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, _: int) -> list[dict[str, list[int]]]:
        return self._examples


class _Clock(TrainerCallback):
    """Seconds of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._began = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        finish()
        self._began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        finish()
        self.seconds.append(time.perf_counter() - self._began)


def measure_trainer(work: Workload, ours: Mapping[str, Any], **options: Any) -> Mapping[str, Any]:
    """Its figures, and how many times as many tokens a second ours makes."""
    chosen = next(islice(texts(work), 1))
    on_card = the_device().type == "cuda"
    flatten = DataCollatorWithFlattening()
    clock = _Clock()
    model = trainable_model(work, the_device(), segments=False)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=work.steps + 3,
            per_device_train_batch_size=1,
            learning_rate=RATE,
            bf16=on_card,
            use_cpu=not on_card,
            optim="adamw_torch_fused",
            logging_steps=1,
            logging_strategy="steps",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            **options,
        )
        trainer = Trainer(
            model,
            arguments,
            data_collator=lambda items: flatten(items[0]),
            train_dataset=_OneBatch(chosen, work.steps + 3),
            callbacks=[clock],
        )
        trainer.train()
    seconds = median(clock.seconds[3:])
    loss = next(float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry)
    figures = {"first_step_seconds": round(clock.seconds[0], 3), "step_seconds": round(seconds, 5)}
    figures |= throughput(model, chosen, seconds) | peak_memory()
    if "tokens_per_second" in ours:
        figures["ours_to_theirs"] = round(ours["tokens_per_second"] / figures["tokens_per_second"], 3)
    same = "loss" in ours and relative(loss, ours["loss"][0]) <= LOSS_TOLERANCE
    return {**figures, "loss": loss, "checks": {"the first loss is ours": same}}
