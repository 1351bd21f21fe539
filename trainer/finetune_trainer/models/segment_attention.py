"""Causal attention within the segments of a flattened batch: no token sees another segment, and no mask says so."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from finetune_trainer.models.bf16_attention import attend_by_products, suits_products

Runs = Sequence[tuple[int, int]]
"""Segments of a flattened batch, in its order: (how many, tokens of each)."""

FAMILIES = frozenset(
    {
        "cohere",
        "gemma",
        "gemma2",
        "gemma3_text",
        "gpt2",
        "gpt_neox",
        "granite",
        "llama",
        "mistral",
        "olmo2",
        "opt",
        "phi",
        "phi3",
        "qwen2",
        "qwen3",
        "smollm3",
        "starcoder2",
    }
)
"""Model types whose layers hand everything that attention needs to `AttentionInterface`; the tests hold each of them
equal to its segments one by one. Others may keep state between tokens in other ways, and are given one segment a row.
"""
_log = logging.getLogger(__name__)
_NAME = "segments"
_VARLEN_TYPES = (torch.bfloat16, torch.float16)
_OLDEST_FLASH = (8, 0)
"""Compute capability that torch's flash attention was written for."""


def use_segment_attention(model: nn.Module) -> bool:
    """Let a model attend within segments from now on, if its family can; returns whether it does.

    Such a model takes flattened batches only: one row, with `segment_inputs` beside the tokens.
    """
    causal_lm = base_model(model)
    if causal_lm.config.model_type not in FAMILIES:
        return False
    AttentionInterface.register(_NAME, partial(_attend, _find_flash()))
    AttentionMaskInterface.register(_NAME, _no_mask)
    causal_lm.set_attn_implementation(_NAME)
    return True


def attends_within_segments(model: PreTrainedModel) -> bool:
    """Whether `use_segment_attention` was called for it."""
    return bool(model.config._attn_implementation == _NAME)  # noqa: SLF001 - where transformers keeps it


@dataclass(frozen=True, slots=True)
class _Opaque:
    """Runs as one value: a compiled layer would be compiled anew for other numbers of them."""

    runs: Runs


def segment_inputs(boundaries: Tensor, runs: Runs) -> dict[str, Any]:
    """What the forward pass of a model hands on to each of its attentions.

    Args:
        boundaries: (segments + 1,) int32, first token of each segment and the end.
        runs: the same, on the host.
    """
    return {
        "cu_seq_lens_q": boundaries,
        "cu_seq_lens_k": boundaries,
        "max_length_q": longest_segment(runs),
        "segment_runs": _Opaque(runs),
    }


def longest_segment(runs: Runs) -> int:
    """Tokens of the longest segment, what fills it up included."""
    return max(length for _, length in runs)


def base_model(model: nn.Module) -> PreTrainedModel:
    """The language model inside a PEFT wrapper, or the model itself."""
    unwrap = getattr(model, "get_base_model", None)
    return cast("PreTrainedModel", unwrap() if callable(unwrap) else model)


def _no_mask(*_: Any, **__: Any) -> None:
    return None


class _Flash(NamedTuple):
    """Torch's flash attention by boundaries, and what it takes: that changed from release to release."""

    attend: Callable[..., Any]
    parameters: frozenset[str]


def _find_flash() -> _Flash | None:
    """What the GPU of this rank can use, if anything; the log says why not.

    Looked up once: not in each layer of each pass, nor while a layer is compiled.
    """
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        _say_slow(f"torch {torch.__version__} has no varlen_attn: install torch 2.10 or newer")
        return None
    if torch.cuda.is_available() and torch.cuda.get_device_capability() < _OLDEST_FLASH:
        has, needed = (".".join(map(str, it)) for it in (torch.cuda.get_device_capability(), _OLDEST_FLASH))
        _say_slow(f"flash attention needs compute capability {needed}, this GPU has {has}")
        return None
    return _Flash(varlen_attn, frozenset(inspect.signature(varlen_attn).parameters))


def _say_slow(reason: str) -> None:
    if torch.cuda.is_available():
        _log.warning("segments attend in runs of equal length, which takes longer: %s", reason)


class _Form(NamedTuple):
    """How a layer attends, beside its states."""

    scaling: float | None
    window: int | None
    """Tokens that a query sees, itself included; None for all before it."""
    softcap: float | None
    dropout: float


