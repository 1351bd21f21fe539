"""H: how long a model takes to be loaded, and how much of the host's memory."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from finetune_trainer.models import Placement, load_model, save_model
from gpu.measure import GB, Recorder, elapsed, resident_gb, the_device
from gpu.processes import process_context
from gpu.shapes import Scale, new_model


def run(record: Recorder, scale: Scale) -> None:
    """As shipped, in float32, and in the type that the file has."""
    shape = "7b" if scale == "full" else "tiny"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        record.case("write", write, folder, shape)
        for dtype in (torch.float32, torch.bfloat16):
            record.case(_title(dtype), in_own_process, folder, _title(dtype))


def write(folder: Path, shape: str) -> Mapping[str, Any]:
    """A model in BF16."""
    model = new_model(shape, the_device(), bf16=True)
    parameters = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    seconds = elapsed(lambda: save_model(folder, model, parameters.items()))
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return {"shape": shape, "model_gb": round(size / GB, 4), "write_seconds": round(seconds, 3)}


def _title(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def in_own_process(folder: Path, dtype: str) -> Mapping[str, Any]:
    """Load there, for the peak of this process has been."""
    context = process_context()
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_load, args=(str(folder), dtype, there))
    process.start()
    there.close()
    try:
        figures: dict[str, Any] = here.recv()
    except EOFError as error:
        process.join()
        raise RuntimeError(f"the process that loads ended with {process.exitcode}") from error
    process.join()
    return figures


def _load(folder: str, dtype: str, answer: Connection) -> None:
    before = resident_gb()
    began = time.perf_counter()
    model = load_model(Path(folder), "spec.model.from", placement=Placement(getattr(torch, dtype)))
    loaded = time.perf_counter() - began
    to_device = elapsed(lambda: torch.nn.Module.to(model, the_device()))
    answer.send(
        {
            "load_seconds": round(loaded, 3),
            "to_device_seconds": round(to_device, 3),
            "host_before_gb": before,
            "host_peak_gb": resident_gb(),
        }
    )
