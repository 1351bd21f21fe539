"""Jobs that two cores finish in a minute or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cluster.control_plane import ControlPlane, wait_for
from cluster.jobs import job, job_events, status
from finetune_api.objects import Object
from training.corpus import write_tsv

PAIRS = 600
END_SECONDS = 450.0
"""Four times what a job takes on a quiet machine: with two other test runs beside it, 240 s were not enough."""
RUNNING_SECONDS = 120.0
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def write_corpus(workspace: Path) -> None:
    """What `small_job` reads."""
    write_tsv(workspace / "ui.tsv", PAIRS)


def small_job(name: str, namespace: str, **spec: Any) -> Object:
    """prepare, pretrain, adapt, evaluate in two pods with ZeRO-2; keyword arguments replace blocks of the spec."""
    blocks: Object = {
        "runtimeRef": {"kind": "FineTuneRuntime", "name": "small"},
        "parallelism": {"nodes": 2, "zero": {"stage": 2}},
        "model": {
            "scratch": {"layers": 2, "hidden": 64, "heads": 4, "kvHeads": 2, "contextLength": 96},
            "tokenizer": {"train": {"vocabularySize": 400}},
        },
        "data": {
            "sources": [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "pvc://workspace/ui.tsv"}],
            "split": {"validation": 0.05, "test": 0.1},
        },
        "pretrain": {
            "budget": {"tokens": 60_000},
            "objectives": [
                {"name": "en", "type": "CausalLM", "source": "ui", "language": "en"},
                {"name": "mt", "type": "Translation", "source": "ui", "directions": ["en-es"]},
            ],
            "batch": {"globalTokens": 1024, "sequenceLength": 64},
            "optimizer": {"learningRate": 5.0e-3, "warmupRatio": 0.1},
        },
        "adapt": {
            "lora": {"rank": 16, "alpha": 32, "targets": LINEAR},
            "task": {"source": "ui", "direction": "en-es"},
            "batch": {"globalTokens": 768, "sequenceLength": 96},
            "optimizer": {"learningRate": 5.0e-3},
        },
        "evaluate": {
            "tasks": [{"name": "en-es", "source": "ui", "direction": "en-es", "maxSegments": 40, "maxNewTokens": 24}]
        },
    }
    return job(name, namespace, **(blocks | spec))


def long_job(name: str, namespace: str, tokens: int) -> Object:
    """Trains for long enough to be disturbed, and keeps checkpoints."""
    job = small_job(name, namespace, checkpoint={"everySteps": 10})
    job["spec"]["pretrain"] |= {"budget": {"tokens": tokens}, "validateEverySteps": 500}
    del job["spec"]["adapt"]
    return job


def wait_for_step(plane: ControlPlane, name: str, namespace: str, least: int) -> int:
    """The step of the running stage, once it is at least this."""

    def step() -> int:
        now = status(plane, name, namespace)
        assert not now.get("completionTime"), story(plane, namespace)
        is_training = now.get("currentStage") == "pretrain" and now.get("state") == "Running"
        return int(now.get("progress", {}).get("step", 0)) if is_training else 0

    found: int = wait_for(f"step {least}", lambda: (now := step()) >= least and now, RUNNING_SECONDS, every=0.5)
    return found


def wait_for_end(plane: ControlPlane, name: str, namespace: str, seconds: float = END_SECONDS) -> Object:
    """The status of a job that has ended, well or not."""
    try:
        found: Object = wait_for(
            f"the end of {namespace}/{name}",
            lambda: (now := status(plane, name, namespace)).get("completionTime") and now,
            seconds,
            every=1.0,
        )
    except TimeoutError as error:
        raise AssertionError(f"{error}\n{story(plane, namespace)}") from None
    return found


def story(plane: ControlPlane, namespace: str) -> str:
    """What a person would look at first when a job does not get on."""
    commands = (
        ["describe", "finetunejobs", "-n", namespace],
        ["get", "jobs,pods,events", "-n", namespace],
        ["logs", "-n", "finetune-operator", "deployment/finetune-operator", "--tail=30"],
    )
    return "\n".join(plane.kubectl(*command) for command in commands)


def events(plane: ControlPlane, namespace: str) -> list[str]:
    """`reason stage` of all events about FineTuneJobs of a namespace, in the order in which they happened."""
    return [f"{event['reason']} {event['note'].partition(':')[0]}" for event in job_events(plane, namespace)]
