"""Memory of a rank while it trains, by part; the trainer chooses by it, and `finetune plan` shows it.

Partitioning: Rajbhandari et al. 2020 (ZeRO), section 3. What layers keep for the backward pass is that of transformers'
Llama and Mistral, held to what torch allocates by `tests/training/test_memory_plan.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from finetune_api.adapt import Adapt, Lora
from finetune_api.model import Parallelism
from finetune_api.registries import METHODS
from finetune_api.registry_rows import Method
from finetune_api.training import KeptActivations
from finetune_api.transformer import TransformerShape

FP32_BYTES = 4
BF16_BYTES = 2
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Of a weight in four bits: a scale of one byte for each 64, and one of four for each 256 of those (QLoRA)."""
ADAM_BYTES = 8
"""Both moments of a weight, in float32."""
LOGITS_PER_CHUNK = 2**27
"""Logits held at once (512 MiB in float32); larger batches compute the output layer in chunks."""
_LOGITS_ROWS_OF_CPU = 256
"""On a CPU the matrix products of more rows at once are not faster, and their logits leave the caches."""
REDUCE_BUCKET = 200_000_000
"""Gradients that ZeRO 1 and 2 reduce at once, at most; two buckets where reducing overlaps with computing."""
LIVE_WEIGHTS = 1_000_000_000
"""Weights that ZeRO 3 gathers ahead, at most (DeepSpeed's default)."""
SHARD_BYTES = 2**31
"""Of a model's file that is written, and so of the weights that are in memory for it."""
_SCORES = 3
"""Copies of the logits, in float32, where the backward pass begins, unless their gradients come with them."""

Engine = Literal["DDP", "ZeRO-1", "ZeRO-2", "ZeRO-3"]


def engine_of(parallelism: Parallelism, ranks: int, *, bf16: bool, adapter: bool) -> Engine:
    """What trains: ZeRO that partitions nothing is DDP, which has no buffers of its own.

    A single rank trains all weights in bfloat16 under ZeRO all the same: its weights are half as wide as DDP's.
    """
    stage = parallelism.zero.stage
    alone = ranks == 1 and parallelism.zero.offload == "None"
    if parallelism.engine == "DDP" or stage == 0 or (alone and (adapter or not bf16)):
        return "DDP"
    return ("ZeRO-1", "ZeRO-2", "ZeRO-3")[stage - 1]


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes per rank on the device, but for `host`."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    """Kept from the forward pass for the backward pass."""
    momentary: int
    """There for a moment: logits and their gradients, a layer that is computed again, or an optimizer's copies."""
    buffers: int
    """Of communication, and copies of weights in another width."""
    host: int = 0
    """What is offloaded to the host's memory."""

    @property
    def total(self) -> int:
        """Sum of all parts on the device."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.momentary + self.buffers


@dataclass(frozen=True, slots=True)
class FrozenPart:
    """What a method without an adapter does not train."""

    weights: int
    lowest_layers: int
    """Layers below all that is trained: nothing goes back through them."""


@dataclass(frozen=True, slots=True)
class TrainingShape:
    """What decides about the memory of a training stage, beside the size of its micro-batch."""

    model: TransformerShape
    parallelism: Parallelism
    bf16: bool
    lora: Lora | None = None
    """None: all weights are trained."""
    magnitudes: bool = False
    """Whether the update is DoRA's: it also trains a length for each output of its targets."""
    four_bits: bool = False
    """Whether frozen linear layers are kept in four bits (NF4 with doubly quantised scales)."""
    frozen_part: FrozenPart | None = None
    """Of the model itself, without an adapter: what is not trained."""
    gpu: bool = True
    """On GPUs gradients are reduced while others are computed, from a second buffer, and masks have bytes."""

    @property
    def ranks(self) -> int:
        """Of the whole gang."""
        return self.parallelism.nodes * self.parallelism.processes_per_node

    @property
    def stage(self) -> int:
        """Of ZeRO; 0 is DDP."""
        return 0 if self.engine == "DDP" else int(self.engine[-1])

    @property
    def width(self) -> int:
        """Bytes of a number in matrix products."""
        return BF16_BYTES if self.bf16 else FP32_BYTES

    @property
    def engine(self) -> Engine:
        """See `engine_of`."""
        return engine_of(self.parallelism, self.ranks, bf16=self.bf16, adapter=self.lora is not None)

    @property
    def trained(self) -> int:
        """Weights that are trained."""
        if self.lora is None:
            return self.model.parameters - (self.frozen_part.weights if self.frozen_part else 0)
        lengths = self.model.layers * sum(self.updated_outputs) if self.magnitudes else 0
        return self.model.lora_parameters(self.lora.rank, self.lora.targets) + lengths

    @property
    def updated_outputs(self) -> list[int]:
        """Outputs of the layers of a block that get an update."""
        layers = self.model.linear_layers
        return [layers[name][1] for name in self.model.targeted(self.lora.targets)] if self.lora is not None else []


