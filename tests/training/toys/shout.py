"""A noise: capitals alone."""

from __future__ import annotations

from random import Random


def shout(text: str, _: Random) -> str:
    return text.upper()
