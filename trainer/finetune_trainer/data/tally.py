"""What happened to the rows of a source: counts by rule, with a few samples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MAX_SAMPLES = 3
SAMPLE_CHARACTERS = 200


@dataclass(slots=True)
class Tally:
    """Counts of one source."""

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[str]] = field(default_factory=dict)

    def drop(self, rule: str, place: str, texts: tuple[str, ...]) -> None:
        """Count a row dropped by `rule`; the first few are kept to be looked at."""
        self.dropped[rule] += 1
        samples = self.samples.setdefault(rule, [])
        if len(samples) < MAX_SAMPLES:
            samples.append(f"{place}: {' ||| '.join(texts)}"[:SAMPLE_CHARACTERS])

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "rowsRead": self.read,
            "rowsKept": self.kept,
            "dropped": dict(sorted(self.dropped.items())),
            "samples": self.samples,
        }
