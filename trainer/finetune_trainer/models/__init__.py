"""Models: which there are, building, loading and saving them."""

from finetune_trainer.models.folder import load_model, model_outline, save_model, saved_dtype
from finetune_trainer.models.heads import Head, fit_to_model, head_modules, label_names
from finetune_trainer.models.lineage import ModelChoice, models_of_job, newest_model, referenced_model
from finetune_trainer.models.merging import quiet, write_merged
from finetune_trainer.models.placement import ON_CPU, Placement, is_partitioned, place_weights
from finetune_trainer.models.precision import wants_bf16
from finetune_trainer.models.pretrained import check_pretrained, context_length
from finetune_trainer.models.scratch import scratch_config, scratch_model
from finetune_trainer.models.shards import Weights, make_readable
from finetune_trainer.models.tokenizers import check_fit, check_vocabulary, load_tokenizer

__all__ = [
    "ON_CPU",
    "Head",
    "ModelChoice",
    "Placement",
    "Weights",
    "check_fit",
    "check_pretrained",
    "check_vocabulary",
    "context_length",
    "fit_to_model",
    "head_modules",
    "is_partitioned",
    "label_names",
    "load_model",
    "load_tokenizer",
    "make_readable",
    "model_outline",
    "models_of_job",
    "newest_model",
    "place_weights",
    "quiet",
    "referenced_model",
    "save_model",
    "saved_dtype",
    "scratch_config",
    "scratch_model",
    "wants_bf16",
    "write_merged",
]
