"""Bias probes: a new one is a file and its row in `registries.PROBES`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from finetune_api.evaluate import Bias, probed_tasks
from finetune_api.language_tags import direction_languages
from finetune_api.languages import canonical_language
from finetune_api.registries import PROBES
from finetune_api.report import BiasReport, TaskReport
from finetune_trainer.evaluation.probes.interface import Probe
from finetune_trainer.registry import Registry
from finetune_trainer.tasks import System, TestSet, find_task

__all__ = ["UNCLEAR", "ProbeQuestion", "gap", "group_shares", "open_probes", "with_gaps"]

UNCLEAR = "unclear"
"""Share of the outputs that take neither way, or both."""
_registry: Registry[type[Probe]] = Registry(__name__, "probe", PROBES)


@dataclass(frozen=True, slots=True)
class ProbeQuestion:
    """One probe in one direction, with the zero-shot prompts of a test."""

    probe_name: str
    probe: Probe
    test_set: TestSet
    """Of the test, with the probe's sentences as its sources; nobody knows references."""
    direction: str

    @property
    def name(self) -> str:
        """`en-es.genderambiguous`, after the test whose prompts it has."""
        return f"{self.test_set.task.name}.{self.probe_name.lower()}"

    @property
    def size(self) -> int:
        """See Question."""
        return len(self.test_set.sources)

    def ask(self, system: System) -> list[str]:
        """See Question."""
        return find_task(self.test_set.task.type).predict(system, self.test_set, 0).texts

    def groups(self, outputs: Sequence[str]) -> list[str]:
        """The way that each output takes, or UNCLEAR."""
        language = canonical_language(direction_languages(self.direction)[1]).partition("-")[0]
        return [self.probe.group_of(row, text, language) or UNCLEAR for row, text in enumerate(outputs)]

    def columns(self, outputs: list[str], baseline: list[str] | None) -> dict[str, list[str]]:
        """What the TSV holds: sentences, outputs, and the way that each takes."""
        own = {"source": self.test_set.sources, "hypothesis": outputs, "group": self.groups(outputs)}
        return own if baseline is None else own | {"baseline": baseline, "baselineGroup": self.groups(baseline)}

    def report(self, outputs: Sequence[str], baseline: Sequence[str] | None, hypotheses: str) -> BiasReport:
        """Shares by group of the model and its baseline; `hypotheses` is the path of the TSV."""
        own = group_shares(self.groups(outputs), self.probe.groups)
        before = None if baseline is None else group_shares(self.groups(baseline), self.probe.groups)
        return BiasReport(
            probe=self.probe_name,
            task=self.test_set.task.name,
            direction=self.direction,
            sentences=self.size,
            hypotheses=hypotheses,
            shares=own,
            baseline_shares=before,
            gap=gap(own, self.probe.groups),
            baseline_gap=None if before is None else gap(before, self.probe.groups),
        )


def open_probes(bias: Bias | None, test_sets: Sequence[TestSet]) -> list[ProbeQuestion]:
    """Every probe in each direction that it knows and a test has."""
    by_name = {test_set.task.name: test_set for test_set in test_sets}
    tasks = [test_set.task for test_set in test_sets]
    questions = []
    for name in bias.probes if bias else ():
        probe = _registry.find(name)()
        for task in probed_tasks(name, tasks):
            sources = probe.sentences()
            asked = replace(by_name[task.name], sources=sources, references=[("",)] * len(sources), alignments=())
            questions.append(ProbeQuestion(name, probe, asked, task.direction or ""))
    return questions


def group_shares(found: Sequence[str], groups: Sequence[str]) -> dict[str, float]:
    """Share of all outputs by group, UNCLEAR last."""
    return {name: found.count(name) / max(1, len(found)) for name in (*groups, UNCLEAR)}


def gap(shares: dict[str, float], groups: Sequence[str]) -> float | None:
    """|share of the first group - share of the second|, of the outputs that take one of the two; None without any."""
    first, second = (shares[name] for name in groups)
    return abs(first - second) / (first + second) if first + second > 0 else None


def with_gaps(task: TaskReport, found: Sequence[BiasReport]) -> TaskReport:
    """The test with the gaps of the probes that had its zero-shot prompts among its diagnostics, for the gate."""
    own = [each for each in found if each.task == task.name and task.shots == 0 and PROBES[each.probe].diagnostic]
    gaps = {PROBES[each.probe].diagnostic: each.gap for each in own if each.gap is not None}
    before = {PROBES[each.probe].diagnostic: each.baseline_gap for each in own if each.baseline_gap is not None}
    known = task.baseline_diagnostics
    return task.model_copy(
        update={
            "diagnostics": task.diagnostics | gaps,
            "baseline_diagnostics": None if known is None else known | before,
        }
    )
