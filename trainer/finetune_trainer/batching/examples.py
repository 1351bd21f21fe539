"""Examples of an arm: what a sample index stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Example:
    """One training example."""

    tokens: Tokens
    loss_from: int
    """First token that is a target; the first token of all never is (nothing predicts it)."""


class ExampleSet(Protocol):
    """Examples by index, with their lengths known beforehand; all lengths are at most a row's."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        ...

    @property
    def targets(self) -> NDArray[np.int64]:
        """Target tokens of each example."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


class TokenTexts(Protocol):
    """Tokenised texts (`data.prepared.TokenColumn`)."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Tokens: ...


class Documents:
    """Texts for CausalLM: beginning of sequence, text, end of sequence; long texts in several pieces.

    Every piece begins with the beginning-of-sequence token; only the last ends with the end-of-sequence token.
    """

    def __init__(self, texts: TokenTexts, bos: int, eos: int, longest: int) -> None:
        self._texts = texts
        self._bos = np.array([bos], dtype=np.int32)
        self._eos = np.array([eos], dtype=np.int32)
        self._piece = longest - 1  # text (and end) tokens of a piece
        with_end = np.asarray(texts.lengths, dtype=np.int64) + 1
        pieces = -(-with_end // self._piece)
        self._one_each = bool((pieces == 1).all())
        if self._one_each:
            self._lengths = with_end + 1
            return
        self._owner = np.repeat(np.arange(len(with_end), dtype=np.int64), pieces)
        self._number = np.arange(len(self._owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        self._lengths = np.minimum(with_end[self._owner] - self._number * self._piece, self._piece) + 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """See ExampleSet."""
        return self._lengths

    @property
    def targets(self) -> NDArray[np.int64]:
        """See ExampleSet."""
        return self._lengths - 1

    def __len__(self) -> int:
        return len(self._lengths)

    def __getitem__(self, index: int) -> Example:
        owner, number = (index, 0) if self._one_each else (int(self._owner[index]), int(self._number[index]))
        text = self._texts[owner]
        start = number * self._piece
        if start + self._piece > len(text):  # the piece with the end
            return Example(np.concatenate((self._bos, text[start:], self._eos)), 1)
        return Example(np.concatenate((self._bos, text[start : start + self._piece])), 1)


class TranslationPrompt(Protocol):
    """`prompts.AdaptiveMtPrompt`, without an example in front."""

    def prompt(self, source_tokens: Tokens) -> Tokens:
        """Everything before the answer."""
        ...

    def target(self, target_tokens: Tokens) -> Tokens:
        """The answer, with its end."""
        ...


class Translations:
    """Sentence pairs as zero-shot prompts; loss on the target only. Pairs longer than a row are left out."""

    def __init__(self, sources: TokenTexts, targets: TokenTexts, prompt: TranslationPrompt, longest: int) -> None:
        self._sources, self._target_texts, self._prompt = sources, targets, prompt
        nothing = np.empty(0, dtype=np.int32)
        target_lengths = np.asarray(targets.lengths, dtype=np.int64) + len(prompt.target(nothing))
        lengths = np.asarray(sources.lengths, dtype=np.int64) + len(prompt.prompt(nothing)) + target_lengths
        fits = lengths <= longest
        self.left_out = int((~fits).sum())
        """Pairs that are too long."""
        self._rows = None if fits.all() else np.flatnonzero(fits)
        self._lengths = lengths if self._rows is None else lengths[self._rows]
        self._targets = target_lengths if self._rows is None else target_lengths[self._rows]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """See ExampleSet."""
        return self._lengths

    @property
    def targets(self) -> NDArray[np.int64]:
        """See ExampleSet."""
        return self._targets

    def __len__(self) -> int:
        return len(self._lengths)

    def __getitem__(self, index: int) -> Example:
        row = index if self._rows is None else int(self._rows[index])
        prompt = self._prompt.prompt(self._sources[row])
        return Example(np.concatenate((prompt, self._prompt.target(self._target_texts[row]))), len(prompt))
