"""What all tests share: a quiet, single-threaded, offline environment and where the corpora lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# Set before any test module imports torch or transformers. Processes started by tests inherit it.
os.environ.update(
    {
        "OMP_NUM_THREADS": "1",
        "DS_ACCELERATOR": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "NO_COLOR": "1",
    }
)

# The same examples in every run, and no failure because a machine is busy.
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in tests/training is marked `training`."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "training"):
            item.add_marker(pytest.mark.training)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora; a test that asks for it is skipped where there is none."""
    folder = Path(os.environ.get("FINETUNE_CORPORA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no corpora in {folder}: set FINETUNE_CORPORA to a folder that holds them")
    return folder
