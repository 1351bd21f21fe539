"""Questions about texts, as rows of a QuestionAnswering source: cleaned, and kept as one text each.

A question is stored as JSON, so that it fits into one column. The places of its answers are counted in characters of
the stored context.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from finetune_api.data import Clean
from finetune_api.questions import Answer, BadQuestion, Question, read_question
from finetune_trainer.data.clean import clean_lines
from finetune_trainer.data.rows import ANSWER_LOST, EMPTY, Malformed, Row


def row_of_question(record: Mapping[str, Any], file: str, line: int) -> Row | Malformed:
    """The question in a record, as one text; Malformed where it is none, or an answer is not where it should be."""
    try:
        return Row((dumped(read_question(record)),), file, line)
    except BadQuestion as error:
        return Malformed(file, line, str(error))


def dumped(question: Question) -> str:
    """As it is stored."""
    return json.dumps(asdict(question), ensure_ascii=False)


def loaded(text: str) -> Question:
    """A question from what `dumped` wrote."""
    fields = json.loads(text)
    return Question(**fields | {"answers": tuple(Answer(**answer) for answer in fields["answers"])})


def context_of(text: str) -> str:
    """The context of a stored question, with single blanks: what is asked about one text belongs into one split."""
    return _single_blanks(loaded(text).context)


def asked(text: str) -> str:
    """Context and question: who asks the same about the same text twice, whatever the answers, has a duplicate."""
    question = loaded(text)
    return f"{_single_blanks(question.context)}\n{_single_blanks(question.question)}"


def identifier(text: str) -> str:
    """Of a stored question."""
    return loaded(text).id


def contents(texts: Iterable[str]) -> Iterator[str]:
    """Contexts, questions and answers of stored questions."""
    for question in map(loaded, texts):
        yield question.context
        yield question.question
        yield from (answer.text for answer in question.answers)


def clean_question(text: str, rules: Clean) -> str:
    """A stored question in normal form, without control characters, or the name of the rule that drops it.

    Line breaks and markup of the context stay. An answer is looked for where the text before it, in normal form, ends.
    """
    question = loaded(text)
    context, asks = clean_lines(question.context, rules), clean_lines(question.question, rules)
    if not context or not asks:
        return EMPTY
    answers = [_moved(answer, question.context, context, rules) for answer in question.answers]
    found = tuple(answer for answer in answers if answer is not None)
    if len(found) < len(answers):
        return ANSWER_LOST
    return dumped(replace(question, context=context, question=asks, answers=found))


def _single_blanks(text: str) -> str:
    return " ".join(text.split())


def _moved(answer: Answer, context: str, cleaned: str, rules: Clean) -> Answer | None:
    """The answer where it stands in the cleaned context; None if it does not."""
    text = clean_lines(answer.text, rules)
    # What is before it lost the blanks at its end, so there the answer is, or behind as many blanks.
    place = cleaned.find(text, len(clean_lines(context[: answer.start], rules))) if text else -1
    return Answer(text, place) if place >= 0 else None
