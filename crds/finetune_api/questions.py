"""Questions about texts, as SQuAD stores them (Rajpurkar et al. 2016; 2018 with questions that have no answer).

A record is one question: `{id, context, question, answers}`. SQuAD's own files nest records:
`data[].paragraphs[].{context, qas[].{id, question, answers[].{text, answer_start}}}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

_SHOWN = 40
"""Characters of a text in a message."""
_MAX_NAMES = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """A part of the context."""

    text: str
    start: int
    """Characters (code points) before it in the context."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one text."""

    id: str
    context: str
    question: str
    answers: tuple[Answer, ...]
    """All are right; none where the context does not answer."""


class BadQuestion(ValueError):
    """What is wrong with a record; completes "file:line "."""


def read_question(record: Mapping[str, Any]) -> Question:
    """The question in a record.

    `answers` is a list of texts, or of objects of `text` and `answer_start`, or, as in data sets of the hub, one object
    of both as lists. A text without a place stands where it first occurs. A question that the context does not answer
    has `is_impossible: true`; the hub's form has empty lists.

    Raises:
        BadQuestion: with everything that is wrong.
    """
    missing = [name for name in ("id", "context", "question", "answers") if record.get(name) is None]
    if missing:
        there = ", ".join(sorted(map(str, record))[:_MAX_NAMES]) or "none"
        raise BadQuestion(f"has no key {_listed(missing)}; its keys: {there}{_named(record)}")
    wrong = [f"has no text in key '{name}'" for name in ("context", "question") if not _is_text(record[name])]
    if not isinstance(record["id"], (str, int)) or isinstance(record["id"], bool) or record["id"] == "":
        wrong.append("has no text in key 'id'")
    if wrong:
        raise BadQuestion("; ".join(wrong) + _named(record))
    try:
        answers = _answers(record, record["context"])
    except BadQuestion as error:
        raise BadQuestion(f"{error}{_named(record)}") from None
    return Question(str(record["id"]), record["context"], record["question"], answers)


def squad_records(document: Any) -> Iterator[tuple[str, Mapping[str, Any] | BadQuestion]]:
    """Place within a SQuAD file, such as `data[0].paragraphs[2].qas[1]`, and record of each question.

    What is nested otherwise comes as a BadQuestion.
    """
    for place, article in _items(document, "", "data"):
        if isinstance(article, BadQuestion):
            yield place, article
            continue
        for inner, paragraph in _items(article, place, "paragraphs"):
            if isinstance(paragraph, BadQuestion):
                yield inner, paragraph
                continue
            for innermost, question in _items(paragraph, inner, "qas"):
                if isinstance(question, BadQuestion):
                    yield innermost, question
                else:
                    yield innermost, {**question, "context": paragraph.get("context")}


def _items(owner: Any, place: str, key: str) -> Iterator[tuple[str, Mapping[str, Any] | BadQuestion]]:
    """The objects of a list, with their places; where there is no such list, that alone."""
    values = owner.get(key) if isinstance(owner, Mapping) else None
    if not isinstance(values, list):
        form = "" if place else ": SQuAD's form is data[].paragraphs[].{context, qas[].{id, question, answers}}"
        yield place, BadQuestion(f"has no list in key '{key}'{form}")
        return
    for number, value in enumerate(values):
        inner = f"{place}.{key}[{number}]".removeprefix(".")
        yield inner, value if isinstance(value, Mapping) else BadQuestion("is no object")


def _answers(record: Mapping[str, Any], context: str) -> tuple[Answer, ...]:
    given, impossible = record["answers"], record.get("is_impossible")
    if impossible is not None and not isinstance(impossible, bool):
        raise BadQuestion("has neither true nor false in key 'is_impossible'")
    of_hub = isinstance(given, Mapping)
    listed = _of_hub(given) if of_hub else given
    if not isinstance(listed, list):
        raise BadQuestion("has no list in key 'answers'")
    if impossible and listed:
        raise BadQuestion("has answers, and is_impossible: true")
    if not listed and not impossible and (impossible is False or not of_hub):
        raise BadQuestion("has no answers: where the context does not answer, write is_impossible: true")
    found, wrong = [], []
    for number, value in enumerate(listed):
        try:
            found.append(_answer(value, context))
        except BadQuestion as error:
            wrong.append(f"answers[{number}] {error}")
    if wrong:
        raise BadQuestion("; ".join(["has " + wrong[0], *wrong[1:]]))
    return tuple(dict.fromkeys(found))


def _of_hub(given: Mapping[str, Any]) -> list[Any]:
    texts, starts = given.get("text"), given.get("answer_start")
    if not isinstance(texts, list) or (starts is not None and not isinstance(starts, list)):
        raise BadQuestion("has no lists in answers.text and answers.answer_start")
    if starts is None:
        return texts
    if len(texts) != len(starts):
        raise BadQuestion(f"has {len(texts)} texts in answers.text and {len(starts)} places in answers.answer_start")
    return [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]


def _answer(value: Any, context: str) -> Answer:
    text = value.get("text") if isinstance(value, Mapping) else value
    start = value.get("answer_start") if isinstance(value, Mapping) else None
    if not _is_text(text):
        raise BadQuestion("without a text")
    first = context.find(text)
    if first < 0:
        raise BadQuestion(f"{_shown(text)}, which is not in the context")
    if start is None:
        return Answer(text, first)
    if not isinstance(start, int) or isinstance(start, bool):
        raise BadQuestion(f"{_shown(text)} without a number in answer_start")
    if start < 0 or not context.startswith(text, start):
        there = min(_places(context, text), key=lambda place: abs(place - start))
        raise BadQuestion(f"{_shown(text)}, which begins at {there} of the context, not at answer_start {start}")
    return Answer(text, start)


def _places(context: str, text: str) -> Iterator[int]:
    place = context.find(text)
    while place >= 0:
        yield place
        place = context.find(text, place + 1)


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _shown(text: str) -> str:
    return json.dumps(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…", ensure_ascii=False)


def _named(record: Mapping[str, Any]) -> str:
    identifier = record.get("id")
    return f" (id {_shown(str(identifier))})" if isinstance(identifier, (str, int)) else ""
