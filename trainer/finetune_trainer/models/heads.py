"""What stands on the body of a model: which class of transformers adds it, and what a new one begins as."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from finetune_api.pretrained import head_problem, read_pretrained
from finetune_api.registry_rows import LANGUAGE_MODEL
from finetune_trainer.errors import BadConfiguration

_NAMED = 3
"""Weights of one message."""


@dataclass(frozen=True, slots=True)
class Head:
    """A head, of a model that is not loaded yet."""

    model_class: str = LANGUAGE_MODEL
    """Of transformers."""
    labels: tuple[str, ...] | None = None
    """Names of the outputs, by number; None: as the model's files say."""
    has_label_sets: bool = False
    """Whether a text has any number of the labels, not just one."""
    pad_id: int | None = None
    """Token that fills rows up: where a row ends, heads on causal models see by it."""
    may_be_new: bool = False
    """Whether it is drawn where the model's files do not have it."""
    seed: int = 0
    """Of the weights of a new head, which are the same on every rank."""

    @property
    def settings(self) -> dict[str, Any]:
        """Fields of the model's configuration."""
        found: dict[str, Any] = {} if self.pad_id is None else {"pad_token_id": self.pad_id}
        if self.labels is not None:
            found["id2label"] = dict(enumerate(self.labels))
            found["label2id"] = {label: number for number, label in enumerate(self.labels)}
            if self.model_class == "AutoModelForSequenceClassification":
                kind = "multi_label" if self.has_label_sets else "single_label"
                found["problem_type"] = f"{kind}_classification"
        return found

    @property
    def is_language_model(self) -> bool:
        """Whether it writes, so that it is a part of the model that was trained with all of it."""
        return self.model_class in (LANGUAGE_MODEL, "AutoModelForSeq2SeqLM")

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """New weights that are drawn in this context come of the seed; nobody else's random numbers change.

        What transformers says of weights that a model's files lack, or have besides, is left to `check_missing`.
        """
        if self.is_language_model:
            yield
            return
        logger = logging.getLogger("transformers.modeling_utils")
        logger.addFilter(_is_no_load_report)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                yield
        finally:
            logger.removeFilter(_is_no_load_report)


def _is_no_load_report(record: logging.LogRecord) -> bool:
    return "LOAD REPORT" not in record.getMessage()


LANGUAGE_HEAD = Head()
"""Of a causal language model, which has it in its files."""


def fit_to_model(head: Head, folder: Path, field: str) -> Head:
    """`head` with its labels in the order of the head that the model in `folder` has already, if it has one.

    Raises:
        BadConfiguration: if that one has other labels, or another number of them a text.
    """
    model = read_pretrained(folder)
    if model is None or head.labels is None or model.head != head.model_class:
        return head
    problem = head_problem(model, head.labels, has_label_sets=head.has_label_sets)
    if problem is not None:
        raise BadConfiguration(
            "LabelsOfModel",
            f"{field}: {problem}",
            "To train a new head, give the body alone: AutoModel.from_pretrained(folder).save_pretrained(other).",
        )
    return replace(head, labels=model.labels)


def label_names(model: PreTrainedModel) -> list[str]:
    """Names of the outputs of a model's head, by number."""
    names: dict[int, str] = model.config.id2label or {}  # type: ignore[assignment]
    return [names[number] for number in range(len(names))]


def check_missing(model: PreTrainedModel, head: Head, missing: Iterable[str], what: str) -> None:
    """Refuse a model whose files lack weights of its body, or of a head that is to be there; `what` names it.

    A pooler may be lacking beside a new head: models that were pre-trained without one have none.

    Raises:
        BadConfiguration: naming some of them.
    """
    if head.is_language_model:
        return
    may_lack = (*(f"{name}." for name in head_modules(model)), f"{model.base_model_prefix}.pooler.")
    lacking = sorted(name for name in missing if not (head.may_be_new and name.startswith(may_lack)))
    if lacking:
        more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
        raise BadConfiguration(
            "WeightsMissing",
            f"{what} has no weights for {', '.join(lacking[:_NAMED])}{more} of a {type(model).__name__}",
            "Give a model that was trained with such a head." if not head.may_be_new else "Give a model that is whole.",
        )


def head_modules(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Modules with weights beside the body, by name; of a language model none, whose output layer is part of it."""
    if model.get_output_embeddings() is not None:
        return {}
    return {
        name: module
        for name, module in model.named_children()
        if name != model.base_model_prefix and any(True for _ in module.parameters())
    }