def _attend(
    flash: _Flash | None,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention of one layer (`AttentionInterface`): (1, heads, tokens, size) to (1, tokens, heads, size)."""
    if torch.is_autocast_enabled(query.device.type):
        # Rotary embeddings are float32 under autocast; its list of what to narrow does not know `varlen_attn`.
        narrow = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(narrow), key.to(narrow), value.to(narrow)
    window = options.get("sliding_window")
    form = _Form(
        options.get("scaling"),
        window if window and window < options["max_length_q"] else None,
        options.get("softcap"),
        options.get("dropout", 0.0) if module.training else 0.0,
    )
    if flash is not None and _is_for_flash(query, form):
        return _varlen(flash, query, key, value, options["cu_seq_lens_q"], options["max_length_q"], form), None
    return _attend_in_runs(query, key, value, options["segment_runs"], form), None


def _is_for_flash(query: Tensor, form: _Form) -> bool:
    return query.is_cuda and query.dtype in _VARLEN_TYPES and not form.dropout and not form.softcap


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _attend_in_runs(query: Tensor, key: Tensor, value: Tensor, segments: _Opaque, form: _Form) -> Tensor:
    """Attention of each run at once. Never compiled: there would be a graph for each list of lengths."""
    states = zip(*(_stacks(whole, segments.runs) for whole in (query, key, value)), strict=True)
    parts = [_attend_run(q, k, v, form).transpose(1, 2).flatten(0, 1) for q, k, v in states]
    return torch.cat(parts)[None]


def _stacks(states: Tensor, runs: Runs) -> list[Tensor]:
    """(1, heads, tokens, size) as views of (count, heads, length, size), one for each run.

    By one split: the gradient of a slice is a tensor of all tokens, and there may be fifty runs.
    """
    _, heads, _, size = states.shape
    parts = states.squeeze(0).split([count * length for count, length in runs], dim=1)
    return [part.view(heads, *run, size).transpose(0, 1) for part, run in zip(parts, runs, strict=True)]


def _attend_run(query: Tensor, key: Tensor, value: Tensor, form: _Form) -> Tensor:
    """Segments of one length: (count, heads, length, size) each; keys and values may have fewer heads."""
    length = query.shape[2]
    window = min(form.window or length, length)
    if form.softcap:
        return _softcapped(query, key, value, window, form, form.softcap)
    if window == length and not form.dropout and suits_products(query):
        return attend_by_products(query, key, value, form.scaling)
    if window == length:
        return functional.scaled_dot_product_attention(
            query, key, value, dropout_p=form.dropout, is_causal=True, scale=form.scaling, enable_gqa=True
        )
    blocks = []
    for start in range(0, length, window):
        # A block of queries sees itself and the block before, so that no mask is wider than two windows.
        end, first = min(start + window, length), max(0, start - window)
        blocks.append(
            functional.scaled_dot_product_attention(
                query[:, :, start:end],
                key[:, :, first:end],
                value[:, :, first:end],
                attn_mask=_band(start, end, first, window, query.device),
                dropout_p=form.dropout,
                scale=form.scaling,
                enable_gqa=True,
            )
        )
    return torch.cat(blocks, dim=2)


def _band(start: int, end: int, first: int, window: int, device: torch.device) -> Tensor:
    """What queries `start … end` see of keys `first … end`: themselves, and `window - 1` tokens back."""
    back = torch.arange(start, end, device=device)[:, None] - torch.arange(first, end, device=device)
    return (back >= 0) & (back < window)


def _softcapped(query: Tensor, key: Tensor, value: Tensor, window: int, form: _Form, softcap: float) -> Tensor:
    """Attention whose scores are squeezed by tanh (Gemma 2), which no fused kernel of torch does."""
    length, size = query.shape[2:]
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
    scores = query @ key.transpose(-1, -2) * (size**-0.5 if form.scaling is None else form.scaling)
    scores = softcap * torch.tanh(scores / softcap)
    visible = _band(0, length, 0, window, query.device)
    weights = scores.masked_fill(~visible, -torch.inf).softmax(-1, dtype=torch.float32).to(query.dtype)
    return functional.dropout(weights, form.dropout) @ value


def _varlen(
    flash: _Flash, query: Tensor, key: Tensor, value: Tensor, boundaries: Tensor, longest: int, form: _Form
) -> Tensor:
    """Flash attention by boundaries."""
    known = flash.parameters
    heads = query.shape[1]
    query, key, value = (states[0].transpose(0, 1) for states in (query, key, value))
    options: dict[str, Any] = {"scale": form.scaling} if "scale" in known else {}
    if "window_size" in known:
        options["window_size"] = ((form.window or longest) - 1, 0)
    elif form.window is None:
        options["is_causal"] = True
    else:
        raise NotImplementedError("varlen_attn of this torch has no sliding window: install torch 2.12 or newer")
    if "enable_gqa" in known:
        options["enable_gqa"] = True
    else:
        key, value = (states.repeat_interleave(heads // states.shape[1], dim=1) for states in (key, value))
    return cast("Tensor", flash.attend(query, key, value, boundaries, boundaries, longest, longest, **options))[None]
