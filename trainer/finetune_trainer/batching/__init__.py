"""From prepared data to the micro-batches of one rank; deterministic, independent of the number of ranks."""

from finetune_trainer.batching.examples import Documents, Example, ExampleSet, Translations
from finetune_trainer.batching.layout import Layout, make_layout
from finetune_trainer.batching.source import MixtureSource
from finetune_trainer.batching.validation import validation_batches

__all__ = [
    "Documents",
    "Example",
    "ExampleSet",
    "Layout",
    "MixtureSource",
    "Translations",
    "make_layout",
    "validation_batches",
]
