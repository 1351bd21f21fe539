"""Types of sources whose rows are more than texts: each row is kept as one text, canonical JSON, in one column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from finetune_api.data import Clean, DataSource
from finetune_trainer.data import conversations, labelled, questions, tagged
from finetune_trainer.data.rows import Malformed, Row


@dataclass(frozen=True, slots=True)
class StoredRows:
    """What the pipeline must know of such rows; each function but the first takes what is stored."""

    of_record: Callable[[DataSource, Mapping[str, Any], str, int], Row | Malformed]
    """The row in a record of a file, at a line."""
    clean: Callable[[str, Clean], str]
    """In normal form, or one of `RULES`: dropped by that rule."""
    asked: Callable[[str], str]
    """By which rows are split and kept apart from tests: without the answer."""
    contents: Callable[[Iterable[str]], Iterable[str]]
    """All texts of some rows, for tokenizers and counts of words."""
    labels: Callable[[str], Iterable[str]] | None = None
    """Of types with labels: those of a row; of tags the types of entities."""
    whole: Callable[[str], str] = str
    """By which rows are duplicates."""
    identifier: Callable[[str], str] | None = None
    """A name that no other row of the source may have."""


def _no_record(source: DataSource, _: Mapping[str, Any], file: str, line: int) -> Malformed:
    return Malformed(file, line, f"is a record: {source.type} sources are files of lines")


STORED: Mapping[str, StoredRows] = {
    "Instruction": StoredRows(
        lambda _, record, file, line: conversations.row_of_conversation(record, file, line),
        conversations.clean_conversation,
        conversations.asked,
        conversations.contents,
    ),
    "Labelled": StoredRows(
        labelled.row_of_labelled,
        labelled.clean_labelled,
        labelled.asked,
        labelled.contents,
        labelled.labels_of,
    ),
    "CoNLL": StoredRows(
        _no_record,
        tagged.clean_tagged,
        tagged.asked,
        tagged.contents,
        tagged.types_of,
    ),
    "QuestionAnswering": StoredRows(
        lambda _, record, file, line: questions.row_of_question(record, file, line),
        questions.clean_question,
        questions.context_of,
        questions.contents,
        whole=questions.asked,
        identifier=questions.identifier,
    ),
}
"""By type of source; rows of other types are texts, one a language."""
