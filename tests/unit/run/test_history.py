from __future__ import annotations

from pathlib import Path

from finetune_api.progress import ArmHistory, HistoryRow, read_history
from finetune_trainer.run.trackers.history import History
from unit.pod.plans import make_plan


def row(step: int) -> HistoryRow:
    arms = {"en": ArmHistory(probability=1.0, tokens=step * 9)}
    return HistoryRow(step=step, tokens=10 * step, seconds=0.5 * step, loss=1.0, arms=arms)


def test_rows_after_the_step_of_the_checkpoint_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "history.jsonl"
    history = History(make_plan(tmp_path), path)
    history.resume(-1)
    for step in range(6):
        history.log(row(step))
    with path.open("a") as file:
        file.write('{"step": 6, "tok')
    history.resume(3)
    history.log(row(4))
    assert read_history(path) == [row(step) for step in range(5)]


def test_a_new_run_starts_empty(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history = History(make_plan(tmp_path), path)
    history.log(row(0))
    history.resume(-1)
    assert read_history(path) == []
