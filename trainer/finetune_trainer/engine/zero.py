"""DeepSpeed ZeRO, stages 1 to 3."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from finetune_api.memory import reduce_bucket
from finetune_api.model import Zero
from finetune_api.training import Optimizer
from finetune_trainer.distributed.deepspeed import start_deepspeed
from finetune_trainer.engine.host_buffers import HostBuffers
from finetune_trainer.engine.interface import Place, StepExhausted, StepInfo, Write
from finetune_trainer.engine.lockstep import LockstepModel
from finetune_trainer.engine.loss_module import ANSWER, Loss, LossModule
from finetune_trainer.engine.optimizer import NO_SCALES, build_optimizer
from finetune_trainer.engine.partitioned_gradients import PartitionedGradients
from finetune_trainer.engine.state import full_state_dict, trainable_names, weights
from finetune_trainer.models.placement import full_shape, is_partitioned, offload_config
from finetune_trainer.models.segment_attention import base_model, plain_attention
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
        deepspeed = start_deepspeed(device)
        self.model = model.to(device)
        if place.bf16 and is_partitioned(model):
            _narrow_the_rest(model)
        self._device = device
        self._ranks = place.ranks
        self._optimizer = build_optimizer(self.model, settings, rate_scales)
        trained = sum(full_shape(weight).numel() for weight in self.model.parameters() if weight.requires_grad)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self._engine, self._wrapped, _, _ = deepspeed.initialize(
                model=LossModule(self.model, losses),
                optimizer=self._optimizer,
                config=zero_config(zero, settings.gradient_clip, place.bf16, device, trained),
            )
        # Its only source before the step.
        self._optimizer.gradient_norm = lambda: float(self._wrapped._global_grad_norm)  # noqa: SLF001
        self._gradients = PartitionedGradients(self._wrapped, zero.stage) if zero.stage < 3 else None
        self._files = CapturedFiles(map_weights=True)
        self._engine.checkpoint_engine = self._files

    def accumulate(self, micro_batches: Sequence[Batch], loss_units: int) -> LossSum:
        """See Engine; DeepSpeed takes the mean over ranks, hence the factor.

        Under ZeRO-3 each layer gathers weights, in an order that DeepSpeed learns as it goes: there is no way to go on.
        """
        losses: list[LossSum] = []
        try:
            self._accumulate(micro_batches, self._ranks.size / max(loss_units, 1), losses)
        except torch.OutOfMemoryError:
            if self._gradients is None or not self._gradients.can_complete:
                raise
        else:
            return LossSum(
                torch.stack([loss.loss_sum for loss in losses]).sum(),
                torch.stack([loss.loss_units for loss in losses]).sum(),
            )
        # After its handler, which holds what its traceback holds.
        self._gradients.complete(len(micro_batches) - len(losses))
        raise StepExhausted

    def _accumulate(self, micro_batches: Sequence[Batch], scale: float, losses: list[LossSum]) -> None:
        """Add to `losses` what each micro-batch had, when it is done."""
        self._engine.train()
        for batch in micro_batches:
            if self._gradients is not None:
                self._gradients.begin()
            loss, count = self._forward(batch)
            self._engine.backward(loss * scale, scale_wrt_gas=False)
            if self._gradients is not None:
                self._gradients.end()
            losses.append(LossSum(loss.detach(), count))

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Before the first backward pass nobody knows what it will reduce; so all ranks see whether all come to it."""
        result: tuple[Tensor, Tensor] | None = None
        is_first = self._gradients is not None and not self._gradients.is_known
        with suppress(torch.OutOfMemoryError) if is_first else nullcontext():
            result = self._engine(batch.objective, **batch.to(self._device).inputs)
        if (is_first and self._ranks.any(result is None)) or result is None:
            raise StepExhausted
        return result

    def recover(self) -> None:
        """See Engine."""
        if self._gradients is not None and self._gradients.recover():
            self.step(0.0, apply=False)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def step(self, learning_rate: float, apply: bool = True) -> StepInfo:
        """See Engine."""
        self._optimizer.prepare(learning_rate, apply=apply)
        self._engine.step()
        if self._gradients is not None:
            self._gradients.stepped()
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

    @contextmanager
    def answering(self) -> Iterator[Any]:
        """See Engine; under ZeRO-3 ranks go through the layers together."""
        self._engine.eval()
        model = base_model(self.model)
        with torch.no_grad(), plain_attention(self.model):
            if not is_partitioned(self.model):
                yield model
                return
            yield LockstepModel(model, partial(self._engine, ANSWER), self._ranks)

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

    def weights(self, trainable_only: bool = False) -> Iterator[tuple[str, Tensor]]:
        """See Engine."""
        return weights(self.model, trainable_only)

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


def zero_config(zero: Zero, gradient_clip: float, bf16: bool, device: torch.device, trained: int) -> dict[str, Any]:
    """DeepSpeed's configuration for a model with `trained` weights to train.

    Under bf16, stages 2 and 3 add up gradients in float32: after 64 micro-batches a bf16 sum is 1 % off. Stage 1 would
    take another optimizer of DeepSpeed's for it. Whether gradients are finite is seen by their norm, so that DeepSpeed
    need not pass over all of them.
    """
    stage = zero.stage
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
        | offload_config(zero, device),
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 2**31,
    }


def _narrow_the_rest(model: nn.Module) -> None:
    """Let an adapter beside partitioned weights be bfloat16 as they are: DeepSpeed casts no model that is partitioned.

    Its float32 copy of what is trained is made from these, as that of a whole model.
    """
    for parameter in model.parameters():
        if not hasattr(parameter, "ds_id"):
            parameter.data = parameter.data.to(torch.bfloat16)
