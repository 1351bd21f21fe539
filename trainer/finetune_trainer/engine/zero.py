"""DeepSpeed ZeRO, stages 1 to 3."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from finetune_api.memory import reduce_bucket
from finetune_api.model import Zero
from finetune_api.training import Optimizer
from finetune_trainer.distributed import ensure_process_group
from finetune_trainer.engine.host_buffers import HostBuffers
from finetune_trainer.engine.interface import Place, StepInfo, Write
from finetune_trainer.engine.loss_module import Loss, LossModule
from finetune_trainer.engine.optimizer import NO_SCALES, build_optimizer
from finetune_trainer.engine.state import full_state_dict, trainable_names
from finetune_trainer.objectives import Batch, LossSum
from finetune_trainer.workspace.folder_writer import FolderWriter

_TAG = "engine"


class ZeroEngine:
    """DeepSpeed's partitioning around our own loop, loss and optimizer.

    DeepSpeed never scales the loss here: it accumulates what it is given, takes the mean over ranks (undone by the
    factor in `accumulate`) and clips. `managed_gradient_accumulation: false` makes `step` the only boundary.
    """

    def __init__(
        self,
        model: nn.Module,
        losses: Mapping[str, Loss],
        settings: Optimizer,
        place: Place,
        zero: Zero,
        rate_scales: Mapping[str, float] = NO_SCALES,
    ) -> None:
        device = place.device
        deepspeed = import_deepspeed(device)
        ensure_process_group(device)
        os.environ.setdefault("LOCAL_RANK", "0")
        deepspeed.init_distributed(auto_mpi_discovery=False)
        self.model = model.to(device)
        self._device = device
        self._ranks = place.ranks
        self._optimizer = build_optimizer(self.model, settings, rate_scales)
        trained = sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self._engine, self._wrapped, _, _ = deepspeed.initialize(
                model=LossModule(self.model, losses),
                optimizer=self._optimizer,
                config=zero_config(zero, settings.gradient_clip, place.bf16, device, trained),
            )
        # Its only source before the step.
        self._optimizer.gradient_norm = lambda: float(self._wrapped._global_grad_norm)  # noqa: SLF001
        self._files = CapturedFiles(map_weights=True)
        self._engine.checkpoint_engine = self._files

    def accumulate(self, micro_batches: Sequence[Batch], loss_units: int) -> LossSum:
        """See Engine; DeepSpeed takes the mean over ranks, hence the factor."""
        self._engine.train()
        scale = self._ranks.size / max(loss_units, 1)
        losses, counts = [], []
        for batch in micro_batches:
            loss, count = self._engine(batch.objective, **batch.to(self._device).inputs)
            self._engine.backward(loss * scale, scale_wrt_gas=False)
            losses.append(loss.detach())
            counts.append(count)
        return LossSum(torch.stack(losses).sum(), torch.stack(counts).sum())

    def recover(self) -> None:
        """See Engine. Never needed: out of memory, DeepSpeed's ranks cannot go on together."""

    def step(self, learning_rate: float, apply: bool = True) -> StepInfo:
        """See Engine."""
        self._optimizer.prepare(learning_rate, apply=apply)
        self._engine.step()
        return StepInfo(self._optimizer.last_norm, self._optimizer.applied)

    @torch.no_grad()
    def evaluate(self, micro_batches: Iterable[Batch]) -> LossSum:
        """See Engine; ZeRO-3 gathers parameters, so every rank passes the same number of batches."""
        self._engine.eval()
        loss_sum = torch.zeros((), device=self._device)
        loss_units = torch.zeros((), dtype=torch.int64, device=self._device)
        for batch in micro_batches:
            loss, count = self._engine(batch.objective, **batch.to(self._device).inputs)
            loss_sum += loss
            loss_units += count
        return LossSum(loss_sum, loss_units)

    def snapshot(self, buffers: HostBuffers | None = None) -> Write:
        """See Engine; frozen weights belong to the input model and are left out."""
        with tempfile.TemporaryDirectory(prefix="finetune-") as nowhere:
            # DeepSpeed copies its scripts of recovery there; all else is captured.
            self._engine.save_checkpoint(
                nowhere, tag=_TAG, save_latest=False, exclude_frozen_parameters=self._has_frozen_parameters()
            )
            states = {str(Path(path).relative_to(nowhere)): state for path, state in self._files.take().items()}
            scripts = {path.name: path.read_bytes() for path in Path(nowhere).glob("*.py")}
        taken = states if buffers is None else buffers.copy(states)

        def write(files: FolderWriter) -> None:
            for name, state in taken.items():
                with files.open(name) as file:
                    torch.save(state, file)
            for name, script in scripts.items():
                with files.open(name) as file:
                    file.write(script)

        return write

    def load(self, folder: Path) -> None:
        """See Engine."""
        loaded, _ = self._engine.load_checkpoint(
            str(folder), tag=_TAG, load_module_strict=not self._has_frozen_parameters()
        )
        if loaded is None:
            raise FileNotFoundError(f"no engine state in {folder}")

    def _has_frozen_parameters(self) -> bool:
        return len(trainable_names(self.model)) < sum(1 for _ in self.model.named_parameters())

    def full_state_dict(self, trainable_only: bool = False, buffers: HostBuffers | None = None) -> dict[str, Tensor]:
        """See Engine."""
        return full_state_dict(self.model, self._ranks.is_main, trainable_only, buffers)


