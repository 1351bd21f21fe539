"""Compiled layers where they pay, seen to work before an engine exists; else the layers as they are."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn

from finetune_trainer.batching import ArmExamples
from finetune_trainer.batching.layout import Layout
from finetune_trainer.context import StageContext
from finetune_trainer.engine import chosen_engine
from finetune_trainer.models.compiled_layers import compile_layers, run_eagerly, wants_compiled_layers
from finetune_trainer.run.settings import TrainSettings
from finetune_trainer.run.trial import pass_once

_log = logging.getLogger(__name__)


def compile_where_it_pays(
    context: StageContext, model: nn.Module, arms: Mapping[str, ArmExamples], layout: Layout, settings: TrainSettings
) -> bool:
    """Compile the layers if `parallelism.compile` means it here; returns whether they are. Every rank calls it.

    One row of each arm goes forward and backward. Whatever fails in that, on any rank, leaves all ranks with the layers
    as they are, which the log and the progress tell: compilation only saves time. No engine exists yet, so that no rank
    waits for one whose compiler failed.
    """
    setting = context.plan.spec.parallelism.compile
    if not wants_compiled_layers(setting, chosen_engine(context, model), context.device):
        return False
    began, before = time.monotonic(), _compiled()
    compile_layers(model)
    failure = _failure(context, model, arms, replace(layout, micro_batch=1), settings)
    found = _compiled() - before
    if failure is None and not found.graphs:
        failure = "nothing of a layer can be compiled"
    reason = next(filter(None, context.ranks.gather(failure)), None)
    if reason is not None:
        run_eagerly(model)
        context.progress.update(message=f"layers are not compiled: {reason[:60]}")
        if context.ranks.is_main:
            _log.warning(
                "layers are not compiled, training takes longer: %s; parallelism.compile: None skips the attempt",
                reason,
            )
        return False
    # What a later batch would compile anew, such as layers without gradients, may fail without ending the run.
    torch._dynamo.config.suppress_errors = True  # noqa: SLF001 - its public name
    if context.ranks.is_main:
        seconds = time.monotonic() - began
        _log.info("layers are compiled: %d graphs, %d breaks, %.0f s", found.graphs, found.breaks, seconds)
    return True


class _Compiled(NamedTuple):
    """What Dynamo has made in this process."""

    graphs: int
    breaks: int
    """Places that no graph goes across."""

    def __sub__(self, before: _Compiled) -> _Compiled:
        return _Compiled(self.graphs - before.graphs, self.breaks - before.breaks)


def _compiled() -> _Compiled:
    from torch._dynamo.utils import counters

    return _Compiled(counters["stats"]["unique_graphs"], sum(counters["graph_break"].values()))


def _failure(
    context: StageContext, model: nn.Module, arms: Mapping[str, ArmExamples], layout: Layout, settings: TrainSettings
) -> str | None:
    try:
        pass_once(context, model, arms, layout, settings)
    except Exception as error:  # noqa: BLE001 - a compiler fails in many ways; what is no compiler's shows in step 1
        return _in_short(error)
    finally:
        if context.device.type == "cuda":
            torch.cuda.empty_cache()
    return None


def _in_short(error: Exception) -> str:
    """First line of the innermost error: what a compiler's caller says of it is not what went wrong."""
    innermost: BaseException = error
    while (inner := getattr(innermost, "inner_exception", None) or innermost.__cause__) is not None:
        innermost = inner
    lines = (line.strip() for line in str(innermost).splitlines())
    return next(filter(None, lines), type(innermost).__name__)[:160]
