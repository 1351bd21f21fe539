"""Whatever happens, in whatever order, the job ends as it would have ended undisturbed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from finetune_api import labels
from finetune_api.objects import Object
from finetune_api.progress import Progress
from finetune_api.status import ProgressStatus
from finetune_operator.cluster.interface import ConflictError, Kind, NotFoundError, Reference
from finetune_operator.cluster.kubernetes.trim import trimmed
from unit.reconcile.world import SETTINGS, Crash, World, copied, job_object, stamp

CODES = (64, 65, 70, 75, 76, 77, 78, 137, 143, 1, 139)
TURNS = st.integers(0, 3)
BUDGETS = {
    "User": 0,
    "Bug": SETTINGS.bug_restarts,
    "OutOfMemory": SETTINGS.out_of_memory_restarts,
    "NonFiniteLoss": SETTINGS.non_finite_restarts,
}


class Snapshot:
    """The cluster at some moment, as a cache keeps it."""

    def __init__(self, world: World) -> None:
        self.objects = {k: trimmed(copied(o)) for k, o in world.cluster.objects.items() if k[0] != "Event"}


class StaleReader:
    """Caches that lag behind, each kind by its own number of moments."""

    def __init__(self, snapshots: list[Snapshot], ages: dict[str, int]) -> None:
        self.snapshots = snapshots
        self.ages = ages

    def objects(self, kind: str) -> dict[tuple[str, str, str], Object]:
        return self.snapshots[max(0, len(self.snapshots) - 1 - self.ages.get(kind, 0))].objects

    async def get(self, reference: Reference) -> Object:
        try:
            return self.objects(reference.kind)[reference.kind, reference.namespace, reference.name]
        except KeyError:
            raise NotFoundError(str(reference)) from None

    async def list(self, kind: Kind, namespace: str | None, labels: dict[str, str] | None = None) -> list[Object]:
        wanted = (labels or {}).items()
        return [
            o
            for (k, n, _), o in self.objects(kind).items()
            if k == kind and namespace in (None, n) and wanted <= o["metadata"].get("labels", {}).items()
        ]


def crash_after(world: World, writes: int) -> None:
    """The operator's process ends right after so many writes."""
    left = writes

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Crash

    world.cluster.after_write = count


def recover(world: World) -> None:
    world.cluster.after_write = lambda: None
    world.cluster.before_write = lambda _: None
    world.restart()


def visit(world: World) -> None:
    with suppress(Crash, ConflictError):
        world.sync()


def run_to_end(world: World) -> None:
    """No more faults: the job resumes and every gang ends well."""
    recover(world)
    world.progress = None
    world.edit(suspend=False)
    for _ in range(60):
        world.reap()
        world.settle()
        if world.condition("Succeeded")[0] != "Unknown":
            return
        world.advance(301)
        world.reap()
        world.settle()
        world.finish_gang()
    raise AssertionError(f"no end: {world.status}")


def picture(world: World) -> Object:
    """The end state without what may differ: times, attempts, and the Service, which one node does without."""
    status = world.status
    return {
        "conditions": [(c.type, c.status, c.reason) for c in status.conditions],
        "stages": [(s.name, s.state, s.artifact) for s in status.stages],
        "state": status.state,
        "children": sorted(
            (kind, role)
            for kind in ("Job", "ConfigMap", "PersistentVolumeClaim")
            for o in world.of(kind)
            for role in roles(world, o)
        ),
        "live": len(world.live_pods()),
    }


def roles(world: World, child: Object) -> list[str]:
    """What a child is there for: the first attempt's ConfigMap holds the runtime as well, and outlives its gang."""
    own = child["metadata"]["labels"]
    stage = own.get(labels.STAGE)
    if stage is None:
        return [child["metadata"]["name"]]
    is_snapshot = labels.RUNTIME_KEY in child.get("data", {})
    is_current = world.stage(stage).attempt == int(own[labels.ATTEMPT])
    return [*(["runtime"] if is_snapshot else []), *([stage] if is_current or not is_snapshot else [])]


