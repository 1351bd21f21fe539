"""The process may die in the middle of any step of any write; what was acknowledged survives, the rest is whole."""

from __future__ import annotations

import copy
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from finetune_api.objects import Object
from finetune_operator.cluster.interface import NotFoundError
from finetune_operator.cluster.local.object_folder import ObjectFolder
from finetune_operator.cluster.local.store import ObjectStore
from unit.store.objects import NOW, Crash, DyingDisk, config, drive, open_store, ref

NAMES = st.sampled_from("abcde")
State = dict[str, Object]


def state_of(store: ObjectStore) -> State:
    return {o["metadata"]["name"]: o for o in drive(store.list("ConfigMap", None))}


@pytest.mark.parametrize("share_written", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", range(12))
def test_each_step_of_a_cascade_may_be_the_last(tmp_path: Path, steps: int, share_written: float) -> None:
    """Create, change and delete a tree; after a crash at any step the tree is whole, or on its way out for good."""
    store = open_store(tmp_path)
    top = drive(store.apply(config("top")))["metadata"]["uid"]
    middle = drive(store.apply(config("middle", owner=top)))["metadata"]["uid"]
    drive(store.apply(config("leaf", owner=middle)))
    dying = open_store(tmp_path, DyingDisk(steps, share_written))
    with suppress(Crash):
        drive(dying.delete(ref("ConfigMap", "top")))
    assert set(state_of(open_store(tmp_path))) in ({"top", "middle", "leaf"}, set())


class CrashMachine(RuleBasedStateMachine):
    """Random writes, each of which may be cut short; `model` is what must be there."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="store-"))
        self.store = open_store(self.folder)
        self.model: State = {}
        self.highest = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def _accept(self, before: State, is_wanted: Any) -> None:
        """The state is now the one before the operation or the one after it; take it as the model."""
        after = state_of(self.store)
        changed = {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)}
        assert not changed or is_wanted(after, changed)
        for name in changed & after.keys():
            version = int(after[name]["metadata"]["resourceVersion"])
            assert version > self.highest, "a resource version was given twice"
        self.model = after
        self.highest = max([self.highest, *(int(o["metadata"]["resourceVersion"]) for o in after.values())])

    def _perform(self, operation: Any, steps: int | None, share: float, is_wanted: Any) -> None:
        before = copy.deepcopy(self.model)
        if steps is None:
            with suppress(NotFoundError):
                drive(operation(self.store))
        else:
            disk = DyingDisk(10_000, share)
            dying = ObjectStore(ObjectFolder(self.folder, disk), lambda: NOW)
            disk.steps = steps
            with suppress(Crash, NotFoundError):
                drive(operation(dying))
            self.store = open_store(self.folder)
        self._accept(before, is_wanted)

    @rule(
        name=NAMES,
        owner=st.none() | NAMES,
        value=st.sampled_from("xyz"),
        steps=st.none() | st.integers(0, 9),
        share=st.floats(0, 1),
    )
    def apply(self, name: str, owner: str | None, value: str, steps: int | None, share: float) -> None:
        uid = None if owner is None or owner == name else self.model.get(owner, {}).get("metadata", {}).get("uid")
        new = config(name, owner=uid, k=value)
        self._perform(
            lambda store: store.apply(new), steps, share,
            lambda after, changed: changed == {name} and after[name]["data"] == {"k": value},
        )  # fmt: skip

    @rule(name=NAMES, steps=st.none() | st.integers(0, 4), share=st.floats(0, 1))
    def write_status(self, name: str, steps: int | None, share: float) -> None:
        status = {"seen": self.highest}
        self._perform(
            lambda store: store.apply_status(config(name) | {"status": status}), steps, share,
            lambda after, changed: changed == {name} and after[name]["status"] == status,
        )  # fmt: skip

    @rule(name=NAMES, steps=st.none() | st.integers(0, 12), share=st.floats(0, 1))
    def delete(self, name: str, steps: int | None, share: float) -> None:
        gone = self._with_dependents(name)
        self._perform(
            lambda store: store.delete(ref("ConfigMap", name)), steps, share,
            lambda after, changed: changed == gone and not gone & after.keys(),
        )  # fmt: skip

    @rule()
    def restart(self) -> None:
        self.store = open_store(self.folder)

    def _with_dependents(self, name: str) -> set[str]:
        gone = {name} & self.model.keys()
        while True:
            uids = {self.model[n]["metadata"]["uid"] for n in gone}
            more = {
                n for n, o in self.model.items() if uids & {x["uid"] for x in o["metadata"].get("ownerReferences", ())}
            }
            if more <= gone:
                return gone
            gone |= more

    @invariant()
    def acknowledged_state_is_on_disk(self) -> None:
        assert state_of(self.store) == self.model
        assert state_of(open_store(self.folder)) == self.model

    @invariant()
    def nothing_is_orphaned_or_left_over(self) -> None:
        uids = {o["metadata"]["uid"] for o in self.model.values()}
        for value in self.model.values():
            assert {x["uid"] for x in value["metadata"].get("ownerReferences", ())} <= uids
        assert not list(self.folder.rglob("*.tmp"))


TestCrashes = CrashMachine.TestCase
TestCrashes.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
