"""Text as it stands in one field of one line of the TSV; scores are computed from exactly this."""

from __future__ import annotations

import re

_BREAKS = re.compile(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")


def one_line(text: str) -> str:
    """Tabs and line breaks of all kinds become a blank, none is left at either end."""
    return _BREAKS.sub(" ", text).strip()
