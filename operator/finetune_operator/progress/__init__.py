"""Pulling `/progress` from rank 0 of a running gang."""

from finetune_operator.progress.http import HttpProgressSource

__all__ = ["HttpProgressSource"]
