"""What a noise is."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Noise = Callable[[str, Random], str]
"""From a source to one that means the same to a person; chance is a function of text and seed."""
