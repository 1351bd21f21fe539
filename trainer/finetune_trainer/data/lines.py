"""Text files, line by line: compressed or plain, UTF-8, with or without a byte order mark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from finetune_trainer.data.compression import BROKEN_FILE, open_text
from finetune_trainer.data.rows import Malformed
from finetune_trainer.errors import BadData

MAX_LINE_BYTES = 1 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BREAKS = re.compile(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")


def one_line(text: str) -> str:
    """Text as it stands in one field of one line of a report's TSV; scores are computed from exactly this.

    Tabs and line breaks of all kinds become a blank, none is left at either end.
    """
    return _BREAKS.sub(" ", text).strip()


def read_lines(path: Path) -> Iterator[tuple[int, str | Malformed]]:
    """Number (from 1) and text of each line, without its end; a line that is no text is Malformed.

    Raises:
        BadData: if the file cannot be read to its end.
    """
    number = 0
    try:
        with open_text(path) as file:
            while raw := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if number == 1:
                    raw = raw.removeprefix(BYTE_ORDER_MARK)
                yield number, _decode(raw, str(path), number)
                while len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
                    raw = file.readline(MAX_LINE_BYTES + 1)
    except IsADirectoryError:
        raise BadData(
            "SourceNotReadable", f"{path} is a folder, a file was expected", "Name the file, or give another format."
        ) from None
    except BROKEN_FILE as error:
        what = getattr(error, "strerror", None) or str(error)
        raise BadData(
            "SourceNotReadable", f"{path}:{number + 1} cannot be read: {what}", "Replace the file by a whole one."
        ) from None


def _decode(raw: bytes, file: str, number: int) -> str | Malformed:
    if len(raw) > MAX_LINE_BYTES:
        return Malformed(file, number, f"has more than {MAX_LINE_BYTES:,} bytes")
    if number == 1 and raw.startswith(UTF_16_MARKS):
        return Malformed(file, number, "is UTF-16, UTF-8 was expected (iconv -f UTF-16 -t UTF-8 converts it)")
    if b"\0" in raw:
        return Malformed(file, number, "has a NUL byte: this is not a text file")
    try:
        return raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        return Malformed(file, number, f"is not UTF-8 (byte {error.start + 1})")
