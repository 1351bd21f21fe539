"""What a step of training takes of memory, measured by torch's CPU allocator, beside what the memory model says.

`python -m memory_meter` prints a JSON line for each case. ZeRO runs as one rank of four whose collectives do nothing
(torch's fake process group), so that partitions and buffers have the sizes that they have in a gang.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

RANKS = 4
ROW_LENGTH = 128
MICRO_BATCH = 4
VOCABULARY = 1024
SCRATCH = {
    "layers": 3, "hidden": 256, "heads": 4, "kvHeads": 1, "contextLength": ROW_LENGTH, "tieEmbeddings": False,
}  # fmt: skip
LORA_RANK = 16


@dataclass(frozen=True)
class Case:
    engine: str
    precision: str
    method: str = "Full"
    kept: str = "None"
    dropout: float = 0.0

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.engine, self.precision, self.method, f"keeps {self.kept.lower()}")))


@dataclass(frozen=True)
class Measured:
    case: Case
    planned: int
    measured: int
    parts: dict[str, int] = field(default_factory=dict)

    @property
    def deviation(self) -> float:
        """Share by which the plan is too high."""
        return self.planned / self.measured - 1.0


CASES = (
    Case("DDP", "FP32"),
    Case("DDP", "BF16"),
    Case("DDP", "BF16", kept="Selective"),
    Case("DDP", "FP32", kept="Full"),
    Case("DDP", "BF16", "LoRA"),
    Case("DDP", "BF16", "LoRA", dropout=0.1),
    Case("DDP", "BF16", "LoRA", "Selective"),
    Case("DDP", "BF16", "LoRA", "Full"),
    Case("ZeRO-1", "BF16"),
    Case("ZeRO-2", "FP32"),
    Case("ZeRO-2", "BF16"),
    Case("ZeRO-2", "BF16", kept="Selective"),
    Case("ZeRO-2", "BF16", kept="Full"),
    Case("ZeRO-2", "BF16", "LoRA"),
    Case("ZeRO-3", "BF16"),
    Case("ZeRO-3", "BF16", kept="Full"),
    Case("ZeRO-3", "BF16", "LoRA"),
)


def measure(case: Case) -> Measured:
    """Peak of the second step, whose micro-batches are a tiny one, so that there are gradients, and a whole one."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        engine = _engine(case)
        tiny, whole = _batch(1, 8), _batch(MICRO_BATCH, ROW_LENGTH)
        units = MICRO_BATCH * ROW_LENGTH
        engine.accumulate([tiny], units)
        engine.step(1e-4)
        began = time.time_ns()
        engine.accumulate([tiny, whole], units)
        engine.step(1e-4)
    assert torch.isfinite(next(engine.model.parameters()).detach().float()).all()
    events = sorted(
        (event.start_ns(), event.nbytes())
        for event in profiler.profiler.kineto_results.events()
        if event.name() == "[memory]"
    )
    held = list(itertools.accumulate(change for _, change in events))
    memory = _planned(case)
    peak = max(total for (moment, _), total in zip(events, held, strict=True) if moment >= began)
    return Measured(case, memory.total, peak, asdict(memory))


def _parallelism(case: Case) -> Any:
    from finetune_api.model import Parallelism, Zero

    if case.engine == "DDP":
        return Parallelism(engine="DDP")
    return Parallelism(nodes=RANKS, zero=Zero(stage=int(case.engine[-1])))


def _planned(case: Case) -> Any:
    from finetune_api.memory import TrainingShape, training_memory
    from finetune_api.model import ScratchModel
    from finetune_api.transformer import shape_of_scratch

    shape = shape_of_scratch(ScratchModel.model_validate(SCRATCH), VOCABULARY)
    training = TrainingShape(shape, _parallelism(case), case.precision == "BF16", _lora(case), gpu=False)
    return training_memory(training, MICRO_BATCH, ROW_LENGTH, case.kept)  # type: ignore[arg-type]


def _lora(case: Case) -> Any:
    from finetune_api.adapt import Lora

    return Lora(rank=LORA_RANK, dropout=case.dropout) if case.method == "LoRA" else None


def _engine(case: Case) -> Any:
    import torch

    from finetune_api.model import ScratchModel
    from finetune_api.training import Optimizer
    from finetune_trainer.distributed import Ranks
    from finetune_trainer.engine.ddp import DdpEngine
    from finetune_trainer.engine.interface import Place
    from finetune_trainer.engine.zero import ZeroEngine
    from finetune_trainer.methods.lora import add_lora
    from finetune_trainer.models import scratch_model
    from finetune_trainer.models.activation_checkpointing import checkpoint_activations
    from finetune_trainer.models.segment_attention import use_segment_attention
    from finetune_trainer.objectives.causal_lm import CausalLM

    model: Any = scratch_model(ScratchModel.model_validate(SCRATCH), _Tokenizer(), 0)
    lora, bf16 = _lora(case), case.precision == "BF16"
    if lora is not None:
        model = add_lora(model.to(torch.bfloat16 if bf16 else torch.float32), lora, 1, "base")
    use_segment_attention(model)
    checkpoint_activations(model, case.kept)  # type: ignore[arg-type]
    losses = {CausalLM.name: CausalLM().loss}
    parallelism = _parallelism(case)
    if case.engine == "DDP":
        return DdpEngine(model, losses, Optimizer(), Place(torch.device("cpu"), Ranks(), bf16))
    place = Place(torch.device("cpu"), Ranks(0, RANKS, 0), bf16)
    return ZeroEngine(model, losses, Optimizer(), place, parallelism.zero)


class _Tokenizer:
    bos_token_id, eos_token_id, pad_token_id = 1, 2, 0

    def __len__(self) -> int:
        return VOCABULARY


def _batch(rows: int, length: int) -> Any:
    import numpy as np

    from finetune_trainer.objectives.causal_lm import CausalLM
    from finetune_trainer.objectives.next_token import Example

    tokens = np.random.default_rng(0).integers(3, VOCABULARY, (rows, length)).astype(np.int32)
    return CausalLM().collate([[Example(row, 1)] for row in tokens], length, 0)


def measured(cases: Sequence[Case]) -> Iterator[Measured]:
    """Measure `cases` in this process."""
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    warnings.simplefilter("ignore")
    import torch
    from torch.testing._internal.distributed.fake_pg import FakeStore

    torch.set_num_threads(1)
    torch.distributed.init_process_group("fake", rank=0, world_size=RANKS, store=FakeStore())
    for case in cases:
        yield measure(case)
        gc.collect()


if __name__ == "__main__":
    for result in measured(CASES):
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
        sys.stdout.flush()
