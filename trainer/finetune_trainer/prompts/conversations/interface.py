"""What a template of conversations is, and how its fixed texts and the messages become tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from finetune_trainer.errors import BadConfiguration
from finetune_trainer.prompts.segments import encode_inside, encode_texts

TokenIds = npt.NDArray[np.int32]
Message = Mapping[str, str]
"""`role` and `content`."""
Roles = tuple[str, ...]
ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class EncodedConversation:
    """A conversation as tokens."""

    tokens: TokenIds
    """(tokens,)"""
    is_answer: npt.NDArray[np.bool_]
    """(tokens,): what the assistant has to produce: its answers, each with the token that ends it."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What stands around the messages of conversations with the same roles."""

    before: list[TokenIds]
    """Before each message."""
    leads: list[str]
    """What each message is encoded with (`encode_texts`)."""
    is_answer: list[bool]
    """Whether each message is the assistant's."""
    ends: list[int]
    """Of each message: so many of the tokens after it end an answer."""
    after: TokenIds
    """After the last message."""


class Conversations(ABC):
    """Composes conversations; a template says what stands around messages, by their roles alone.

    Messages are encoded by themselves, so a special token that is spelled in one stays a text. So training and decoding
    put the same tokens together.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Of the model.

        Raises:
            BadConfiguration: if it has no end-of-sequence token.
        """
        if tokenizer.eos_token_id is None:
            raise BadConfiguration(
                "TokenizerWithoutEos",
                "the model's tokenizer has no end-of-sequence token, so no answer could ever end",
                "Name eos_token in tokenizer_config.json.",
            )
        self.tokenizer = tokenizer
        self._layouts: dict[Roles, _Layout] = {}

    @abstractmethod
    def texts_around(self, roles: Roles) -> list[str]:
        """What stands before each message, and after the last: one text more than there are roles.

        Special tokens are spelled. The last role is the assistant's, and the last text begins with what ends an answer.

        Raises:
            BadConfiguration: if the template cannot say it.
        """
        ...

    @property
    def begin(self) -> Sequence[int]:
        """Tokens before the first text that no text spells."""
        return ()

    def encode(self, conversations: Sequence[Sequence[Message]]) -> list[EncodedConversation]:
        """Whole conversations."""
        contents = iter(self._contents(conversations))
        return [self._joined(self._layout(_roles(talk)), [next(contents) for _ in talk]) for talk in conversations]

    def ask(self, conversations: Sequence[Sequence[Message]]) -> list[TokenIds]:
        """Of each conversation, the tokens up to where its last answer begins."""
        asked = iter(self._contents([talk[:-1] for talk in conversations], conversations))
        prompts = []
        for talk in conversations:
            layout = self._layout(_roles(talk))
            parts = [part for before in layout.before[:-1] for part in (before, next(asked))]
            prompts.append(np.concatenate([*parts, layout.before[-1]]).astype(np.int32))
        return prompts

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer when decoding."""
        layout = self._layout(("user", ASSISTANT))
        return frozenset({int(layout.after[-1]), int(self.tokenizer.eos_token_id)})

    def _contents(
        self, conversations: Sequence[Sequence[Message]], whole: Sequence[Sequence[Message]] | None = None
    ) -> list[TokenIds]:
        """Tokens of all messages, one after the other; `whole` conversations tell the roles, if others than these."""
        leads = [
            lead
            for talk, roles in zip(conversations, map(_roles, whole or conversations), strict=True)
            for lead in self._layout(roles).leads[: len(talk)]
        ]
        texts = [message["content"] for talk in conversations for message in talk]
        encoded: list[TokenIds] = [np.empty(0, np.int32)] * len(texts)
        for lead in dict.fromkeys(leads):
            places = [place for place, own in enumerate(leads) if own == lead]
            for place, ids in zip(
                places, encode_texts(self.tokenizer, [texts[place] for place in places], lead), strict=True
            ):
                encoded[place] = ids
        return encoded

    def _layout(self, roles: Roles) -> _Layout:
        if roles not in self._layouts:
            self._layouts[roles] = self._new_layout(roles)
        return self._layouts[roles]

    def _new_layout(self, roles: Roles) -> _Layout:
        texts = self.texts_around(roles)
        leads = [" " if text.endswith(" ") else "" for text in texts[:-1]]
        first, *rest = (text.removesuffix(lead) for text, lead in zip(texts, [*leads, ""], strict=True))
        start = np.array([*self.begin, *self.tokenizer.encode(first, add_special_tokens=False)], np.int32)
        fixed = [start, *(encode_inside(self.tokenizer, text) for text in rest)]
        is_answer = [role == ASSISTANT for role in roles]
        ends = [_end(ids, self._special_ids) * answers for answers, ids in zip(is_answer, fixed[1:], strict=True)]
        last = fixed[-1][: ends[-1]] if ends[-1] else np.array([self.tokenizer.eos_token_id], np.int32)
        return _Layout(fixed[:-1], leads, is_answer, [*ends[:-1], len(last)], last)

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        added = self.tokenizer.added_tokens_decoder.items()
        return frozenset(self.tokenizer.all_special_ids) | {number for number, token in added if token.special}

    @staticmethod
    def _joined(layout: _Layout, contents: Sequence[TokenIds]) -> EncodedConversation:
        behind = [*layout.before[1:], layout.after]
        parts, answers = [layout.before[0]], [np.zeros(len(layout.before[0]), np.bool_)]
        for content, text, is_answer, end in zip(contents, behind, layout.is_answer, layout.ends, strict=True):
            parts += [content, text]
            answers += [np.full(len(content), is_answer), np.arange(len(text)) < end]
        return EncodedConversation(np.concatenate(parts).astype(np.int32), np.concatenate(answers))


def _roles(conversation: Sequence[Message]) -> Roles:
    return tuple(message["role"] for message in conversation)


def _end(ids: TokenIds, special: frozenset[int]) -> int:
    """How many of the tokens after an answer end it: up to the first special one; 0 where there is none."""
    return next((place + 1 for place, number in enumerate(ids.tolist()) if number in special), 0)
