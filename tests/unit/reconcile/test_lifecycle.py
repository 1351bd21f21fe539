"""Conditions, events, suspension, deadlines, adoption, gate, progress: what a user sees of a job's life."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from finetune_api import labels
from finetune_api.objects import Object
from finetune_api.status import CONDITION_TYPES, MAX_STATUS_BYTES, LastCheckpoint
from finetune_operator.reconcile.limits import bounded
from unit.reconcile.lives import evaluation, report, run_through
from unit.reconcile.world import SETTINGS, World, job_object, runtime_object

GATED = {
    "tasks": [{"name": "en-es", "source": "bench", "direction": "en-es"}],
    "gate": {"require": [{"metric": "chrF++", "task": "en-es", "betterThanBaseline": True}]},
}


def test_all_conditions_exist_from_the_first_status_on() -> None:
    world = World(job_object())
    world.sync()
    world.advance(SETTINGS.first_status_seconds)
    world.sync()  # no pod runs yet
    assert tuple(c.type for c in world.status.conditions) == CONDITION_TYPES
    assert {c.observed_generation for c in world.status.conditions} == {1}
    assert world.status.observed_generation == 1
    assert " ".join(world.condition(c)[0] for c in CONDITION_TYPES) == "True True False Unknown Unknown Unknown"


def test_the_printed_score_says_that_a_model_is_not_usable() -> None:
    world = World(job_object())
    unusable = evaluation("None").model_copy(update={"outcome": "NotUsable"})
    run_through(world, "prepare", "pretrain", "evaluate", evaluation=unusable)
    assert world.status.score == "chrF++ 31.5 (+11.8), not usable"
    assert world.status.evaluation is not None
    assert world.status.evaluation.outcome == "NotUsable"


def test_the_way_of_a_job() -> None:
    world = World(job_object())
    world.settle()
    assert (world.status.state, world.condition("PodsReady")) == ("Running", ("True", "Running"))
    run_through(world, "prepare", "pretrain", "evaluate", evaluation=evaluation("None"))
    status = world.status
    assert (status.state, status.current_stage, status.restarts) == ("Succeeded", None, 0)
    assert [(s.state, s.attempt, s.artifact) for s in status.stages] == [
        ("Succeeded", 1, f"{s}-artifact") for s in ("prepare", "pretrain", "evaluate")
    ]
    assert status.score == "chrF++ 31.5 (+11.8)"
    assert world.condition("Evaluated") == ("True", "Reported")
    assert world.condition("Succeeded") == ("True", "Completed")
    assert world.events() == ["StageStarted", "StageCompleted"] * 3 + ["EvaluationReported"]


def test_each_stage_is_told_the_artifacts_of_those_before_it() -> None:
    world = World(job_object())
    run_through(world, "prepare", "pretrain", "evaluate")
    plans = {
        c["metadata"]["name"].rsplit("-", 2)[1]: json.loads(c["data"]["plan.json"])
        for c in world.of("ConfigMap")
        if "plan.json" in c["data"]
    }
    assert plans["prepare"]["inputs"] == {}
    assert plans["evaluate"]["inputs"] == {"prepare": "prepare-artifact", "pretrain": "pretrain-artifact"}
    assert (plans["prepare"]["nodes"], plans["pretrain"]["nodes"]) == (1, 2)


def test_transition_times_move_with_the_status_only() -> None:
    world = World(job_object())
    world.settle()
    before = {c.type: c.last_transition_time for c in world.status.conditions}
    world.advance(100)
    run_through(world, "prepare")
    after = {c.type: c.last_transition_time for c in world.status.conditions}
    assert after["Valid"] == before["Valid"]
    assert after["Succeeded"] == before["Succeeded"]


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_a_new_operator_writes_nothing(stages: int) -> None:
    world = World(job_object())
    run_through(world, *("prepare", "pretrain", "evaluate")[:stages])
    writes = len(world.cluster.writes)
    world.restart()
    for seconds in (0, 1, 100):
        world.advance(seconds)
        world.sync()
    assert len(world.cluster.writes) == writes


def test_what_is_not_supported_is_refused_with_every_problem_at_once() -> None:
    spec = job_object()["spec"]
    world = World(
        job_object(
            export={},
            elastic={"minNodes": 1},
            data={**spec["data"], "clean": {"languageId": True}},
            runtimeRef={"name": "x"},
        )
    )
    world.settle()
    assert world.condition("Valid") == ("False", "NotSupported")
    for field in ("spec.export", "spec.elastic", "spec.data.clean.languageId", "spec.runtimeRef.name"):
        assert field in world.message("Valid")
    assert world.of("Job") == []
    assert world.condition("Succeeded")[0] == "Unknown"
    assert world.events() == ["ValidationFailed"]


def test_a_missing_runtime_is_waited_for() -> None:
    world = World(job_object(runtimeRef={"name": "cuda"}))
    world.settle()
    assert world.condition("Valid") == ("False", "RuntimeNotFound")
    assert "ClusterFineTuneRuntime cuda does not exist" in world.message("Valid")
    assert world.status.state == "Pending"
    assert world.sync() == 30
    world.cluster.put(runtime_object("cuda"))
    world.settle()
    assert world.condition("Valid") == ("True", "Valid")
    assert world.live_pods()


def test_a_job_without_workspace_is_refused() -> None:
    world = World(job_object(workspace=None))
    world.settle()
    assert world.condition("Valid") == ("False", "ClaimNotFound")


def test_a_runtime_edit_never_changes_a_running_job() -> None:
    world = World(job_object())
    world.settle()
    world.cluster.put(runtime_object("cpu", image="registry.example/other@sha256:1"))
    run_through(world, "prepare")
    images = {p["spec"]["containers"][0]["image"] for p in world.live_pods()}
    assert images == {"registry.example/trainer@sha256:0"}
    world.cluster.remove(("ClusterFineTuneRuntime", "", "cpu"))
    world.settle()
    assert world.condition("Valid") == ("True", "Valid")


def test_suspend_stops_the_gang_and_resume_goes_on_uncounted() -> None:
    world = World(job_object())
    run_through(world, "prepare")
    report(world, 7, last_checkpoint=LastCheckpoint(step=5, time=world.now))
    world.settle()
    world.edit(suspend=True)
    world.settle()
    assert world.job["status"]["state"] == "Running", "pods still save their checkpoint"
    assert world.condition("Admitted") == ("False", "Suspended")
    assert world.condition("Progressing") == ("False", "Checkpointing")
    world.reap()
    world.settle()
    assert (world.status.state, world.live_pods()) == ("Suspended", [])
    progress = world.status.progress
    assert progress is not None
    assert progress.last_checkpoint is not None
    writes = len(world.cluster.writes)
    world.advance(5000)
    world.sync()
    assert len(world.cluster.writes) == writes
    world.edit(suspend=False)
    world.settle()
    assert world.status.state == "Running"
    assert world.status.restarts == 0
    assert {g[:2] for g in world.live_gangs()} == {("pretrain", "2")}
    assert world.status.start_time == world.now
    assert {"Suspended", "ResumedFromSuspend", "Resumed"} <= set(world.events())


def test_a_job_may_be_born_suspended() -> None:
    world = World(job_object(suspend=True))
    world.settle()
    assert (world.status.state, world.live_pods(), world.status.start_time) == ("Suspended", [], None)
    world.edit(suspend=False)
    world.settle()
    assert world.stage("prepare").attempt == 1


def test_active_deadline_starts_anew_on_resume() -> None:
    world = World(job_object(activeDeadlineSeconds=100))
    world.settle()
    world.advance(90)
    world.edit(suspend=True)
    world.settle()
    world.reap()
    world.settle()
    world.advance(1000)
    world.edit(suspend=False)
    world.settle()
    world.advance(99)
    world.settle()
    assert world.status.state == "Running"
    world.advance(2)
    world.settle()
    assert world.condition("Succeeded") == ("False", "DeadlineExceeded")
    world.reap()
    assert not world.live_pods()


def test_pending_deadline_names_what_is_missing() -> None:
    world = World(job_object(pendingDeadlineSeconds=60))
    world.sync()
    world.create_pods()
    for pod in world.live_pods():
        scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: gpu"}
        pod["status"] = {"phase": "Pending", "conditions": [scheduled]}
    world.settle()
    assert world.condition("PodsReady") == ("False", "Unschedulable")
    assert "Unschedulable" in world.events()
    world.advance(61)
    world.settle()
    assert world.condition("Succeeded") == ("False", "DeadlineExceeded")
    assert "0/3 nodes: gpu" in world.message("Succeeded")
    assert world.of("Job") == []


def test_an_image_that_cannot_be_pulled_is_named() -> None:
    world = World(job_object())
    world.sync()
    world.create_pods()
    waiting = {"reason": "ErrImagePull", "message": "no such image"}
    for pod in world.live_pods():
        pod["status"] = {"phase": "Pending", "containerStatuses": [{"name": "trainer", "state": {"waiting": waiting}}]}
    world.settle()
    assert world.condition("PodsReady") == ("False", "ImagePullBackOff")
    assert "no such image" in world.message("PodsReady")


@pytest.mark.parametrize(("code", "state"), [(0, "Succeeded"), (65, "Failed")])
def test_ttl_deletes_the_job_and_all_it_owns(code: int, state: str) -> None:
    world = World(job_object(ttlSecondsAfterFinished=3600, evaluate=None))
    world.settle()
    world.finish_gang()
    world.settle()
    world.finish_gang(code)
    world.settle()
    assert world.status.state == state
    world.advance(3599)
    assert world.sync() == pytest.approx(1)
    world.advance(2)
    world.sync()
    assert world.sync() is None
    assert [k for k in world.cluster.objects if k[0] not in ("Event", "ClusterFineTuneRuntime")] == []
    assert "TTLExpired" in world.events()


def test_a_suspended_job_has_no_ttl() -> None:
    world = World(job_object(ttlSecondsAfterFinished=0, suspend=True))
    world.settle()
    world.advance(10_000)
    world.sync()
    assert world.job["metadata"]["name"] == world.name


@pytest.mark.parametrize(
    ("gate", "condition", "event"),
    [
        ("Passed", ("True", "Completed"), "GatePassed"),
        ("Failed", ("False", "GateFailed"), "GateFailed"),
        ("None", ("False", "GateFailed"), "GateFailed"),
    ],
)
def test_the_gate_decides(gate: str, condition: tuple[str, str], event: str) -> None:
    world = World(job_object(evaluate=GATED))
    run_through(world, "prepare", "pretrain", "evaluate", evaluation=evaluation(gate))
    assert world.condition("Succeeded") == condition
    assert event in world.events()
    summary = world.status.evaluation
    assert summary is not None
    assert summary.verdict == "It is better."
    if gate == "Failed":
        assert "chrF++ of en-es better than the baseline" in world.message("Succeeded")


def test_a_gate_that_fails_ends_the_job_before_export_and_keeps_what_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    # This version has no export; the operator plans it all the same.
    monkeypatch.setattr("finetune_operator.reconcile.validation.refusals", lambda _: [])
    world = World(job_object(evaluate=GATED, export={}))
    run_through(world, "prepare", "pretrain", "evaluate", evaluation=evaluation("Failed"))
    ended = world.status
    assert (ended.state, world.condition("Succeeded")) == ("Failed", ("False", "GateFailed"))
    assert world.condition("Evaluated") == ("False", "GateFailed")
    assert world.condition("Progressing") == ("False", "Ended")
    assert "The report is in evaluate-artifact" in world.message("Succeeded")
    assert [(s.name, s.state, s.artifact) for s in ended.stages] == [
        *((name, "Succeeded", f"{name}-artifact") for name in ("prepare", "pretrain", "evaluate")),
        ("export", "Pending", None),
    ]
    gangs = world.of("Job")
    world.advance(3600)
    world.settle()
    assert (world.status, world.of("Job")) == (ended, gangs)
    assert world.events().count("GateFailed") == 1


def test_a_gate_that_passes_goes_on_to_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_operator.reconcile.validation.refusals", lambda _: [])
    world = World(job_object(evaluate=GATED, export={}))
    run_through(world, "prepare", "pretrain", "evaluate", evaluation=evaluation("Passed"))
    assert (world.status.current_stage, world.condition("Succeeded")[0]) == ("export", "Unknown")


def test_a_gate_that_passes_says_that_the_outputs_are_not_usable() -> None:
    world = World(job_object(evaluate=GATED))
    told = evaluation("Passed").model_copy(update={"outcome": "NotUsable", "verdict": "The model is not usable."})
    run_through(world, "prepare", "pretrain", "evaluate", evaluation=told)
    assert world.condition("Succeeded") == ("True", "Completed")
    assert world.message("Evaluated") == "The model is not usable."
    (event,) = (event for event in world.of("Event") if event["reason"] == "GatePassed")
    assert event["note"] == "every requirement of the gate holds; the outputs are not usable"


def test_a_folder_of_a_node_is_no_workspace_on_a_cluster() -> None:
    world = World(job_object(workspace={"path": "/etc"}))
    world.settle()
    assert world.condition("Valid") == ("False", "ClaimNotFound")
    assert "spec.workspace.path: a path of a node is for local runs only" in world.message("Valid")
    assert world.of("Job") == []


def test_a_cluster_runtime_is_out_of_reach_of_an_operator_of_single_namespaces() -> None:
    world = World(job_object(), replace(SETTINGS, serves_cluster_runtimes=False))
    world.settle()
    assert world.condition("Valid") == ("False", "RuntimeNotFound")
    assert "Create a FineTuneRuntime in this namespace" in world.message("Valid")
    assert world.of("Job") == []


def test_progress_reaches_the_status_at_most_once_per_interval() -> None:
    world = World(job_object())
    run_through(world, "prepare")
    writes = []
    for second in range(60):
        report(world, second + 1)
        before = len(world.cluster.writes)
        world.sync()
        writes.append(len(world.cluster.writes) - before)
        world.advance(1)
    assert sum(writes) == 4
    progress, goodput = world.status.progress, world.status.goodput
    assert progress is not None
    assert progress.step == 46
    assert goodput is not None
    assert (goodput.ratio, goodput.productive_seconds) == (1.0, 46.0)


def test_a_checkpoint_is_told_at_once_and_only_once() -> None:
    world = World(job_object())
    run_through(world, "prepare")
    report(world, 1)
    world.settle()
    for step in (5, 5, 10):
        world.advance(1)
        report(world, step, last_checkpoint=LastCheckpoint(step=step, time=world.now))
        world.sync()
        assert world.status.progress is not None
        assert world.status.progress.last_checkpoint is not None
        assert world.status.progress.last_checkpoint.step == step
    assert world.events().count("Checkpointed") == 2


def test_a_stage_too_short_to_be_asked_leaves_its_losses() -> None:
    world = World(job_object())
    run_through(world, "prepare", "pretrain", summary={"steps": 59.0, "loss": 1.25, "validationLoss": 1.5})
    assert world.status.progress is not None
    assert (world.status.progress.loss, world.status.progress.validation_loss) == (1.25, 1.5)


def test_another_layout_replaces_the_gang_like_a_fresh_job() -> None:
    world = World(job_object())
    run_through(world, "prepare")
    world.edit(parallelism={"nodes": 3})
    world.settle()
    world.reap()
    world.settle()
    fresh = World(job_object(parallelism={"nodes": 3}))
    run_through(fresh, "prepare")
    assert _spec(world) == _spec(fresh)
    assert world.stage("pretrain").restarts == {"Resize": 1}
    assert "Resized" in world.events()


@pytest.mark.parametrize(
    "change",
    [
        {"activeDeadlineSeconds": 50},
        {"pendingDeadlineSeconds": 50},
        {"ttlSecondsAfterFinished": 5},
        {"failurePolicy": {"hangSeconds": 30}},
        {"checkpoint": {"everySteps": 3}},
    ],
)
def test_edits_that_the_gang_need_not_know_leave_it_alone(change: Object) -> None:
    world = World(job_object())
    run_through(world, "prepare")
    gangs = world.live_gangs()
    world.edit(**change)
    world.settle()
    assert world.live_gangs() == gangs
    assert world.status.observed_generation == 2
    assert {c.observed_generation for c in world.status.conditions if c.type != "Evaluated"} == {2}


def _spec(world: World) -> Any:
    job = next(j for j in world.of("Job") if "-pretrain-" in j["metadata"]["name"])
    attempt = job["metadata"]["labels"][labels.ATTEMPT]
    text = json.dumps(job["spec"]).replace(f"pretrain-{attempt}", "pretrain-N")
    return text.replace(f'"{labels.ATTEMPT}": "{attempt}"', f'"{labels.ATTEMPT}": "N"')


def test_a_job_being_deleted_is_left_alone() -> None:
    world = World(job_object())
    world.job["metadata"]["deletionTimestamp"] = "2026-01-05T09:00:00Z"
    world.sync()
    assert world.cluster.writes == []


def test_the_status_stays_within_its_limit() -> None:
    world = World(job_object())
    run_through(world, "prepare", "pretrain", "evaluate", evaluation=evaluation("Passed"))
    status = world.status
    conditions = [c.model_copy(update={"message": "é" * 20_000}) for c in status.conditions]
    huge = status.model_copy(update={"conditions": conditions})
    small = bounded(huge)
    assert len(small.model_dump_json().encode()) <= MAX_STATUS_BYTES
    assert [c.type for c in small.conditions] == [c.type for c in huge.conditions]
    assert bounded(status) is status


def test_a_stage_that_left_no_result_runs_again_to_report_its_artifact() -> None:
    world = World(job_object())
    world.settle()
    for pod in world.live_pods():
        world.end_pod(pod, 0, "not json")
    world.reap()
    world.settle()
    world.advance(20)
    world.settle()
    assert world.stage("prepare").attempt == 2
    world.finish_gang()
    world.settle()
    assert world.stage("prepare").artifact == "prepare-artifact"


def test_finished_children_may_be_deleted_without_losing_their_outcome() -> None:
    world = World(job_object())
    run_through(world, "prepare", "pretrain")
    for job in world.of("Job"):
        if "-evaluate-" not in job["metadata"]["name"]:
            world.cluster.remove(("Job", "default", job["metadata"]["name"]))
    world.settle()
    assert world.status.current_stage == "evaluate"
    assert world.stage("pretrain").artifact == "pretrain-artifact"
    assert [j["metadata"]["name"].rsplit("-", 2)[1] for j in world.of("Job")] == ["evaluate"]


def test_a_stored_job_of_another_version_is_told_of_and_left_alone_until_it_is_mended() -> None:
    world = World(job_object())
    world.settle()
    spec, before = world.job["spec"], world.status
    world.edit(pretrain={**spec["pretrain"], "budget": {"tokens": "many"}, "arms": 3})
    for _ in range(2):
        world.sync()
    assert world.condition("Valid") == ("False", "NotReadable")
    assert "spec.pretrain.arms: unknown field" in world.message("Valid")
    assert "spec.pretrain.budget.tokens" in world.message("Valid")
    assert world.cluster.writes.count("status") == 2, "told once"
    assert (world.status.stages, len(world.live_gangs())) == (before.stages, 1)
    world.edit(pretrain=spec["pretrain"])
    world.settle()
    assert world.condition("Valid") == ("True", "Valid")
