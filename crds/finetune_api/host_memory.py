"""What a pod of a training stage takes of its machine's memory, beside that of its GPUs."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from finetune_api.figures import bytes_
from finetune_api.job import FineTuneJobSpec
from finetune_api.memory import ADAM_BYTES, FP32_BYTES, SHARD_BYTES, TrainingShape, adaptation_shape, training_memory
from finetune_api.training import Checkpoint
from finetune_api.transformer import TransformerShape

PROCESS_BYTES = 2**29
"""Of a rank that has imported torch, transformers and DeepSpeed, without pages of files and what CUDA adds."""


LESS_HOST_MEMORY = (
    "raise resources.limits.memory of the runtime, run fewer processes a pod on more nodes, or set "
    "spec.checkpoint.async: false"
)


@dataclass(frozen=True, slots=True)
class HostMemory:
    """Bytes of the pod with rank 0, which has more to keep than the others."""

    processes: int
    """Programs, without any weights."""
    loading: int
    """There while weights are read or drawn: each rank holds the largest one. Pages of files do not count."""
    offloaded: int
    """What ZeRO keeps here in place of the GPUs."""
    checkpoint: int
    """Copies from which checkpoints are written while training goes on."""
    best: int
    """Copies of the best weights: those there are, and the ones that a checkpoint is still being written from."""
    writing: int
    """The file of the finished model that is being written."""

    @property
    def total(self) -> int:
        """At the worst moment: while weights are loaded, while checkpoints are written, or at the end."""
        training = self.offloaded + self.best + max(self.checkpoint, self.writing)
        return self.processes + max(self.loading + self.offloaded, training)


def host_parts(memory: HostMemory) -> str:
    """`offloaded 81.0 GiB, checkpoint 94.4 GiB`: what is not nothing, the largest first."""
    parts = sorted(((value, name) for name, value in asdict(memory).items() if value), reverse=True)
    return ", ".join(f"{name} {bytes_(value)}" for value, name in parts)


def host_memory(training: TrainingShape, processes: int, checkpoint: Checkpoint, *, selects_best: bool) -> HostMemory:
    """What the pod with rank 0 takes of a machine with GPUs.

    Args:
        training: what is trained, and how.
        processes: ranks of a pod.
        checkpoint: the policy of the job.
        selects_best: the stage returns the weights of the best validation.
    """
    model, in_background = training.model, checkpoint.async_
    trained_width = training.width if training.stage else FP32_BYTES
    best = training.trained * trained_width * (2 if in_background else 1)
    return HostMemory(
        processes=processes * PROCESS_BYTES,
        loading=processes * FP32_BYTES * model.vocabulary * model.hidden,
        offloaded=processes * training_memory(training, 1, 1).host,
        checkpoint=sum(snapshot_bytes(training, rank) for rank in range(processes)) if in_background else 0,
        best=best if selects_best and checkpoint.keep_best else 0,
        writing=min(SHARD_BYTES, model.parameters * training.width),
    )


def snapshot_bytes(training: TrainingShape, rank: int) -> int:
    """Bytes of a checkpoint that a rank writes: both moments and float32 weights of what it updates.

    Rank 0 alone writes what all ranks have: under ZeRO 1 and 2 the weights in the type of matrix products, too.
    """
    trained, stage = training.trained, training.stage
    if stage == 0:
        return trained * (FP32_BYTES + ADAM_BYTES) if rank == 0 else 0
    whole = trained * training.width if rank == 0 and stage < 3 else 0
    return trained * (FP32_BYTES + ADAM_BYTES) // training.ranks + whole


def host_memory_of_stages(spec: FineTuneJobSpec, shape: TransformerShape, *, bf16: bool) -> dict[str, HostMemory]:
    """Of each training stage of a job on GPUs, with a model of `shape`."""
    processes, found = spec.parallelism.processes_per_node, {}

    def of(training: TrainingShape, *, selects_best: bool) -> HostMemory:
        return host_memory(training, processes, spec.checkpoint, selects_best=selects_best)

    if spec.pretrain is not None:
        found["pretrain"] = of(TrainingShape(shape, spec.parallelism, bf16), selects_best=False)
    if spec.adapt is not None:
        training = adaptation_shape(shape, spec.parallelism, spec.adapt, bf16=bf16, gpu=True)
        found["adapt"] = of(training, selects_best=spec.data.split.validation > 0)
    return found
