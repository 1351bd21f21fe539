"""What server-side apply with one field manager does to an object."""

from __future__ import annotations

import copy
from typing import Any

from finetune_api.objects import Object

SYSTEM_FIELDS = frozenset(
    (
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
    )
)
"""Metadata that only the store sets."""


def intent_of(value: Object) -> Object:
    """The intent of an applied object: all but status and the store's own metadata."""
    intent = {key: copy.deepcopy(part) for key, part in value.items() if key != "status"}
    intent["metadata"] = {k: v for k, v in intent["metadata"].items() if k not in SYSTEM_FIELDS}
    return intent


def merge(stored: Any, before: Any, wanted: Any) -> Any:
    """The stored value with the fields of `wanted`, without those of `before` that are no longer wanted.

    Fields that were never applied (defaults, status) stay. Lists are replaced as a whole: with one field manager
    that gives full intent, merging them by key would give the same result.
    """
    if not (isinstance(stored, dict) and isinstance(wanted, dict)):
        return copy.deepcopy(wanted)
    owned = before if isinstance(before, dict) else {}
    merged = {key: value for key, value in stored.items() if key in wanted or key not in owned}
    for key, value in wanted.items():
        merged[key] = merge(stored.get(key), owned.get(key), value)
    return merged
