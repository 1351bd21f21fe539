"""From texts and model to translations: prompts, decoding over all ranks, text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from finetune_api.adapt import Prompts
from finetune_api.decoding import Decoding
from finetune_trainer.data.lines import one_line
from finetune_trainer.decoding import DecodingLimits, TokenIds
from finetune_trainer.prompts import Prompt, create_prompt, encode_texts
from finetune_trainer.tasks.interface import Predictions, System
from finetune_trainer.tasks.translation.examples import Pair
from finetune_trainer.tasks.translation.test_set import TranslationTestSet

_SPARE = 16
"""Tokens: short sources may have longer translations."""


@dataclass(frozen=True, slots=True)
class _Built:
    prompts: list[TokenIds]
    without_any: int
    """Prompts that have lost all their examples."""
    with_fewer: int
    """Prompts that have lost some."""


def translate(system: System, test_set: TranslationTestSet, shots: int) -> Predictions:
    """Translate a test set. A collective: every rank decodes its share and has all texts afterwards."""
    task = test_set.task
    translator = Translator(system, test_set.prompts, test_set.direction, task.max_new_tokens, task.decoding)
    examples = None if shots == 0 or test_set.examples is None else [p[:shots] for p in test_set.examples.pairs]
    return translator.translate(test_set.sources, examples)


class Translator:
    """One system, one direction."""

    def __init__(
        self,
        system: System,
        prompts: Prompts,
        direction: str,
        max_new_tokens: int,
        decoding: Decoding = Decoding(),  # noqa: B008 - it is frozen
    ) -> None:
        """`direction` is source first; `max_new_tokens` is for each text."""
        self._decoding = decoding
        self._system = system
        self._prompt = create_prompt(prompts.template, system.tokenizer, direction, prompts)
        self._limits = DecodingLimits(
            stop_ids=frozenset(int(i) for i in self._prompt.stop_ids),
            max_new_tokens=max_new_tokens,
            context_length=system.context_length,
        )

    def translate(self, sources: Sequence[str], examples: Sequence[Sequence[Pair]] | None = None) -> Predictions:
        """Translate texts, each after its examples, given the most similar first; a collective, as `translate`."""
        system, limits = self._system, self._limits
        built = _build_prompts(self._prompt, system.tokenizer, sources, examples, limits)
        # The answer is in the text, for a token may hold a line break in its middle.
        answers = system.answer(built.prompts, limits, self._decoding, lambda text: one_line(self._prompt.answer(text)))
        notes = _notes(built, sum(limits.room(len(p)) == 0 for p in built.prompts))
        return Predictions(answers.texts, notes, candidates=answers.candidates)


def _notes(built: _Built, without_room: int) -> list[str]:
    notes = []
    if built.without_any:
        notes.append(f"{built.without_any} prompts were too long for an example and had none.")
    if built.with_fewer:
        notes.append(f"{built.with_fewer} prompts were too long for all their examples: the farthest were left out.")
    if without_room:
        notes.append(f"{without_room} prompts filled the context; their output is empty.")
    return notes


def _build_prompts(
    prompt: Prompt,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    examples: Sequence[Sequence[Pair]] | None,
    limits: DecodingLimits,
) -> _Built:
    """Prompts with as many examples as leave room for an output of twice the source; the most similar stands last."""
    sources = encode_texts(tokenizer, [prompt.source_text(text) for text in texts], prompt.source_lead)
    pairs = [pair for some in examples or () for pair in some]
    encoded = zip(
        encode_texts(tokenizer, [prompt.source_text(pair[0]) for pair in pairs], prompt.source_lead),
        encode_texts(tokenizer, [pair[1] for pair in pairs], prompt.target_lead),
        strict=True,
    )
    prompts, without_any, with_fewer = [], 0, 0
    for row, source in enumerate(sources):
        solved = [next(encoded) for _ in examples[row]] if examples else []
        room = min(limits.max_new_tokens, 2 * len(source) + _SPARE)
        shots = len(solved)
        while shots and limits.room(len(prompt.prompt(source, solved[:shots]))) < room:
            shots -= 1
        prompts.append(prompt.prompt(source, solved[:shots][::-1]))
        without_any += shots == 0 < len(solved)
        with_fewer += 0 < shots < len(solved)
    return _Built(prompts, without_any, with_fewer)
