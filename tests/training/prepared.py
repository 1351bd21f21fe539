"""Prepared data and plans of the pretrain stage, for tests that train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finetune_api.job import FineTuneJobSpec
from finetune_api.plan import Plan, PlanJob
from finetune_trainer.context import StageContext
from finetune_trainer.stages import prepare
from training.corpus import write_tsv

SEQUENCE_LENGTH = 64
ROWS = 16
STEP_TOKENS = ROWS * SEQUENCE_LENGTH
TINY_MODEL = {"layers": 2, "hidden": 64, "heads": 4, "kvHeads": 2, "contextLength": 96}


def pretrain_spec(corpus: Path, steps: int, **changes: Any) -> dict[str, Any]:
    """A mixture of language modelling and translation; `changes` are blocks of the spec or of pretrain."""
    pretrain: dict[str, Any] = {
        "budget": {"tokens": steps * STEP_TOKENS},
        "objectives": [
            {"name": "en", "type": "CausalLM", "source": "ui", "language": "en"},
            {"name": "es", "type": "CausalLM", "source": "ui", "language": "es"},
            {"name": "mt", "type": "Translation", "source": "ui", "directions": ["en-es", "es-en"]},
        ],
        "curriculum": {"strategy": "FAIR", "updateEverySteps": 2},
        "optimizer": {"learningRate": 5.0e-3, "warmupRatio": 0.1},
        "batch": {"globalTokens": STEP_TOKENS, "sequenceLength": SEQUENCE_LENGTH},
        "validateEverySteps": 5,
    }
    spec: dict[str, Any] = {
        "parallelism": {"nodes": 2, "engine": "DDP"},
        "model": {
            "scratch": {"layers": 2, "hidden": 64, "heads": 4, "kvHeads": 2, "contextLength": SEQUENCE_LENGTH},
            "tokenizer": {"train": {"vocabularySize": 400}},
        },
        "data": {
            "sources": [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": str(corpus)}],
            "split": {"validation": 0.05, "test": 0.05},
        },
        "checkpoint": {"everySteps": 4},
    }
    for name, value in changes.items():
        target = pretrain if name in pretrain else spec
        target[name] = (target.get(name) or {}) | value
    return spec | {"pretrain": pretrain}


def translation_spec(corpus: Path, split: dict[str, float], nodes: int, **blocks: Any) -> dict[str, Any]:
    """A job that learns to translate a little; `blocks` are the blocks of the stage in question and of its settings."""
    return {
        "parallelism": {"nodes": nodes},
        "model": {
            "scratch": TINY_MODEL,
            "tokenizer": {"train": {"vocabularySize": 400}},
        },
        "data": {
            "sources": [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": str(corpus)}],
            "split": split,
        },
        "pretrain": {
            "budget": {"tokens": 1024},
            "objectives": [{"name": "mt", "type": "Translation", "source": "ui", "directions": ["en-es"]}],
        },
    } | blocks


def make_plan(workspace: Path, stage: str, spec: dict[str, Any], **changes: Any) -> Plan:
    """A plan as the operator would write it."""
    parsed = FineTuneJobSpec.from_json_object(spec)
    values: dict[str, Any] = {
        "job": PlanJob(name="tiny", namespace="default", uid="0"),
        "stage": stage,
        "workspace": str(workspace),
        "spec": parsed,
        "nodes": parsed.parallelism.nodes,
        "fingerprint": "0123456789abcdef" * 4,
    }
    return Plan.model_validate(values | changes)


def make_plan_of_three(workspace: Path, stage: str, spec: dict[str, Any]) -> Plan:
    """The plan of a stage of a job that prepares, adapts and evaluates, with the artifacts of those before it."""
    made = {"prepare": "data/" + 16 * "d", "adapt": "models/adapt"}
    before = dict(list(made.items())[: ("prepare", "adapt", "evaluate").index(stage)])
    return make_plan(workspace, stage, spec, inputs=before, fingerprint=stage[0].replace("p", "d") * 64)


def prepare_data(folder: Path, rows: int = 1500) -> tuple[Path, Path]:
    """Prepare the tiny corpus; returns (the corpus, the artifact, by its full path)."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus = write_tsv(folder / "ui.tsv", rows)
    plan = make_plan(folder, "prepare", pretrain_spec(corpus, 1), nodes=1)
    outcome = prepare.run(StageContext.single(plan))
    assert outcome.artifact is not None
    return corpus, folder / outcome.artifact
