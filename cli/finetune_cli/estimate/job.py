"""The estimate of a whole job."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from finetune_api.adapt import ALL_LINEAR
from finetune_api.devices import GIB, find_accelerator
from finetune_api.host_memory import HostMemory, host_memory_of_stages
from finetune_api.job import FineTuneJobSpec
from finetune_api.memory import Memory, TrainingShape, adaptation_shape
from finetune_api.micro_batch import USABLE, choose, largest_micro_batch, rows_of_rank, what_would_fit
from finetune_api.model import LINEAR_LAYERS
from finetune_api.pretrained import PretrainedModel
from finetune_api.registries import METHODS
from finetune_api.training import Batch, KeptActivations
from finetune_api.transformer import TransformerShape, shape_of_model, shape_of_new_model
from finetune_cli.estimate.assumptions import NOTHING_ASSUMED, Assumptions
from finetune_cli.estimate.flops import flops_per_token, lora_flops_per_token
from finetune_cli.estimate.steps import step_notes
from finetune_cli.local_manifest import local_model_folder


@dataclass(frozen=True, slots=True)
class Device:
    """What a device reaches in training: peak x a utilisation that well-run jobs reach."""

    name: str
    flops_per_second: float
    memory_bytes: int
    bf16: bool


REACHED = 0.4
"""Share of an accelerator's peak that well-run jobs reach."""
DEVICES: dict[str, Device] = {
    # Measured: fp32 matrix products on one AVX2 core reach 65 GFLOP/s; small models half of that.
    "cpu": Device("one CPU core", 30e9, 4 * GIB, False),
    **{
        name.lower(): Device(device.title, REACHED * device.peak_flops, device.memory_bytes, True)
        for name in ("A100", "H100", "H200", "B200")
        if (device := find_accelerator(name)) is not None
    },
}


@dataclass(frozen=True, slots=True)
class TrainingEstimate:
    """What one training stage needs."""

    stage: str
    trainable: int
    micro_batch: int
    accumulation: int
    tokens: int | None
    steps: int | None
    flops: float | None
    seconds: float | None
    memory: Memory
    kept: KeptActivations
    """Activations that are kept for the backward pass."""
    fits: bool
    remedy: str
    """What would fit, where this does not."""
    host: HostMemory | None
    """Of a pod, beside its GPUs; None where there are none."""
    cost: float | None = None
    """Of all devices, in the currency of the price that was given."""


@dataclass(frozen=True, slots=True)
class JobEstimate:
    """What a job needs; `warnings` is what an expert would object to, `notes` what is not known yet."""

    shape: TransformerShape | None
    device: Device
    ranks: int
    stages: tuple[TrainingEstimate, ...]
    warnings: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())
    lora_layers: tuple[str, ...] = field(default=())
    """That get an update, by name; none where the adaptation is another, or the names are not known."""


def estimate_job(
    spec: FineTuneJobSpec,
    device: Device,
    model: PretrainedModel | None = None,
    assumed: Assumptions = NOTHING_ASSUMED,
) -> JobEstimate:
    """Parameters, memory per rank, tokens, FLOPs, time and cost of each training stage.

    Times assume `device.flops_per_second` on every rank; tokens of `adapt` depend on the data and may be assumed.

    Args:
        spec: with sequence lengths filled in, and absolute paths.
        device: of each rank.
        model: what the files of `spec.model.from` say, where they are on this machine.
        assumed: what the manifest does not say.
    """
    shape = _shape(spec, assumed.model)
    warnings, notes = step_notes(spec) if assumed.adapt_tokens is None else ([], [])
    if spec.model.from_ is not None and model is None:
        notes.append(
            "the model is not on this machine: its size, its context and the names of its layers are not known; rows "
            "that are not given are as long as its context, if that is shorter than the default; a folder with its "
            "config.json is enough (--model)"
        )
    stages: list[TrainingEstimate] = []
    if shape is not None:
        stages = _stages(spec, shape, device, assumed)
        warnings = [*_warnings(spec, shape, device, stages), *warnings]
    elif model is not None:
        notes.append(f"sizes are not estimated for this architecture ({model.architecture or 'none in config.json'})")
    ranks = spec.parallelism.nodes * spec.parallelism.processes_per_node
    if _compares_with_nothing(spec):
        warnings.append("evaluate without adapt: the model is compared with nothing unless baseline.model is given")
    return JobEstimate(shape, device, ranks, tuple(stages), tuple(warnings), tuple(notes), lora_layers(spec, model))


def _compares_with_nothing(spec: FineTuneJobSpec) -> bool:
    evaluate = spec.evaluate
    return evaluate is not None and spec.adapt is None and evaluate.baseline.model is None and not evaluate.rivals


