"""Every rank's figures in one sum."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from finetune_trainer.run import rank_figures
from finetune_trainer.run.rank_figures import RankFigures, from_slots, measure, resident_bytes, slots


def test_the_sum_over_ranks_has_everybodys_figures() -> None:
    figures = [RankFigures(0.1 * rank, 2.0**40 + rank, rank, 2.0 * rank, 3.0 * rank) for rank in range(4)]
    vectors = [torch.tensor(slots(own, rank, 4), dtype=torch.float64) for rank, own in enumerate(figures)]
    assert from_slots(torch.stack(vectors).sum(0).tolist()) == figures


def test_memory_of_this_process() -> None:
    before = resident_bytes()
    ballast = bytearray(b"x" * 64_000_000)
    assert resident_bytes() - before > 0.8 * len(ballast)
    figures = measure(0.5, torch.device("cpu"))
    assert (figures.own_seconds, figures.allocated_bytes, figures.peak_bytes) == (0.5, 0.0, 0.0)


def test_where_there_is_no_proc_the_most_it_ever_was_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    known = resident_bytes()
    monkeypatch.setattr(rank_figures, "_STATM", Path("nowhere"))
    assert resident_bytes() > 0.5 * known
