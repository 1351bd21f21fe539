"""The answers that those of a report were chosen from, one segment and system a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Candidates = Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]
"""By system: of each segment its candidates, the chosen one first, as JSON objects."""


def write_candidates(path: Path, systems: Candidates) -> None:
    """Write `{"segment": 1, "system": "adapted", "candidates": [{"text": ..., "utility": ...}, ...]}` a line.

    Segments are numbered from 1, in the order of the TSV.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for system, segments in systems.items():
            for number, candidates in enumerate(segments, 1):
                row = {"segment": number, "system": system, "candidates": list(candidates)}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
