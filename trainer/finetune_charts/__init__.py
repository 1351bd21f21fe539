"""Charts of a run as SVG, and the style of pages that show them: for the report and for `finetune dashboard`."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources


def page_style() -> str:
    """The style sheet."""
    return (resources.files(__package__) / "page.css").read_text("utf-8")


def content_hash(text: str) -> str:
    """For a page's content security policy: only this style or script may be used."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
