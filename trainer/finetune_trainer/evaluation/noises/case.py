"""Small letters alone, as in a chat."""

from __future__ import annotations

from random import Random


def small_letters(text: str, _: Random) -> str:
    """See Noise; scripts without capitals stay as they are."""
    return text.lower()
