"""Output that works in every locale: a terminal of Latin-1 gets other signs, a program gets JSON that it can parse."""

from __future__ import annotations

import codecs
import io
import json
import sys
from typing import Any

PLAIN_SIGNS = {
    "✔": "ok",
    "✖": "x",
    "⚠": "!",
    "◷": ">",
    "◌": ".",
    "⏸": "=",
    "▲": "+",
    "▼": "-",
    "→": "->",
    "–": "-",
    "…": "...",
    "·": "-",
    "±": "+-",
    "×": "x",
    "≥": ">=",
    "≤": "<=",
    "≈": "~",
    "\N{NO-BREAK SPACE}": " ",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "━": "=",
    "╸": "=",
    "╺": "-",
}
PLAIN = "finetune-plain"


def write_in_every_locale() -> None:
    """Let no character that the locale lacks end the program."""
    codecs.register_error(PLAIN, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not _is_utf8(stream.encoding):
            stream.reconfigure(errors=PLAIN)


def write_json(value: Any, *, indent: int | None = 2) -> None:
    """Write `value` and a line end; without `indent` in one line. ASCII only, where the locale is not UTF-8."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    sys.stdout.write(json.dumps(value, indent=indent, ensure_ascii=not _is_utf8(encoding)) + "\n")
    sys.stdout.flush()


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "utf-8"


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN_SIGNS.get(sign, f"\\u{ord(sign):04x}") for sign in lacking), error.end