def lora_layers(spec: FineTuneJobSpec, model: PretrainedModel | None) -> tuple[str, ...]:
    """Names of the layers that LoRA updates, as far as they are known."""
    if spec.adapt is None or not METHODS[spec.adapt.method].adapter:
        return ()
    if ALL_LINEAR not in spec.adapt.lora.targets:
        return tuple(spec.adapt.lora.targets)
    if spec.model.scratch is not None:
        return LINEAR_LAYERS
    return (model.linear_layers or ()) if model is not None else ()


def _stages(
    spec: FineTuneJobSpec, shape: TransformerShape, device: Device, assumed: Assumptions
) -> list[TrainingEstimate]:
    stages = []
    if spec.pretrain is not None:
        batch = spec.pretrain.batch
        per_token = flops_per_token(shape, batch.tokens_per_row)
        training = TrainingShape(shape, spec.parallelism, _bf16(spec, device), gpu=device.bf16)
        stages.append(_stage("pretrain", training, spec, batch, device, spec.pretrain.budget.tokens, per_token))
    if spec.adapt is not None:
        batch = spec.adapt.batch
        training = adaptation_shape(shape, spec.parallelism, spec.adapt, bf16=_bf16(spec, device), gpu=device.bf16)
        per_token = (
            lora_flops_per_token(shape, training.trained, batch.tokens_per_row)
            if training.lora is not None
            else flops_per_token(shape, batch.tokens_per_row)  # of a part of the model: at most
        )
        stages.append(_stage("adapt", training, spec, batch, device, assumed.adapt_tokens, per_token))
    return [_priced(stage, spec, assumed.price) for stage in stages]


def _priced(stage: TrainingEstimate, spec: FineTuneJobSpec, price: float | None) -> TrainingEstimate:
    if price is None or stage.seconds is None:
        return stage
    ranks = spec.parallelism.nodes * spec.parallelism.processes_per_node
    return replace(stage, cost=stage.seconds / 3600 * ranks * price)


def _bf16(spec: FineTuneJobSpec, device: Device) -> bool:
    precision = spec.parallelism.precision
    return precision == "BF16" or (precision == "Auto" and device.bf16)


def _shape(spec: FineTuneJobSpec, folder: Path | None) -> TransformerShape | None:
    if spec.model.scratch is not None:
        return shape_of_new_model(spec.model)
    folder = folder or local_model_folder(spec)
    return shape_of_model(folder) if folder is not None else None


def _stage(
    name: str,
    training: TrainingShape,
    spec: FineTuneJobSpec,
    batch: Batch,
    device: Device,
    tokens: int | None,
    per_token: int,
) -> TrainingEstimate:
    ranks = training.ranks
    rows = rows_of_rank(batch, ranks)
    room = int(device.memory_bytes * USABLE)
    choice = choose(batch, rows, largest_micro_batch(batch, rows), training, room)
    if choice.memory is None:
        raise RuntimeError("a model of a known shape has an estimate")
    flops = float(tokens) * per_token if tokens is not None else None
    return TrainingEstimate(
        stage=name,
        trainable=training.trained,
        micro_batch=choice.micro_batch,
        accumulation=max(1, rows // choice.micro_batch),
        tokens=tokens,
        steps=math.ceil(tokens / batch.global_tokens) if tokens is not None else None,
        flops=flops,
        seconds=flops / (device.flops_per_second * ranks) if flops is not None else None,
        memory=choice.memory,
        kept=choice.kept,
        fits=choice.fits,
        remedy="" if choice.fits else what_would_fit(batch, training, room),
        host=host_memory_of_stages(spec, training.model, bf16=training.bf16)[name] if device.bf16 else None,
    )


def _warnings(
    spec: FineTuneJobSpec, shape: TransformerShape, device: Device, stages: list[TrainingEstimate]
) -> list[str]:
    warnings = [
        f"{stage.stage} needs about {stage.memory.total / GIB:.1f} GiB per rank, more than the "
        f"{USABLE * device.memory_bytes / GIB:.0f} GiB that can be used of {device.name}. {stage.remedy}"
        for stage in stages
        if not stage.fits
    ]
    adapt, width = spec.adapt, shape.kv_heads * shape.head_size
    if adapt is not None and METHODS[adapt.method].adapter and adapt.lora.rank > width:
        warnings.append(
            f"adapt.lora.rank {adapt.lora.rank} is not below the width of k_proj and v_proj ({width}): it saves "
            "nothing there"
        )
    if spec.pretrain is not None and spec.pretrain.budget.tokens is not None:
        tokens_per_parameter = spec.pretrain.budget.tokens / shape.parameters
        if spec.model.scratch is not None and tokens_per_parameter < 1:
            warnings.append(
                f"pretrain sees {tokens_per_parameter:.1f} tokens per parameter; compute-optimal training takes "
                "about 20 (Hoffmann et al. 2022): expect a weak model"
            )
    return warnings
