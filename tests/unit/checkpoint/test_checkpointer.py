"""The checkpointer of one rank: when it saves, what it does without room, and how errors come out."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_api.training import Checkpoint
from finetune_trainer.checkpoint import Checkpointer, store
from finetune_trainer.context import StageContext
from unit.pod.plans import make_plan


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    return StageContext.single(make_plan(tmp_path))


@pytest.fixture(params=[True, False], ids=["async", "sync"])
def policy(request: pytest.FixtureRequest) -> Checkpoint:
    return Checkpoint(every_steps=5, every_seconds=100, keep_last=2, keep_best=1, async_=request.param)


def writer(content: bytes = b"x" * 1000) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "rank0.pt").write_bytes(content)

    return write


def steps(root: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in sorted(root.glob("step-*"))]


def test_saved_steps_are_found_kept_and_reported(tmp_path: Path, context: StageContext, policy: Checkpoint) -> None:
    checkpointer = Checkpointer(tmp_path / "c", policy, context)
    assert checkpointer.latest() is None
    for step, metric in [(5, 1.0), (10, 3.0), (15, 4.0), (20, 5.0)]:
        assert checkpointer.save(step, writer(), metric)
    latest, best = checkpointer.latest(), checkpointer.best()
    assert latest is not None
    assert best is not None
    assert (latest.step, best.step) == (20, 5)
    assert (latest.path / "rank0.pt").read_bytes() == b"x" * 1000
    assert steps(tmp_path / "c") == [5, 15, 20]
    reported = context.progress.snapshot()
    assert reported.progress.last_checkpoint is not None
    assert reported.progress.last_checkpoint.step == 20
    assert reported.checkpoint_stall_seconds is not None
    checkpointer.clear()
    assert not (tmp_path / "c").exists()


def test_due_by_steps_and_by_time(tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("finetune_trainer.checkpoint.checkpointer.time.monotonic", lambda: now)
    checkpointer = Checkpointer(tmp_path, Checkpoint(every_steps=5, every_seconds=100), context)
    assert [step for step in range(1, 12) if checkpointer.due(step)] == [5, 10]
    now = 1100.0
    assert checkpointer.overdue
    assert checkpointer.due(11)
    assert not checkpointer.due(11, overdue=False)
    checkpointer.save(11, writer())
    checkpointer.wait()
    assert not checkpointer.due(12)


def test_a_writer_that_fails_leaves_the_older_checkpoint(
    tmp_path: Path, context: StageContext, policy: Checkpoint
) -> None:
    checkpointer = Checkpointer(tmp_path, policy, context)
    checkpointer.save(5, writer())

    def full(folder: Path) -> None:
        (folder / "rank0.pt").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        checkpointer.save(10, full)
    latest = checkpointer.latest()
    assert latest is not None
    assert latest.step == 5
    assert steps(tmp_path) == [5]
    assert not list(tmp_path.glob(".writing-*"))


def test_an_error_in_the_background_is_raised_by_the_next_call(
    tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer = Checkpointer(tmp_path, Checkpoint(async_=True), context)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(store, "publish", fail)
    checkpointer.save(1, writer())
    with pytest.raises(OSError, match="Input/output error"):
        checkpointer.wait()
    checkpointer.wait()
    assert not list(tmp_path.iterdir())


def test_without_room_training_goes_on_with_the_older_checkpoint(
    tmp_path: Path, context: StageContext, policy: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    free = 10**9
    checkpointer = Checkpointer(tmp_path, policy, context, free_bytes=lambda _: free)
    assert checkpointer.save(5, writer())
    checkpointer.wait()
    free = 900
    assert not checkpointer.save(10, writer())
    assert "left out" in caplog.text
    assert steps(tmp_path) == [5]
    with pytest.raises(OSError, match="No space left"):
        checkpointer.save(11, writer(), required=True)
    free = 2000
    assert checkpointer.save(15, writer())
    checkpointer.wait()
    assert steps(tmp_path) == [5, 15]


def test_room_is_made_before_it_is_given_up(tmp_path: Path, context: StageContext, policy: Checkpoint) -> None:
    def free(root: Path) -> int:
        return 3000 - 1000 * len(steps(root))

    checkpointer = Checkpointer(tmp_path, policy, context, free_bytes=free)
    for step in (5, 10, 15):
        assert checkpointer.save(step, writer())
    checkpointer.wait()
    assert steps(tmp_path) == [10, 15]
