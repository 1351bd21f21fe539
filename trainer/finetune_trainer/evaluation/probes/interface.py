"""What a bias probe is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol


class Probe(Protocol):
    """Sentences that leave something open, and which way a translation takes; stateless."""

    groups: ClassVar[Sequence[str]]
    """The two ways between which the gap is."""

    def sentences(self) -> list[str]:
        """What is translated, the same for all target languages."""
        ...

    def group_of(self, row: int, output: str, language: str) -> str | None:
        """Which of the groups the translation of a sentence takes; None where it cannot be told.

        Args:
            row: of the sentence.
            output: its translation.
            language: of the translation, one of the probe's targets in `registries.PROBES`.
        """
        ...
