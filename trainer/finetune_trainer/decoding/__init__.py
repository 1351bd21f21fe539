"""From prompts to outputs, token by token."""

from finetune_trainer.decoding.decode import DecodingLimits, decode, greedy_decode
from finetune_trainer.decoding.rows import TokenIds
from finetune_trainer.decoding.searches import Search, create_search

__all__ = ["DecodingLimits", "Search", "TokenIds", "create_search", "decode", "greedy_decode"]
