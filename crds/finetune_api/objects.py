"""Objects as JSON has them, before a model has read them or where none does."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
"""A JSON object: of the API server, of a manifest, of a file."""
JobKey = tuple[str, str]
"""(namespace, name) of a FineTuneJob."""
