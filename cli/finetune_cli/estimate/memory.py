"""Memory per rank, by part. Source of the partitioning: Rajbhandari et al. 2020 (ZeRO), section 3."""

from __future__ import annotations

from dataclasses import dataclass

from finetune_api.model import Parallelism
from finetune_cli.estimate.shape import TransformerShape

FP32_BYTES = 4
BF16_BYTES = 2
ADAM_STATES = 2


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes per rank on the device, but for `host`."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    host: int = 0
    """What is offloaded to the host's memory."""

    @property
    def total(self) -> int:
        """Sum of all parts on the device."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits


def training_memory(
    shape: TransformerShape,
    trainable: int,
    parallelism: Parallelism,
    micro_batch: int,
    sequence_length: int,
    *,
    bf16: bool,
) -> Memory:
    """Bytes per rank while training.

    `trainable` weights have gradients and AdamW states; with BF16 also an FP32 master copy. ZeRO 1 partitions the
    optimizer's part, 2 also the gradients, 3 also the weights. Offload moves the optimizer's part to the host, and
    at stage 3 the weights as well; of these the device holds one layer at a time, which is not counted.
    """
    ranks = parallelism.nodes * parallelism.processes_per_node
    stage = parallelism.zero.stage if parallelism.engine == "DeepSpeed" else 0
    width = BF16_BYTES if bf16 else FP32_BYTES
    master = FP32_BYTES if bf16 else 0
    frozen_and_trainable = shape.parameters + (trainable if trainable != shape.parameters else 0)
    tokens = micro_batch * sequence_length
    weights = frozen_and_trainable * width // (ranks if stage >= 3 else 1)
    optimizer = trainable * (ADAM_STATES * FP32_BYTES + master) // (ranks if stage >= 1 else 1)
    offloaded = parallelism.zero.offload == "CPU" and stage >= 1
    weights_on_host = weights if offloaded and stage == 3 else 0
    optimizer_on_host = optimizer if offloaded else 0
    return Memory(
        weights=weights - weights_on_host,
        gradients=trainable * width // (ranks if stage >= 2 else 1),
        optimizer=optimizer - optimizer_on_host,
        activations=_activation_bytes(shape, tokens, width),
        logits=tokens * shape.vocabulary * FP32_BYTES * 2,
        host=weights_on_host + optimizer_on_host,
    )


def _activation_bytes(shape: TransformerShape, tokens: int, width: int) -> int:
    """Stored for the backward pass, no recomputation: inputs of each linear layer, norms, rotary, gate and up."""
    attention = 2 * shape.heads * shape.head_size + 2 * shape.kv_heads * shape.head_size
    per_layer = 4 * shape.hidden + attention + 4 * shape.intermediate
    return tokens * shape.layers * per_layer * width
