"""All files of a report in one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from finetune_api.progress import HistoryRow
from finetune_api.report import EvaluationReport
from finetune_trainer.reporting.candidates import Candidates, write_candidates
from finetune_trainer.reporting.html import render_html
from finetune_trainer.reporting.markdown import render_markdown
from finetune_trainer.reporting.places import without_folders
from finetune_trainer.reporting.tsv import write_tsv

REPORT_NAMES = ("report.json", "report.md", "report.html")


def tsv_name(task: str, shots: int) -> str:
    """`en-es.1shot.tsv`."""
    return f"{task}.{shots}shot.tsv"


def write_report(
    folder: Path,
    report: EvaluationReport,
    histories: Mapping[str, Sequence[HistoryRow]],
    columns: Mapping[str, Mapping[str, Sequence[str]]],
    candidates: Mapping[str, Candidates] | None = None,
) -> None:
    """Write the pages and the files beside them; only report.json tells folders of this machine.

    Args:
        folder: of the report.
        report: all that the pages show.
        histories: curves by training stage.
        columns: of each TSV, by its name.
        candidates: of each JSONL, by its name: what was chosen from.
    """
    for name, table in columns.items():
        write_tsv(folder / name, table)
    for name, systems in (candidates or {}).items():
        write_candidates(folder / name, systems)
    shown = without_folders(report)
    pages = (
        json.dumps(report.to_json_object(), ensure_ascii=False, indent=1) + "\n",
        render_markdown(shown),
        render_html(shown, histories),
    )
    for name, text in zip(REPORT_NAMES, pages, strict=True):
        (folder / name).write_text(text, "utf-8", newline="\n")
