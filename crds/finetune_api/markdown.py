"""Markdown in which text from data stays text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def escape(text: str) -> str:
    """Backslashes before what Markdown and HTML would read as markup."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#~" else "&amp;" if c == "&" else c for c in text)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells that begin as code or bold are taken for Markdown, all others are escaped."""
    return "\n".join([_line(header), "|" + " --- |" * len(header), *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|") if text.startswith(("`", "**")) else escape(text)
