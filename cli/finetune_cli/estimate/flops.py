"""Floating-point operations of training: PaLM, appendix B (no causal discount)."""

from __future__ import annotations

from finetune_api.transformer import TransformerShape


def flops_per_token(shape: TransformerShape, sequence_length: int) -> int:
    """Full training: 6 N + 12 L d s, with N the weights in matrix products."""
    return 6 * shape.matmul_parameters + _attention(shape, sequence_length)


def lora_flops_per_token(shape: TransformerShape, lora_parameters: int, sequence_length: int) -> int:
    """LoRA training: 4 N + 6 Nl + 12 L d s; frozen weights need no weight gradient."""
    return 4 * shape.matmul_parameters + 6 * lora_parameters + _attention(shape, sequence_length)


def _attention(shape: TransformerShape, sequence_length: int) -> int:
    return 12 * shape.layers * shape.heads * shape.head_size * sequence_length
