"""Names and labels of children: pure functions of the job's name and uid, the stage and the attempt.

A pod of an Indexed Job is called `<job>-<index>-<5 characters>` and has at most 63; an index has at most 4 digits.
So a Job's name has at most 52, of which `-<5>-<stage: 8>-<attempt: 4>` leave 32 for the name of the FineTuneJob.
The digest of the uid keeps apart jobs whose cut names are equal, and a job from its deleted namesake.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from finetune_api import labels
from finetune_api.base import API_VERSION, GROUP
from finetune_api.job import FineTuneJob
from finetune_api.stages import Stage

PARALLELISM = f"{GROUP}/parallelism"
"""Annotation of a Job: the layout of its gang, to detect a resize."""
FIRST_GANG: tuple[Stage, int] = ("prepare", 1)
"""(stage, attempt) with which every job starts."""
MAX_NAME = 32
MAX_ATTEMPT = 9999


@lru_cache(maxsize=65536)
def base_name(name: str, uid: str) -> str:
    """`<name, cut>-<5 characters of the uid's digest>`: prefix of all children and name of the Service."""
    digest = hashlib.sha256(uid.encode()).hexdigest()[:5]
    return f"{name[:MAX_NAME].rstrip('-')}-{digest}"


def job_base(job: FineTuneJob) -> str:
    """`base_name` of a FineTuneJob."""
    return base_name(job.metadata.name, job.metadata.uid or "")


def gang_name(job: FineTuneJob, stage: Stage, attempt: int) -> str:
    """Name of the Job of one attempt of a stage, and of its plan's ConfigMap.

    Raises:
        ValueError: if the attempt number does not fit.
    """
    if not 1 <= attempt <= MAX_ATTEMPT:
        raise ValueError(f"attempt {attempt} is not between 1 and {MAX_ATTEMPT}")
    return f"{job_base(job)}-{stage}-{attempt}"


def runtime_name(job: FineTuneJob) -> str:
    """Name of the ConfigMap that holds the runtime's snapshot: that of the job's first gang."""
    return gang_name(job, *FIRST_GANG)


def claim_name(job: FineTuneJob) -> str:
    """Name of the PersistentVolumeClaim that the operator creates."""
    return f"{job_base(job)}-workspace"


def report_name(job: FineTuneJob) -> str:
    """Name of the ConfigMap that holds the published report."""
    return f"{job_base(job)}-report"


def rendezvous_host(job: FineTuneJob, stage: Stage, attempt: int) -> str:
    """Stable name of pod 0: `<job>-0.<service>`."""
    return f"{gang_name(job, stage, attempt)}-0.{job_base(job)}"


def child_labels(job: FineTuneJob, stage: Stage | None = None, attempt: int | None = None) -> dict[str, str]:
    """Labels of a child; with stage and attempt also those of a gang."""
    common = {
        labels.NAME: "finetune",
        labels.INSTANCE: job_base(job),
        labels.COMPONENT: "trainer",
        labels.PART_OF: labels.OPERATOR,
        labels.MANAGED_BY: labels.OPERATOR,
        labels.JOB: job.metadata.name,
    }
    if stage is not None:
        common[labels.STAGE] = stage
    if attempt is not None:
        common[labels.ATTEMPT] = str(attempt)
    return common


def owner_reference(job: FineTuneJob) -> dict[str, object]:
    """Makes the garbage collector delete a child with its FineTuneJob."""
    return {
        "apiVersion": API_VERSION,
        "kind": "FineTuneJob",
        "name": job.metadata.name,
        "uid": job.metadata.uid or "",
        "controller": True,
        "blockOwnerDeletion": False,
    }
