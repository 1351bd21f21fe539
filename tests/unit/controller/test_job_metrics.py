"""What Prometheus hears of jobs: all of the status, and nothing of a job that is gone."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from finetune_api.objects import Object
from finetune_operator.metrics.exposition import job_families
from unit.reconcile.lives import evaluation, report, run_through
from unit.reconcile.world import World, job_object


def exposed(*jobs: Object) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Labels and value of all series by name; parsed as a Prometheus would."""
    families = text_string_to_metric_families(job_families(jobs, is_open=False).decode())
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for sample in (sample for family in families for sample in family.samples):
        own = {key: value for key, value in sample.labels.items() if key not in ("namespace", "finetunejob")}
        assert sample.labels["finetunejob"] == "ui-en-es"
        found.setdefault(sample.name, []).append((own, sample.value))
    return found


def test_a_job_that_runs() -> None:
    world = World(job_object())
    run_through(world, "prepare")
    report(world, step=7, percent=35, tokens=4000, loss=3.25, validation_loss=3.5)
    world.advance(30)
    world.settle()
    series = exposed(world.job)
    assert series["kube_finetunejob_info"] == [({"runtime": "cpu"}, 1.0)]
    assert series["kube_finetunejob_state"] == [({"state": "Running"}, 1.0)]
    assert series["kube_finetunejob_stage_info"] == [({"stage": "pretrain"}, 1.0)]
    assert ({"condition": "PodsReady", "status": "true"}, 1.0) in series["kube_finetunejob_status_condition"]
    assert len(series["kube_finetunejob_status_condition"]) == 6
    values = {name: found[0][1] for name, found in series.items() if found[0][0] == {}}
    assert values["kube_finetunejob_progress_ratio"] == 0.35
    assert series["kube_finetunejob_stage_tokens"] == [({"stage": "pretrain"}, 4000)]
    assert series["kube_finetunejob_stage_loss"] == [({"stage": "pretrain"}, 3.25)]
    assert series["kube_finetunejob_stage_validation_loss"] == [({"stage": "pretrain"}, 3.5)]
    assert values["kube_finetunejob_nodes"] == 2
    assert values["kube_finetunejob_start_seconds"] == world.status.start_time.timestamp()  # type: ignore[union-attr]
    assert "kube_finetunejob_completion_seconds" not in series


def test_a_job_that_has_ended_after_restarts() -> None:
    world = World(job_object())
    run_through(world, "prepare")
    for code in (75, 76):
        world.advance(50)
        world.finish_gang(code)
        world.settle()
        world.advance(400)
        world.settle()
    run_through(
        world, "pretrain", "evaluate", evaluation=evaluation("None").model_copy(update={"outcome": "NotUsable"})
    )
    series = exposed(world.job)
    restarts = {labels["cause"]: value for labels, value in series["kube_finetunejob_restarts_total"]}
    assert restarts == {"Preempted": 1.0, "NonFiniteLoss": 1.0}
    assert sum(value for _, value in series["kube_finetunejob_lost_seconds_total"]) > 0
    about = {"metric": "chrF++", "test_set": "en-es", "shots": "1"}
    assert (about, 31.5) in series["kube_finetunejob_evaluation_score"]
    assert (about, 19.7) in series["kube_finetunejob_evaluation_baseline_score"]
    assert series["kube_finetunejob_evaluation_outcome"] == [({"outcome": "NotUsable"}, 1.0)]
    assert "kube_finetunejob_completion_seconds" in series
    assert "kube_finetunejob_stage_info" not in series


def test_a_stage_that_nobody_asked_in_time_keeps_its_last_values() -> None:
    world = World(job_object())
    run_through(world, "prepare")
    figures = {"steps": 60.0, "tokens": 61_440.0, "loss": 4.1, "validationLoss": 4.3}
    run_through(world, "pretrain", summary=figures)
    series = exposed(world.job)
    assert series["kube_finetunejob_stage_tokens"] == [({"stage": "pretrain"}, 61_440.0)]
    assert series["kube_finetunejob_stage_loss"] == [({"stage": "pretrain"}, 4.1)]
    assert series["kube_finetunejob_stage_validation_loss"] == [({"stage": "pretrain"}, 4.3)]


def test_a_job_that_failed_tells_why_and_where() -> None:
    world = World(job_object())
    run_through(world, "prepare")
    assert "kube_finetunejob_failed" not in exposed(world.job)
    world.advance(50)
    world.finish_gang(64)
    world.settle()
    assert exposed(world.job)["kube_finetunejob_failed"] == [({"reason": "Failed", "stage": "pretrain"}, 1.0)]


def test_a_job_that_nobody_has_looked_at_yet_and_one_that_is_gone() -> None:
    fresh = job_object()
    fresh["metadata"]["creationTimestamp"] = "2026-01-05T09:00:00Z"
    assert set(exposed(fresh)) == {
        "kube_finetunejob_info", "kube_finetunejob_state", "kube_finetunejob_created_seconds",
    }  # fmt: skip
    assert exposed() == {}
