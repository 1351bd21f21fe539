"""Engines: DDP and DeepSpeed ZeRO behind one interface, with equal losses."""

from finetune_trainer.engine.factory import create_engine
from finetune_trainer.engine.host_buffers import HostBuffers
from finetune_trainer.engine.interface import Engine, Place, StepInfo, Write

__all__ = ["Engine", "HostBuffers", "Place", "StepInfo", "Write", "create_engine"]
