"""Checkpoints that are whole or not there, written in the background, verified before they are loaded."""

from finetune_trainer.checkpoint.checkpointer import Checkpointer, SaveFlags
from finetune_trainer.checkpoint.store import CheckpointEntry

__all__ = ["CheckpointEntry", "Checkpointer", "SaveFlags"]
