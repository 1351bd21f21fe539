from __future__ import annotations

from pathlib import Path

from finetune_api.progress import ArmHistory, HistoryRow
from finetune_trainer.run.history import History, read_history


def row(step: int) -> HistoryRow:
    arms = {"en": ArmHistory(probability=1.0, tokens=step * 9)}
    return HistoryRow(step=step, tokens=10 * step, seconds=0.5 * step, loss=1.0, arms=arms)


def test_rows_after_the_step_of_the_checkpoint_are_cut(tmp_path: Path) -> None:
    history = History(tmp_path / "logs" / "history.jsonl", is_main=True)
    history.cut(-1)
    for step in range(6):
        history.append(row(step))
    with history.path.open("a") as file:
        file.write('{"step": 6, "tok')
    history.cut(3)
    history.append(row(4))
    assert read_history(history.path) == [row(step) for step in range(5)]


def test_a_new_run_starts_empty(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl", is_main=True)
    history.append(row(0))
    history.cut(-1)
    assert read_history(history.path) == []


def test_only_rank_0_writes(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl", is_main=False)
    history.cut(-1)
    history.append(row(0))
    assert not history.path.exists()