def undisturbed() -> Object:
    world = World(job_object())
    run_to_end(world)
    return picture(world)


REFERENCE = undisturbed()


class Machine(RuleBasedStateMachine):
    """Visits, crashes, stale reads, conflicts, edits, failures, clock jumps, in any order.

    After a disturbance Kubernetes and the operator may or may not get their turn before the next one.
    """

    @initialize(stages=st.integers(0, 2))
    def begin(self, stages: int) -> None:
        self.world = World(job_object())
        self.snapshots = [Snapshot(self.world)]
        self.unseen = 0
        self.terminal: tuple[str, str] | None = None
        self.attempts: dict[str, int] = {}
        for _ in range(stages):
            self.world.settle()
            self.world.finish_gang()
        self.world.settle()

    def turn(self, turns: int) -> None:
        """The operator visits; the Job controller makes pods."""
        for _ in range(turns):
            visit(self.world)
            self.unseen = 0
            self.check()
            self.world.create_pods()

    @rule(turns=st.integers(1, 3))
    def visit(self, turns: int) -> None:
        self.turn(turns)

    @rule(writes=st.integers(1, 6))
    def visit_and_crash(self, writes: int) -> None:
        crash_after(self.world, writes)
        visit(self.world)
        recover(self.world)

    @rule(own=st.integers(0, 7), jobs=st.integers(0, 7), pods=st.integers(0, 7), turns=TURNS)
    def visit_with_stale_reads(self, own: int, jobs: int, pods: int, turns: int) -> None:
        """A cache lags behind by some moments, but never behind what the operator has seen before."""
        self.observe()
        ages = {"FineTuneJob": min(own, self.unseen), "Job": min(jobs, self.unseen), "Pod": min(pods, self.unseen)}
        self.world.restart(reader=StaleReader(self.snapshots, ages))
        visit(self.world)
        self.unseen = 0
        self.world.restart()
        self.turn(turns)

    @rule()
    def visit_and_conflict(self) -> None:
        """Somebody labels the job between our read and our write."""

        def interfere(verb: str) -> None:
            if verb == "status":
                self.world.cluster.put(self.world.job)

        self.world.cluster.before_write = interfere
        visit(self.world)
        recover(self.world)

    @rule(turns=TURNS)
    def pods_go(self, turns: int) -> None:
        self.world.reap()
        self.turn(turns)

    @precondition(lambda self: self.world.live_pods())
    @rule(turns=TURNS)
    def gang_finishes(self, turns: int) -> None:
        self.world.finish_gang()
        self.turn(turns)

    @precondition(lambda self: self.world.live_pods())
    @rule(which=st.integers(0, 7), code=st.sampled_from(CODES), reaped=st.booleans(), turns=TURNS)
    def pod_fails(self, which: int, code: int, reaped: bool, turns: int) -> None:
        pods = self.world.live_pods()
        pod = pods[which % len(pods)]
        self.world.end_pod(pod, code, self.world.result(pod, code) if code < 100 and code > 2 else "")
        if reaped:
            self.world.reap()
        self.turn(turns)

    @precondition(lambda self: self.world.live_pods())
    @rule(turns=TURNS)
    def node_is_lost(self, turns: int) -> None:
        pod = self.world.live_pods()[0]
        if "deletionTimestamp" in pod["metadata"]:
            del self.world.cluster.objects["Pod", "default", pod["metadata"]["name"]]
        else:
            pod["status"] = {"phase": "Failed", "reason": "NodeLost"}
        self.turn(turns)

    @precondition(lambda self: self.world.of("Job"))
    @rule(which=st.integers(0, 3), turns=TURNS)
    def job_is_deleted(self, which: int, turns: int) -> None:
        jobs = self.world.of("Job")
        metadata = jobs[which % len(jobs)]["metadata"]
        if any(
            s.state == "Pending" and s.attempt == int(metadata["labels"][labels.ATTEMPT])
            for s in self.world.status.stages
            if s.name == metadata["labels"][labels.STAGE]
        ):
            # Deleted before the operator saw it: for the operator it never was.
            self.world.cluster.uids["Job " + metadata["name"]].clear()
        self.world.cluster.remove(("Job", "default", metadata["name"]))
        self.turn(turns)

    @precondition(lambda self: self.world.live_pods())
    @rule(age=st.sampled_from([0, 700]), turns=TURNS)
    def progress_is_seen(self, age: int, turns: int) -> None:
        own = self.world.live_pods()[0]["metadata"]["labels"]
        heartbeat = self.world.now
        self.world.progress = Progress(
            stage=own[labels.STAGE],
            attempt=int(own[labels.ATTEMPT]),
            phase="Training",
            progress=ProgressStatus(step=1, heartbeat=heartbeat),
            time=heartbeat,
        )
        self.turn(turns)
        self.world.advance(age)
        self.turn(turns)

    @rule(suspend=st.booleans(), turns=TURNS)
    def spec_is_edited(self, suspend: bool, turns: int) -> None:
        self.world.edit(suspend=suspend)
        self.turn(turns)

    @rule(nodes=st.sampled_from([1, 2]), turns=TURNS)
    def gang_is_resized(self, nodes: int, turns: int) -> None:
        self.world.edit(parallelism={"nodes": nodes})
        self.turn(turns)

    @rule(seconds=st.sampled_from([-3600, -600, 600, 3600]), turns=TURNS)
    def clock_jumps(self, seconds: int, turns: int) -> None:
        self.world.jump(seconds)
        self.turn(turns)

    @rule(seconds=st.sampled_from([1, 31, 301, 4000]), turns=TURNS)
    def time_goes_by(self, seconds: int, turns: int) -> None:
        self.world.advance(seconds)
        self.turn(turns)

    def observe(self) -> None:
        """Keep some moments, to serve them later as stale reads."""
        self.snapshots.append(Snapshot(self.world))
        self.unseen += 1
        del self.snapshots[:-8]

    @invariant()
    def check(self) -> None:
        """What holds at every moment, in mid-turn too."""
        if not hasattr(self, "world"):
            return
        self.observe()
        status = self.world.status
        assert len(self.world.live_gangs()) <= 1, self.world.live_gangs()
        for name, uids in self.world.cluster.uids.items():
            assert not name.startswith("Job ") or len(uids) <= 1, f"{name} was made twice"
        for stage in status.stages:
            assert stage.attempt >= self.attempts.get(stage.name, 0)
            self.attempts[stage.name] = stage.attempt
            if stage.start_time is not None and stage.completion_time is not None:
                assert stage.completion_time >= stage.start_time
            for cause, limit in BUDGETS.items():
                assert stage.restarts.get(cause, 0) <= limit
            assert len(stage.recent_failure_times) <= 10
        if status.conditions:
            now = next((c.status, c.reason) for c in status.conditions if c.type == "Succeeded")
            assert self.terminal is None or now == self.terminal
            self.terminal = now if now[0] != "Unknown" else None

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.edit(parallelism={"nodes": 2})
        run_to_end(self.world)
        end = picture(self.world)
        assert end["live"] == 0
        assert self.terminal is None or self.world.condition("Succeeded") == self.terminal
        if self.world.status.state == "Succeeded":
            assert end["stages"] == REFERENCE["stages"]
            assert end["conditions"] == REFERENCE["conditions"]
            # A finished Job that somebody deleted stays deleted; nothing else may be missing, nothing too much.
            assert {c for c in end["children"] if c[0] != "Job"} == {c for c in REFERENCE["children"] if c[0] != "Job"}
            assert len(end["children"]) == len(set(end["children"]))
            assert set(end["children"]) <= set(REFERENCE["children"])
        writes = len(self.world.cluster.writes)
        self.world.restart()
        self.world.sync()
        self.world.advance(1)
        self.world.sync()
        assert len(self.world.cluster.writes) == writes, self.world.cluster.writes[writes:]


