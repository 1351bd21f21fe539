"""Specs of jobs with one task, and what is refused of them."""

from __future__ import annotations

from typing import Any

from finetune_api.job import FineTuneJobSpec
from finetune_api.objects import Object
from finetune_api.refusals import refusals


def spec_of(source: Object, adapt: Object, test: Object, **changes: Any) -> FineTuneJobSpec:
    """A job that adapts a model to a source, beside which there are pairs, and tests it."""
    pairs = {"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "u.tsv"}
    spec = {
        "model": {"from": {"uri": "file:///m"}},
        "data": {"sources": [source, pairs]},
        "adapt": adapt,
        "evaluate": {"tasks": [test]},
    }
    return FineTuneJobSpec.from_json_object(spec | changes)


def found(spec: FineTuneJobSpec) -> list[tuple[str, str]]:
    """Field and message of each refusal."""
    return [(problem.field, problem.message) for problem in refusals(spec)]
