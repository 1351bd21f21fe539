"""Tokens per CPU-second of the training loop against a plain torch loop on the same batches and against its matmuls.

Run it with one thread: `OMP_NUM_THREADS=1 python tests/bench/training_loop.py`. Figures are CPU time, so that they hold
on a busy machine; compare them with each other only.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from finetune_api.model import Parallelism, ScratchModel, Zero
from finetune_api.training import Batch, Checkpoint, Curriculum, Optimizer
from finetune_trainer.batching import ArmExamples, MixtureSource, make_layout
from finetune_trainer.checkpoint import Checkpointer
from finetune_trainer.context import StageContext
from finetune_trainer.curriculum import create_curriculum
from finetune_trainer.distributed import Ranks
from finetune_trainer.models import scratch_model
from finetune_trainer.models.segment_attention import use_segment_attention
from finetune_trainer.objectives import Batch as Examples
from finetune_trainer.run.loop import train
from finetune_trainer.run.schedule import Budget
from finetune_trainer.run.settings import TrainSettings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tiny import PAD, TinyTexts, documents, same_facts, segments, tiny_engine, tiny_plan, translations

VOCABULARY = 4096
LENGTH = 128
BATCH = Batch(global_tokens=32 * LENGTH, sequence_length=LENGTH)
OPTIMIZER = Optimizer(learning_rate=1e-3)
STEPS = 8
SPEC = ScratchModel(layers=5, hidden=192, heads=4, kv_heads=2, context_length=LENGTH)
CURRICULUM = Curriculum(strategy="FAIR", update_every_steps=4)


class Vocabulary:
    """Only its size counts."""

    def __len__(self) -> int:
        return VOCABULARY


def new_model() -> torch.nn.Module:
    """About 3.3 M parameters, as in the quickstart."""
    model = scratch_model(SPEC, Vocabulary(), 0)
    use_segment_attention(model)
    return model


def arms() -> dict[str, ArmExamples]:
    """Texts of 22 tokens on average, as in the quickstart."""
    first, second = TinyTexts(4000, 22, 1, 110), TinyTexts(4000, 22, 2, 50)
    third = TinyTexts(4000, 22, 3, 50)
    return {"en": documents(first, LENGTH), "en-es": translations(second, third, LENGTH)}


def new_source(strategy: Curriculum) -> MixtureSource:
    """Both arms, half of the steps each."""
    examples = arms()
    layout = make_layout(BATCH, Ranks(), 1, PAD)
    return MixtureSource(examples, create_curriculum(strategy, same_facts(examples)), strategy, layout, 3)


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of all threads."""
    began = time.process_time()
    work()
    return time.process_time() - began


def padded(batch: Examples) -> tuple[torch.Tensor, torch.Tensor]:
    """One example a row: (rows, longest) tokens, and labels of those that carry loss."""
    found = segments(batch)
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(x) for x, _ in found], batch_first=True, padding_value=PAD)
    labels = torch.full_like(ids, -100)
    for row, (tokens, loss) in enumerate(found):
        labels[row, len(tokens) - len(loss) : len(tokens)] = torch.tensor(loss)
    return ids, labels


def plain_loop() -> float:
    """What one writes first: all logits, mean loss, AdamW; batches are built beforehand."""
    source = new_source(CURRICULUM.model_copy(update={"strategy": "Fixed"}))
    model = scratch_model(SPEC, Vocabulary(), 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batches = [batch for step in range(STEPS + 1) for batch in [source.draw(step + 1).micro_batches]]

    def step(number: int) -> None:
        for batch in batches[number]:
            ids, labels = padded(batch)
            logits = model(input_ids=ids, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
            torch.autograd.backward(loss / len(batches[number]))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    step(STEPS)

    def all_steps() -> None:
        for number in range(STEPS):
            step(number)

    return cpu_seconds(all_steps)


def our_loop(parallelism: Parallelism, strategy: Curriculum) -> float:
    """The whole loop: drawing, packing, rewards, metrics, history; without validation and checkpoints."""
    engine = tiny_engine(new_model(), parallelism, OPTIMIZER)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        context = StageContext.single(tiny_plan(folder))

        def run(steps: int) -> None:
            checkpointer = Checkpointer(folder / f"checkpoints{steps}", Checkpoint(every_steps=10**6), context)
            budget = Budget(tokens=steps * BATCH.global_tokens)
            chosen = TrainSettings(BATCH, OPTIMIZER, strategy, budget, 3, PAD, validate_every_steps=10**6)
            train(context, engine, new_source(strategy), {}, chosen, checkpointer, folder / f"history{steps}.jsonl")

        run(1)
        return cpu_seconds(lambda: run(STEPS))


def drawing() -> float:
    """Only the batches."""
    source = new_source(CURRICULUM.model_copy(update={"strategy": "Fixed"}))
    source.draw(1)
    return cpu_seconds(lambda: [source.draw(step) for step in range(2, STEPS + 2)])


def matmul_rate() -> float:
    """Floating-point operations per CPU-second of a 1024 x 1024 product."""
    left, right = torch.rand(1024, 1024), torch.rand(1024, 1024)
    left @ right
    return 10 * 2 * 1024**3 / cpu_seconds(lambda: [left @ right for _ in range(10)])


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    parameters = sum(parameter.numel() for parameter in new_model().parameters())
    tokens = STEPS * BATCH.global_tokens
    fixed = CURRICULUM.model_copy(update={"strategy": "Fixed"})
    ddp, zero = Parallelism(engine="DDP"), Parallelism(zero=Zero(stage=2))
    bound = matmul_rate() / (6 * parameters)
    rows = {
        f"matmuls alone (6 x {parameters / 1e6:.2f} M parameters)": bound,
        "plain torch loop": tokens / plain_loop(),
        "our loop, DDP, Fixed": tokens / our_loop(ddp, fixed),
        "our loop, ZeRO-2, Fixed": tokens / our_loop(zero, fixed),
        "our loop, ZeRO-2, FAIR every 4 steps": tokens / our_loop(zero, CURRICULUM),
        "drawing and packing alone": tokens / drawing(),
    }
    for name, rate in rows.items():
        print(f"{name:45} {rate:12,.0f} tokens per CPU-second {rate / bound:8.2f}")


if __name__ == "__main__":
    main()
