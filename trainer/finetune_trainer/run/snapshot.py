"""What is in a checkpoint folder.

- `state.json`: counters and data position
- `engine.pt` or `engine/`: weights and optimizer, as the engine writes them
- `random-<rank>.pt`: random number generators of each rank
- `weights.safetensors`: trainable weights in full shape; only where the best checkpoint becomes the result
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from finetune_trainer.engine import Engine
from finetune_trainer.run.state import RunState, read_state, write_state

_STATE = "state.json"
_WEIGHTS = "weights.safetensors"


def write_snapshot(
    folder: Path, engine: Engine, state: RunState, source: dict[str, Any], rank: int, with_weights: bool
) -> None:
    """Write a checkpoint's content; every rank calls it with the same folder."""
    engine.save(folder)
    torch.save(_random_state(), folder / f"random-{rank:05d}.pt")
    weights = engine.full_state_dict(trainable_only=True) if with_weights else {}
    if rank == 0:
        write_state(folder / _STATE, state, source)
        if weights:
            save_file(weights, folder / _WEIGHTS)


def read_snapshot(folder: Path, engine: Engine, rank: int) -> tuple[RunState, dict[str, Any]]:
    """Restore engine and random numbers; returns counters and data position."""
    engine.load(folder)
    random = folder / f"random-{rank:05d}.pt"
    if random.exists():
        _restore_random_state(torch.load(random, weights_only=True))
    return read_state(folder / _STATE)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The trainable weights of a checkpoint that was saved with them."""
    return load_file(folder / _WEIGHTS)


def _random_state() -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _restore_random_state(state: dict[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
