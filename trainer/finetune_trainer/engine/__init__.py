"""Engines: DDP and DeepSpeed ZeRO behind one interface, with equal losses."""

from finetune_trainer.engine.factory import create_engine
from finetune_trainer.engine.interface import Engine, Place, StepInfo

__all__ = ["Engine", "Place", "StepInfo", "create_engine"]
