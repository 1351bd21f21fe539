"""The curves that training stages left beside their models."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from finetune_api.progress import HistoryRow

HISTORY_FILE = "history.jsonl"


def read_history(model_folder: Path) -> list[HistoryRow]:
    """Rows of `history.jsonl`, in order of step; none if there is no file. A line cut short by a crash is left out."""
    path = model_folder / HISTORY_FILE
    if not path.is_file():
        return []
    rows: dict[int, HistoryRow] = {}
    for line in path.read_text("utf-8").splitlines():
        try:
            row = HistoryRow.model_validate_json(line)
        except ValidationError:
            continue
        rows[row.step] = row  # a step that was done again after a restart counts as it came out last
    return [rows[step] for step in sorted(rows)]
