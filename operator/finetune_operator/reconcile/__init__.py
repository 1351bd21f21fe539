"""The pure core: what is observed in, what should exist out."""

from finetune_operator.reconcile.core import reconcile
from finetune_operator.reconcile.settings import DEFAULT_SETTINGS, LOCAL_SETTINGS, Settings
from finetune_operator.reconcile.types import Decision, Observed

__all__ = ["DEFAULT_SETTINGS", "LOCAL_SETTINGS", "Decision", "Observed", "Settings", "reconcile"]
