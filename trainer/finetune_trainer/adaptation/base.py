"""The model that is adapted, and the tokenizer that must be its own."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from finetune_api.plan import Plan
from finetune_trainer.data.locate import model_folder
from finetune_trainer.errors import BadConfiguration


def base_model(plan: Plan, workspace: Path) -> tuple[Path, str]:
    """Folder of the model to adapt, and its name: the pre-trained one of this job, else `spec.model.from`.

    Raises:
        BadConfiguration: if there is none.
    """
    if "pretrain" in plan.inputs:
        return workspace / plan.inputs["pretrain"], plan.inputs["pretrain"]
    if plan.spec.model.from_ is None:
        raise BadConfiguration(
            "NoModel", "spec.adapt: there is no model to adapt", "Add a pretrain block, or give spec.model.from."
        )
    return model_folder(plan.spec.model.from_.uri, "spec.model.from.uri"), plan.spec.model.from_.uri


def check_tokenizer(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse data that was tokenised for another model than the one in `folder`.

    Raises:
        BadConfiguration: if the folder has no tokenizer, or another vocabulary.
    """
    try:
        own = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise BadConfiguration(
            "TokenizerNotFound",
            f"the model folder {folder} holds no tokenizer that can be read: {str(error).strip().splitlines()[0]}",
            "Save the tokenizer that the model was trained with into the same folder.",
        ) from error
    if own.get_vocab() != tokenizer.get_vocab():
        raise BadConfiguration(
            "TokenizerMismatch",
            f"the data was tokenised with another tokenizer than that of the model in {folder} "
            f"({len(tokenizer):,} and {len(own):,} tokens)",
            "Run prepare again with this model's own tokenizer (model.tokenizer.from: model).",
        )
