"""From prepared data to what adaptation trains and validates on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from finetune_api.adapt import Adapt
from finetune_api.figures import shots_name
from finetune_api.language_tags import direction_languages
from finetune_trainer.data.lines import one_line
from finetune_trainer.data.match_requests import VALIDATION_SEGMENTS, training_requests
from finetune_trainer.data.match_tables import open_table
from finetune_trainer.data.prepared import PairSplit, PreparedData
from finetune_trainer.data.sampling import shuffled_rows
from finetune_trainer.errors import BadConfiguration, BadData
from finetune_trainer.objectives.pairs import PairExamples, PairTokens
from finetune_trainer.prompts import create_prompt, encode_texts
from finetune_trainer.tasks.interface import TrainingData, empty_training_split
from finetune_trainer.tasks.translation.selection import Selection, select_examples


class EncodedTexts:
    """Texts encoded anew, for a prompt that needs other tokens than prepared data holds (`objectives.TokenTexts`)."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], lead: str) -> None:
        """See `encode_texts`."""
        self._ids = encode_texts(tokenizer, texts, lead)
        self.lengths: NDArray[np.int64] = np.array([len(ids) for ids in self._ids], np.int64)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        return self._ids[index]


class _Builder:
    def __init__(self, adapt: Adapt, data: PreparedData) -> None:
        self.adapt = adapt
        self.data = data
        self.languages = direction_languages(adapt.task.direction or "")
        self.tokenizer = data.tokenizer()
        self.prompt = create_prompt(adapt.prompts.template, self.tokenizer, adapt.task.direction or "", adapt.prompts)
        self.encoded: dict[int, PairTokens] = {}
        self.pool = data.pairs(adapt.task.source, "train")
        self.validation = data.pairs(adapt.task.source, "validation")
        self.requests = {request.split: request for request in training_requests(adapt)}

    def select(self, split: PairSplit, rows: NDArray[np.int64]) -> tuple[Selection, float]:
        """The examples of `rows`, and the mean similarity of their matches."""
        matches, similarity = np.empty((len(rows), 0), np.int64), np.empty((len(rows), 0), np.float32)
        request = self.requests.get("train" if split is self.pool else "validation")
        if request is not None:
            matches, similarity = open_table(request, self.data, self.adapt.prompts.retrieval).of(rows, request.count)
        selection = select_examples(
            self.prompt, self.tokens(split), self.tokens(self.pool), rows, matches, self.adapt.prompts.shots,
            self.adapt.batch.tokens_per_row,
        )  # fmt: skip
        matched = matches >= 0
        return selection, float(similarity[matched].mean()) if matched.any() else 0.0

    def examples(self, split: PairSplit, selection: Selection, kept: NDArray[np.bool_] | None = None) -> PairExamples:
        """The examples of a selection, or those of them that are `kept`."""
        rows, matches = selection.rows, selection.matches
        if kept is not None:
            rows, matches = rows[kept], matches[kept]
        return PairExamples(
            self.prompt, self.tokens(split), rows, self.tokens(self.pool), matches, self.adapt.prompts.loss_on
        )

    def tokens(self, split: PairSplit) -> PairTokens:
        source, target = self.languages
        if self.prompt.reads_prepared_tokens:
            return PairTokens(split.tokens(source), split.tokens(target))
        if id(split) not in self.encoded:
            prompt, texts = self.prompt, split.text(source)
            self.encoded[id(split)] = PairTokens(
                EncodedTexts(self.tokenizer, [prompt.source_text(one_line(t)) for t in texts], prompt.source_lead),
                EncodedTexts(self.tokenizer, [one_line(t) for t in split.text(target)], prompt.target_lead),
            )
        return self.encoded[id(split)]


def training_data(adapt: Adapt, data: PreparedData) -> TrainingData:
    """Training and validation examples; fuzzy matches come from the training split only.

    Raises:
        BadConfiguration: if the source does not have the task's languages.
        BadData: if there is nothing to train on.
    """
    _check_languages(adapt, data)
    builder = _Builder(adapt, data)
    rows = shuffled_rows(builder.pool.keys, adapt.task.max_examples, adapt.seed)
    selection, similarity = builder.select(builder.pool, rows)
    if not len(selection.rows):
        is_empty = len(builder.pool) == 0
        raise empty_training_split(adapt.task.source) if is_empty else _nothing_fits(adapt, selection)
    return TrainingData(
        name=adapt.task.direction or "",
        objective="CausalLM",
        train=builder.examples(builder.pool, selection),
        validation=_validation(builder),
        counts={
            "segments": len(rows),
            "examples": len(selection.rows),
            **_counts_by_shots(selection),
            "examples.withoutMatch": selection.without_match,
            "examples.shortened": selection.shortened,
            "examples.tooLong": selection.too_long,
            "matchSimilarity": round(similarity, 4),
        },
    )


def _validation(builder: _Builder) -> dict[str, PairExamples]:
    rows = shuffled_rows(builder.validation.keys, VALIDATION_SEGMENTS, builder.adapt.seed)
    selection, _ = builder.select(builder.validation, rows)
    shots = selection.shots
    return {
        shots_name(count): builder.examples(builder.validation, selection, shots == count)
        for count in np.unique(shots).tolist()
    }


def _counts_by_shots(selection: Selection) -> dict[str, int]:
    """How many examples have one match in front, two, ...; those without are the rest."""
    counts = {count: int((selection.shots == count).sum()) for count in range(1, selection.matches.shape[1] + 1)}
    return {f"examples.{'one' if count == 1 else count}Shot": number for count, number in counts.items()}


def _check_languages(adapt: Adapt, data: PreparedData) -> None:
    pool = data.pairs(adapt.task.source, "train")
    for language in direction_languages(adapt.task.direction or ""):
        try:
            pool.tokens(language)
        except KeyError as error:
            raise BadConfiguration(
                "LanguageNotInSource",
                f"spec.adapt.task.direction is {adapt.task.direction}, "
                f"but source '{adapt.task.source}' has no {language}",
                "Name a direction between the languages of the source.",
            ) from error


def _nothing_fits(adapt: Adapt, selection: Selection) -> BadData:
    message = (
        f"spec.adapt.batch.sequenceLength: none of {selection.too_long:,} segments fits into "
        f"{adapt.batch.tokens_per_row} tokens with its prompt"
    )
    return BadData("NoExamples", message, "Raise sequenceLength.")
