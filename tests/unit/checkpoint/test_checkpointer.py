"""The checkpointer of one rank: when it saves, what it does without room, and how errors come out."""

from __future__ import annotations

import errno
import itertools
import threading
from pathlib import Path

import pytest

from finetune_api.training import Checkpoint
from finetune_trainer.checkpoint import Checkpointer, SaveFlags, store
from finetune_trainer.context import StageContext
from finetune_trainer.engine import Write
from finetune_trainer.workspace.folder_writer import FolderWriter
from unit.checkpoint.killing import Killed, kill_at
from unit.pod.plans import make_plan


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    return StageContext.single(make_plan(tmp_path))


@pytest.fixture(params=[True, False], ids=["async", "sync"])
def policy(request: pytest.FixtureRequest) -> Checkpoint:
    return Checkpoint(every_steps=5, every_seconds=100, keep_last=2, keep_best=1, async_=request.param)


def thousand_bytes() -> Write:
    """A snapshot of 1,000 bytes."""

    def write(files: FolderWriter) -> None:
        with files.open("rank0.pt") as file:
            file.write(b"x" * 1000)

    return write


def steps(root: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in sorted(root.glob("step-*"))]


def test_saved_steps_are_found_kept_and_reported(tmp_path: Path, context: StageContext, policy: Checkpoint) -> None:
    checkpointer = Checkpointer(tmp_path / "c", policy, context)
    assert checkpointer.latest() is None
    for step, metric in [(5, 1.0), (10, 3.0), (15, 4.0), (20, 5.0)]:
        assert checkpointer.save(step, thousand_bytes, metric)
    latest = checkpointer.latest()
    assert latest is not None
    assert latest.step == 20
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
    assert not checkpointer.due(11, SaveFlags(overdue=0, busy=0))
    checkpointer.save(11, thousand_bytes)
    checkpointer.wait()
    assert not checkpointer.due(12)


def test_a_writer_that_fails_leaves_the_older_checkpoint(
    tmp_path: Path, context: StageContext, policy: Checkpoint
) -> None:
    checkpointer = Checkpointer(tmp_path, policy, context)
    checkpointer.save(5, thousand_bytes)

    def full(files: FolderWriter) -> None:
        with files.open("rank0.pt") as file:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    def save() -> None:
        checkpointer.save(10, lambda: full)
        checkpointer.wait()  # in the background it is learnt where the ranks agree

    with pytest.raises(OSError, match="No space left"):
        save()
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
    checkpointer.save(1, thousand_bytes)
    with pytest.raises(OSError, match="Input/output error"):
        checkpointer.wait()
    checkpointer.wait()
    assert not list(tmp_path.iterdir())


