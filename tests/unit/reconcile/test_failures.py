"""The contract of the exit codes, one row each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finetune_api.job import FineTuneJobSpec
from finetune_api.objects import Object
from finetune_api.progress import Progress
from finetune_api.status import ProgressStatus
from finetune_operator.cluster.interface import InvalidObjectError
from finetune_operator.reconcile.plan import fingerprint
from unit.reconcile.world import World, job_object

PLAN = "plan.json"


def in_pretrain(**spec: Any) -> World:
    world = World(job_object(**spec))
    world.settle()
    world.finish_gang()
    world.settle()
    assert world.status.current_stage == "pretrain"
    return world


def fail(world: World, code: int, message: str | None = None, reason: str = "") -> None:
    """One pod fails, the Job controller ends the rest, and the operator looks until the next gang runs."""
    pod = world.live_pods()[0]
    world.end_pod(pod, code, world.result(pod, code) if message is None else message, reason)
    world.reap()
    world.settle()
    world.advance(301)
    world.settle()


def plan(world: World) -> Object:
    stage = world.stage("pretrain")
    found = next(c for c in world.of("ConfigMap") if c["metadata"]["name"].endswith(f"-pretrain-{stage.attempt}"))
    value: Object = json.loads(found["data"][PLAN])
    return value


@pytest.mark.parametrize(
    ("code", "cause", "restarts"),
    [
        (64, "User", 0),
        (65, "User", 0),
        (70, "Bug", 1),
        (1, "Bug", 1),
        (76, "NonFiniteLoss", 3),
        (78, "OutOfMemory", 1),
        (137, "Infrastructure", 10),
        (143, "Infrastructure", 10),
        (139, "Infrastructure", 10),
        (77, "Hang", 10),
    ],
)
def test_exit_code_has_its_budget(code: int, cause: str, restarts: int) -> None:
    world = in_pretrain()
    for attempt in range(1, restarts + 1):
        fail(world, code)
        assert world.status.state == "Running"
        assert world.stage("pretrain").attempt == attempt + 1
        assert dict(world.stage("pretrain").restarts) == {cause: attempt}
        assert {g[:2] for g in world.live_gangs()} == {("pretrain", str(attempt + 1))}
    fail(world, code)
    assert world.status.state == "Failed"
    assert world.condition("Succeeded") == ("False", "BudgetExhausted" if restarts else "Failed")
    assert f"exit {code}" in world.message("Succeeded")
    assert world.stage("pretrain").attempt == restarts + 1
    assert not world.live_pods()
    assert "StageFailed" in world.events()
    assert ("BudgetExhausted" in world.events()) == bool(restarts)
    assert world.events().count("GangRestarted") == restarts


def test_a_user_error_says_what_and_where_and_that_it_is_not_retried() -> None:
    world = in_pretrain()
    fail(world, 65)
    assert world.message("Succeeded") == "pretrain failed: pretrain broke mend it (exit 65, not retried)"
    assert world.stage("pretrain").message == "pretrain broke mend it (exit 65, not retried)"


def test_user_restarts_are_given_where_asked_for() -> None:
    world = in_pretrain(failurePolicy={"user": {"restarts": 1}})
    fail(world, 65)
    assert world.status.state == "Running"
    fail(world, 65)
    assert world.condition("Succeeded") == ("False", "BudgetExhausted")


def test_preemption_is_not_counted_and_its_checkpoint_is_shown() -> None:
    world = in_pretrain(failurePolicy={"infrastructure": {"restarts": 0}})
    for _ in range(12):
        for pod in world.live_pods():
            world.end_pod(pod, 75, world.result(pod, 75, checkpoint_step=40))
        world.reap()
        world.settle()
    assert world.status.state == "Running"
    assert world.stage("pretrain").restarts == {"Preempted": 12}
    assert world.stage("pretrain").recent_failure_times == []
    progress = world.status.progress
    assert progress is not None
    assert progress.last_checkpoint is not None
    assert progress.last_checkpoint.step == 40
    assert world.events().count("Preempted") == 12
    resumed = [e["note"] for e in world.of("Event") if e["reason"] == "Resumed"]
    assert "pretrain: attempt 2 goes on from the checkpoint at step 40" in resumed


def test_out_of_memory_halves_the_micro_batch_and_names_the_advice() -> None:
    world = in_pretrain()
    fail(world, 137, "", reason="OOMKilled")
    assert plan(world)["microBatchDivisor"] == 2
    fail(world, 137, "", reason="OOMKilled")
    assert "raise resources.limits.memory of its runtime" in world.message("Succeeded")
    assert "microBatch" in world.message("Succeeded")


def test_a_micro_batch_that_a_process_found_is_where_the_next_attempt_begins() -> None:
    world = in_pretrain()
    assert "microBatchLimit" not in plan(world)
    found = ProgressStatus(step=3, micro_batch=4, heartbeat=world.now)
    world.progress = Progress(stage="pretrain", attempt=1, phase="Training", progress=found, time=world.now)
    world.settle()
    fail(world, 75)
    assert world.stage("pretrain").micro_batch == 4
    assert plan(world)["microBatchLimit"] == 4
    assert plan(world)["microBatchDivisor"] == 1


def test_what_is_computed_again_is_no_part_of_the_result() -> None:
    pretrain = job_object()["spec"]["pretrain"]
    jobs = [
        job_object(pretrain=pretrain | {"batch": pretrain["batch"] | batch})
        for batch in ({}, {"activationCheckpointing": "Full"}, {"globalTokens": 4096})
    ]
    prints = [fingerprint(FineTuneJobSpec.from_json_object(job["spec"]), "pretrain") for job in jobs]
    assert prints[0] == prints[1] != prints[2]


def test_what_is_compiled_or_fused_is_no_part_of_the_result() -> None:
    layouts: list[Object] = [{}, {"compile": "None", "fusedKernels": "None"}, {"engine": "DDP"}]
    specs = [FineTuneJobSpec.from_json_object(job_object(parallelism=layout)["spec"]) for layout in layouts]
    prints = [fingerprint(spec, "pretrain") for spec in specs]
    assert prints[0] == prints[1] != prints[2]


def test_non_finite_loss_skips_data() -> None:
    world = in_pretrain()
    before = plan(world)
    fail(world, 76)
    fail(world, 76)
    after = plan(world)
    assert (before["skipSteps"], after["skipSteps"]) == (0, 20)
    assert before["fingerprint"] == after["fingerprint"], "a restart must find its own checkpoint"
    assert "NonFiniteLoss" in world.events()


def test_failures_outside_the_window_no_longer_count() -> None:
    world = in_pretrain(failurePolicy={"infrastructure": {"restarts": 1, "windowSeconds": 1000}})
    for _ in range(5):
        fail(world, 137)
        world.advance(1001)
    assert world.status.state == "Running"
    fail(world, 137)
    fail(world, 137)
    assert world.condition("Succeeded") == ("False", "BudgetExhausted")
    assert "1 restart for Infrastructure within 1000 s" in world.message("Succeeded")


def test_restarts_wait_exponentially_longer() -> None:
    world = in_pretrain()
    waits = []
    for _ in range(7):
        world.end_pod(world.live_pods()[0], 137)
        world.reap()
        world.settle()
        seconds = 0
        while not world.live_pods():
            world.advance(1)
            seconds += 1
            world.settle()
        waits.append(seconds)
    assert waits == [10, 20, 40, 80, 160, 300, 300]


@pytest.mark.parametrize(
    ("first", "second", "cause"),
    [
        ((65, 1.0), (143, 0.0), "User"),  # a statement about the cause beats the order
        ((137, 0.0), (70, 0.0), "Infrastructure"),  # the peer of a killed rank crashes
        ((137, 0.0), (70, 5.0), "Infrastructure"),
        ((70, 0.0), (143, 0.0), "Bug"),  # the Job controller ends the others
        ((70, 0.0), (137, 30.0), "Bug"),
        ((76, 2.0), (70, 1.0), "NonFiniteLoss"),
        ((75, 1.0), (143, 1.0), "Preempted"),
    ],
)
def test_the_culprit_is_the_pod_that_began_it(first: tuple[int, float], second: tuple[int, float], cause: str) -> None:
    for codes in ((first, second), (second, first)):
        world = in_pretrain()
        for pod, (code, after) in zip(world.live_pods(), codes, strict=True):
            world.end_pod(pod, code, "", after=after)
        world.reap()
        world.settle()
        stage = world.stage("pretrain")
        assert dict(stage.restarts) == {cause: 1} or (cause == "User" and stage.state == "Failed")


def test_a_lost_node_counts_as_infrastructure_and_not_as_its_peers_crash() -> None:
    world = in_pretrain()
    lost, peer = world.live_pods()
    lost["status"] = {"phase": "Failed", "reason": "NodeLost", "message": "node-0 was lost"}
    world.end_pod(peer, 70)
    world.reap()
    world.settle()
    assert world.stage("pretrain").restarts == {"Infrastructure": 1}
    assert "node-0 was lost" in world.message("Progressing")


EXITED = "Container trainer for pod default/x-0 failed with exit code {} matching FailJob rule at index 1"


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (EXITED.format(65), "User"),
        (EXITED.format(76), "NonFiniteLoss"),
        (EXITED.format(137), "Infrastructure"),
        ("Pod default/x-0 has condition DisruptionTarget matching FailJob rule at index 0", "Infrastructure"),
    ],
)
def test_of_pods_that_are_gone_the_job_still_tells_the_exit_code(message: str, cause: str) -> None:
    world = in_pretrain()
    for pod in world.live_pods():
        del world.cluster.objects["Pod", "default", pod["metadata"]["name"]]
    job = next(o for o in world.of("Job") if "pretrain" in o["metadata"]["name"])
    job["status"] = {"conditions": [{"type": "Failed", "status": "True", "message": message}]}
    world.settle()
    stage = world.stage("pretrain")
    assert dict(stage.restarts) == {cause: 1} or (cause == "User" and stage.state == "Failed")
    assert message in stage.message


def disrupt(world: World, pod: Object, reason: str, message: str) -> None:
    """Whoever ends a pod from outside says so in a condition, and its object goes soon."""
    world.end_pod(pod, 143)
    pod["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}]


def test_the_pod_garbage_collectors_words_and_the_node_are_told() -> None:
    world = in_pretrain()
    disrupt(world, world.live_pods()[0], "DeletionByPodGC", "PodGC: node no longer exists")
    world.settle()
    stage = world.stage("pretrain")
    assert stage.restarts == {"Infrastructure": 1}
    assert stage.node_failures == {"node-0": 1}
    assert "on node node-0 was disrupted: PodGC: node no longer exists" in world.message("Progressing")


def test_a_disrupted_pod_is_believed_before_its_peers_crash() -> None:
    world = in_pretrain()
    lost, peer = world.live_pods()
    disrupt(world, lost, "DeletionByPodGC", "PodGC: node no longer exists")
    world.settle()
    world.cluster.objects.pop(("Pod", "default", lost["metadata"]["name"]), None)
    world.end_pod(peer, 70)
    world.reap()
    world.settle()
    assert world.stage("pretrain").restarts == {"Infrastructure": 1}


@pytest.mark.parametrize("reason", ["PreemptionByScheduler", "EvictionByEvictionAPI"])
def test_a_node_is_not_to_blame_for_what_somebody_wanted(reason: str) -> None:
    world = in_pretrain()
    disrupt(world, world.live_pods()[0], reason, "preempting to accommodate a higher priority pod")
    world.settle()
    assert world.stage("pretrain").restarts == {"Infrastructure": 1}
    assert world.stage("pretrain").node_failures == {}


def test_one_failed_pod_waits_a_while_for_the_exit_codes_of_the_others() -> None:
    world = in_pretrain()
    first, second = world.live_pods()
    world.end_pod(first, 70)
    assert world.sync() == pytest.approx(30)
    assert world.stage("pretrain").attempt == 1
    world.end_pod(second, 65, world.result(second, 65))
    world.settle()
    assert world.condition("Succeeded") == ("False", "Failed")


def test_a_pod_that_never_says_more_does_not_hold_up_the_restart() -> None:
    world = in_pretrain()
    world.end_pod(world.live_pods()[0], 137)
    world.advance(31)
    world.sync()
    assert world.stage("pretrain").attempt == 2
    assert not [j for j in world.of("Job") if j["metadata"]["name"].endswith("-pretrain-1")]
    world.advance(60)
    world.sync()
    assert {g[1] for g in world.live_gangs()} == {"1"}, "the new gang waits until the old one is gone"
    world.reap()
    world.settle()
    assert {g[1] for g in world.live_gangs()} == {"2"}


def test_nodes_that_failed_twice_are_avoided_unless_told_otherwise() -> None:
    for exclude in (True, False):
        world = in_pretrain(failurePolicy={"excludeNodes": exclude})
        for _ in range(2):
            fail(world, 137, "")
        job = next(j for j in world.of("Job") if "-pretrain-" in j["metadata"]["name"])
        affinity = json.dumps(job["spec"]["template"]["spec"].get("affinity"))
        assert ("node-0" in affinity) == exclude
        assert "required" not in affinity
        assert world.stage("pretrain").node_failures == {"node-0": 2}


def test_a_deleted_gang_is_made_again_under_a_new_number() -> None:
    world = in_pretrain()
    name = next(j["metadata"]["name"] for j in world.of("Job") if "-pretrain-" in j["metadata"]["name"])
    world.cluster.remove(("Job", "default", name))
    world.reap()
    world.settle()
    world.advance(20)
    world.settle()
    assert {g[:2] for g in world.live_gangs()} == {("pretrain", "2")}
    assert "deleted" in world.stage("pretrain").message


def test_a_foreign_termination_message_is_shown_by_its_last_line() -> None:
    world = in_pretrain()
    fail(world, 1, "loading\nImportError: no module named torch")
    assert "ended with exit code 1: ImportError: no module named torch" in world.stage("pretrain").message


def test_an_error_of_the_cluster_is_told_in_the_status_and_goes_away() -> None:
    world = World(job_object())

    def refuse(verb: str) -> None:
        if verb == "create Job":
            raise InvalidObjectError("quota exceeded: pods")

    world.cluster.before_write = refuse
    for _ in range(2):  # the second visit tells, although the first status of a job may wait
        with pytest.raises(InvalidObjectError):
            world.sync()
    assert world.condition("PodsReady") == ("False", "CreateFailed")
    assert "quota exceeded: pods" in world.message("PodsReady")
    world.cluster.before_write = lambda _: None
    world.settle()
    assert world.condition("PodsReady") == ("True", "Running")
    assert world.stage("prepare").attempt == 1
