"""Engines: DDP and DeepSpeed ZeRO behind one interface, with equal losses."""

from finetune_trainer.engine.contract import Engine, StepInfo
from finetune_trainer.engine.factory import create_engine

__all__ = ["Engine", "StepInfo", "create_engine"]
