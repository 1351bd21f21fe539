"""What happened to the rows of a source: counts by rule, with a few samples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from finetune_trainer.errors import printable

MAX_SAMPLES = 3
SAMPLE_CHARACTERS = 200


@dataclass(slots=True)
class Tally:
    """Counts of one source: rows as they were read, of which each is kept or dropped by one rule.

    A text may be cut into pieces, and some of them may go: its row is kept as long as one piece is, and dropped by the
    rule that took the last. Pieces are counted apart.
    """

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[str]] = field(default_factory=dict)
    pieces: int = 0
    """Of all rows that were not dropped whole; 0 where rows are never cut."""
    pieces_kept: int = 0
    pieces_dropped: Counter[str] = field(default_factory=Counter)
    usual_ratio: float | None = None
    """Of the lengths of a pair's sides, which maxLengthRatio was measured against."""

    labels: dict[str, str] = field(default_factory=dict)
    """Where each label was met first: `file:line`."""

    def drop(self, rule: str, place: str, texts: tuple[str, ...]) -> None:
        """Count a row dropped by `rule`; the first few are kept to be looked at."""
        self.dropped[rule] += 1
        samples = self.samples.setdefault(rule, [])
        if len(samples) < MAX_SAMPLES:
            samples.append(printable(f"{place}: {' ||| '.join(texts)}"[:SAMPLE_CHARACTERS]))

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        counts: dict[str, Any] = {
            "rowsRead": self.read,
            "rowsKept": self.kept,
            "dropped": dict(sorted(self.dropped.items())),
            "samples": self.samples,
        }
        if self.usual_ratio is not None:
            counts["usualLengthRatio"] = round(self.usual_ratio, 3)
        if not self.pieces:
            return counts
        pieces = {"made": self.pieces, "kept": self.pieces_kept, "dropped": dict(sorted(self.pieces_dropped.items()))}
        return counts | {"pieces": pieces}
