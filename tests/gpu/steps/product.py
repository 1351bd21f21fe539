"""R: the four stages of a small job as pods run them; a stop, a resume, and a lack of memory."""

from __future__ import annotations

import os
import resource
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from finetune_api import labels
from finetune_api.exit_codes import ExitCode
from finetune_api.progress import read_history
from finetune_api.stage_result import StageResult, parse_termination_message
from gpu.measure import Recorder, the_device
from gpu.processes import start
from gpu.shapes import SHAPES, Scale
from training.corpus import write_tsv
from training.prepared import make_plan, translation_spec

FINGERPRINTS = {"prepare": "d", "pretrain": "b", "adapt": "a", "evaluate": "e"}
LONGEST = 96
STEP_SECONDS = 60.0
TOO_WIDE = {"layers": 1, "hidden": 16384, "heads": 4, "intermediate": 8, "contextLength": LONGEST}
"""One of its matrices is 1 GiB."""


def run(record: Recorder, scale: Scale) -> None:
    """In the order of a job; each stage needs the one before."""
    with tempfile.TemporaryDirectory() as folder:
        job = Job.create(Path(folder), scale)
        record.case("prepare", job.finish, "prepare")
        record.case("pretrain, SIGTERM", job.stop)
        record.case("pretrain, resumed", job.resume)
        record.case("adapt", job.finish, "adapt")
        record.case("evaluate", job.finish, "evaluate")
        record.case("too little memory", job.starve)


@dataclass(frozen=True)
class Job:
    """A workspace and the spec of the job in it."""

    workspace: Path
    spec: dict[str, Any]

    @classmethod
    def create(cls, workspace: Path, scale: Scale) -> Job:
        """A job that learns nothing much, quickly."""
        full, sizes = scale == "full", SHAPES["135m" if scale == "full" else "tiny"]
        corpus = write_tsv(workspace / "ui.tsv", 4000 if full else 400)
        batch = {"globalTokens": LONGEST * (256 if full else 16), "sequenceLength": LONGEST}
        model = {
            "layers": sizes.layers,
            "hidden": sizes.hidden,
            "heads": sizes.heads,
            "kvHeads": sizes.kv_heads,
            "contextLength": LONGEST,
        }
        spec = translation_spec(
            corpus,
            {"validation": 0.05, "test": 0.05},
            nodes=1,
            model={"scratch": model, "tokenizer": {"train": {"vocabularySize": 400}}},
            pretrain={
                "budget": {"seconds": 10 if full else 2},
                "objectives": [{"name": "mt", "type": "Translation", "source": "ui", "directions": ["en-es"]}],
                "batch": batch,
                "validateEverySteps": 1_000_000,
            },
            adapt={
                "lora": {"rank": 4, "targets": ["all-linear"]},
                "task": {"source": "ui", "direction": "en-es", "maxExamples": 2000 if full else 40},
                "batch": batch,
            },
            evaluate={
                "tasks": [
                    {
                        "name": "en-es",
                        "source": "ui",
                        "direction": "en-es",
                        "maxSegments": 100 if full else 4,
                        "maxNewTokens": 16,
                    }
                ]
            },
        )
        return cls(workspace, spec)

    def finish(self, stage: str) -> Mapping[str, Any]:
        """Run a stage to its end."""
        pod = self.start(stage)
        return pod.figures() | {"checks": {"exit code 0": pod.wait() == ExitCode.DONE}}

    def stop(self) -> Mapping[str, Any]:
        """Ask the pod to stop as soon as it has trained a step."""
        pod = self.start("pretrain")
        pod.wait_until(lambda: self.last_step() > 0)
        pod.signal()
        code = pod.wait()
        return pod.figures() | {"checks": {"exit code 75": code == ExitCode.PREEMPTED}}

    def resume(self) -> Mapping[str, Any]:
        """Run it again: it goes on where it was."""
        before = self.last_step()
        pod = self.start("pretrain", attempt=2)
        code, result = pod.wait(), pod.result()
        summary = result.summary if result else {}
        figures = {"steps_before": before, "steps": summary.get("steps", 0)}
        if summary.get("seconds"):
            figures["tokens_per_second"] = round(summary["tokens"] / summary["seconds"])
        steps = [row.step for row in read_history(self.workspace / "models" / "pretrain" / "history.jsonl")]
        checks = {
            "exit code 0": code == ExitCode.DONE,
            "it went on": steps == sorted(steps) and before in steps and figures["steps"] > before > 0,
        }
        return pod.figures() | figures | {"checks": checks}

    def last_step(self) -> int:
        """Of pre-training, as its history says; 0 before there is one."""
        history = self.workspace / "logs" / "pretrain-history.jsonl"
        rows = read_history(history) if history.exists() else []
        return rows[-1].step if rows else 0

    def starve(self) -> Mapping[str, Any]:
        """Pre-train a wider model with too little memory for one of its matrices."""
        model = self.spec["model"] | {"scratch": TOO_WIDE}
        wide = Job(self.workspace, self.spec | {"model": model})
        pod = wide.start("pretrain", target=starved_pod, fingerprint="f" * 64)
        code, result = pod.wait(), pod.result()
        reason = result.error.reason if result and result.error else None
        checks = {"exit code 78": code == ExitCode.OUT_OF_MEMORY, "it says so": reason == "OutOfMemory"}
        return pod.figures() | {"checks": checks}

    def start(
        self, stage: str, attempt: int = 1, target: Callable[..., int] | None = None, fingerprint: str = ""
    ) -> RunningPod:
        """Start the pod of a stage."""
        earlier = {
            "prepare": f"data/{FINGERPRINTS['prepare'] * 16}",
            "pretrain": "models/pretrain",
            "adapt": "models/adapt",
        }
        names = list(FINGERPRINTS)
        inputs = {name: earlier[name] for name in names[: names.index(stage)]}
        plan = make_plan(
            self.workspace,
            stage,
            self.spec,
            attempt=attempt,
            inputs=inputs,
            fingerprint=fingerprint or FINGERPRINTS[stage] * 64,
        )
        name = f"{stage}-{attempt}{fingerprint[:1]}"
        path = self.workspace / f"{name}.plan.json"
        path.write_text(plan.model_dump_json(by_alias=True, exclude_none=True), encoding="utf-8")
        output, termination = self.workspace / f"{name}.out", self.workspace / f"{name}.termination"
        process = start(target or pod_of, stage, str(path), str(termination), output=output)
        return RunningPod(process, output, termination)


