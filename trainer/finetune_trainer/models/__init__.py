"""Building, loading and saving language models."""

from finetune_trainer.models.folder import check_fit, load_model, make_readable, save_model
from finetune_trainer.models.scratch import scratch_config, scratch_model

__all__ = ["check_fit", "load_model", "make_readable", "save_model", "scratch_config", "scratch_model"]
