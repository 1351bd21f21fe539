"""From examples to the micro-batches of one rank; deterministic, independent of the number of ranks."""

from finetune_trainer.batching.ahead import draw_ahead
from finetune_trainer.batching.interface import ArmExamples
from finetune_trainer.batching.layout import Layout, make_layout
from finetune_trainer.batching.mixture import MixtureSource
from finetune_trainer.batching.validation import validation_batches

__all__ = ["ArmExamples", "Layout", "MixtureSource", "draw_ahead", "make_layout", "validation_batches"]
