"""Weights in full shape, whatever partitions them."""

from __future__ import annotations

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

    Parameters that ZeRO-3 partitions are gathered one at a time, so that no rank ever holds more than one extra. Copied
    into `buffers` if there are any.
    """
    held = HostBuffers() if buffers is None else buffers
    state: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if trainable_only and not parameter.requires_grad:
            continue
        with _gathered(parameter):
            if is_main:
                state[name] = held.copy_tensor(name, parameter)
    if is_main and not trainable_only:
        persistent = model.state_dict().keys()
        of_model = ((name, value) for name, value in model.named_buffers() if name in persistent)
        state |= {name: held.copy_tensor(name, value) for name, value in of_model}
    return state


def _gathered(parameter: nn.Parameter) -> AbstractContextManager[object]:
    if not hasattr(parameter, "ds_id"):
        return nullcontext()
    import deepspeed

    context: AbstractContextManager[object] = deepspeed.zero.GatheredParameters([parameter])
    return context