TestMachine = pytest.mark.timeout(300)(Machine.TestCase)
TestMachine.settings = settings(max_examples=200, stateful_step_count=20)


def scenario(world: World) -> None:
    """A crash, a restart, a suspension and a resumption in mid-run; then to the end."""

    def step(*actions: Any) -> None:
        for action in actions:
            action()
        for _ in range(12):
            before = len(world.cluster.writes)
            try:
                world.sync()
            except Crash:
                recover(world)
                world.create_pods()  # Kubernetes goes on without us
                continue
            if len(world.cluster.writes) == before:
                return
            world.create_pods()

    def fail_one() -> None:
        for pod in world.live_pods()[:1]:
            world.end_pod(pod, 137)
        world.reap()

    def wait() -> None:
        world.advance(301)
        world.reap()

    step()
    step(world.finish_gang)
    step(fail_one)
    step(wait)
    step(lambda: world.edit(suspend=True))
    step(world.reap)
    step(lambda: world.edit(suspend=False))
    step(wait)
    step(world.finish_gang)
    step(world.finish_gang)


def test_crash_after_every_write_leads_to_the_same_end() -> None:
    plain = World(job_object())
    scenario(plain)
    expected = picture(plain)
    assert plain.status.state == "Succeeded"
    assert [s.attempt for s in plain.status.stages] == [1, 3, 1]
    total = len(plain.cluster.writes)
    assert total >= 20
    for writes in range(1, total + 1):
        world = World(job_object())
        crash_after(world, writes)
        scenario(world)
        assert picture(world) == expected, f"crash after write {writes}: {plain.cluster.writes[writes - 1]}"
        assert [s.attempt for s in world.status.stages] == [1, 3, 1], f"crash after write {writes}"
        assert all(len(u) == 1 for n, u in world.cluster.uids.items() if n.startswith("Job "))
        assert dict(world.stage("pretrain").restarts) == {"Infrastructure": 1}, f"crash after write {writes}"


