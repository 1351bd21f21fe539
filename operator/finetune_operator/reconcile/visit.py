"""One visit to a job: what is seen, and the decision as it grows."""

from __future__ import annotations

from datetime import datetime

from finetune_api.objects import Object
from finetune_api.problems import Problem
from finetune_api.runtime import RuntimeSpec, pod_runtime
from finetune_api.stages import Stage
from finetune_api.status import StageStatus
from finetune_operator.reconcile import names
from finetune_operator.reconcile.children import read_snapshot
from finetune_operator.reconcile.draft import Draft
from finetune_operator.reconcile.gang import Gang, GangKey, gang_key, is_finished, is_live, read_gangs
from finetune_operator.reconcile.settings import Settings
from finetune_operator.reconcile.types import ChildReference, Decision, Observed

_GANG_KINDS = ("Job", "ConfigMap")


class Visit:
    """Collects the decision; lives no longer than one call of `reconcile`."""

    def __init__(self, observed: Observed, now: datetime, settings: Settings) -> None:
        """Nothing is decided yet."""
        self.observed = observed
        self.job = observed.job
        self.now = now
        self.settings = settings
        self.draft = Draft(observed.job, now)
        self.gangs: dict[GangKey, Gang] = read_gangs(observed.children, observed.pods)
        self.apply: list[Object] = []
        self.delete: list[ChildReference] = []
        self.problems: list[Problem] = []
        self.starting_seconds: float | None = None
        """Age of a gang of which nothing is to be reported but that its pods should run soon."""
        self._requeue: float | None = None

    def look_again(self, seconds: float) -> None:
        """Look again after this time at the latest."""
        seconds = max(0.05, seconds)
        self._requeue = seconds if self._requeue is None else min(self._requeue, seconds)

    def child(self, kind: str, name: str) -> Object | None:
        """A child by name."""
        for child in self.observed.children:
            if child["metadata"]["name"] == name and child["kind"] == kind:
                return child
        return None

    def runtime(self) -> RuntimeSpec | None:
        """The snapshot if there is one, else the runtime as it is now."""
        snapshot = self.child("ConfigMap", names.runtime_name(self.job))
        if snapshot is not None:
            return read_snapshot(snapshot)
        return pod_runtime(self.observed.runtime) if self.observed.runtime is not None else None

    def newest_gang(self, stage: Stage) -> Gang | None:
        """The gang of a stage with the highest attempt that has a Job."""
        own = [g for g in self.gangs.values() if g.stage == stage and g.job is not None]
        return max(own, key=lambda g: g.attempt, default=None)

    def others_alive(self, stage: StageStatus) -> int:
        """Pods and unfinished Jobs of all gangs but the current one: no new gang may start beside them."""
        alive = 0
        for gang in self.gangs.values():
            if (gang.stage, gang.attempt) != (stage.name, stage.attempt):
                pods = sum(map(is_live, gang.pods))
                alive += pods or (gang.job is not None and not is_finished(gang.job))
        return alive

    def is_anything_alive(self) -> bool:
        """Whether processes of this job may exist."""
        if any(map(is_live, self.observed.pods)):
            return True
        return any(g.job is not None and not is_finished(g.job) for g in self.gangs.values())

    def delete_leftovers(self, current: Stage | None) -> None:
        """Delete gangs that no stage stands for, of older attempts or later stages, and a Service without use."""
        for child in self.observed.children:
            if child["kind"] == "Service" and self.job.spec.parallelism.nodes == 1:
                self.delete.append(ChildReference("Service", child["metadata"]["name"]))
            if child["kind"] not in _GANG_KINDS or (key := gang_key(child)) is None:
                continue
            if "deletionTimestamp" in child["metadata"] or self._is_wanted(child, key, current):
                continue
            self.delete.append(ChildReference(child["kind"], child["metadata"]["name"]))

    def _is_wanted(self, child: Object, key: GangKey, current: Stage | None) -> bool:
        if child["kind"] == "ConfigMap" and key == names.FIRST_GANG:
            return True  # the runtime's snapshot
        for stage in self.draft.stages:
            if stage.name == key[0]:
                is_open = stage.name == current or stage.state in ("Succeeded", "Failed")
                return is_open and key[1] == stage.attempt
        return False

    def decision(self) -> Decision:
        """What was decided."""
        status = self.draft.finish()
        waits = status is not None and self._first_status_waits()
        return Decision(
            apply=tuple(self.apply),
            delete=tuple(self.delete),
            status=None if waits else status,
            status_waits=waits,
            events=tuple(self.draft.events),
            requeue_after_seconds=self._requeue,
        )

    def _first_status_waits(self) -> bool:
        """Whether the first status can report the running pods as well, instead of a second one."""
        stored = self.job.status
        is_first = stored is None or not stored.conditions
        left = self.settings.first_status_seconds - (self.starting_seconds or 0.0)
        if self.starting_seconds is None or not is_first or left <= 0 or self.draft.events or self.delete:
            return False
        self.look_again(left)
        return True
