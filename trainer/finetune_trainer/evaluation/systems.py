"""Which models are compared, and loading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from finetune_api.common import ModelReference
from finetune_api.plan import Plan
from finetune_trainer.data.locate import model_folder
from finetune_trainer.data.tokenizers import TOKENIZER_FILES
from finetune_trainer.errors import BadConfiguration

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class SystemChoice:
    """A model to score, not loaded yet."""

    name: str
    """For people: adapted, pretrained, or the URI."""
    path: str
    """As the report shows it: artifact path or URI."""
    location: Path
    """Folder on this machine."""
    field: str
    """Where the manifest names it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is scored and what it is compared with."""

    model: SystemChoice
    baseline: SystemChoice | None
    note: str = ""
    """Why there is no baseline."""


def choose_systems(plan: Plan, workspace: Path) -> Comparison:
    """The last trained model, and as its baseline: what the manifest names, else the model before the last training.

    Raises:
        BadConfiguration: there is no model, or none where the manifest says.
    """
    given = plan.spec.model.from_
    original = None if given is None else _referenced(given, "spec.model.from")
    trained = [
        SystemChoice(name, plan.inputs[stage], workspace / plan.inputs[stage], f"the {stage} stage")
        for stage, name in (("pretrain", "pretrained"), ("adapt", "adapted"))
        if stage in plan.inputs
    ]
    systems = ([] if original is None else [original]) + trained
    if not systems:
        raise BadConfiguration(
            "NoModel", "there is no model to evaluate", "add a pretrain or adapt block, or give spec.model.from"
        )
    named = plan.spec.evaluate.baseline.model if plan.spec.evaluate else None
    if named is not None:
        return Comparison(systems[-1], _referenced(named, "spec.evaluate.baseline.model"))
    if len(systems) > 1:
        return Comparison(systems[-1], systems[-2])
    why = (
        "the model was pre-trained from random weights and not adapted" if trained else "the model was not trained here"
    )
    return Comparison(
        systems[-1], None, f"No baseline: {why}. Name one in spec.evaluate.baseline.model to compare with it."
    )


def _referenced(reference: ModelReference, field: str) -> SystemChoice:
    return SystemChoice(reference.uri, reference.uri, model_folder(reference.uri, f"{field}.uri"), field)


def load_system(
    system: SystemChoice, device: torch.device, dtype: torch.dtype
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model, ready to decode, and its own tokenizer.

    Raises:
        BadConfiguration: no folder, no model or no tokenizer in it, or the two do not belong together.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _check_tokenizer(system)
    try:
        tokenizer = AutoTokenizer.from_pretrained(system.location, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(system.location, dtype=dtype, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise BadConfiguration(
            "ModelNotReadable",
            f"{system.field}: {system.path} cannot be loaded: {first_line}",
            "give the folder of a causal language model as transformers saves it",
        ) from error
    embedded = int(model.get_input_embeddings().weight.size(0))  # type: ignore[operator]
    if len(tokenizer) > embedded:
        raise BadConfiguration(
            "TokenizerMismatch",
            f"{system.field}: the tokenizer in {system.path} has {len(tokenizer):,} tokens, the model {embedded:,}",
            "use the tokenizer that the model was trained with",
        )
    model.to(device)  # type: ignore[arg-type]
    return model.eval(), tokenizer


def _check_tokenizer(system: SystemChoice) -> None:
    if not any((system.location / name).is_file() for name in TOKENIZER_FILES):
        raise BadConfiguration(
            "TokenizerNotFound",
            f"{system.field}: {system.location} holds no tokenizer ({' or '.join(TOKENIZER_FILES[:2])})",
            "save the tokenizer that the model was trained with into the same folder",
        )
