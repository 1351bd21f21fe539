"""Prompts, as tokens."""

from finetune_trainer.prompts.adaptive_mt import AdaptiveMtPrompt
from finetune_trainer.prompts.languages import language_name
from finetune_trainer.prompts.segments import leading_ids

__all__ = ["AdaptiveMtPrompt", "language_name", "leading_ids"]
