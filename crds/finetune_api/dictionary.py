"""Bilingual dictionaries: a source word, a tab, its translation; one of them a line, in UTF-8."""

from __future__ import annotations

from pathlib import Path

_TOLD = 5
"""Lines that a message names."""


class DictionaryError(ValueError):
    """A file is no dictionary; the message names file and lines."""


def read_dictionary(path: Path) -> dict[str, tuple[str, ...]]:
    """Translations by lower-cased source word, in the order of the file.

    Raises:
        DictionaryError: with the first lines that cannot be used, or if there are none.
        OSError: if the file cannot be read.
    """
    found: dict[str, list[str]] = {}
    wrong: list[str] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            wrong.append(f"{path}:{number}: byte {error.start + 1} is not UTF-8: save the file as UTF-8")
            continue
        cells = [cell.strip() for cell in text.split("\t")]
        if not text.strip():
            continue
        if len(cells) != 2 or not all(cells):
            wrong.append(f"{path}:{number}: must be a word, a tab and its translation")
            continue
        translations = found.setdefault(cells[0].lower(), [])
        if cells[1] not in translations:
            translations.append(cells[1])
    if wrong:
        more = [f"and {len(wrong) - _TOLD:,} more lines"] if len(wrong) > _TOLD else []
        raise DictionaryError("; ".join([*wrong[:_TOLD], *more]))
    if not found:
        raise DictionaryError(f"{path} holds no words")
    return {word: tuple(translations) for word, translations in found.items()}
