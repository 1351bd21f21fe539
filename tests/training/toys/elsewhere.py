"""A store: `elsewhere://name` is in the folder that ELSEWHERE names."""

from __future__ import annotations

import os
from pathlib import Path


def elsewhere_path(rest: str) -> Path:
    """The path behind `elsewhere://`."""
    return Path(os.environ["ELSEWHERE"]) / rest
