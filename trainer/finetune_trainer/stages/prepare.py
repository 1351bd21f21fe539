"""prepare: from corpora to splits, a tokenizer and memory-mapped token columns."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.data import DataSource
from finetune_api.job import FineTuneJobSpec
from finetune_api.language_names import has_name, language_name
from finetune_api.languages import canonical_language
from finetune_api.model import TrainTokenizer
from finetune_api.progress import Phase
from finetune_api.registries import TASKS
from finetune_trainer.context import StageContext, StageOutcome
from finetune_trainer.data.hypotheses import check_hypotheses
from finetune_trainer.data.labels import check_labels, count_labels
from finetune_trainer.data.match_tables import missing_requests
from finetune_trainer.data.prepared import TOKENIZER, PreparedData
from finetune_trainer.data.provenance import source_digests
from finetune_trainer.data.report import sources_report, summary_figures, summary_line
from finetune_trainer.data.select import check_selection, select_rows
from finetune_trainer.data.staging import stage_sources
from finetune_trainer.data.tokenizers import train_tokenizer
from finetune_trainer.data.writing import encode_splits, training_texts, write_index, write_report, write_splits
from finetune_trainer.errors import Preempted
from finetune_trainer.stages import artifact_path
from finetune_trainer.workspace.artifacts import write_artifact
from finetune_trainer.workspace.dictionaries import check_dictionaries

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

DEFAULT_CONTEXT_LENGTH = 1024


def run(context: StageContext) -> StageOutcome:
    """Read, clean, de-duplicate, split, decontaminate, train the tokenizer, encode, find fuzzy matches."""
    made_already = context.plan.inputs.get("prepare")
    if made_already is None:
        return _prepare(context)
    began = time.monotonic()
    matched = _match(context, made_already)
    return StageOutcome(None, matched, productive_seconds=time.monotonic() - began)


def _prepare(context: StageContext) -> StageOutcome:
    began = time.monotonic()
    plan, data = context.plan, context.plan.spec.data
    artifact = artifact_path(plan)
    pretrained = _pretrained_tokenizer(plan.spec, context.workspace)
    check_dictionaries(plan.spec)
    digests = source_digests(plan)
    with (
        write_artifact(context.workspace, artifact, plan, digests) as folder,
        tempfile.TemporaryDirectory(dir=folder, prefix=".staging-") as staging,
    ):
        staged = stage_sources(
            data.sources, data.clean, Path(staging), lambda rows: _report(context, phase="Reading", step=rows)
        )
        _report(context, phase="Reading", message="de-duplicating and splitting")
        assignments = select_rows(staged, data)
        check_selection(staged, assignments, strict=data.decontaminate)
        sizes = {
            s.source.name: write_splits(s, a, folder / "sources" / s.source.name)
            for s, a in zip(staged, assignments, strict=True)
        }
        labels = {
            s.source.name: found
            for s in staged
            if (found := count_labels(folder / "sources" / s.source.name, s)) is not None
        }
        check_labels(plan.spec, staged, labels)
        _report(context, phase="Writing", message="training the tokenizer")
        tokenizer = pretrained or _new_tokenizer(plan.spec, folder)
        tokenizer.save_pretrained(folder / TOKENIZER)
        tokens = {
            source.name: encode_splits(folder / "sources" / source.name, source, tokenizer, lambda _: _report(context))
            for source in data.sources
        }
        write_index(folder, staged, sizes, tokenizer, labels)
        prepared = PreparedData.open(folder, ".")
        if plan.spec.evaluate is not None:
            check_hypotheses(plan.spec.evaluate, prepared)
        _check_head(plan.spec, context.workspace, prepared)
        write_report(folder, sources_report(staged, sizes, tokens, digests, folder, labels))
    summary = summary_figures(staged, sizes, len(tokenizer)) | _match(context, artifact)
    seconds = time.monotonic() - began
    summary |= {"seconds": round(seconds, 2)}
    return StageOutcome(artifact, summary, summary_line(staged), productive_seconds=seconds)


def _match(context: StageContext, artifact: str) -> dict[str, float]:
    """Find the fuzzy matches that the spec asks for and that are not there; returns figures for the summary."""
    plan, workspace, began = context.plan, context.workspace, time.monotonic()
    data = PreparedData.open(workspace, artifact, plan.folder)
    if not missing_requests(plan.spec, data):
        return {}
    from finetune_trainer.tasks.translation.matches import find_missing_matches  # it imports torch

    def on_rows(rows: int) -> None:
        _report(context, phase="Writing", message=f"fuzzy matches of {rows:,} segments")

    on_rows(0)
    found = find_missing_matches(plan, workspace, data, on_rows)
    return {"matches.segments": found, "matches.seconds": round(time.monotonic() - began, 2)}


def _report(context: StageContext, *, phase: Phase | None = None, step: int | None = None, message: str = "") -> None:
    """Report progress, and stop on request: there is nothing to save, and the stage soon starts anew."""
    context.progress.update(phase=phase, step=step, message=message or None)
    if context.stop.requested:
        raise Preempted(None, "stopped on request; prepare starts anew")


def _pretrained_tokenizer(spec: FineTuneJobSpec, workspace: Path) -> PreTrainedTokenizerFast | None:
    """The tokenizer of the pretrained model, if there is one; settings that do not fit the model are refused here.

    That is first of all: later stages would find the same, after hours.
    """
    if spec.model.from_ is None:
        return None
    from finetune_trainer.models import check_pretrained, referenced_model  # they import torch

    base = referenced_model(spec.model.from_, "spec.model.from", workspace)
    tokenizer = check_pretrained(spec, base)
    if spec.adapt is not None:
        from finetune_trainer.methods import find_method
        from finetune_trainer.models import Head

        head = Head(TASKS[spec.adapt.task.type].model_class)
        find_method(spec.adapt.method).check(spec.adapt, replace(base, head=head))
    return tokenizer


def _check_head(spec: FineTuneJobSpec, workspace: Path, data: PreparedData) -> None:
    """Refuse a model whose head was trained for other labels than the data have."""
    if spec.model.from_ is None or spec.adapt is None or TASKS[spec.adapt.task.type].generates:
        return
    from finetune_trainer.models import fit_to_model, referenced_model
    from finetune_trainer.tasks import find_task

    base = referenced_model(spec.model.from_, "spec.model.from", workspace)
    fit_to_model(find_task(spec.adapt.task.type).head(spec.adapt, data), base.folder, f"{base.field}.uri")


def _new_tokenizer(spec: FineTuneJobSpec, folder: Path) -> PreTrainedTokenizerFast:
    tokenizer, scratch = spec.model.tokenizer, spec.model.scratch
    settings = tokenizer.train if tokenizer and tokenizer.train else TrainTokenizer()
    context_length = scratch.context_length if scratch else DEFAULT_CONTEXT_LENGTH
    sources = spec.data.sources
    return train_tokenizer(settings, training_texts(folder, sources), _prompt_names(sources), context_length)


def _prompt_names(sources: Sequence[DataSource]) -> dict[str, str]:
    """What prompts call the languages that can be translated, by canonical code; those without a name are left out."""
    languages = (language for source in sources if source.type == "Parallel" for language in source.languages)
    return {canonical_language(language): language_name(language) for language in languages if has_name(language)}
