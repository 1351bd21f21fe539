"""Files of questions, looked at before a pod runs: what `finetune lint` tells of those on this machine."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any

from finetune_api.questions import BadQuestion, read_question, squad_records

_TOLD = 5
"""Questions that are named."""
MOST_BYTES = 256 << 20
"""Larger files are left to prepare; lint answers at once."""
_OPEN: Mapping[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError)


def question_problems(path: Path, format_: str | None = None, most: int | None = None) -> list[str]:
    """What is wrong with the questions of a file, the first ones by name and place; the others counted.

    None of a file that is not there, that is too large, or that is neither JSON nor JSONL: prepare reads those.

    Args:
        path: of the file, which may be compressed.
        format_: of the source, if it is given; else the name tells.
        most: questions that are read.
    """
    name = path.name.lower()
    ending = next((end for end in _OPEN if name.endswith(end)), "")
    read = _READERS.get(format_ or Path(name.removesuffix(ending)).suffix)
    try:
        if read is None or not path.is_file() or path.stat().st_size > MOST_BYTES:
            return []
        with _OPEN.get(ending, open)(path, "rb") as file:
            problems = list(_problems(path, islice(read(file), most)))
    except _BROKEN as error:
        return [f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"]
    more = len(problems) - _TOLD
    return [*problems[:_TOLD], *([f"{path}: {more:,} more questions cannot be used"] if more > 0 else [])]


def _problems(path: Path, records: Iterator[tuple[str, Any]]) -> Iterator[str]:
    """`place` of a record is `:7` of a line, or that within the JSON."""
    seen: dict[str, str] = {}
    for place, record in records:
        try:
            name = _identifier(record)
        except BadQuestion as error:
            yield f"{path}{place} {error}"
            continue
        if name in seen:
            yield f"{path}{place} has the id {json.dumps(name)} again: {path}{seen[name]} has it"
        seen.setdefault(name, place)


def _identifier(record: Any) -> str:
    if isinstance(record, BadQuestion):
        raise record
    if not isinstance(record, Mapping):
        raise BadQuestion("is not a JSON object")
    return read_question(record).id


def _of_document(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    try:
        document = json.loads(file.read().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        yield line, BadQuestion(f"is not JSON: {error}")
        return
    for place, record in squad_records(document):
        yield f" {place}" if place else "", record


def _of_lines(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            yield f":{number}", json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except (ValueError, RecursionError) as error:
            yield f":{number}", BadQuestion(f"is not JSON: {error}")


_READERS: Mapping[str, Callable[[IO[bytes]], Iterator[tuple[str, Any]]]] = {
    "squad": _of_document,
    "jsonl": _of_lines,
    ".json": _of_document,
    ".jsonl": _of_lines,
    ".ndjson": _of_lines,
}
"""By format, or by the ending of a name."""
