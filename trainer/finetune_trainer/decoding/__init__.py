"""From prompts to outputs, token by token."""

from finetune_trainer.decoding.greedy import DecodingLimits, TokenIds, greedy_decode

__all__ = ["DecodingLimits", "TokenIds", "greedy_decode"]
