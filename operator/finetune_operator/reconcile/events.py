"""Events as objects of events.k8s.io/v1."""

from __future__ import annotations

import hashlib
from datetime import datetime

from finetune_api.base import API_VERSION, GROUP
from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_operator.reconcile.names import child_labels
from finetune_operator.reconcile.types import EventRecord

CONTROLLER = f"{GROUP}/operator"


def event_object(job: FineTuneJob, record: EventRecord, index: int, now: datetime) -> Object:
    """The Event about `job`; `index` distinguishes equal records of one decision."""
    text = f"{job.metadata.uid}/{record.reason}/{record.stage}/{record.note}/{now.isoformat()}/{index}"
    name = f"{job.metadata.name}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    namespace = job.metadata.namespace or "default"
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace, "labels": child_labels(job)},
        "eventTime": now.isoformat().replace("+00:00", "Z"),
        "type": record.type,
        "reason": record.reason,
        "note": record.note,
        "action": record.stage or "Reconcile",
        "reportingController": CONTROLLER,
        "reportingInstance": "finetune-operator",
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": "FineTuneJob",
            "namespace": namespace,
            "name": job.metadata.name,
            "uid": job.metadata.uid or "",
        },
    }


def series_name(job: FineTuneJob, record: EventRecord) -> str:
    """The same for every occurrence of an event."""
    text = f"{job.metadata.uid}/{record.type}/{record.reason}/{record.stage}/{record.note}"
    return f"{job.metadata.name}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
