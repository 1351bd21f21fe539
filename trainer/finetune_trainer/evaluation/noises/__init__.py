"""The same test, written as people write in haste: a new noise is a file and its row in `registries.NOISES`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from finetune_api.registries import NOISES
from finetune_trainer.evaluation.noises.interface import Noise
from finetune_trainer.registry import Registry
from finetune_trainer.tasks import TestSet

__all__ = ["NoisedTestSet", "noised_test_sets"]

_registry: Registry[Noise] = Registry(__name__, "noise", NOISES)


@dataclass(frozen=True, slots=True)
class NoisedTestSet:
    """A test set with other sources; references, and examples in prompts, stay."""

    clean: TestSet
    noise: str
    test_set: TestSet
    """Called `<task>.<noise>`, with the leading metric alone."""

    @property
    def changed(self) -> float:
        """Share of the sources that are not what they were."""
        pairs = zip(self.clean.sources, self.test_set.sources, strict=True)
        return sum(source != noised for source, noised in pairs) / len(self.clean.sources)


def noised_test_sets(test_sets: Sequence[TestSet], seed: int) -> list[NoisedTestSet]:
    """Of each test set those that its task asks for. The same text and seed give the same noise, wherever it stands."""
    return [_noised(test_set, name, seed) for test_set in test_sets for name in test_set.task.robustness or ()]


def _noised(test_set: TestSet, name: str, seed: int) -> NoisedTestSet:
    task, noise = test_set.task, _registry.find(name)
    own = {"name": f"{task.name}.{name.lower()}", "metrics": task.metrics[:1], "robustness": None}
    sources = [noise(source, Random(f"{seed} {source}")) for source in test_set.sources]
    return NoisedTestSet(test_set, name, replace(test_set, task=task.model_copy(update=own), sources=sources))
