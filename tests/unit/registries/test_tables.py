"""The tables of the API and what the trainer has are one and the same."""

from __future__ import annotations

import ast
import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from finetune_api import registries
from finetune_api.registries import implemented
from finetune_api.registry_rows import Entry
from finetune_api.stages import PIPELINE, STAGES, model_stages
from finetune_trainer.objectives import find_objective
from finetune_trainer.registry import Registry, load, quick_imports

PACKAGES: dict[str, tuple[str, Mapping[str, Entry]]] = {
    "SOURCE_FORMATS": ("data.sources", registries.SOURCE_FORMATS),
    "STORES": ("workspace.stores", registries.STORES),
    "OBJECTIVES": ("objectives", registries.OBJECTIVES),
    "CURRICULA": ("curriculum", registries.CURRICULA),
    "METHODS": ("methods", registries.METHODS),
    "PROMPTS": ("prompts", registries.PROMPTS),
    "CONVERSATIONS": ("prompts.conversations", registries.CONVERSATIONS),
    "QUESTIONS": ("prompts.questions", registries.QUESTIONS),
    "TASKS": ("tasks", registries.TASKS),
    "METRICS": ("metrics", registries.METRICS),
    "PROBES": ("evaluation.probes", registries.PROBES),
    "DECODINGS": ("decoding.searches", registries.DECODINGS),
    "NOISES": ("evaluation.noises", registries.NOISES),
    "RIVALS": ("evaluation.rivals", registries.RIVALS),
    "TRACKERS": ("run.trackers", registries.TRACKERS),
    "PIPELINE": ("stages", {str(name): stage for name, stage in PIPELINE.items()}),
}
HELPERS = {
    "data.sources": {"fields"},
    "objectives": {"checks", "fused_loss", "next_token", "padded", "pairs"},
    "methods": {"proof"},
    "decoding.searches": {"chrf", "tokenwise"},
    "prompts": {"chat_template", "composed", "conversations", "questions", "segments"},
    "tasks": {"conversation_examples", "head_examples", "stored_rows"},
    "metrics": {"alternatives", "bootstrap", "randomisation"},
}
"""Modules beside the implementations that several of them share."""


@pytest.mark.parametrize("table", PACKAGES)
def test_every_row_that_has_an_implementation_can_be_imported(table: str) -> None:
    package, entries = PACKAGES[table]
    registry: Registry[Any] = Registry(f"finetune_trainer.{package}", "thing", entries)
    assert implemented(entries)
    assert all(callable(registry.find(name)) for name in implemented(entries))


@pytest.mark.parametrize("table", PACKAGES)
def test_every_module_of_a_registry_has_a_row(table: str, root: Path) -> None:
    package, entries = PACKAGES[table]
    folder = root / "trainer/finetune_trainer" / package.replace(".", "/")
    named = {
        str(entry.implementation).split(":")[0].split(".")[1] for entry in entries.values() if entry.implementation
    }
    present = {p.stem for p in folder.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    assert present - {"__init__", "interface"} - HELPERS.get(package, set()) == named


def test_all_tables_are_checked_here() -> None:
    tables = {
        name
        for name, value in vars(registries).items()
        if isinstance(value, dict) and all(isinstance(entry, Entry) for entry in value.values())
    }
    assert tables | {"PIPELINE"} == set(PACKAGES)


def test_a_name_that_has_no_implementation_is_not_found() -> None:
    registry: Registry[Any] = Registry("finetune_trainer.objectives", "objective", registries.OBJECTIVES)
    for name in ("Denoising", "Nonsense"):
        with pytest.raises(LookupError, match=f"no objective {name}, only CausalLM, Translation"):
            registry.find(name)


def test_an_implementation_may_be_named_absolutely() -> None:
    assert load("pathlib:Path", "anything") is Path


def test_objectives_know_their_own_names() -> None:
    assert all(find_objective(name).name == name for name in implemented(registries.OBJECTIVES))


def test_tasks_and_metrics_fit_together() -> None:
    for name in implemented(registries.TASKS):
        task = registries.TASKS[name]
        assert name in registries.METRICS[task.segment_metric].tasks
        assert task.segment_metric in implemented(registries.METRICS)
        assert set(task.diagnostics) <= set(registries.DIAGNOSTICS)
    assert all(set(metric.tasks) <= set(registries.TASKS) for metric in registries.METRICS.values())


def test_the_pipeline_is_in_order_and_its_models_have_names() -> None:
    assert STAGES == ("prepare", "pretrain", "fuse", "adapt", "align", "evaluate", "export")
    assert model_stages() == ("pretrain", "fuse", "adapt", "align")
    assert all(PIPELINE[stage].result for stage in model_stages())
    assert [stage for stage in STAGES if not PIPELINE[stage].distributed] == ["prepare", "export"]


def test_only_the_distributed_room_and_the_launcher_ask_torch_distributed(root: Path) -> None:
    trainer = root / "trainer/finetune_trainer"
    users = {
        path.relative_to(trainer).parts[0] + ("/launch.py" if path.name == "launch.py" else "")
        for path in trainer.rglob("*.py")
        if any(map(_asks, ast.walk(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert users == {"distributed", "pod/launch.py"}


def _asks(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.startswith("torch.distributed") for alias in node.names)
    if isinstance(node, ast.ImportFrom) and node.module is not None:
        return node.module.startswith("torch.distributed") or (
            node.module == "torch" and any(alias.name == "distributed" for alias in node.names)
        )
    return False


def test_imports_look_for_no_garbage_and_leave_the_collector_as_it_was() -> None:
    with quick_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with quick_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
