"""Weights in full shape, whatever partitions them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor, nn

from finetune_trainer.engine.host_buffers import HostBuffers


def trainable_names(model: nn.Module) -> set[str]:
    """Names of the parameters that are trained."""
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def full_state_dict(
    model: nn.Module, is_main: bool, trainable_only: bool = False, buffers: HostBuffers | None = None
) -> dict[str, Tensor]:
    """Parameters (shared ones once) and buffers in full shape on the CPU of rank 0, {} elsewhere; collective.

    Copied into `buffers` if there are any.
    """
    held = HostBuffers() if buffers is None else buffers
    state: dict[str, Tensor] = {}
    for name, value in weights(model, trainable_only):
        if is_main:
            state[name] = held.copy_tensor(name, value)
    return state


def weights(model: nn.Module, trainable_only: bool = False) -> Iterator[tuple[str, Tensor]]:
    """See `Engine.weights`."""
    for name, parameter in model.named_parameters():
        if trainable_only and not parameter.requires_grad:
            continue
        with _gathered(parameter):
            yield name, parameter.detach()
    if not trainable_only:
        persistent = model.state_dict().keys()
        yield from ((name, value) for name, value in model.named_buffers() if name in persistent)


def _gathered(parameter: nn.Parameter) -> AbstractContextManager[object]:
    if not hasattr(parameter, "ds_id"):
        return nullcontext()
    import deepspeed

    context: AbstractContextManager[object] = deepspeed.zero.GatheredParameters([parameter])
    return context
