"""Cases of every rule of a FineTuneJob, for the CEL library here and for the API server in tests/cluster."""

from __future__ import annotations

import copy
from typing import Any

from finetune_api.objects import Object

GOOD: Object = {
    "apiVersion": "finetune-operator.io/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "tiny"},
    "spec": {
        "parallelism": {"nodes": 2},
        "workspace": {"claimName": "data"},
        "model": {
            "scratch": {"layers": 2, "hidden": 64, "heads": 4, "kvHeads": 2, "contextLength": 64},
            "tokenizer": {"train": {"vocabularySize": 512}},
        },
        "data": {
            "sources": [
                {"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "file:///ui.tsv"},
                {"name": "news", "type": "Text", "languages": ["en"], "uri": "file:///news.txt"},
            ]
        },
        "pretrain": {
            "budget": {"tokens": 4096},
            "objectives": [
                {"name": "lm", "type": "CausalLM", "source": "news"},
                {"name": "mt", "type": "Translation", "source": "ui", "directions": ["en-es"]},
            ],
            "batch": {"globalTokens": 1024, "sequenceLength": 64, "microBatch": 4},
        },
        "adapt": {
            "task": {"source": "ui", "direction": "en-es"},
            "batch": {"globalTokens": 1024, "sequenceLength": 64},
        },
        "evaluate": {
            "tasks": [{"name": "t", "source": "ui", "direction": "en-es", "metrics": ["BLEU"], "shots": [0]}],
            "rivals": [
                {"name": "agency", "hypotheses": [{"task": "t", "uri": "file:///agency.es"}]},
                {"name": "paste", "type": "FuzzyMatch"},
                {"name": "other", "model": {"uri": "file:///other"}, "base": {"uri": "file:///base"}},
            ],
            "gate": {
                "require": [
                    {"metric": "BLEU", "task": "t", "betterThan": "paste", "notWorseThan": "baseline"},
                    {"diagnostic": "lengthRatio", "task": "t", "minimum": 0.7, "maximum": 1.4},
                ]
            },
        },
    },
}  # fmt: skip

NOT_GIVEN = object()

Case = tuple[str, Object, str]
"""Words of the message, the change, the field; after a bar its elements, which the API server cannot name."""


def named_here(field: str) -> list[str]:
    """Fields that admission names for the field of a case."""
    collection, _, elements = field.partition("|")
    return [collection + element for element in elements.split(",")]


def named_by_the_api_server(field: str) -> str:
    """The field that the API server names for the field of a case."""
    return field.partition("|")[0]


FAILING: list[Case] = [
    (
        "beams is for method Beam",
        {"evaluate.tasks.0.decoding": {"method": "Sampling", "beams": 4}},
        "spec.evaluate.tasks[0].decoding.beams",
    ),
    (
        "topP is for method Sampling or MBR",
        {"evaluate.tasks.0.decoding": {"topP": 0.9}},
        "spec.evaluate.tasks[0].decoding.topP",
    ),
    ("cannot be its own parent", {"lineage.parent": "tiny"}, "spec.lineage.parent"),
    (
        "a new claim holds nothing of lineage.parent",
        {"lineage.parent": "base", "workspace": {"create": {"size": "1Gi"}}},
        "spec.workspace.create",
    ),
    ("exactly two languages", {"data.sources.0.languages": ["en"]}, "spec.data.sources[0].languages"),
    ("exactly one language", {"data.sources.1.languages": ["en", "es"]}, "spec.data.sources[1].languages"),
    ("must not contain '..'", {"data.sources.0.uri": "file:///a/../b"}, "spec.data.sources[0].uri"),
    ("after pvc:// comes the name", {"data.sources.0.uri": "pvc://Corpora/a"}, "spec.data.sources[0].uri"),
    ("must leave at least a tenth", {"data.split": {"validation": 0.5, "test": 0.5}}, "spec.data.split"),
    ("names of sources must be unique", {"data.sources.1.name": "ui"}, "spec.data.sources|[0].name,[1].name"),
    ("must have role Train", {"data.sources.0.role": "Test", "data.sources.1.role": "Test"}, "spec.data.sources"),
    ("must have role Train", {"data.sources.0.role": "Test", "data.sources.1.role": "Validation", "adapt": NOT_GIVEN},
     "spec.data.sources"),
    ("needs tokens, seconds or both", {"pretrain.budget": {}}, "spec.pretrain.budget"),
    ("needs directions", {"pretrain.objectives.1.directions": NOT_GIVEN}, "spec.pretrain.objectives[1].directions"),
    ("belong to Translation", {"pretrain.objectives.0.directions": ["en-es"]},
     "spec.pretrain.objectives[0].directions"),
    ("needs a language", {"pretrain.objectives.0.source": "ui"}, "spec.pretrain.objectives|[0].language"),
    ("needs a language",
     {"pretrain.objectives.0": {"name": "lm", "type": "CausalLM", "source": "ui", "language": "fr"}},
     "spec.pretrain.objectives|[0].language"),
    ("needs a language", {"pretrain.objectives.0.language": "es"}, "spec.pretrain.objectives|[0].language"),
    ("no other LoRA targets than q_proj", {"adapt.lora": {"targets": ["q_proj", "c_attn", "v_proj", "dense"]}},
     "spec.adapt.lora.targets|[1],[3]"),
    ("names of objectives must be unique", {"pretrain.objectives.1.name": "lm"},
     "spec.pretrain.objectives|[0].name,[1].name"),
    ("hidden must be a multiple of heads", {"model.scratch.hidden": 66}, "spec.model.scratch.hidden"),
    ("heads must be a multiple of kvHeads", {"model.scratch.kvHeads": 3}, "spec.model.scratch.kvHeads"),
    ("must be even", {"model.scratch.hidden": 60}, "spec.model.scratch.hidden"),
    ("exactly one of tokenizer.from and tokenizer.train", {"model.tokenizer": {}}, "spec.model.tokenizer"),
    ("exactly one of model.from and model.scratch", {"model.from": {"uri": "hf://a/b"}}, "spec.model"),
    ("it has no tokenizer of its own", {"model.tokenizer": {"from": "model"}}, "spec.model.tokenizer"),
    ("keeps its tokenizer", {"model.scratch": NOT_GIVEN, "model.from": {"uri": "hf://a/b"}}, "spec.model.tokenizer"),
    ("offload needs zero.stage 1", {"parallelism.zero": {"stage": 0, "offload": "CPU"}},
     "spec.parallelism.zero.offload"),
    ("compile: Layers needs zero.stage 2", {"parallelism": {"compile": "Layers", "zero": {"stage": 3}}},
     "spec.parallelism.compile"),
    ("adapt.task.source must be one of", {"adapt.task.source": "gone"}, "spec.adapt.task.source"),
    ("needs a direction such as en-es", {"adapt.task.direction": NOT_GIVEN}, "spec.adapt.task.direction"),
    ("needs a direction such as en-es", {"evaluate.tasks.0.direction": NOT_GIVEN},
     "spec.evaluate.tasks[0].direction"),
    ("at most one of baseline.model and baseline.jobRef",
     {"evaluate.baseline": {"model": {"uri": "hf://a/b"}, "jobRef": {"name": "x"}}}, "spec.evaluate.baseline"),
    ("names of tasks must be unique", {"evaluate.tasks.1": {"name": "t", "source": "ui", "direction": "en-es"}},
     "spec.evaluate.tasks|[0].name,[1].name"),
    ("each requirement of the gate", {"evaluate.gate.require.0.metric": "TER"}, "spec.evaluate.gate.require|[0]"),
    ("each requirement of the gate", {"evaluate.gate.require.1.shots": 1}, "spec.evaluate.gate.require|[1]"),
    ("exactly one of metric and diagnostic", {"evaluate.gate.require.1.metric": "BLEU"},
     "spec.evaluate.gate.require[1]"),
    ("exactly one of metric and diagnostic", {"evaluate.gate.require.0.metric": NOT_GIVEN},
     "spec.evaluate.gate.require[0]"),
    ("a diagnostic needs minimum, maximum", {"evaluate.gate.require.1": {"diagnostic": "empty", "task": "t"}},
     "spec.evaluate.gate.require[1]"),
    ("a rival cannot be called baseline", {"evaluate.rivals.1": {"name": "baseline", "type": "FuzzyMatch"}},
     "spec.evaluate.rivals[1].name"),
    ("give the rival a model, hypotheses", {"evaluate.rivals.2": {"name": "other"}}, "spec.evaluate.rivals[2]"),
    ("model is for rivals of type Model and EncoderDecoder, which need it",
     {"evaluate.rivals.1": {"name": "paste", "type": "FuzzyMatch", "model": {"uri": "file:///m"}},},
     "spec.evaluate.rivals[1].model"),
    ("hypotheses is for rivals of type Hypotheses, which need it",
     {"evaluate.rivals.1": {"name": "paste", "type": "Hypotheses"}}, "spec.evaluate.rivals[1].hypotheses"),
    ("base is the model below an adapter", {"evaluate.rivals.1.base": {"uri": "file:///b"}},
     "spec.evaluate.rivals[1].base"),
    ("names of rivals must be unique", {"evaluate.rivals.2.name": "agency"},
     "spec.evaluate.rivals|[0].name,[2].name"),
    ("hypotheses of a rival name each a task of its own", {"evaluate.rivals.0.hypotheses.0.task": "gone"},
     "spec.evaluate.rivals|[0].hypotheses"),
    ("betterThan must name one of rivals", {"evaluate.gate.require.0.betterThan": "nobody"},
     "spec.evaluate.gate.require|[0].betterThan"),
    ("notWorseThan must name one of rivals", {"evaluate.gate.require.0.notWorseThan": "nobody"},
     "spec.evaluate.gate.require|[0].notWorseThan"),
    ("are for metrics; give a diagnostic", {"evaluate.gate.require.1.betterThanBaseline": True},
     "spec.evaluate.gate.require[1]"),
    ("maximum is for diagnostics", {"evaluate.gate.require.0.maximum": 30},
     "spec.evaluate.gate.require[0].maximum"),
    ("exactly one of workspace.claimName", {"workspace.path": "/w"}, "spec.workspace"),
    ("at least one of pretrain, fuse", {"pretrain": NOT_GIVEN, "adapt": NOT_GIVEN, "evaluate": NOT_GIVEN}, "spec"),
    ("every source named in pretrain.objectives", {"pretrain.objectives.0.source": "gone"},
     "spec.pretrain.objectives|[0].source"),
    ("every source named in evaluate.tasks", {"evaluate.tasks.0.source": "gone"},
     "spec.evaluate.tasks|[0].source"),
    ("pretrain.objectives.directions must name the two", {"pretrain.objectives.1.directions": ["en-de"]},
     "spec.pretrain.objectives|[1].directions"),
    ("adapt.task.direction must name the two", {"adapt.task.direction": "en-en"}, "spec.adapt.task.direction"),
    ("evaluate.tasks.direction must name the two", {"evaluate.tasks.0.direction": "es-de"},
     "spec.evaluate.tasks|[0].direction"),
    ("a model from scratch needs a pretrain block", {"pretrain": NOT_GIVEN}, "spec.model.scratch"),
    ("pretrain.batch.globalTokens must be a multiple", {"pretrain.batch.microBatch": 3},
     "spec.pretrain.batch.globalTokens"),
    ("adapt.batch.globalTokens must be a multiple", {"adapt.batch.globalTokens": 1000},
     "spec.adapt.batch.globalTokens"),
    ("adapt.batch.globalTokens must be a multiple", {"adapt.batch": {"globalTokens": 1000}},
     "spec.adapt.batch.globalTokens"),
    ("pretrain.batch.sequenceLength must not exceed", {"pretrain.batch.sequenceLength": 128},
     "spec.pretrain.batch.sequenceLength"),
    ("adapt.batch.sequenceLength must not exceed", {"adapt.batch.sequenceLength": 128},
     "spec.adapt.batch.sequenceLength"),
    ("QLoRA needs", {"adapt.method": "QLoRA", "parallelism.zero": {"stage": 3}}, "spec.adapt.method"),
    ("between elastic.minNodes and elastic.maxNodes", {"elastic": {"minNodes": 3}}, "spec.elastic"),
]  # fmt: skip


def changed(changes: Object) -> Object:
    value = copy.deepcopy(GOOD)
    for path, new in changes.items():
        *parents, last = path.split(".")
        target: Any = value["spec"]
        for part in parents:
            target = target[int(part)] if isinstance(target, list) else target.setdefault(part, {})
        if isinstance(target, list):
            target[int(last) :] = [new]
        elif new is NOT_GIVEN:
            del target[last]
        else:
            target[last] = new
    return value


IMMUTABLE: list[Object] = [
    {"workspace.claimName": "other"},
    {"model.scratch.layers": 3},
    {"data.split": {"seed": 1}},
    {"pretrain.budget.tokens": 1},
    {"adapt.epochs": 2},
    {"evaluate.batchSize": 1},
    {"evaluate": NOT_GIVEN},
    {"runtimeRef": {"name": "cuda"}},
    {"export": {}},
    {"lineage.parent": "base"},
]

MUTABLE: list[Object] = [
    {"suspend": True},
    {"activeDeadlineSeconds": 5},
    {"ttlSecondsAfterFinished": 5},
    {"failurePolicy": {"hangSeconds": 60}},
    {"parallelism": {"nodes": 4}},
    {"lineage": {"hypothesis": "more is better"}},
]
