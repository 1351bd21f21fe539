"""From prompts to outputs, token by token."""

from finetune_trainer.decoding.greedy import DecodingLimits, greedy_decode
from finetune_trainer.decoding.rows import TokenIds

__all__ = ["DecodingLimits", "TokenIds", "greedy_decode"]
