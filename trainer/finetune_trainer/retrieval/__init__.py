"""Fuzzy matches from the training split, for one-shot prompts."""

from finetune_trainer.retrieval.index import FuzzyIndex, Matches

__all__ = ["FuzzyIndex", "Matches"]
