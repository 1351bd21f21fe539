"""Files of weights that are written while the weights come, so that no more than one file of them is in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

Weights = Iterable[tuple[str, Tensor]]
"""Weights by name, one at a time: each is whole until the next one is asked for."""
READABLE = 0o644
INDEX = "model.safetensors.index.json"
WHOLE = "model.safetensors"


def write_shards(folder: Path, weights: Weights, write: Callable[[Path, dict[str, Tensor]], Path], limit: int) -> None:
    """Write the safetensors files of a model, and their index if there are several.

    Args:
        folder: of the model.
        weights: on the CPU, and nobody else's.
        write: writes a file of some weights and tells its path; the first argument is a name for it that is free.
        limit: bytes of a file, but for a weight that is larger.
    """
    parts: list[Path] = []
    shard: dict[str, Tensor] = {}

    def flush() -> None:
        if shard:
            parts.append(write(folder / f".part-{len(parts):05d}", shard))
            shard.clear()

    size = 0
    for name, value in weights:
        if size + value.nbytes > limit:
            flush()
            size = 0
        shard[name] = value
        size += value.nbytes
    flush()
    _name(folder, parts)


def write_file(path: Path, shard: dict[str, Tensor]) -> Path:
    """Write weights under their own names; for `write_shards`."""
    save_file(shard, path, metadata={"format": "pt"})
    return path


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model, as its index lists them; none if its weights are in files of another kind."""
    if (folder / WHOLE).exists():
        return [folder / WHOLE]
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return [folder / name for name in dict.fromkeys(index["weight_map"].values())]


def make_readable(folder: Path) -> None:
    """Let others read the weights, as they may the rest of a model; safetensors lets only the owner."""
    for path in folder.glob("*.safetensors"):
        path.chmod(READABLE)


def _name(folder: Path, parts: Sequence[Path]) -> None:
    """Give files the names that transformers looks for."""
    if len(parts) == 1:
        parts[0].rename(folder / WHOLE)
    else:
        names = [f"model-{number:05d}-of-{len(parts):05d}.safetensors" for number in range(1, len(parts) + 1)]
        places: dict[str, str] = {}
        size = 0
        for part, name in zip(parts, names, strict=True):
            part.rename(folder / name)
            with safe_open(folder / name, framework="pt") as file:
                places |= dict.fromkeys(file.keys(), name)
                size += sum(file.get_tensor(key).nbytes for key in file.keys())  # noqa: SIM118 - not a dict
        index = {"metadata": {"total_size": size}, "weight_map": places}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    make_readable(folder)
