"""The samples in a size that two cores finish in a minute; what makes each of them a sample stays."""

from __future__ import annotations

from pathlib import Path

import yaml

from finetune_api.model import ScratchModel
from finetune_api.objects import Object
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.models import save_model, scratch_model
from training.corpus import pairs, write_tsv
from training.prepared import TINY_MODEL, prepare_data

PREPARED_PAIRS = 600
TRAIN_PAIRS = 400
TEST_PAIRS = 50
SMALL_BATCH = {"globalTokens": 768, "sequenceLength": 96}


def cpu_size(path: Path, namespace: str) -> Object:
    """The job of a sample, smaller: model, budgets, batches, one rank a pod; no gate, which so little must miss."""
    job: Object = yaml.safe_load(path.read_text(encoding="utf-8"))
    job["metadata"]["namespace"] = namespace
    spec = job["spec"]
    spec["runtimeRef"] = {"kind": "FineTuneRuntime", "name": "small"}
    for field in ("processesPerNode", "precision"):
        spec["parallelism"].pop(field, None)
    if "scratch" in spec["model"]:
        spec["model"] = {"scratch": TINY_MODEL, "tokenizer": {"train": {"vocabularySize": 400}}}
    if "pretrain" in spec:
        spec["pretrain"] |= {"budget": {"tokens": 40_000}, "batch": SMALL_BATCH}
    spec["adapt"] |= {"batch": spec["adapt"].get("batch", {}) | SMALL_BATCH}
    spec["adapt"]["task"]["maxExamples"] = 100
    spec["evaluate"].pop("gate", None)
    for task in spec["evaluate"]["tasks"]:
        task |= {"maxSegments": 20, "maxNewTokens": 16}
    return job


def write_model(folder: Path) -> None:
    """A model with its tokenizer where the samples look for Mistral 7B."""
    _, artifact = prepare_data(folder / "scratch", PREPARED_PAIRS)
    tokenizer = PreparedData.open(folder / "scratch", str(artifact.relative_to(folder / "scratch"))).tokenizer()
    model = scratch_model(ScratchModel.model_validate(TINY_MODEL), tokenizer, seed=3)
    target = folder / "Mistral-7B-v0.1"
    save_model(target, model, model.named_parameters())
    tokenizer.save_pretrained(target)


def write_corpora(folder: Path) -> None:
    """All files that the samples name."""
    write_tsv(folder / "ui.tsv", TRAIN_PAIRS)
    write_tsv(folder / "parallel.tsv", TRAIN_PAIRS)
    sentences = pairs(TRAIN_PAIRS + TEST_PAIRS)
    for index, name in enumerate(("news.en.txt", "news.es.txt")):
        (folder / name).write_text("".join(f"{pair[index]}\n" for pair in sentences), encoding="utf-8")
    for name, rows in (("medical.tsv", sentences[:TRAIN_PAIRS]), ("medical-test.tsv", sentences[TRAIN_PAIRS:])):
        (folder / name).write_text("".join(f"{es}\t{en}\n" for en, es in rows), encoding="utf-8")
