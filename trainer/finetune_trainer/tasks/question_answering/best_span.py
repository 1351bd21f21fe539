"""From the ends that a head gives each window to one answer for each question, after BERT's evaluation of SQuAD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune_api.questions import Question
from finetune_trainer.tasks.question_answering.windows import Window

N_BEST = 20
"""Places of each end that are looked at."""
LONGEST_ANSWER = 30
"""Tokens."""
_NOTHING = -np.inf


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a context, in characters."""

    score: float
    start: int
    end: int


def best_answers(
    questions: Sequence[Question],
    windows: Sequence[Window],
    ends: Sequence[NDArray[np.float32]],
    *,
    may_be_unanswerable: bool,
) -> list[str]:
    """The answer to each question, as it stands in its context; empty where none is likelier.

    Args:
        questions: in the order that windows name them by.
        windows: of their contexts.
        ends: (2, tokens or more) of each window: logits of the first and of the last token of a span.
        may_be_unanswerable: whether the empty answer is one. Its score is that of the token that begins a row, in the
            window where it is least.
    """
    best: list[Span | None] = [None] * len(questions)
    nothing = [-_NOTHING] * len(questions)
    for window, logits in zip(windows, ends, strict=True):
        place = window.question
        nothing[place] = min(nothing[place], float(logits[0, 0] + logits[1, 0]))
        span, known = best_span(window, logits), best[place]
        if span is not None and (known is None or span.score > known.score):
            best[place] = span
    answers = []
    for question, span, score in zip(questions, best, nothing, strict=True):
        is_none = span is None or (may_be_unanswerable and score > span.score)
        answers.append("" if is_none or span is None else question.context[span.start : span.end].strip())
    return answers


def best_span(window: Window, logits: NDArray[np.float32]) -> Span | None:
    """The likeliest span of a window within its context; None if it has no token of it.

    Of each end the `N_BEST` likeliest places; a span is at most `LONGEST_ANSWER` tokens long.
    """
    inside = np.flatnonzero(window.starts >= 0)
    first, last = (inside[np.argsort(-row[inside], kind="stable")[:N_BEST]] for row in logits)
    length = last[None, :] - first[:, None]
    scores = logits[0][first][:, None] + logits[1][last][None, :]
    scores = np.where((length >= 0) & (length < LONGEST_ANSWER), scores, _NOTHING)
    if not scores.size or scores.max() == _NOTHING:
        return None
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    return Span(float(scores[row, column]), int(window.starts[first[row]]), int(window.ends[last[column]]))