@dataclass(frozen=True)
class RunningPod:
    """A pod and what it leaves."""

    process: BaseProcess
    output: Path
    termination: Path

    def wait(self) -> int:
        """Its exit code, as Kubernetes shows it."""
        self.process.join()
        code = self.process.exitcode
        if code is None:
            raise AssertionError("a process that has ended has no exit code")
        return code if code >= 0 else 128 - code

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Until `condition`; an error if the pod ends before, or too much time passes."""
        deadline = time.monotonic() + STEP_SECONDS
        while not condition():
            if not self.process.is_alive() or time.monotonic() > deadline:
                raise AssertionError(f"the pod did not train:\n{self.output.read_text(encoding='utf-8')[-1500:]}")
            time.sleep(0.02)

    def signal(self) -> None:
        """As a kubelet asks a pod to stop."""
        if self.process.pid is not None:
            os.kill(self.process.pid, signal.SIGTERM)

    def result(self) -> StageResult | None:
        """Its termination message."""
        if not self.termination.exists():
            return None
        return parse_termination_message(self.termination.read_text(encoding="utf-8"))

    def figures(self) -> dict[str, Any]:
        """How it ended, in its own words."""
        code, result = self.wait(), self.result()
        figures: dict[str, Any] = {"exit_code": code}
        if result is not None:
            message = f"{result.error.reason}: {result.error.message}" if result.error else result.message
            figures |= {"message": message, "stage_seconds": (result.completed_at - result.started_at).total_seconds()}
        elif code:
            figures["output"] = self.output.read_text(encoding="utf-8")[-1500:]
        return figures


def pod_of(stage: str, plan: str, termination: str) -> int:
    """What a container runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ |= {
        labels.ENV_PROGRESS_PORT: str(port),
        labels.ENV_POD_IP: "127.0.0.1",
        labels.ENV_TERMINATION_LOG: termination,
    }
    from finetune_trainer.pod.main import main

    return main([stage, "--plan", plan])


def starved_pod(stage: str, plan: str, termination: str) -> int:
    """The same with half a gigabyte more than it has now, of the card or else of addresses."""
    import torch

    if the_device().type == "cuda":
        torch.cuda.set_per_process_memory_fraction(2**29 / torch.cuda.get_device_properties(0).total_memory)
    else:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        room = pages * resource.getpagesize() + 2**29
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
    return pod_of(stage, plan, termination)
