"""Minimum Bayes risk: of several samples the one that is most like all of them."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_trainer.decoding.searches.chrf import pairwise_chrf
from finetune_trainer.decoding.searches.sampling import Sampling


class MinimumBayesRisk(Sampling):
    """Sampled candidates, whose utility is estimated by the same samples (Eikema and Aziz 2020)."""

    def utilities(self, texts: Sequence[str]) -> list[float]:
        """See Search: the mean chrF (0 to 100) of each text, all texts being the references in turn.

        Each is among its own references, which adds the same to all.
        """
        utilities: list[float] = pairwise_chrf(texts).mean(1).tolist()
        return utilities
