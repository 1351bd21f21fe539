"""`spec.model` and `spec.parallelism`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from finetune_api.base import ApiModel, CelRule
from finetune_api.common import ModelReference

Compile = Literal["Auto", "None", "Layers"]
"""What of a model is compiled."""
LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Of one block of a model from scratch."""


class ScratchModel(ApiModel):
    """A new model with random weights."""

    cel_rules = (
        CelRule(
            rule="self.hidden % self.heads == 0",
            message="hidden must be a multiple of heads",
            field_path=".hidden",
        ),
        CelRule(
            rule="self.heads % self.kvHeads == 0",
            message="heads must be a multiple of kvHeads",
            field_path=".kvHeads",
        ),
        CelRule(
            rule="self.heads == 0 || (self.hidden / self.heads) % 2 == 0",
            message="hidden / heads must be even (rotary embedding)",
            field_path=".hidden",
        ),
    )

    architecture: Literal["mistral"] = "mistral"
    """Model family."""
    layers: int = Field(ge=1, le=512)
    """Decoder layers."""
    hidden: int = Field(ge=8, le=65536)
    """Width."""
    heads: int = Field(ge=1, le=1024)
    """Attention heads."""
    kv_heads: int = Field(default=1, ge=1, le=1024)
    """Key-value heads (grouped-query attention)."""
    intermediate: int | None = Field(default=None, ge=8, le=1_048_576)
    """Width of the gated MLP; default: 3.5 x hidden as in Mistral 7B, rounded up to a multiple of 8."""
    context_length: int = Field(default=1024, ge=8, le=1_048_576)
    """Longest sequence."""
    tie_embeddings: bool = True
    """Share input and output embeddings."""

    def intermediate_size(self) -> int:
        """Width of the gated MLP: as given, or 3.5 x hidden (Mistral 7B: 14336 for 4096), rounded up to 8."""
        return self.intermediate or -(-7 * self.hidden // 16) * 8


class TrainTokenizer(ApiModel):
    """Train a tokenizer on the training split."""

    type: Literal["bpe"] = "bpe"
    """Byte-level BPE."""
    vocabulary_size: int = Field(default=16384, ge=300, le=1_000_000)
    """Number of tokens, special ones included."""
    balance_languages: bool = True
    """Give every language the same share of the training text."""


class Tokenizer(ApiModel):
    """Which tokenizer."""

    cel_rules = (
        CelRule(
            rule="has(self.from) != has(self.train)",
            message="give exactly one of tokenizer.from and tokenizer.train",
        ),
    )

    from_: Literal["model"] | None = Field(default=None, alias="from")
    """The pretrained model's own."""
    train: TrainTokenizer | None = None
    """A new one."""


class Model(ApiModel):
    """The model to train: exactly one of `from` and `scratch`."""

    cel_rules = (
        CelRule(
            rule="has(self.from) != has(self.scratch)",
            message="give exactly one of model.from and model.scratch",
        ),
        CelRule(
            rule="!has(self.scratch) || !has(self.tokenizer) || has(self.tokenizer.train)",
            message="a model from scratch needs tokenizer.train: it has no tokenizer of its own",
            field_path=".tokenizer",
        ),
        CelRule(
            rule="!has(self.from) || !has(self.tokenizer) || has(self.tokenizer.from)",
            message="a pretrained model keeps its tokenizer: give tokenizer.from: model",
            field_path=".tokenizer",
        ),
    )

    from_: ModelReference | None = Field(default=None, alias="from")
    """A pretrained model."""
    scratch: ScratchModel | None = None
    """A new model."""
    tokenizer: Tokenizer | None = None
    """Default: the model's own, or a new one with the default size for a model from scratch."""


class Zero(ApiModel):
    """DeepSpeed ZeRO."""

    cel_rules = (
        CelRule(
            rule="self.offload == 'None' || self.stage >= 1",
            message="offload needs zero.stage 1 or higher",
            field_path=".offload",
        ),
    )

    stage: int = Field(default=2, ge=0, le=3)
    """0 nothing, 1 optimizer states, 2 also gradients, 3 also parameters are partitioned."""
    offload: Literal["None", "CPU"] = "None"
    """CPU: the optimizer's partitioned states, and at stage 3 the weights, live in the host's memory."""


class Parallelism(ApiModel):
    """How many pods and processes train."""

    cel_rules = (
        CelRule(
            rule="self.compile != 'Layers' || self.engine == 'DDP' || self.zero.stage < 3",
            message="compile: Layers needs zero.stage 2 or lower, or engine DDP: ZeRO-3 gathers weights between the "
            "parts of a layer",
            field_path=".compile",
        ),
    )

    nodes: int = Field(default=1, ge=1, le=4096)
    """Pods of a training stage."""
    processes_per_node: int = Field(default=1, ge=1, le=16)
    """Ranks per pod: one per accelerator."""
    engine: Literal["DeepSpeed", "DDP"] = "DeepSpeed"
    """DeepSpeed ZeRO, or plain PyTorch DistributedDataParallel."""
    zero: Zero = Zero()
    """ZeRO settings; ignored by DDP."""
    precision: Literal["Auto", "FP32", "BF16"] = "Auto"
    """Auto: BF16 on accelerators that have it, FP32 on CPU."""
    compile: Compile = "Auto"
    """Layers: each decoder layer is compiled by torch.compile; training goes on without where that fails. Auto: on
    accelerators, up to zero.stage 2."""
    fused_kernels: Literal["Auto", "None"] = "Auto"
    """Auto: where layers are not compiled, liger-kernel's norms, MLPs and rotary embeddings on NVIDIA GPUs, if it is
    installed and knows the model."""


class Elastic(ApiModel):
    """Bounds of an elastic gang."""

    min_nodes: int = Field(default=1, ge=1, le=4096)
    """Fewest nodes to go on with."""
    max_nodes: int | None = Field(default=None, ge=1, le=4096)
    """Most nodes."""