def adaptation_shape(
    model: TransformerShape, parallelism: Parallelism, adapt: Adapt, *, bf16: bool, gpu: bool
) -> TrainingShape:
    """What decides about the memory of an adaptation: which weights its method trains, and how it keeps the others."""
    method = METHODS[adapt.method]
    lora = adapt.lora if method.adapter else None
    frozen = None if method.adapter else _frozen_part(model, method, adapt.top_layers)
    return TrainingShape(
        model,
        parallelism,
        bf16,
        lora,
        magnitudes=method.magnitudes,
        four_bits=method.four_bits,
        frozen_part=frozen,
        gpu=gpu,
    )


def _frozen_part(model: TransformerShape, method: Method, top_layers: int) -> FrozenPart | None:
    embeddings = model.vocabulary * model.hidden
    if method.part == "Head":
        return FrozenPart(model.parameters - embeddings, model.layers)
    if method.part == "Body":
        return FrozenPart(embeddings, 0)
    if method.part == "TopLayers":
        layer = sum(i * o for i, o in model.linear_layers.values()) + 2 * model.hidden
        trained = min(top_layers, model.layers)
        return FrozenPart(model.parameters - trained * layer, model.layers - trained)
    return None


def training_memory(
    training: TrainingShape, micro_batch: int, row_length: int, kept: KeptActivations = "None"
) -> Memory:
    """Bytes per rank in a training step, at its peak.

    Gradients of a micro-batch come to those of the ones before it. Offload moves the optimizer's part to the host, and
    at stage 3 the weights as well.

    Args:
        training: what is trained, and how.
        micro_batch: rows of one forward pass.
        row_length: tokens of a row.
        kept: what of the activations is kept for the backward pass.
    """
    model, stage, ranks, trained = training.model, training.stage, training.ranks, training.trained
    frozen = model.parameters - trained if training.lora is None else model.parameters
    # Under autocast all weights of the model itself are float32.
    frozen_width = FP32_BYTES if training.lora is None and not stage else training.width
    master = FP32_BYTES if training.bf16 and stage else 0
    trained_width = training.width if stage else FP32_BYTES
    frozen_bytes = frozen * frozen_width
    if training.four_bits:
        linear = model.linear_parameters
        frozen_bytes += int(linear * NF4_BYTES) - linear * frozen_width
    weights = (frozen_bytes + trained * trained_width) // (ranks if stage == 3 else 1)
    optimizer = trained * (ADAM_BYTES + master) // (ranks if stage else 1)
    offloaded = training.parallelism.zero.offload == "CPU" and stage > 0
    weights_on_host = weights if offloaded and stage == 3 else 0
    optimizer_on_host = optimizer if offloaded else 0
    activations = kept_activations(training, micro_batch * row_length, kept)
    return Memory(
        weights=weights - weights_on_host,
        gradients=trained * (FP32_BYTES if stage != 1 else training.width) // (ranks if stage >= 2 else 1),
        optimizer=optimizer - optimizer_on_host,
        activations=activations,
        momentary=_momentary(training, micro_batch * row_length, kept, activations),
        buffers=_buffers(training),
        host=weights_on_host + optimizer_on_host,
    )


def fuses_loss(*, partitioned: bool, gpu: bool, bf16: bool) -> bool:
    """Whether a plain output layer computes the gradients of a chunk with its logits.

    Not where ZeRO-3 partitions it: its weights are there within its own calls only. On a CPU torch does it in float32
    alone, whatever the type of the weights.
    """
    return not partitioned and (gpu or not bf16)


