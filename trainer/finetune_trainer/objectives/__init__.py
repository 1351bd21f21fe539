"""Objectives: pure functions `(model, batch) -> LossSum`."""

from finetune_trainer.objectives.batch import IGNORED, Batch, LossSum
from finetune_trainer.objectives.causal import block_mask, causal_loss

__all__ = ["IGNORED", "Batch", "LossSum", "block_mask", "causal_loss"]
