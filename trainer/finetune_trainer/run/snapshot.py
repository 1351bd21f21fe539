"""What is in a checkpoint folder.

- `state.json`: counters and data position
- `engine.pt` or `engine/`: weights and optimizer, as the engine writes them
- `random-<rank>.pt`: random number generators of each rank

A folder of the best weights has `weights.pt` alone: the trainable weights in full shape.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from finetune_trainer.engine import Engine, HostBuffers, Write
from finetune_trainer.run.state import RunState, read_state, state_to_json
from finetune_trainer.workspace.folder_writer import FolderWriter

_STATE = "state.json"
_WEIGHTS = "weights.pt"


def take_snapshot(
    engine: Engine, state: RunState, source: dict[str, Any], rank: int, buffers: HostBuffers | None
) -> Write:
    """Take in all that a checkpoint holds, copied into `buffers` if there are any; collective."""
    write_engine = engine.snapshot(buffers)
    random = _random_state()
    text = state_to_json(state, source) if rank == 0 else ""

    def write(files: FolderWriter) -> None:
        write_engine(files)
        with files.open(_random_file(rank)) as file:
            torch.save(random, file)
        if rank == 0:
            with files.open(_STATE) as file:
                file.write(text.encode())

    return write


def read_position(folder: Path) -> tuple[RunState, dict[str, Any]]:
    """Counters and data position."""
    return read_state(folder / _STATE)


def restore(folder: Path, engine: Engine, rank: int) -> None:
    """Restore engine and random numbers; collective."""
    engine.load(folder)
    random = folder / _random_file(rank)
    if random.exists():
        _restore_random_state(torch.load(random, weights_only=True))


def write_weights(files: FolderWriter, weights: dict[str, Tensor]) -> None:
    """Write the content of a folder of the best weights."""
    with files.open(_WEIGHTS) as file:
        torch.save(weights, file)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Inverse of `write_weights`."""
    weights: dict[str, Tensor] = torch.load(folder / _WEIGHTS, weights_only=True, mmap=True)
    return weights


def _random_file(rank: int) -> str:
    return f"random-{rank:05d}.pt"


def _random_state() -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _restore_random_state(state: dict[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
