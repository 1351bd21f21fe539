"""The volume claims that a job's URIs name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finetune_api import labels
from finetune_api.job import FineTuneJobSpec


def named_claims(spec: FineTuneJobSpec) -> list[str]:
    """Claims of all `pvc://claim/path` in a spec, sorted."""
    found = (text.removeprefix(labels.CLAIM_SCHEME) for text in _texts(spec.model_dump(mode="json")))
    return sorted({rest.partition("/")[0] for rest in found})


def _texts(value: Any) -> Iterator[str]:
    """Every string with the scheme, wherever in the spec: a field that is added later needs no line here."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str) and value.startswith(labels.CLAIM_SCHEME):
        yield value
