"""Plain PyTorch: DistributedDataParallel, or nothing around the model on one rank."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from finetune_api.training import Optimizer
from finetune_trainer.distributed.gradient_buckets import GradientBuckets
from finetune_trainer.engine.host_buffers import HostBuffers
from finetune_trainer.engine.interface import Place, StepExhausted, StepInfo, Write
from finetune_trainer.engine.loss_module import Loss, LossModule
from finetune_trainer.engine.optimizer import NO_SCALES, build_optimizer, clip_gradients
from finetune_trainer.engine.state import full_state_dict, trainable_names, weights
from finetune_trainer.models.segment_attention import base_model, plain_attention
from finetune_trainer.objectives import Batch, LossSum
from finetune_trainer.workspace.folder_writer import FolderWriter

_FILE = "engine.pt"
_SYNC_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")  # the older one is for torch before 2.13
    if name in inspect.signature(DistributedDataParallel).parameters
)


class DdpEngine:
    """Weights and optimizer on every rank; bf16 by autocast over float32 weights."""

    def __init__(
        self,
        model: nn.Module,
        losses: Mapping[str, Loss],
        settings: Optimizer,
        place: Place,
        rate_scales: Mapping[str, float] = NO_SCALES,
    ) -> None:
        device, bf16 = place.device, place.bf16
        self.model = model.to(device)
        self._device = device
        self._ranks = place.ranks
        self._optimizer = build_optimizer(self.model, settings, rate_scales)
        parameters = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        self._optimizer.gradient_norm = lambda: clip_gradients(parameters, settings.gradient_clip)
        self._autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
        self._unwrapped = LossModule(self.model, losses)
        self._loss: nn.Module = self._unwrapped
        self._buckets: GradientBuckets | None = None
        self._wrap()

    def _wrap(self) -> None:
        """Reduce gradients between several ranks from now on."""
        if self._ranks.size == 1:
            return
        ids = [self._device] if self._device.type == "cuda" else None
        options = {"gradient_as_bucket_view": True, _SYNC_BUFFERS: False}
        wrapped = DistributedDataParallel(self._unwrapped, ids, **options)  # type: ignore[arg-type]
        self._loss, self._buckets = wrapped, GradientBuckets(wrapped)

    def accumulate(self, micro_batches: Sequence[Batch], loss_units: int) -> LossSum:
        """See Engine; DDP takes the mean over ranks, hence the factor."""
        if self._buckets is not None:
            self._buckets.begin()
        try:
            return self._accumulate(micro_batches, loss_units)
        except torch.OutOfMemoryError:
            pass  # and let go of what its traceback holds
        if self._buckets is not None:
            self._buckets.complete(self._device)
        raise StepExhausted

    def _accumulate(self, micro_batches: Sequence[Batch], loss_units: int) -> LossSum:
        self.model.train()
        scale = self._ranks.size / max(loss_units, 1)
        losses, counts = [], []
        for index, batch in enumerate(micro_batches):
            with self._synchronised(index == len(micro_batches) - 1), self._autocast:
                loss, count = self._loss(batch.objective, **batch.to(self._device).inputs)
                (loss * scale).backward()
            losses.append(loss.detach())
            counts.append(count)
        return LossSum(torch.stack(losses).sum(), torch.stack(counts).sum())

    def _synchronised(self, last: bool) -> AbstractContextManager[None]:
        if last or not isinstance(self._loss, DistributedDataParallel):
            return nullcontext()
        context: AbstractContextManager[None] = self._loss.no_sync()
        return context

    def recover(self) -> None:
        """See Engine; DDP's reducer does not go on after a backward pass that broke off, so there is a new one."""
        self._optimizer.zero_grad(set_to_none=True)
        self._loss, self._buckets = self._unwrapped, None
        gc.collect()  # the old reducer, for its hooks are still called
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        self._wrap()

    def step(self, learning_rate: float, apply: bool = True) -> StepInfo:
        """See Engine."""
        self._optimizer.prepare(learning_rate, apply=apply)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return StepInfo(self._optimizer.last_norm, self._optimizer.applied)

    @torch.no_grad()
    def evaluate(self, micro_batches: Iterable[Batch]) -> LossSum:
        """See Engine; no collectives."""
        self.model.eval()
        module = self._loss.module if isinstance(self._loss, DistributedDataParallel) else self._loss
        loss_sum, loss_units = torch.zeros((), device=self._device), torch.zeros((), dtype=torch.int64)
        loss_units = loss_units.to(self._device)
        for batch in micro_batches:
            with self._autocast:
                loss, count = module(batch.objective, **batch.to(self._device).inputs)
            loss_sum += loss
            loss_units += count
        return LossSum(loss_sum, loss_units)

    @contextmanager
    def answering(self) -> Iterator[PreTrainedModel]:
        """See Engine; no collectives."""
        self.model.eval()
        with torch.no_grad(), self._autocast, plain_attention(self.model):
            yield base_model(self.model)

    def snapshot(self, buffers: HostBuffers | None = None) -> Write:
        """See Engine; rank 0 writes, all ranks have the same."""
        if not self._ranks.is_main:
            return lambda _: None
        names = trainable_names(self.model)
        weights = {name: value.detach() for name, value in self.model.named_parameters() if name in names}
        state = {"weights": weights, "optimizer": self._optimizer.state_dict()}
        taken = state if buffers is None else buffers.copy(state)

        def write(files: FolderWriter) -> None:
            with files.open(_FILE) as file:
                torch.save(taken, file)

        return write

    def load(self, folder: Path) -> None:
        """See Engine; ranks of a machine share the pages of the file, and none holds a copy of it."""
        state = torch.load(folder / _FILE, map_location="cpu", weights_only=True, mmap=True)
        parameters = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, value in state["weights"].items():
                parameters[name].copy_(value)
        if self._device.type == "cpu":
            # The optimizer keeps what is on its device already, and its state would stay a view of the file.
            state["optimizer"]["state"] = {
                key: {name: value.clone() for name, value in entry.items()}
                for key, entry in state["optimizer"]["state"].items()
            }
        self._optimizer.load_state_dict(state["optimizer"])

    def weights(self, trainable_only: bool = False) -> Iterator[tuple[str, Tensor]]:
        """See Engine."""
        return weights(self.model, trainable_only)

    def full_state_dict(self, trainable_only: bool = False, buffers: HostBuffers | None = None) -> dict[str, Tensor]:
        """See Engine."""
        return full_state_dict(self.model, self._ranks.is_main, trainable_only, buffers)