def logits_rows(vocabulary: int, *, gpu: bool) -> int:
    """Positions whose logits are held at once where their gradients are computed with them."""
    return max(1, LOGITS_PER_CHUNK // vocabulary) if gpu else _LOGITS_ROWS_OF_CPU


def kept_activations(training: TrainingShape, tokens: int, kept: KeptActivations) -> int:
    """Bytes that all layers, and the last norm, keep of `tokens`."""
    model, stream = training.model, _stream_width(training) * training.model.hidden
    of_layer = {"None": layer_bytes(training), "Selective": stream + product_bytes(training), "Full": stream}[kept]
    # Layers below the first that is trained keep nothing.
    layers = model.layers - (training.frozen_part.lowest_layers if training.frozen_part else 0)
    return tokens * (layers * of_layer + FP32_BYTES * model.hidden + 2 * stream)


def _momentary(training: TrainingShape, tokens: int, kept: KeptActivations, activations: int) -> int:
    """Bytes of the worst moment: at the loss, in a layer's backward pass, or in ZeRO's step, without activations."""
    model, stage = training.model, training.stage
    whole = layer_bytes(training)
    again = {"None": 0, "Selective": max(0, whole - product_bytes(training)), "Full": whole}[kept]
    backward = tokens * (again + 2 * training.width * model.intermediate)
    if training.four_bits:
        # The largest layer, as matrix products need it.
        backward += training.width * max(i * o for i, o in model.linear_layers.values())
    in_float32 = training.trained * FP32_BYTES // training.ranks if stage == 1 and training.bf16 else 0
    backward += _bucket(training) if stage == 2 else 0
    return max(_loss_bytes(training, tokens), backward, in_float32 - activations)


def _loss_bytes(training: TrainingShape, tokens: int) -> int:
    """Bytes of logits, their gradients and what these become, in the output layer."""
    model = training.model
    if not fuses_loss(partitioned=training.stage == 3, gpu=training.gpu, bf16=training.bf16):
        return _SCORES * FP32_BYTES * min(tokens * model.vocabulary, LOGITS_PER_CHUNK)
    rows = min(tokens, logits_rows(model.vocabulary, gpu=training.gpu))
    logits = rows * model.vocabulary * (FP32_BYTES + (BF16_BYTES if training.bf16 else 0))
    of_head = 0 if training.lora is not None else model.vocabulary * model.hidden
    return logits + training.width * (tokens * model.hidden + of_head)


def _stream_width(training: TrainingShape) -> int:
    """Bytes of a number between layers: that of the embeddings."""
    is_wide = not training.bf16 or (training.stage == 0 and training.lora is None)
    return FP32_BYTES if is_wide else BF16_BYTES


def layer_bytes(training: TrainingShape) -> int:
    """Bytes that one layer keeps of each token, with nothing computed again.

    Norms keep float32, and what they scale if they are trained; attention keeps query, key, value, output and a sum
    per head; the gated MLP keeps gate, its activation and up. Linear layers keep their inputs.
    """
    model = training.model
    hidden, heads_width, kv_width = model.hidden, model.heads * model.head_size, model.kv_heads * model.head_size
    norms = 2 * hidden * (FP32_BYTES + (_stream_width(training) if training.lora is None else 0))
    attention = training.width * 2 * (heads_width + kv_width) + FP32_BYTES * model.heads
    gated = 3 * training.width * model.intermediate
    inputs = (
        (("q_proj", "k_proj", "v_proj"), hidden),
        (("o_proj",), heads_width),
        (("gate_proj", "up_proj"), hidden),
        (("down_proj",), model.intermediate),
    )
    # DoRA scales two products with its lengths, and both are kept for their gradients.
    scaled = 2 * training.width * sum(training.updated_outputs) if training.magnitudes else 0
    return norms + attention + gated + scaled + sum(_input_bytes(training, names, size) for names, size in inputs)


def _input_bytes(training: TrainingShape, names: Sequence[str], size: int) -> int:
    """Bytes that the linear layers `names` keep of their common input of `size` numbers.

    Autocast makes a copy for each layer; so does dropout, with a mask; frozen layers without an update keep nothing.
    """
    lora, autocast = training.lora, training.bf16 and training.stage == 0
    if lora is None:
        return (len(names) if autocast else 1) * training.width * size
    updated = len(set(names) & set(training.model.targeted(lora.targets)))
    copies = updated if autocast or lora.dropout else min(updated, 1)
    mask_width = 1 if training.gpu else FP32_BYTES
    masks = updated * mask_width if lora.dropout else 0
    return (copies * training.width + masks) * size + updated * training.width * lora.rank


def product_bytes(training: TrainingShape) -> int:
    """Bytes that Selective keeps of each token and layer: outputs of matrix products and of attention."""
    model, lora = training.model, training.lora
    outputs = {name: sizes[1] for name, sizes in model.linear_layers.items()}
    products = sum(outputs.values()) + model.heads * model.head_size
    if lora is not None:
        products += sum(outputs[name] + lora.rank for name in model.targeted(lora.targets))
    return training.width * products + FP32_BYTES * model.heads


def _bucket(training: TrainingShape) -> int:
    overlapping = training.stage >= 2 and training.gpu and training.ranks > 1
    return training.width * reduce_bucket(training.trained) * (2 if overlapping else 1)


def reduce_bucket(trained: int) -> int:
    """Gradients that ZeRO reduces at once."""
    return min(trained, REDUCE_BUCKET)


def _buffers(training: TrainingShape) -> int:
    """Bytes that stay through forward and backward pass; ZeRO 2 has its bucket in the backward pass alone."""
    model, trained = training.model, training.trained
    if training.stage == 0:
        casts = model.matmul_parameters if training.lora is None else trained
        return casts * BF16_BYTES if training.bf16 else 0
    if training.stage == 3:
        everything = model.parameters + (0 if training.lora is None else trained)
        return training.width * min(everything, LIVE_WEIGHTS) + _bucket(training)
    return _bucket(training) if training.stage == 1 else 0
