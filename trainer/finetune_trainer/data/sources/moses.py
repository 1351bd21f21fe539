"""A pair of line-aligned files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from finetune_api.data import DataSource
from finetune_trainer.data.lines import read_lines
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.errors import BadConfiguration, BadData


def read_moses(source: DataSource) -> Iterator[Row | Malformed]:
    """Line n of one file is the translation of line n of the other.

    Raises:
        BadData: if the files have different numbers of lines.
        BadConfiguration: if the uri has no {lang}.
    """
    if "{lang}" not in source.uri:
        raise BadConfiguration(
            "LanguagePlaceholderMissing",
            f"source '{source.name}': the uri of a moses pair needs {{lang}} where the files' names differ",
            "Write it as in news.{lang}.gz",
        )
    first, second = source_files(source)
    for left, right in zip_longest(read_lines(first), read_lines(second)):
        if left is None or right is None:
            shorter, longer = (first, second) if left is None else (second, first)
            number = (right or left)[0]
            raise BadData(
                "FilesDifferInLength",
                f"source '{source.name}': {shorter} ends before line {number:,} of {longer}",
                "The two files of a pair must have the same number of lines: take them from the same release.",
            )
        (number, source_line), (_, target_line) = left, right
        if isinstance(source_line, Malformed):
            yield source_line
        elif isinstance(target_line, Malformed):
            yield target_line
        else:
            yield Row((source_line, target_line), str(first), number)
