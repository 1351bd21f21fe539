"""A few segments of the test before and after, for the end of a run: scores alone are hard to believe."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from finetune_api.evaluation_summary import EvaluationSummary
from finetune_api.figures import shots_name

SHOWN = 3
Row = dict[str, str]
"""source, reference, hypothesis, baseline."""


def segments_view(evaluation: EvaluationSummary, workspace: Path) -> RenderableType | None:
    """The first segments of the report's first task, as the sample fell; None if its files are gone."""
    try:
        report = json.loads((workspace / evaluation.path).read_text(encoding="utf-8"))
        task = report["tasks"][0]
        rows = _first_rows(workspace / task["hypotheses"])
        compared, title = report.get("baseline") is not None, f"{task['name']} {shots_name(task['shots'])}"
    except (OSError, ValueError, LookupError, TypeError):
        return None
    if not rows:
        return None
    which = f"the first {len(rows)} of {task['segments']} segments" if task["segments"] > len(rows) else "its segments"
    table = Table.grid(padding=(0, 2, 0, 0))
    for number, row in enumerate(rows):
        if number:
            table.add_row("", "")
        for label, text, style in _lines(row, compared=compared):
            table.add_row(Text(f"  {label}", style="dim"), Text(text or "(empty)", style=style))
    return Group(Text(f"{title}, {which}", style="bold"), table)


def _first_rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row for row, _ in zip(rows, range(SHOWN), strict=False)]


def _lines(row: Row, *, compared: bool) -> list[tuple[str, str, str]]:
    """Label, text and style of each line of a segment."""
    before = [("before", row["baseline"], "")] if compared else []
    after = ("after" if compared else "model", row["hypothesis"], "bold")
    return [("source", row["source"], ""), *before, after, ("reference", row["reference"], "dim")]
