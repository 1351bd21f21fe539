"""Models as folders: `config.json`, `model.safetensors`, tokenizer files."""

from __future__ import annotations

import json
import logging
import sys
from functools import partial
from pathlib import Path

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel
from transformers.core_model_loading import WeightConverter

from finetune_api.memory import SHARD_BYTES
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.models.heads import LANGUAGE_HEAD, Head, check_missing
from finetune_trainer.models.placement import ON_CPU, Placement
from finetune_trainer.models.shards import WHOLE, Weights, write_shards

_CONFIG = "config.json"


def load_model(folder: Path, field: str, head: Head = LANGUAGE_HEAD, placement: Placement = ON_CPU) -> PreTrainedModel:
    """A model, ready to be trained (no cache); collective if its weights are partitioned.

    Weights are read one at a time, each from the pages of its file to its place, which the host's memory never holds as
    a whole. Of partitioned ones rank 0 reads, and the others get their share.

    Args:
        folder: as transformers saves it.
        field: where the manifest names it, for messages.
        head: what stands on its body; where the folder has no such head, a new one.
        placement: where the weights are to be, and in which type.

    Raises:
        BadConfiguration: if the folder cannot be loaded.
    """
    try:
        # Partitioned weights find their device themselves; those on the CPU would count as offloaded.
        is_elsewhere = placement.zero is None and placement.device.type != "cpu"
        device_map = {"": placement.device} if is_elsewhere else None
        with placement.partitioning(), head.drawing():
            model: PreTrainedModel
            model, found = getattr(transformers, head.model_class).from_pretrained(
                folder, dtype=placement.dtype, device_map=device_map, local_files_only=True, output_loading_info=True,
                **head.settings,
            )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _not_readable(folder, field, head, error) from error
    check_missing(model, head, found["missing_keys"], f"{field}: {folder}")
    model.config.use_cache = False
    logging.getLogger("transformers.modeling_utils").addFilter(_is_news)
    return model


def _is_news(record: logging.LogRecord) -> bool:
    """Rows of one example are given without a mask: their padding is at the end, where causal attention looks last."""
    return "We strongly recommend passing in an `attention_mask`" not in record.getMessage()


def model_outline(folder: Path, field: str, head: Head = LANGUAGE_HEAD) -> PreTrainedModel:
    """A model without weights, on the meta device: its layers can be named, at a second for 7B parameters.

    Raises:
        BadConfiguration: if config.json is not of a model that can be built.
    """
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, **head.settings)
        with torch.device("meta"):
            model: PreTrainedModel = getattr(transformers, head.model_class).from_config(config)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _not_readable(folder, field, head, error) from error
    return model


def _not_readable(folder: Path, field: str, head: Head, error: Exception) -> BadConfiguration:
    return BadConfiguration(
        "ModelNotReadable",
        f"{field}: {folder} cannot be loaded by {head.model_class}: {(str(error).strip().splitlines() or ['?'])[0]}",
        "Give the folder of a model as transformers saves it: config.json and the safetensors files.",
    )


def saved_dtype(folder: Path) -> torch.dtype:
    """The type of the weights in a model's folder, as its config.json says; float32 if it does not."""
    config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    found = getattr(torch, str(config.get("dtype") or config.get("torch_dtype") or ""), None)
    return found if isinstance(found, torch.dtype) else torch.float32


def save_model(
    folder: Path, model: PreTrainedModel, weights: Weights, dtype: torch.dtype | None = None, limit: int = SHARD_BYTES
) -> None:
    """Write `weights` (full shapes, as from `Engine.weights`) and the configuration; rank 0 only.

    Weights are written as they come, in files of at most `limit` bytes. A model whose files have other weights than it
    has in memory is written at once.

    Args:
        folder: of the model.
        model: whose weights they are.
        weights: one at a time.
        dtype: of the files, whatever the engine trained in; None: as in `weights`.
        limit: bytes of a file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(isinstance(step, WeightConverter) for step in getattr(model, "_weight_conversions", None) or ()):
        limit = sys.maxsize
    cached = model.config.use_cache
    model.config.use_cache = True
    try:
        write_shards(folder, _copies(weights, dtype), partial(_save_part, model, folder), limit)
    finally:
        model.config.use_cache = cached
    if dtype is not None:
        _record_dtype(folder / _CONFIG, dtype)


def _copies(weights: Weights, dtype: torch.dtype | None) -> Weights:
    for name, value in weights:
        wanted = dtype if value.is_floating_point() else None
        yield name, value.detach().to("cpu", wanted or value.dtype, copy=True)


def _save_part(model: PreTrainedModel, folder: Path, part: Path, shard: dict[str, Tensor]) -> Path:
    """Let transformers write the file, for it knows its names for the weights; and the settings, again and again."""
    beside = part.with_suffix(".folder")
    model.save_pretrained(beside, state_dict=shard, max_shard_size=sys.maxsize)
    (beside / WHOLE).rename(part)
    for path in beside.iterdir():
        path.replace(folder / path.name)
    beside.rmdir()
    return part


def _record_dtype(path: Path, dtype: torch.dtype) -> None:
    """Let config.json name the type of the file; transformers writes that of the model in memory."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    config["dtype"] = str(dtype).removeprefix("torch.")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
