"""Catalogs as text (.po), entry by entry: one that cannot be read is malformed, those after it are read.

Lines end at line feeds only: a translation may hold U+2028, U+0085 and all else that Python takes for an end of line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from finetune_trainer.data.catalogs import CHARSET, Message, charset_of, form_for_one, translation_of, usable_charset
from finetune_trainer.data.rows import Malformed

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OTHER_CONTENT = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\xde\x12\x04\x95": "a .mo",
    b"\x95\x04\x12\xde": "a .mo",
}
ASCII_BLANKS = " \t\r\f\v"
KEYWORD = re.compile(r"(msgctxt|msgid_plural|msgid|msgstr)(?:\[(\d{1,3})\])?[ \t]*(?=\"|$)")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)")
ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


@dataclass(slots=True)
class _Entry:
    fields: dict[str, list[str]] = field(default_factory=dict)
    """Pieces of strings by keyword: msgid, msgstr, msgstr[1]."""
    line: int = 0
    current: str = ""
    is_fuzzy: bool = False
    problem: tuple[int, str] | None = None

    @property
    def has_translation(self) -> bool:
        return any(name.startswith("msgstr") for name in self.fields)

    def text(self, name: str) -> str | None:
        return "".join(self.fields[name]) if name in self.fields else None

    def fail(self, line: int, reason: str) -> None:
        self.problem = self.problem or (line, reason)


def read_po(content: bytes, file: str) -> Iterator[Message | Malformed]:
    """Every finished translation: neither empty nor fuzzy nor obsolete; plurals in their form for one thing.

    Raises:
        LookupError: if the charset is not known.
        ValueError: if the content is no text that a catalog can be.
    """
    for mark, kind in OTHER_CONTENT.items():
        if content.startswith(mark):
            raise ValueError(f"its content is {kind}, a .po in an encoding that extends ASCII was expected")
    lines = content.removeprefix(BYTE_ORDER_MARK).split(b"\n")
    header = next((e.text("msgstr") or "" for e in _entries(lines, "latin-1") if _is_header(e)), "")
    charset = charset_of(header) or _charset_anywhere(content) or "utf-8"
    for_one = form_for_one(header)
    for entry in _entries(lines, charset):
        if entry.problem:
            yield Malformed(file, *entry.problem)
        elif not _is_header(entry) and not entry.is_fuzzy:
            forms = {
                int(name[7:-1]): "".join(text) for name, text in entry.fields.items() if name.startswith("msgstr[")
            }
            translation = translation_of(entry.text("msgstr"), forms, for_one)
            if translation:
                yield Message(entry.line, entry.text("msgid") or "", translation)


def _is_header(entry: _Entry) -> bool:
    return entry.problem is None and "msgctxt" not in entry.fields and entry.text("msgid") == ""


def _charset_anywhere(content: bytes) -> str | None:
    """Of a catalog whose header cannot be read as an entry."""
    found = re.search(rb'"Content-Type:[^"\n]*', content, re.IGNORECASE)
    charset = CHARSET.search(found[0].decode("latin-1")) if found else None
    return usable_charset(charset[1]) if charset and charset[1] != "CHARSET" else None


def _entries(lines: Iterable[bytes], charset: str) -> Iterator[_Entry]:
    """All entries that are not obsolete."""
    entry = _Entry()
    for number, raw in enumerate(lines, 1):
        try:
            line = raw.decode(charset).strip(ASCII_BLANKS)
        except UnicodeError:
            entry.fail(number, f"is not {charset.upper()}")
            continue
        if _ends(entry, line):
            yield from _finished(entry)
            entry = _Entry()
        if line.startswith("#,"):
            entry.is_fuzzy |= "fuzzy" in {flag.strip() for flag in line[2:].split(",")}
        elif line and not line.startswith("#"):
            _read_line(entry, number, line)
    yield from _finished(entry)


def _ends(entry: _Entry, line: str) -> bool:
    """Whether a line is not of this entry any more."""
    if line.startswith(("msgctxt", "msgid ", 'msgid"', "msgid\t")):
        return entry.has_translation or "msgid" in entry.fields
    return (not line or line.startswith("#")) and (entry.has_translation or entry.problem is not None)


def _finished(entry: _Entry) -> Iterator[_Entry]:
    if entry.fields and entry.problem is None and not ("msgid" in entry.fields and entry.has_translation):
        entry.fail(entry.line, f"begins an entry without {'msgstr' if 'msgid' in entry.fields else 'msgid'}")
    if entry.fields or entry.problem:
        yield entry


def _read_line(entry: _Entry, number: int, line: str) -> None:
    keyword = KEYWORD.match(line)
    if keyword:
        entry.current = keyword[1] if keyword[2] is None else f"{keyword[1]}[{int(keyword[2])}]"
        entry.line = number if keyword[1] == "msgid" or not entry.line else entry.line
        if entry.current in entry.fields:
            entry.fail(number, f"repeats {entry.current}")
        entry.fields[entry.current] = []
        line = line[keyword.end() :]
    quoted = QUOTED.fullmatch(line)
    if quoted is None:
        entry.fail(number, "has a string that is not closed" if line.startswith('"') else "is no line of a catalog")
    elif not entry.current:
        entry.fail(number, "has a string that no keyword begins")
    else:
        entry.fields[entry.current].append(ESCAPE.sub(_unescaped, quoted[1]))


def _unescaped(match: re.Match[str]) -> str:
    """As in C; a number that is no ASCII character is left as it is."""
    code = match[1]
    if code[0] == "x" and len(code) > 1:
        value = int(code[1:], 16)
    elif code[0] in "01234567":
        value = int(code, 8)
    else:
        return ESCAPED.get(code, code if code in "\"\\'?" else match[0])
    return chr(value) if 0 < value < 128 else match[0]
