"""Weights come to the place where they are trained as they are in their files, and no rank holds more than its part."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.host_memory import snapshot_bytes
from finetune_api.memory import TrainingShape
from finetune_api.transformer import shape_of_scratch
from tiny import TinyTokenizer
from training.conftest import GangRun
from training.loading_recipe import ADAPTED, CASES, MODEL, RESULTS, SPEC
from training.prepared import make_plan, pretrain_spec
from training.programs import recipe

PROGRAM = recipe("training.loading_recipe:run")
RANKS = 2
WEIGHTS = sum(parameter.numel() for parameter in MODEL.parameters())
LARGEST_LAYER = max(sum(p.numel() for p in module.parameters(recurse=False)) for module in MODEL.modules())


Results = list[dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def kept() -> list[Results]:
    """What one run for all tests has found."""
    return []


@pytest.fixture
def results(kept: list[Results], tmp_path: Path, run_gang: Callable[..., GangRun]) -> Results:
    """By rank, and by case."""
    if not kept:
        spec = pretrain_spec(tmp_path / "unread.tsv", 1, parallelism={"nodes": RANKS})
        gang = run_gang(make_plan(tmp_path, "pretrain", spec), program=PROGRAM)
        assert gang.exit_codes == [0] * RANKS, "\n".join(pod.output for pod in gang.pods)
        kept.append([json.loads((tmp_path / RESULTS.format(rank=rank)).read_text()) for rank in range(RANKS)])
    return kept[0]


def cases(results: Results, *whats: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{name} {what}", case[what])
        for rank in results
        for name, case in rank.items()
        for what in whats
        if what in case
    ]


@pytest.mark.timeout(400)
def test_weights_are_those_of_the_files_to_the_bit(results: Results) -> None:
    for name, case in cases(results, "read", "drawn", "adapter"):
        assert case["wrong"] == [], name
    for name, case in cases(results, "read", "drawn"):
        assert case["buffers"] == [], name


def test_no_rank_holds_more_than_its_part_and_a_layer(results: Results) -> None:
    """A layer is there as drawn, as kept and in the message that deals it out."""
    for name, case in cases(results, "read", "drawn"):
        part = WEIGHTS // (RANKS if name.startswith("ZeRO-3") else 1) * case["width"]
        assert case["kept"] <= 1.05 * part, name
        assert case["peak"] <= 1.05 * part + 4 * LARGEST_LAYER * 4, name
        if name.startswith("ZeRO-3"):
            assert case["peak"] < WEIGHTS * case["width"], name


def test_an_adapter_beside_partitioned_weights_learns_the_same(results: Results) -> None:
    reference = results[0]["DDP"]["adapter"]["figures"]
    assert reference[2] < reference[0]
    for name in ADAPTED:
        tolerance = 0.02 if "BF16" in name else 1e-4
        assert results[0][name]["adapter"]["figures"] == pytest.approx(reference, rel=tolerance), name


def test_copies_for_checkpoints_take_what_the_plan_says(results: Results) -> None:
    shape = shape_of_scratch(SPEC, len(TinyTokenizer()))
    for rank, found in enumerate(results):
        for name, case in found.items():
            training = TrainingShape(shape, CASES[name], bf16="BF16" in name, gpu=False)
            assert snapshot_bytes(training, rank) == pytest.approx(case["read"]["snapshot"], rel=0.01, abs=2000), name
