"""CoNLL's columns: a word a line, first the word and last its tag; an empty line parts sentences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from finetune_api.data import DataSource
from finetune_trainer.data.lines import read_lines
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.tagged import TaggedSentence, dumped, first_problem

DOCUMENT = "-DOCSTART-"
"""First column of a line that begins a document; it is no word."""


def read_conll(source: DataSource) -> Iterator[Row | Malformed]:
    """One row a sentence, at its first line; a sentence with a line that is wrong is Malformed there."""
    (path,) = source_files(source)
    sentence = _Sentence(path)
    for number, line in read_lines(path):
        if isinstance(line, str) and (not line.strip() or line.split()[0] == DOCUMENT):
            yield from sentence.take()
        else:
            sentence.add(number, line)
    yield from sentence.take()


class _Sentence:
    """Lines of the sentence that is being read."""

    def __init__(self, path: Path) -> None:
        self._file = str(path)
        self._width: int | None = None
        self._lines: list[tuple[int, str, str]] = []
        self._problem: Malformed | None = None

    def add(self, number: int, line: str | Malformed) -> None:
        """A line of a word; the first problem of a sentence is what is told of it."""
        if isinstance(line, Malformed):
            self._problem = self._problem or line
            return
        cells = line.split()
        self._width = self._width or len(cells)
        if len(cells) < 2 or len(cells) != self._width:
            expected = f"{self._width} as above" if len(cells) != self._width else "a word and its tag"
            reason = f"has {len(cells)} column{'' if len(cells) == 1 else 's'}, {expected} were expected"
            self._problem = self._problem or Malformed(self._file, number, reason)
        self._lines.append((number, cells[0], cells[-1]))

    def take(self) -> Iterator[Row | Malformed]:
        """The sentence, if there is one; the next line begins another."""
        lines, problem = self._lines, self._problem
        self._lines, self._problem = [], None
        numbers, words, tags = zip(*lines, strict=True) if lines else ((), (), ())
        wrong = first_problem(tags)
        if problem is None and wrong is not None:
            problem = Malformed(self._file, numbers[wrong[0]], wrong[1])
        if problem is not None:
            yield problem
        elif lines:
            yield Row((dumped(TaggedSentence(words, tags)),), self._file, numbers[0])
