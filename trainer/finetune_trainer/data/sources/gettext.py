"""Software translations: .po and .mo catalogs, alone, in folders, and in archives such as wheels."""

from __future__ import annotations

import gettext
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import polib

from finetune_api.data import DataSource
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.rows import Row
from finetune_trainer.errors import BadConfiguration, BadData

KEYS_LANGUAGE = "en"
"""Catalogs have the English text as their key."""
CONTEXT_SEPARATOR = "\x04"
ZIP_ENDINGS = (".zip", ".whl")
TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def read_gettext(source: DataSource) -> Iterator[Row]:
    """Every finished, singular translation of the catalogs of the source's other language.

    A catalog's language is told by its path: `…/<language>/LC_MESSAGES/…` or `<language>.po`. Where a catalog is
    there as .po and as .mo, the .po is read. Archives within a folder are looked into.

    Raises:
        BadConfiguration: if no language is English.
        BadData: if an archive or catalog is broken.
    """
    if KEYS_LANGUAGE not in source.languages:
        raise BadConfiguration(
            "EnglishNeeded",
            f"source '{source.name}': gettext catalogs translate from English, but languages are "
            f"{', '.join(source.languages)}",
            "Name en as one of the two languages.",
        )
    (path,) = source_files(source)
    (other,) = (language for language in source.languages if language != KEYS_LANGUAGE)
    for name, content in _one_per_catalog(_catalogs(path, other, source.name)):
        try:
            entries = list(_entries(name, content))
        except (OSError, ValueError, UnicodeDecodeError) as error:
            raise BadData(
                "SourceNotReadable", f"source '{source.name}': {name} is no gettext catalog: {error}"
            ) from None
        for number, english, translation in entries:
            sides = {KEYS_LANGUAGE: english, other: translation}
            yield Row(tuple(sides[language] for language in source.languages), name, number)


def _catalogs(path: Path, language: str, source: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of every catalog of a language below `path`."""
    if path.is_file() and path.suffix in (".po", ".mo"):
        yield str(path), path.read_bytes()
        return
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        if file.name.endswith(ZIP_ENDINGS):
            yield from _in_zip(file, language, source)
        elif file.name.endswith(TAR_ENDINGS):
            yield from _in_tar(file, language, source)
        elif is_catalog(PurePosixPath(file.as_posix()), language):
            yield str(file), file.read_bytes()
        elif file == path:
            raise BadData("SourceNotReadable", f"source '{source}': {path} is neither a catalog nor an archive")


def _in_zip(path: Path, language: str, source: str) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if is_catalog(PurePosixPath(name), language):
                    yield f"{path}!{name}", archive.read(name)
    except (zipfile.BadZipFile, OSError) as error:
        raise BadData("SourceNotReadable", f"source '{source}': {path} is no whole archive: {error}") from None


def _in_tar(path: Path, language: str, source: str) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None and is_catalog(PurePosixPath(member.name), language):
                    yield f"{path}!{member.name}", file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BadData("SourceNotReadable", f"source '{source}': {path} is no whole archive: {error}") from None


def is_catalog(path: PurePosixPath, language: str) -> bool:
    """Whether the path is that of a catalog of `language`: pt-BR is written pt_BR there."""
    if path.suffix not in (".po", ".mo"):
        return False
    name = language.replace("-", "_")
    folder = path.parent.parent.name if path.parent.name == "LC_MESSAGES" else ""
    return name in (folder.split("@")[0], path.stem)


def _one_per_catalog(catalogs: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """The .po where there is one, else the .mo; both sort next to each other."""
    waiting: tuple[str, bytes] | None = None
    for name, content in catalogs:
        if waiting is not None and waiting[0].rpartition(".")[0] != name.rpartition(".")[0]:
            yield waiting
        waiting = (name, content)
    if waiting is not None:
        yield waiting


def _entries(name: str, content: bytes) -> Iterator[tuple[int, str, str]]:
    """Line (or number), key and translation of each usable entry."""
    if name.endswith(".po"):
        for entry in polib.pofile(content.decode("utf-8")):
            translation = entry.msgstr or entry.msgstr_plural.get(0, "")
            if translation and not entry.fuzzy and not entry.obsolete:
                yield entry.linenum, entry.msgid, translation
    else:
        catalog: dict[str | tuple[str, int], str] = gettext.GNUTranslations(io.BytesIO(content))._catalog  # type: ignore[attr-defined] # noqa: SLF001 - the only way to list it
        for number, (key, translation) in enumerate(catalog.items(), 1):
            text = key if isinstance(key, str) else key[0] if key[1] == 0 else ""
            if text:
                yield number, text.rpartition(CONTEXT_SEPARATOR)[2], translation
