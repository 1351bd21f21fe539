"""Engines: DDP and DeepSpeed ZeRO behind one interface, with equal losses."""

from finetune_trainer.engine.factory import chosen_engine, create_engine
from finetune_trainer.engine.host_buffers import HostBuffers
from finetune_trainer.engine.interface import Engine, Place, StepExhausted, StepInfo, Write

__all__ = ["Engine", "HostBuffers", "Place", "StepExhausted", "StepInfo", "Write", "chosen_engine", "create_engine"]
