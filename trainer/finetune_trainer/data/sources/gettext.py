"""Software translations: .po and .mo catalogs, alone, in folders, and in archives such as wheels."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from finetune_api.data import DataSource
from finetune_api.languages import canonical_language, matching_codes
from finetune_trainer.data.catalogs import Message
from finetune_trainer.data.compression import (
    BROKEN_FILE,
    decompress,
    kind_of,
    open_bytes,
    with_compressions,
    without_compression,
)
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.mo import read_mo
from finetune_trainer.data.po import read_po
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.sources.fields import language_not_found
from finetune_trainer.errors import BadConfiguration, BadData

KEYS_LANGUAGE = "en"
"""Catalogs have the English text as their key."""
CATALOG_ENDINGS = (".po", ".mo")
ZIP_ENDINGS = (".zip", ".whl")
TAR_ENDINGS = (*with_compressions(".tar"), ".tgz", ".tbz2", ".txz")
# zipfile raises RuntimeError for a password, NotImplementedError for an unknown compression, ValueError for an offset
# that is none.
BROKEN_ARCHIVE = (*BROKEN_FILE, zipfile.BadZipFile, tarfile.TarError, RuntimeError, ValueError, OverflowError)
# LookupError: unknown charset. ValueError: one that no catalog can be in, or a .mo that is not whole.
BROKEN_CATALOG = (*BROKEN_FILE, LookupError, ValueError)


def read_gettext(source: DataSource) -> Iterator[Row | Malformed]:
    """Every finished, singular translation of the catalogs of the source's other language.

    A catalog's language is in its path: `…/<language>/LC_MESSAGES/…` or `<language>.po`. Where a catalog is
    there as .po and as .mo, the .po is read. Archives within a folder are looked into.

    Raises:
        BadConfiguration: if no language is English, or no catalog is in the other one.
        BadData: if an archive or catalog is broken.
    """
    english = next(iter(matching_codes(KEYS_LANGUAGE, source.languages)), None)
    if english is None:
        raise BadConfiguration(
            "EnglishNeeded",
            f"source '{source.name}': gettext catalogs translate from English, but languages are "
            f"{', '.join(source.languages)}",
            "Name en as one of the two languages.",
        )
    (path,) = source_files(source)
    (other,) = (language for language in source.languages if language != english)
    languages: set[str] = set()
    found = False
    for name, content in _one_per_catalog(_catalogs(path, other, source.name, languages)):
        found = True
        try:
            entries = list(_messages(name, content))
        except BROKEN_CATALOG as error:
            raise BadData(
                "SourceNotReadable",
                f"source '{source.name}': {name} is no whole gettext catalog: {_reason(error)}",
                "Replace the file by a whole one.",
            ) from None
        for entry in entries:
            if isinstance(entry, Malformed):
                yield entry
                continue
            sides = {english: entry.key, other: entry.translation}
            yield Row(tuple(sides[language] for language in source.languages), name, entry.line)
    if languages and not found:
        raise language_not_found(source, f"{path} has no catalog in {other}", languages)


def _catalogs(path: Path, language: str, source: str, languages: set[str]) -> Iterator[tuple[str, bytes]]:
    """Name and content of every catalog of a language below `path`; adds to `languages` those there are."""
    if path.is_file() and path.name.lower().endswith(with_compressions(*CATALOG_ENDINGS)):
        yield _read(path, source)
        return
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        if file.name.lower().endswith((*ZIP_ENDINGS, *TAR_ENDINGS)):
            yield from _in_archive(file, language, source, languages)
        elif _is_wanted(file.as_posix(), language, languages):
            yield _read(file, source)
        elif file == path:
            raise BadData("SourceNotReadable", f"source '{source}': {path} is neither a catalog nor an archive")


def _read(path: Path, source: str) -> tuple[str, bytes]:
    try:
        with open_bytes(path) as file:
            return str(path), file.read()
    except BROKEN_FILE as error:
        raise BadData("SourceNotReadable", f"source '{source}': {path} cannot be read: {_reason(error)}") from None


def _in_archive(path: Path, language: str, source: str, languages: set[str]) -> Iterator[tuple[str, bytes]]:
    read = _in_zip if path.name.lower().endswith(ZIP_ENDINGS) else _in_tar
    try:
        # A few catalogs at most: they differ in their names, which an archive may hold in any order.
        catalogs = sorted(read(path, language, languages))
    except BROKEN_ARCHIVE as error:
        raise BadData(
            "SourceNotReadable",
            f"source '{source}': {path} is no whole archive: {_reason(error)}{_content(path)}",
            "Fetch the file again.",
        ) from None
    for name, content in catalogs:
        yield f"{path}!{name}", content


def _in_zip(path: Path, language: str, languages: set[str]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if _is_wanted(name, language, languages):
                yield name, decompress(name, archive.read(name))


def _in_tar(path: Path, language: str, languages: set[str]) -> Iterator[tuple[str, bytes]]:
    # tarfile knows three compressions, and looks for itself which one it is.
    opened = open_bytes(path) if path.suffix.lower() == ".zst" else path.open("rb")
    with opened, tarfile.open(fileobj=opened, mode="r|" if path.suffix.lower() == ".zst" else "r:*") as archive:
        for member in archive:
            if not (member.isfile() and _is_wanted(member.name, language, languages)):
                continue
            file = archive.extractfile(member)
            if file is not None:
                yield member.name, decompress(member.name, file.read())


def catalog_language(name: str) -> str | None:
    """The language in a catalog's path: pt_BR, sr@latin. None if it is no catalog."""
    path = PurePosixPath(without_compression(name))
    if path.suffix not in CATALOG_ENDINGS:
        return None
    return path.parent.parent.name if path.parent.name == "LC_MESSAGES" else path.stem


def _is_wanted(name: str, language: str, languages: set[str]) -> bool:
    """Whether it is a catalog of `language`; adds to `languages` the one of any catalog, for the message."""
    found = catalog_language(name)
    if found is None:
        return False
    languages.add(found)
    return canonical_language(found) == canonical_language(language)


def _one_per_catalog(catalogs: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """The .po where there is one, else the .mo; both sort next to each other."""
    waiting: tuple[str, bytes] | None = None
    for name, content in catalogs:
        if waiting is not None and _stem(waiting[0]) != _stem(name):
            yield waiting
        waiting = (name, content)
    if waiting is not None:
        yield waiting


def _stem(name: str) -> str:
    return without_compression(name).rpartition(".")[0]


def _messages(name: str, content: bytes) -> Iterator[Message | Malformed]:
    """All usable ones of a catalog."""
    read = read_po if without_compression(name).lower().endswith(".po") else read_mo
    return read(content, name)


def _content(path: Path) -> str:
    kind = kind_of(path)
    return f" (its content is {kind})" if kind else ""


def _reason(error: BaseException) -> str:
    """Of an error, in one line; some come as lists."""
    text = getattr(error, "strerror", None) or str(error)
    return (text.partition("\n")[0] or type(error).__name__).rstrip(":")
