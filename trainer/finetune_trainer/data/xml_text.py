"""XML in any encoding that Python knows, as UTF-8: the parser itself knows five."""

from __future__ import annotations

import codecs
import io
import re
from typing import IO

BROKEN_BYTE = "\U0010fffd"
"""Stands where a byte was that the encoding does not have; a private character, which no text has a use for."""
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    # Without a byte order mark, by their first character (XML 1.0, appendix F).
    b"<\0\0\0": "utf-32-le",
    b"\0\0\0<": "utf-32-be",
    b"<\0": "utf-16-le",
    b"\0<": "utf-16-be",
}
_DECLARED = re.compile(rb"""^\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([A-Za-z][\w.:-]*)""")
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949"}
"""What files that declare the former are in fact written in; every text of the former reads the same."""
_HEAD = 1024


def encoding_of_xml(head: bytes) -> str:
    """The encoding of a file that begins with `head`.

    Raises:
        LookupError: if the declared one is not known.
    """
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    declared = _DECLARED.match(head)
    name = codecs.lookup(declared[1].decode("ascii") if declared else "utf-8").name
    if b"<?xml ".decode(name, "replace") != "<?xml ":  # utf-16 is declared, but the declaration could be read
        name = "utf-8"
    return _WIDER.get(name, name)


class Utf8Reader(io.RawIOBase):
    """The bytes of an XML file as UTF-8, whatever it declares."""

    def __init__(self, file: IO[bytes]) -> None:
        """Reads `file`, which somebody else closes.

        Raises:
            LookupError: if its encoding is not known.
        """
        self._file = file
        head = file.read(_HEAD)
        self.encoding = encoding_of_xml(head)
        self._decoder = codecs.getincrementaldecoder(self.encoding)(errors=_MARKED)
        self._waiting = self._recoded(head).removeprefix(codecs.BOM_UTF8)

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At most about `size` bytes; none at the end."""
        while not self._waiting:
            chunk = self._file.read(size)
            self._waiting = self._recoded(chunk)
            if not chunk:
                break
        found, self._waiting = self._waiting, b""
        return found

    def _recoded(self, chunk: bytes) -> bytes:
        return self._decoder.decode(chunk, final=not chunk).encode("utf-8", "replace")


_MARKED = "finetune.broken-byte"


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return BROKEN_BYTE, error.end


codecs.register_error(_MARKED, _mark)
