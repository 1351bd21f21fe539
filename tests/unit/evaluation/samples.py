"""Hypotheses of known quality for tests of scores."""

from __future__ import annotations

import random

from training.corpus import pairs


def corpus(count: int = 120) -> tuple[list[str], list[str]]:
    """Sources and references."""
    english, spanish = zip(*pairs(count), strict=True)
    return list(english), list(spanish)


def alone(references: list[str]) -> list[tuple[str, ...]]:
    """Each as the only reference of its segment."""
    return [(reference,) for reference in references]


def damage(references: list[str], share: float, seed: int) -> list[str]:
    """Replace that share of the words by words of other references."""
    chance = random.Random(seed)
    words = [word for text in references for word in text.split()]
    return [" ".join(chance.choice(words) if chance.random() < share else w for w in t.split()) for t in references]
