"""Whether settings fit a pretrained model, seen from its files alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.job import FineTuneJobSpec
from finetune_api.pretrained import conflicts_with_model, read_pretrained
from finetune_api.problems import join_problems
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.models.lineage import ModelChoice
from finetune_trainer.models.tokenizers import check_tokens, load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def check_pretrained(spec: FineTuneJobSpec, base: ModelChoice) -> PreTrainedTokenizerFast:
    """The tokenizer of the model that a job starts from, which is refused if settings or tokenizer do not fit it.

    Raises:
        BadConfiguration: with all that does not fit.
    """
    model = read_pretrained(base.folder)
    problems = conflicts_with_model(spec, model) if model is not None else []
    if problems:
        raise BadConfiguration(problems[0].reason, join_problems(problems), "Correct the manifest.")
    tokenizer = load_tokenizer(base.folder, f"{base.field}.uri")
    if model is not None and model.embeddings is not None:
        check_tokens(tokenizer, model.embeddings)
    return tokenizer


def context_length(folder: Path) -> int | None:
    """Most tokens of a row of the model in `folder`; None if there is no limit."""
    model = read_pretrained(folder)
    return model.context_length if model is not None else None
