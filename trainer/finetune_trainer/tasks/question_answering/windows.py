"""Question and context as rows of an encoder: a context that is too long comes in windows that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from finetune_api.questions import Answer, Question
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.objectives.padded import PaddedRow

STRIDE = 128
"""Tokens that two windows share at most, as in Devlin et al. 2019."""
_AROUND = 4
"""Tokens at most that a tokenizer puts around two texts."""


@dataclass(frozen=True, slots=True)
class Window:
    """A question and a part of its context."""

    question: int
    """Place of the question among those that were encoded."""
    row: PaddedRow
    starts: NDArray[np.int64]
    """(tokens,): characters of the context before each token; -1 of tokens that are not of the context."""
    ends: NDArray[np.int64]
    """(tokens,): the same, with the token."""

    def span_of(self, answer: Answer | None) -> NDArray[np.int64]:
        """(2,): first and last token of an answer that is whole in this window; else both 0."""
        if answer is None:
            return np.zeros(2, np.int64)
        end = answer.start + len(answer.text)
        inside = np.flatnonzero((self.starts >= 0) & (self.ends > answer.start) & (self.starts < end))
        is_whole = len(inside) and self.starts[inside[0]] <= answer.start and self.ends[inside[-1]] >= end
        return np.array([inside[0], inside[-1]] if is_whole else [0, 0], np.int64)


def encode_windows(
    tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question], longest: int
) -> tuple[list[Window], int]:
    """Windows of at most `longest` tokens, question first, in the order of the questions; how many of these were cut.

    Of a question at most half of the room is taken; two windows share a quarter of it, at most `STRIDE` tokens. A
    special token that a text spells stays text.

    Raises:
        BadConfiguration: if the tokenizer is not an encoder's.
    """
    if tokenizer.cls_token_id is None or not tokenizer.is_fast:
        raise BadConfiguration(
            "NotAnEncoder",
            "the model's tokenizer puts nothing before a text, so a row has no place that says: no answer",
            "Give an encoder such as BERT or RoBERTa, or use the task QuestionAnswering.",
        )
    if not questions:
        return [], 0
    room = longest - _AROUND
    asked = [_first_tokens(tokenizer, question.question, room // 2) for question in questions]
    found = tokenizer(
        asked, [question.context for question in questions], truncation="only_second", max_length=longest,
        stride=max(0, min(STRIDE, room // 4)), return_overflowing_tokens=True, return_offsets_mapping=True,
        split_special_tokens=True, verbose=False,
    )  # fmt: skip
    windows = [_window(found, place) for place in range(len(found["input_ids"]))]
    return windows, sum(text != question.question for text, question in zip(asked, questions, strict=True))


def _window(found: Any, place: int) -> Window:
    types = found.get("token_type_ids")
    of_context = np.array([number == 1 for number in found.sequence_ids(place)])
    offsets = np.array(found["offset_mapping"][place], np.int64)
    return Window(
        question=int(found["overflow_to_sample_mapping"][place]),
        row=PaddedRow(
            np.array(found["input_ids"][place], np.int32), None if types is None else np.array(types[place], np.int32)
        ),
        starts=np.where(of_context, offsets[:, 0], -1),
        ends=np.where(of_context, offsets[:, 1], -1),
    )


def _first_tokens(tokenizer: PreTrainedTokenizerBase, text: str, most: int) -> str:
    """The text as far as its first tokens reach."""
    found = tokenizer(
        text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True, verbose=False
    )
    offsets = found["offset_mapping"]
    return text if len(offsets) <= most else text[: offsets[most - 1][1]]
