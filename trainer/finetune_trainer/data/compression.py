"""Opening files whose names say how they are compressed, and saying so where their content is something else."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

BROKEN_FILE = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading a file that is missing its end, or is not what its name says, raises."""

_KINDS: Mapping[bytes, str] = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
    **{b"BZh%d%b" % (level, block): "bzip2" for level in range(1, 10) for block in (b"1AY&SY", b"\x17rE8P\x90")},
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"PK\x03\x04": "a zip archive",
    b"PAR1\x15": "Parquet",
    b"ARROW1\0": "Arrow",
    b"%PDF-": "PDF",
    b"SQLite format 3": "an SQLite data base",
    b"\xde\x12\x04\x95": "a compiled catalog (.mo)",
    b"\x95\x04\x12\xde": "a compiled catalog (.mo)",
}
"""What files begin with."""
COMPRESSIONS: Mapping[str, str] = {".gz": "gzip", ".xz": "xz", ".bz2": "bzip2", ".zst": "Zstandard"}
"""Kind by ending of the file's name."""
_LONGEST = max(map(len, _KINDS))


def without_compression(name: str) -> str:
    """A file's name without the ending of its compression: news.tsv of news.tsv.xz."""
    return next((name[: -len(end)] for end in COMPRESSIONS if name.lower().endswith(end)), name)


def with_compressions(*endings: str) -> tuple[str, ...]:
    """Endings, each alone and with that of each compression."""
    return tuple(f"{ending}{compression}" for ending in endings for compression in ("", *COMPRESSIONS))


def files_ending(path: Path, *endings: str) -> list[Path]:
    """The file itself, or all files below a folder that end so, compressed or not, in order."""
    if not path.is_dir():
        return [path]
    wanted = with_compressions(*endings)
    return sorted(file for file in path.rglob("*") if file.name.lower().endswith(wanted))


def kind_of(path: Path) -> str | None:
    """What a file is by its first bytes, in words; None if they do not tell."""
    with path.open("rb") as file:
        return _kind(file.read(_LONGEST))


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file, through the compression that its name ends in.

    Raises:
        OSError: also if the content is not what the name says.
    """
    named = COMPRESSIONS.get(path.suffix.lower())
    with path.open("rb") as file:
        _check_compression(file.read(_LONGEST), named)
    return _OPENERS[named](path) if named else path.open("rb")


def open_text(path: Path) -> IO[bytes]:
    """Open a file that holds text; the kinds of files that are not text are told apart.

    Raises:
        OSError: also if the content is not text.
    """
    file = open_bytes(path)
    try:
        kind = _kind(cast("io.BufferedReader", file).peek(_LONGEST))
    except BROKEN_FILE:
        file.close()
        raise
    if kind:
        file.close()
        raise OSError(f"its content is {kind}, not text")
    return file


def decompress(name: str, content: bytes) -> bytes:
    """The content of a member of an archive, whose name may end in that of a compression.

    Raises:
        OSError: and others of BROKEN_FILE, if the content is not what the name says.
    """
    named = COMPRESSIONS.get(Path(name).suffix.lower())
    _check_compression(content[:_LONGEST], named)
    if named is None:
        return content
    with _OPENERS[named](io.BytesIO(content)) as file:
        return file.read()


def _kind(head: bytes) -> str | None:
    return next((kind for magic, kind in _KINDS.items() if head.startswith(magic)), None)


def _check_compression(head: bytes, named: str | None) -> None:
    kind = _kind(head)
    if named is None and kind in COMPRESSIONS.values():
        ending = next(end for end, name in COMPRESSIONS.items() if name == kind)
        raise OSError(f"its content is {kind}, but its name does not end in {ending}: rename it")
    if named is not None and kind != named:
        raise OSError(f"its content is {kind or ('not ' if head else 'empty, not ') + named}, its name says {named}")


def _open_zstandard(file: Path | IO[bytes]) -> IO[bytes]:
    raw = pa.OSFile(str(file)) if isinstance(file, Path) else pa.PythonFile(file, mode="r")
    return cast("IO[bytes]", io.BufferedReader(pa.CompressedInputStream(raw, "zstd")))


_Opener = Callable[[Path | IO[bytes]], IO[bytes]]
_OPENERS: Mapping[str, _Opener] = {
    "gzip": cast("_Opener", gzip.open),
    "xz": cast("_Opener", lzma.open),
    "bzip2": cast("_Opener", bz2.open),
    "Zstandard": _open_zstandard,
}
