"""Models: which there are, building, loading and saving them."""

from finetune_trainer.models.folder import load_model, make_readable, model_outline, save_model, saved_dtype
from finetune_trainer.models.lineage import ModelChoice, models_of_job, newest_model, referenced_model
from finetune_trainer.models.precision import wants_bf16, weights_dtype
from finetune_trainer.models.pretrained import check_pretrained, context_length
from finetune_trainer.models.scratch import scratch_config, scratch_model
from finetune_trainer.models.tokenizers import check_fit, check_vocabulary, load_tokenizer

__all__ = [
    "ModelChoice",
    "check_fit",
    "check_pretrained",
    "check_vocabulary",
    "context_length",
    "load_model",
    "load_tokenizer",
    "make_readable",
    "model_outline",
    "models_of_job",
    "newest_model",
    "referenced_model",
    "save_model",
    "saved_dtype",
    "scratch_config",
    "scratch_model",
    "wants_bf16",
    "weights_dtype",
]