def test_what_a_lagging_cache_suggests_is_decided_again_on_fresh_reads() -> None:
    world = World(job_object())
    before = Snapshot(world)
    world.settle()
    gangs, writes = world.live_gangs(), len(world.cluster.writes)
    world.restart(reader=StaleReader([before, Snapshot(world)], {"Job": 1, "Pod": 1}))
    world.sync()
    assert len(world.cluster.writes) == writes, "the Job is there, whatever the cache says"
    assert world.live_gangs() == gangs


def test_what_a_cache_keeps_is_enough_for_every_decision() -> None:
    plain = World(job_object())
    scenario(plain)
    world = World(job_object())

    class Cache(StaleReader):
        """Always up to date."""

        def __init__(self) -> None:
            super().__init__([], {})

        def objects(self, kind: str) -> dict[tuple[str, str, str], Object]:
            del kind
            return Snapshot(world).objects

    world.restart(reader=Cache())
    scenario(world)
    assert picture(world) == picture(plain)
    assert world.status == plain.status
    assert world.cluster.writes == plain.cluster.writes


def test_a_lost_status_is_rebuilt_from_the_children() -> None:
    world = World(job_object())
    world.settle()
    world.finish_gang()
    world.settle()
    for pod in world.live_pods()[:1]:
        world.end_pod(pod, 137)
    world.reap()
    world.settle()
    world.advance(60)
    world.settle()
    assert {g[:2] for g in world.live_gangs()} == {("pretrain", "2")}
    del world.job["status"]
    world.job["metadata"]["resourceVersion"] = stamp(world.now)
    world.settle()
    assert [(s.name, s.state, s.attempt) for s in world.status.stages] == [
        ("prepare", "Succeeded", 1),
        ("pretrain", "Running", 2),
        ("evaluate", "Pending", 0),
    ]
    assert world.stage("prepare").artifact == "prepare-artifact"
    assert {g[:2] for g in world.live_gangs()} == {("pretrain", "2")}
