"""What this machine does not have: pods that fail as told, progress of rank 0, and an exporter of GPU figures."""

from __future__ import annotations

from datetime import UTC, datetime

from cluster.kubelet import Ending, result_of
from finetune_api import labels
from finetune_api.evaluation_summary import EvaluationSummary, ScoreSummary
from finetune_api.exit_codes import ExitCode
from finetune_api.metrics import DEVICE_MEMORY
from finetune_api.objects import Object
from finetune_api.progress import Progress
from finetune_api.stage_result import StageResult
from finetune_api.status import ProgressStatus

LIVE, DONE, BROKEN = "live", "done", "broken"
WORSE = ScoreSummary(task="en-es", shots=0, metric="chrF++", score=23.9, low=23, high=25, baseline=31.5)


def ending(pod: Object) -> Ending:
    """`live` runs on; `done` loses a node once and scores below its baseline; `broken` has a plan that is wrong."""
    own = pod["metadata"]["labels"]
    job, stage, attempt = own[labels.JOB], own[labels.STAGE], own[labels.ATTEMPT]
    if job == LIVE:
        return Ending(after_seconds=None)
    if job == BROKEN:
        return Ending(code=ExitCode.BAD_CONFIGURATION)
    if stage == "prepare" and attempt == "1":
        return Ending(code=137, after_seconds=3.0, message="")
    if stage == "evaluate":
        summary = EvaluationSummary(verdict="It is worse.", outcome="Worse", scores=[WORSE], gate="None")
        result = StageResult.model_validate_json(result_of(pod, 0)).model_copy(update={"evaluation": summary})
        return Ending(message=result.to_termination_message())
    return Ending(after_seconds=1.0)


def progress() -> bytes:
    """What rank 0 of `live` says."""
    figures = ProgressStatus(
        step=40, total_steps=100, percent=40, heartbeat=datetime.now(UTC), tokens=40_960, loss=2.5, validation_loss=2.7
    )
    said = Progress(stage="prepare", attempt=1, phase="Training", progress=figures, time=datetime.now(UTC))
    return said.model_dump_json(by_alias=True).encode()


def gpu_figures(pods: list[str]) -> bytes:
    """As DCGM's exporter tells of one GPU in each pod, and a rank of its own GPU's memory."""
    lines = [f'DCGM_FI_DEV_GPU_UTIL{{namespace="default",pod="{pod}",gpu="0"}} 87' for pod in pods]
    own = 'namespace="default",finetunejob="tiny",stage="pretrain",attempt="1",rank="0"'
    memory = f'{DEVICE_MEMORY.name}{{{own},kind="peak"}} 60e9'
    return "\n".join(["# TYPE DCGM_FI_DEV_GPU_UTIL gauge", *lines, memory, ""]).encode()
