"""What a model answers to a few validation segments while it is trained, as a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from finetune_trainer.context import StageContext
from finetune_trainer.engine import Engine
from finetune_trainer.metrics import create_metric
from finetune_trainer.tasks import System, Task, TestSet


@dataclass(frozen=True, slots=True)
class Scorer:
    """A fixed test set for a model that is being trained. Weights, optimizer and random numbers stay as they are."""

    task: Task[Any]
    test_set: TestSet
    tokenizer: PreTrainedTokenizerBase
    every_steps: int
    """Optimizer steps from one score to the next."""

    def score(self, context: StageContext, engine: Engine) -> dict[str, float]:
        """The engine's model now, by metric; collective: every rank answers its share and has all scores.

        A request to stop waits for the end: the ranks are in the middle of something together.
        """

        def beat(_: int) -> None:
            context.progress.update(phase="Decoding")

        beat(0)
        # Each length of a prompt would be compiled anew.
        with torch.compiler.set_stance("force_eager"), engine.answering() as model:
            finish = getattr(model, "finish", None)
            system = System(cast("PreTrainedModel", model), self.tokenizer, context.ranks, None, beat, finish)
            texts = self.task.predict(system, self.test_set, self.test_set.task.shots[0]).texts
        scores = {}
        for name in self.test_set.task.metrics:
            metric = create_metric(name, self.test_set.language)
            scores[name] = metric.score(metric.statistics(texts, self.test_set.references).sum(0))
        return scores
