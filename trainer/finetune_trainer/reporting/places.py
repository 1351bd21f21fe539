"""What a page does not tell: it is passed on, and folders of a machine name its users."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from finetune_api.report import EvaluationReport, ModelDescription

_IN_A_SENTENCE = re.compile(r"(?<![^\s'\"(])(?:file://)?/(?:[^/\s'\"]+/)+(?=[^/\s'\"])")
"""Folders before a file's name."""
_HOMES = ("/home", "/Users")
"""What stands in them is a user's name."""


def without_folders(report: EvaluationReport) -> EvaluationReport:
    """The report with `…/ui.tsv` for a local path that ends so; paths within the workspace and other URIs stay."""
    return report.model_copy(
        update={
            "notes": [_IN_A_SENTENCE.sub("…/", note) for note in report.notes],
            "model": _described(report.model),
            "baseline": None if report.baseline is None else _described(report.baseline),
            "rivals": [_described(rival) for rival in report.rivals],
            "data": _shortened(report.data),
            "spec": _shortened(report.spec),
            "lineage": _shortened(report.lineage),
        }
    )


def _described(model: ModelDescription) -> ModelDescription:
    return model.model_copy(update={"name": _short(model.name), "path": _short(model.path)})


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shortened(part) for name, part in zip(_names(value), value.values(), strict=True)}
    if isinstance(value, list):
        return [_shortened(part) for part in value]
    return _short(value) if isinstance(value, str) else value


def _names(value: Mapping[str, Any]) -> list[str]:
    """Keys, of which some may be paths; files of one name in several folders are numbered."""
    names = [_short(key) for key in value]
    return [
        name if names.count(name) == 1 else f"{name} ({names[:index].count(name) + 1})"
        for index, name in enumerate(names)
    ]


def _short(text: str) -> str:
    if not text.startswith(("/", "file://")):
        return text
    folder, _, name = text.removeprefix("file://").rstrip("/").rpartition("/")
    return "…" if folder in _HOMES else f"…/{name}"