class CapturedFiles:
    """A checkpoint engine of DeepSpeed's that keeps what it is given, by path, instead of writing it.

    Its methods are those of `deepspeed.runtime.checkpoint_engine.CheckpointEngine`, which is not imported before it is
    known that there is to be no compilation.
    """

    def __init__(self, map_weights: bool) -> None:
        """`map_weights`: the files with the weights hold nothing that the engine keeps without copying it."""
        self._map_weights = map_weights
        self._states: dict[str, Any] = {}

    def take(self) -> dict[str, Any]:
        """What was captured since the last call."""
        states, self._states = self._states, {}
        return states

    def save(self, state_dict: Any, path: str) -> None:
        """Keep it; its tensors are still those of the engine."""
        self._states[path] = state_dict

    def load(self, path: str, map_location: Any = None) -> Any:
        """Load one file; of the weights, which every rank loads, without a copy in its memory."""
        mapped = self._map_weights and path.endswith("model_states.pt")
        return torch.load(path, map_location=map_location, weights_only=False, mmap=mapped)

    def is_data_parallel_writer(self, dp_rank: int) -> bool:
        """The first rank has the weights that all have."""
        return dp_rank == 0

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Folders are made with their files."""

    def create(self, info: Any) -> None:
        """Nothing to prepare."""

    def commit(self, info: Any) -> bool:  # noqa: ARG002 - as DeepSpeed calls it
        """Nothing to end."""
        return True

    def is_decoupled(self) -> bool:
        """Whether DeepSpeed has to wait for files at its next step."""
        return False

    def preserves_storage_sharing(self) -> bool:
        """Whether tensors that share memory share it in the file."""
        return True


def import_deepspeed(device: torch.device) -> Any:
    """Import DeepSpeed for `device`; on a CPU without compiling any of its extensions."""
    if device.type == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed
    import deepspeed.ops

    logger = logging.getLogger("DeepSpeed")
    logger.setLevel(logging.WARNING)
    logger.addFilter(_is_news)
    if device.type == "cpu":
        # Otherwise init_distributed builds a shared-memory collective with g++, which torchrun never uses.
        deepspeed.ops.__compatible_ops__ = {}
    return deepspeed


def _is_news(record: logging.LogRecord) -> bool:
    """DeepSpeed calls every optimizer but its own untested; the trainer's is tested at each stage of ZeRO."""
    return "untested optimizer" not in record.getMessage()


def zero_config(zero: Zero, gradient_clip: float, bf16: bool, device: torch.device, trained: int) -> dict[str, Any]:
    """DeepSpeed's configuration for a model with `trained` weights to train.

    Under bf16, stages 2 and 3 add up gradients in float32: after 64 micro-batches a bf16 sum is 1 % off. Stage 1 would
    take another optimizer of DeepSpeed's for it. Whether gradients are finite is seen by their norm, so that DeepSpeed
    need not pass over all of them.
    """
    stage = zero.stage
    offload: dict[str, Any] = {}
    if zero.offload == "CPU":
        in_host_memory = {"device": "cpu", "pin_memory": device.type == "cuda"}
        offload = {"offload_optimizer": in_host_memory} | ({"offload_param": in_host_memory} if stage == 3 else {})
    return {
        "train_micro_batch_size_per_gpu": 1,  # Only DeepSpeed's own sample counter reads it.
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        "gradient_clipping": gradient_clip,
        "bf16": {"enabled": bf16, "check_grad_overflow": False},
        "data_types": {"grad_accum_dtype": "fp32" if bf16 and stage > 1 else None},
        "zero_optimization": {
            "stage": stage,
            "contiguous_gradients": True,
            "reduce_bucket_size": reduce_bucket(trained),
            "overlap_comm": device.type == "cuda" and stage > 1,
        }
        | offload,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 2**31,
    }
