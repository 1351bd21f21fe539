"""QLoRA (Dettmers et al. 2023): LoRA beside frozen weights of four bits (NF4, their scales quantised once more)."""

from __future__ import annotations

import transformers
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from finetune_api.adapt import Adapt
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.methods.lora import Lora
from finetune_trainer.models import ModelChoice, Placement, head_modules, load_model, model_outline

_PACKS = "support_avx512bf16_for_cpu"
"""Attribute of bitsandbytes' layers: whether they may pack their weights for the CPU."""


class QLoRA(Lora):
    """LoRA on a base that is quantised while it trains; the adapter is merged into the base as it was, never into that.

    Matrix products are computed in the type of the other weights: float32 on a CPU, bfloat16 on GPUs that have it.
    """

    def check(self, adapt: Adapt, base: ModelChoice) -> None:
        """See Method: layers must be ordinary linear ones, for GPT-2's would be turned round by quantising."""
        super().check(adapt, base)
        outline = model_outline(base.folder, base.field, base.head)
        if any(isinstance(module, Conv1D) for module in outline.modules()):
            raise BadConfiguration(
                "NotQuantisable",
                f"spec.adapt.method: QLoRA quantises ordinary linear layers, and a {outline.config.model_type} model "
                "keeps its weights transposed (Conv1D)",
                "Use method: LoRA.",
            )

    def load(self, base: ModelChoice, placement: Placement) -> PreTrainedModel:
        """See Method; quantised layer by layer.

        Raises:
            BadConfiguration: if the folder cannot be loaded, or bitsandbytes is not there or cannot quantise here.
        """
        settings = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=placement.dtype,
            llm_int8_skip_modules=None if base.head.is_language_model else _head_names(base),
        )
        try:
            with base.head.drawing():
                model: PreTrainedModel = getattr(transformers, base.head.model_class).from_pretrained(
                    base.folder,
                    dtype=placement.dtype,
                    local_files_only=True,
                    quantization_config=settings,
                    device_map={"": placement.device},
                    **base.head.settings,
                )
        except (ImportError, NotImplementedError) as error:
            raise BadConfiguration(
                "QuantisationNotAvailable",
                f"spec.adapt.method: QLoRA needs bitsandbytes, which cannot be used here: {error}",
                "Use an image that has it (x86 CPUs need AVX2), or method: LoRA.",
            ) from error
        except (OSError, ValueError, KeyError, RuntimeError):
            return load_model(base.folder, base.field, base.head, placement)  # which says what is wrong with the folder
        model.config.use_cache = False
        for module in model.modules():
            if hasattr(module, _PACKS):
                # A validation would pack the weights for a kernel that knows no gradients, and training goes on.
                object.__setattr__(module, _PACKS, False)
        return model


def _head_names(base: ModelChoice) -> list[str]:
    """Modules of a task's head, which is trained as a whole and so is not quantised."""
    return list(head_modules(model_outline(base.folder, base.field, base.head)))
