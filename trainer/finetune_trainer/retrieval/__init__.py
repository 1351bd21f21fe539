"""Fuzzy matches from the training split, for prompts with examples."""

from finetune_trainer.retrieval.index import FuzzyIndex, Matches

__all__ = ["FuzzyIndex", "Matches"]
