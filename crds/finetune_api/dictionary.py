"""Bilingual dictionaries: a source word or term, a tab, its translation; one of them a line, in UTF-8."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from finetune_api.common import UriReference
from finetune_api.job import FineTuneJobSpec

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


def dictionaries(spec: FineTuneJobSpec) -> Iterator[tuple[str, UriReference]]:
    """Field path and file of every dictionary that a job reads: that of its prompts, and the terms of its tests."""
    if spec.adapt is not None and spec.adapt.prompts.dictionary is not None:
        yield "spec.adapt.prompts.dictionary", spec.adapt.prompts.dictionary
    for index, task in enumerate(spec.evaluate.tasks if spec.evaluate else ()):
        if task.terms is not None:
            yield f"spec.evaluate.tasks[{index}].terms", task.terms
