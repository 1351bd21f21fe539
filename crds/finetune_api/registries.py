"""What there is, by name: the names that a manifest may use, and where the trainer implements each.

One row a thing: a new metric is a file in `finetune_trainer/metrics` and a row here. Enumerations of the API, what is
refused as not supported, and the trainer's registries are all made from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that a manifest can name."""

    implementation: str | None = None
    """`.module:name` within the trainer's package of this kind; None: the API describes it, no version has it yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFormat(Entry):
    """How a corpus is stored."""

    endings: tuple[str, ...] = ()
    """Endings of file names by which the format is recognised, without that of a compression."""
    holds: tuple[str, ...] = ("Parallel", "Text")
    """Types of sources that it can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(Entry):
    """Which weights adaptation trains."""

    adapter: bool = False
    """Whether they are an adapter's beside frozen ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Entry):
    """What a model is adapted to and evaluated on."""

    segment_metric: str = ""
    """Row of METRICS that chooses the segments that are shown."""
    diagnostics: tuple[str, ...] = ()
    """Ways to fail that its evaluation counts; rows of DIAGNOSTICS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Entry):
    """A score of a task."""

    tasks: tuple[str, ...]
    """Task types that it fits."""
    lower_is_better: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """A way to fail that a score does not name."""

    title: str
    meaning: str
    unit: Literal["Share", "Ratio"] = "Share"
    """Share of the segments, or a ratio."""


SOURCE_FORMATS: Mapping[str, SourceFormat] = {
    "tsv": SourceFormat(implementation=".delimited:read_tsv", endings=(".tsv",)),
    "csv": SourceFormat(implementation=".delimited:read_csv", endings=(".csv",)),
    "jsonl": SourceFormat(implementation=".jsonl:read_jsonl", endings=(".jsonl", ".ndjson")),
    "parquet": SourceFormat(implementation=".parquet:read_parquet", endings=(".parquet",)),
    "moses": SourceFormat(implementation=".moses:read_moses", holds=("Parallel",)),
    "text": SourceFormat(implementation=".text:read_text", endings=(".txt",), holds=("Text",)),
    "tmx": SourceFormat(implementation=".tmx:read_tmx", endings=(".tmx",)),
    "gettext": SourceFormat(
        implementation=".gettext:read_gettext",
        endings=(".po", ".mo", ".whl", ".zip", ".tar", ".tgz", ".tbz2", ".txz"),
        holds=("Parallel",),
    ),
    "huggingface": SourceFormat(implementation=".huggingface:read_huggingface"),
}
"""Readers in `finetune_trainer.data.sources`."""

STORES: Mapping[str, Entry] = {
    "hf": Entry(),
    "pvc": Entry(implementation=".local:claim_path"),
    "file": Entry(implementation=".local:file_path"),
    "s3": Entry(),
}
"""Schemes of URIs; stores in `finetune_trainer.workspace.stores`. Data sets of the hub are read by their format."""

OBJECTIVES: Mapping[str, Entry] = {
    "CausalLM": Entry(implementation=".causal_lm:CausalLM"),
    "Denoising": Entry(),
    "Translation": Entry(implementation=".translation:Translation"),
}
"""Arms of pre-training, in `finetune_trainer.objectives`."""

CURRICULA: Mapping[str, Entry] = {
    "Fixed": Entry(implementation=".fixed:Fixed"),
    "Temperature": Entry(),
    "EXP3": Entry(),
    "EXP3S": Entry(),
    "FAIR": Entry(implementation=".fair:Fair"),
    "ODM": Entry(),
    "DoReMi": Entry(),
}
"""Strategies in `finetune_trainer.curriculum`."""

METHODS: Mapping[str, Method] = {
    "Full": Method(implementation=".full:Full"),
    "LoRA": Method(implementation=".lora:Lora", adapter=True),
    "QLoRA": Method(adapter=True),
    "DoRA": Method(adapter=True),
    "HeadOnly": Method(),
    "FixEmbeddings": Method(),
    "TopLayers": Method(),
}
"""Methods of adaptation, in `finetune_trainer.methods`."""

PROMPTS: Mapping[str, Entry] = {"AdaptiveMT": Entry(implementation=".adaptive_mt:AdaptiveMtPrompt")}
"""Templates in `finetune_trainer.prompts`."""

DIAGNOSTICS: Mapping[str, Diagnostic] = {
    "offTarget": Diagnostic(title="Off target", meaning="looks like the source language"),
    "copies": Diagnostic(title="Copies", meaning="equal to the source"),
    "empty": Diagnostic(title="Empty", meaning="no output"),
    "repetition": Diagnostic(title="Repetition", meaning="the same words over and over"),
    "lengthRatio": Diagnostic(
        title="Length ratio", meaning="characters of output / reference; 1 is right", unit="Ratio"
    ),
}

TASKS: Mapping[str, Task] = {
    "Translation": Task(
        implementation=".translation.task:TranslationTask",
        segment_metric="chrF++",
        diagnostics=("offTarget", "copies", "empty", "repetition", "lengthRatio"),
    ),
    "Generation": Task(),
    "QuestionAnswering": Task(),
    "Classification": Task(),
}
"""Task types in `finetune_trainer.tasks`."""

METRICS: Mapping[str, Metric] = {
    "BLEU": Metric(implementation=".sacrebleu:Bleu", tasks=("Translation",)),
    "chrF++": Metric(implementation=".sacrebleu:ChrFPlusPlus", tasks=("Translation",)),
    "chrF": Metric(implementation=".sacrebleu:ChrF", tasks=("Translation",)),
    "TER": Metric(implementation=".sacrebleu:Ter", tasks=("Translation",), lower_is_better=True),
    "EM": Metric(tasks=("QuestionAnswering",)),
    "F1": Metric(tasks=("QuestionAnswering", "Classification")),
    "Accuracy": Metric(tasks=("Classification",)),
    "Perplexity": Metric(tasks=("Generation",), lower_is_better=True),
}
"""Scores in `finetune_trainer.metrics`."""

TRACKERS: Mapping[str, Entry] = {"History": Entry(implementation=".history:History")}
"""Where curves go, in `finetune_trainer.run.trackers`; no field of the API names them."""


def implemented(entries: Mapping[str, Entry]) -> tuple[str, ...]:
    """Names of a table that this version has."""
    return tuple(name for name, entry in entries.items() if entry.implementation is not None)
