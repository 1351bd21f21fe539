"""Checkpoints on disk: whatever happens while one is written or kept, what is loaded is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.checkpoint import store
from finetune_trainer.checkpoint.store import CheckpointEntry, superfluous
from finetune_trainer.workspace.folder_writer import FolderWriter
from unit.checkpoint.killing import Killed, kill_at

IDENTITY = "plan-a"


def write(root: Path, step: int, metric: float | None = None, identity: str = IDENTITY) -> CheckpointEntry:
    folder = store.begin(root, step)
    files = FolderWriter(folder)
    with files.open("rank0.pt") as file:
        file.write(b"weights of step %d" % step)
    with files.open("engine/optimizer.pt") as file:
        file.write(bytes(100) + bytes([step]))
    return store.publish(folder, identity, step, metric, [files.files])


def test_a_kill_at_any_moment_of_saving_and_pruning_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    call, survived = 0, False
    outcomes = set()
    while not survived:
        root = tmp_path / str(call)
        write(root, 1)
        write(root, 2)
        with pytest.MonkeyPatch.context() as monkeypatch:
            kill_at(call, monkeypatch)
            try:
                write(root, 3)
                store.prune(root, IDENTITY, keep_last=1, keep_best=0)
                survived = True
            except Killed:
                pass
        newest = store.newest_valid(root, IDENTITY)
        assert newest is not None, f"killed at operation {call}"
        assert newest.step in (2, 3)
        outcomes.add(newest.step)
        # The next save clears what the killed one left.
        assert write(root, 4).step == 4
        assert not list(root.glob(".writing-*"))
        call += 1
    assert outcomes == {2, 3}
    assert call > 12


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    write(tmp_path, 3, metric=2.0)
    write(tmp_path, 3, metric=1.0)
    entry = store.newest_valid(tmp_path, IDENTITY)
    assert entry is not None
    assert entry.metric == 1.0


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written once: syncing is slow. Whoever changes it puts it back."""
    root = tmp_path_factory.mktemp("checkpoints")
    write(root, 1)
    write(root, 2)
    return root


@given(data=st.data())
def test_any_changed_byte_or_length_is_noticed(two_checkpoints: Path, data: st.DataObject) -> None:
    newest = two_checkpoints / store.folder_name(2)
    file = newest / data.draw(st.sampled_from(["rank0.pt", "engine/optimizer.pt"]))
    original = file.read_bytes()
    content = bytearray(original)
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[position:]
    else:
        content[position] ^= data.draw(st.integers(1, 255))
    try:
        file.write_bytes(content)
        found = store.newest_valid(two_checkpoints, IDENTITY)
    finally:
        file.write_bytes(original)
    assert found is not None
    assert found.step == 1


def damage_missing(path: Path) -> None:
    (path / "rank0.pt").unlink()


def damage_no_manifest(path: Path) -> None:
    (path / store.MANIFEST).unlink()


def damage_half_manifest(path: Path) -> None:
    manifest = path / store.MANIFEST
    manifest.write_text(manifest.read_text()[:40])


def damage_foreign_pickle(path: Path) -> None:
    (path / "extra.pt").write_bytes(b"cos\nsystem\n")


def damage_link(path: Path) -> None:
    target = path.parent / "elsewhere.pt"
    (path / "rank0.pt").rename(target)
    (path / "rank0.pt").symlink_to(target)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_missing, "rank0.pt is missing"),
        (damage_no_manifest, "no manifest"),
        (damage_half_manifest, "cannot be read"),
        (damage_foreign_pickle, "extra.pt is not listed"),
        (damage_link, "rank0.pt is a link"),
    ],
)
def test_a_bad_checkpoint_is_passed_over_with_a_reason(
    damage: Callable[[Path], None], reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, 1)
    damage(write(tmp_path, 2).path)
    found = store.newest_valid(tmp_path, IDENTITY)
    assert found is not None
    assert found.step == 1
    assert reason in caplog.text
    assert "step-0000000002" in caplog.text


def test_a_checkpoint_of_another_number_of_ranks_is_refused_unread_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = store.begin(tmp_path, 7)
    parts = [FolderWriter(folder) for _ in range(4)]
    for rank, files in enumerate(parts):
        with files.open(f"rank{rank}.pt") as file:
            file.write(bytes(8))
    store.publish(folder, IDENTITY, 7, None, [files.files for files in parts])
    monkeypatch.setattr(store, "looks_unchanged", lambda *_, **__: pytest.fail("a file was read"))
    assert store.newest_valid(tmp_path, IDENTITY) is None
    assert "step-0000000007 is not used: 4 ranks wrote it and this gang has 1" in caplog.text
    assert "give spec.parallelism the nodes and processes that it had" in caplog.text


def test_a_checkpoint_of_another_plan_is_refused_and_goes_with_the_next_save(tmp_path: Path) -> None:
    foreign = write(tmp_path, 9, identity="plan-b")
    assert store.newest_valid(tmp_path, IDENTITY) is None
    write(tmp_path, 1)
    store.prune(tmp_path, IDENTITY, 2, 1)
    assert not foreign.path.exists()


def test_the_best_is_the_lowest_metric_that_verifies(tmp_path: Path) -> None:
    write(tmp_path, 1, metric=3.0)
    write(tmp_path, 2, metric=2.0)
    write(tmp_path, 3, metric=1.0)
    write(tmp_path, 4, metric=float("nan"))
    write(tmp_path, 5)
    damage_missing(tmp_path / store.folder_name(3))
    best = store.best_valid(tmp_path, IDENTITY)
    assert best is not None
    assert best.step == 2


ENTRIES = st.lists(
    st.tuples(st.integers(0, 50), st.none() | st.floats(0, 5)), unique_by=lambda pair: pair[0], max_size=12
).map(lambda pairs: [CheckpointEntry(Path(f"step-{s}"), s, m, 1, 0) for s, m in pairs])


@given(entries=ENTRIES, keep_last=st.integers(1, 4), keep_best=st.integers(0, 3))
def test_retention_keeps_the_newest_and_the_best_and_nothing_else(
    entries: list[CheckpointEntry], keep_last: int, keep_best: int
) -> None:
    removed = {e.step for e in superfluous(entries, keep_last, keep_best)}
    kept = [e for e in entries if e.step not in removed]
    newest = sorted((e.step for e in entries), reverse=True)[:keep_last]
    assert removed.isdisjoint(newest)
    scored = [e for e in entries if e.metric is not None]
    if scored and keep_best:
        assert min(e.metric for e in scored if e.metric is not None) in [e.metric for e in kept]
    assert len(kept) <= keep_last + keep_best
    assert len(kept) >= min(len(entries), keep_last)