def test_without_room_training_goes_on_with_the_older_checkpoint(
    tmp_path: Path, context: StageContext, policy: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    free = 10**9
    checkpointer = Checkpointer(tmp_path, policy, context, free_bytes=lambda _: free)
    assert checkpointer.save(5, thousand_bytes)
    checkpointer.wait()
    free = 900
    assert not checkpointer.save(10, thousand_bytes)
    assert "left out" in caplog.text
    assert steps(tmp_path) == [5]
    with pytest.raises(OSError, match="No space left"):
        checkpointer.save(11, thousand_bytes, required=True)
    free = 2000
    assert checkpointer.save(15, thousand_bytes)
    checkpointer.wait()
    assert steps(tmp_path) == [5, 15]


def test_room_is_made_before_it_is_given_up(tmp_path: Path, context: StageContext, policy: Checkpoint) -> None:
    def free(root: Path) -> int:
        return 3000 - 1000 * len(steps(root))

    checkpointer = Checkpointer(tmp_path, policy, context, free_bytes=free)
    for step in (5, 10, 15):
        assert checkpointer.save(step, thousand_bytes)
    checkpointer.wait()
    assert steps(tmp_path) == [10, 15]


def test_a_snapshot_that_fails_is_raised_at_once(tmp_path: Path, context: StageContext, policy: Checkpoint) -> None:
    checkpointer = Checkpointer(tmp_path, policy, context)

    def take() -> Write:
        raise MemoryError

    with pytest.raises(MemoryError):
        checkpointer.save(5, take)
    assert not list(tmp_path.glob(".writing-*"))
    assert checkpointer.save(10, thousand_bytes)
    checkpointer.wait()
    assert steps(tmp_path) == [10]


class SlowVolume:
    """Writes are held up until `open` is set."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def take(self) -> Write:
        def write(files: FolderWriter) -> None:
            self.open.wait(60)
            thousand_bytes()(files)

        return write


def test_a_slow_volume_stretches_the_policy_and_that_is_said_once(
    tmp_path: Path, context: StageContext, caplog: pytest.LogCaptureFixture
) -> None:
    volume = SlowVolume()
    checkpointer = Checkpointer(tmp_path, Checkpoint(every_steps=5), context)
    assert checkpointer.due(5)
    checkpointer.save(5, volume.take)
    assert [step for step in range(6, 17) if checkpointer.due(step)] == []
    assert checkpointer.is_saving
    (record,) = caplog.records
    assert record.getMessage() == (
        "no checkpoint at step 10: the one before is still being written; this volume is too slow for a checkpoint "
        "every 5 steps or 600 s, so there will be fewer (this is said once)"
    )
    volume.open.set()
    checkpointer.wait()
    assert [step for step in range(17, 27) if checkpointer.due(step)] == [20, 25]
    assert steps(tmp_path) == [5]


def test_time_is_left_between_saves_that_take_longer_than_the_time_between_two(
    tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("finetune_trainer.checkpoint.checkpointer.time.monotonic", lambda: now)
    volume = SlowVolume()
    checkpointer = Checkpointer(tmp_path, Checkpoint(every_steps=1000, every_seconds=100), context)
    checkpointer.save(1, volume.take)
    now = 1250.0
    assert not checkpointer.due(2)
    volume.open.set()
    checkpointer.wait()
    assert not checkpointer.due(3)
    now = 1351.0
    assert checkpointer.due(4)


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path, context: StageContext) -> None:
    volume = SlowVolume()
    checkpointer = Checkpointer(tmp_path, Checkpoint(every_steps=5), context)
    assert checkpointer.save(5, volume.take), "save returned before anything was written"
    assert steps(tmp_path) == []
    volume.open.set()
    for step in itertools.count(6):
        if not checkpointer.is_saving:
            break
        checkpointer.due(step)
    assert steps(tmp_path) == [5]
    reported = context.progress.snapshot().progress.last_checkpoint
    assert reported is not None
    assert reported.seconds is not None


def test_the_best_weights_are_written_with_the_next_checkpoint_and_no_oftener(
    tmp_path: Path, context: StageContext, policy: Checkpoint
) -> None:
    checkpointer = Checkpointer(tmp_path, policy, context)
    for step in (1, 2, 3):
        checkpointer.keep_best(step, 10.0 - step, thousand_bytes())
    assert not list(tmp_path.iterdir())
    checkpointer.save(5, thousand_bytes)
    checkpointer.wait()
    written = [path.stat().st_mtime_ns for path in (tmp_path / "best").rglob("*.pt")]
    checkpointer.save(10, thousand_bytes)
    best = checkpointer.best()
    assert best is not None
    assert (best.step, best.metric) == (3, 7.0)
    assert [path.stat().st_mtime_ns for path in (tmp_path / "best").rglob("*.pt")] == written
    checkpointer.keep_best(12, 5.0, thousand_bytes())
    checkpointer.save(15, thousand_bytes)
    checkpointer.wait()
    assert (steps(tmp_path), steps(tmp_path / "best")) == ([10, 15], [12])


def test_a_kill_at_any_moment_of_a_save_in_the_background_leaves_a_whole_checkpoint(
    tmp_path: Path, context: StageContext
) -> None:
    policy = Checkpoint(every_steps=5, keep_last=1, keep_best=1)
    call, survived, outcomes = 0, False, set()
    while not survived:
        root = tmp_path / str(call)
        first = Checkpointer(root, policy, context)
        first.keep_best(4, 2.0, thousand_bytes())
        first.save(5, thousand_bytes)
        first.wait()
        with pytest.MonkeyPatch.context() as monkeypatch:
            kill_at(call, monkeypatch)
            try:
                first.keep_best(9, 1.0, thousand_bytes())
                first.save(10, thousand_bytes)
                first.wait()
                survived = True
            except Killed:
                pass
        again = Checkpointer(root, policy, context)
        latest, best = again.latest(), again.best()
        assert latest is not None, f"killed at operation {call}"
        assert best is not None, f"killed at operation {call}"
        assert best.step >= latest.step - 1, "the best weights until a checkpoint are there before it"
        outcomes.add((best.step, latest.step))
        again.save(15, thousand_bytes)
        again.wait()
        assert not list(root.rglob(".writing-*15"))
        assert steps(root) == [15]
        call += 1
    assert outcomes == {(4, 5), (9, 5), (9, 10)}
    assert call > 15


def test_the_best_weights_cannot_be_written(tmp_path: Path, context: StageContext, policy: Checkpoint) -> None:
    checkpointer = Checkpointer(tmp_path, policy, context)

    def full(_: FolderWriter) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    checkpointer.keep_best(4, 1.0, full)

    def save() -> None:
        checkpointer.save(5, thousand_bytes)
        checkpointer.wait()

    with pytest.raises(OSError, match="No space left"):
        save()
    assert not list(tmp_path.rglob("*.pt"))
