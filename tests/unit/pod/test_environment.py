"""Threads of a rank: the cores of its pod, shared with those that stand beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from finetune_api import labels
from finetune_trainer.pod import environment
from finetune_trainer.pod.environment import available_cores, share_cores


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(environment, "_QUOTAS", ())


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "6400000 100000\n"}, 8),
        ({"cpu.cfs_quota_us": "300000\n", "cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, 8),
        ({}, 8),
    ],
)
def test_a_pod_has_the_cores_of_its_limit(
    files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    versions = (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
    monkeypatch.setattr(environment, "_QUOTAS", [[str(tmp_path / name) for name in names] for names in versions])
    assert available_cores() == cores


@pytest.mark.parametrize(
    ("nodes", "processes", "given", "threads"),
    [
        (1, 1, {}, "8"),
        (1, 4, {}, "2"),
        (2, 4, {}, "2"),
        (1, 16, {}, "1"),
        (2, 2, {labels.ENV_POD_IP: "127.0.0.3"}, "2"),
        (2, 2, {labels.ENV_POD_IP: "10.0.0.3"}, "4"),
        (1, 1, {"OMP_NUM_THREADS": "3"}, "3"),
    ],
    ids=[
        "alone",
        "four of a pod",
        "other pods have their own",
        "never none",
        "a local run",
        "a cluster",
        "told",
    ],
)
def test_ranks_share_the_cores_of_their_pod(nodes: int, processes: int, given: dict[str, str], threads: str) -> None:
    variables = dict(given)
    share_cores(nodes, processes, variables)
    assert variables["OMP_NUM_THREADS"] == threads
