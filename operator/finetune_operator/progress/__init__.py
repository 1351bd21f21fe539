"""Pulling progress and report from rank 0 of a running gang."""

from finetune_operator.progress.http import HttpProgressSource
from finetune_operator.progress.report import HttpReportSource

__all__ = ["HttpProgressSource", "HttpReportSource"]
