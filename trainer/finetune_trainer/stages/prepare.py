"""prepare: from corpora to splits, a tokenizer and memory-mapped token columns."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.data import DataSource
from finetune_api.job import FineTuneJobSpec
from finetune_api.model import TrainTokenizer
from finetune_api.progress import Phase
from finetune_trainer.context import StageContext, StageOutcome
from finetune_trainer.data.prepared import INDEX, REPORT, TOKENIZER, PairSplit
from finetune_trainer.data.provenance import source_digests
from finetune_trainer.data.report import sources_report, summary_figures, summary_line
from finetune_trainer.data.select import Assignment, leaked_rows, select_rows
from finetune_trainer.data.staging import StagedSource, stage_source
from finetune_trainer.data.tokenizers import TextsByLanguage, train_tokenizer
from finetune_trainer.data.writing import encode_splits, write_splits
from finetune_trainer.errors import BadConfiguration, BadData, Preempted
from finetune_trainer.prompts.languages import language_name
from finetune_trainer.stages import artifact_path
from finetune_trainer.workspace.artifacts import write_artifact

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

DEFAULT_CONTEXT_LENGTH = 1024


def run(context: StageContext) -> StageOutcome:
    """Read, clean, de-duplicate, split, decontaminate, train the tokenizer, encode."""
    began = time.monotonic()
    plan = context.plan
    data = plan.spec.data
    artifact = artifact_path(plan)
    digests = source_digests(plan)
    with (
        write_artifact(context.workspace, artifact, plan, digests) as folder,
        tempfile.TemporaryDirectory(dir=folder, prefix=".staging-") as staging,
    ):
        staged = _stage_all(context, Path(staging))
        _alive(context, phase="Reading", message="de-duplicating and splitting")
        assignments = select_rows(staged, data)
        _check_leaks(staged, assignments, strict=data.decontaminate)
        sizes = {
            s.source.name: write_splits(s, a, folder / "sources" / s.source.name)
            for s, a in zip(staged, assignments, strict=True)
        }
        _alive(context, phase="Writing", message="training the tokenizer")
        tokenizer = _tokenizer(plan.spec, folder)
        tokenizer.save_pretrained(folder / TOKENIZER)
        tokens = {
            source.name: encode_splits(
                folder / "sources" / source.name, source.languages, tokenizer, lambda _: _alive(context)
            )
            for source in data.sources
        }
        index = {
            "bosId": tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id,
            "eosId": tokenizer.eos_token_id,
            "padId": tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
            "vocabularySize": len(tokenizer),
            "sources": {s.name: {"languages": s.languages, "splits": sizes[s.name]} for s in data.sources},
        }
        (folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
        report = sources_report(staged, sizes, tokens, digests, folder)
        (folder / REPORT).write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    seconds = time.monotonic() - began
    summary = summary_figures(staged, sizes, len(tokenizer)) | {"seconds": round(seconds, 2)}
    return StageOutcome(artifact=artifact, summary=summary, message=summary_line(staged), productive_seconds=seconds)


def _stage_all(context: StageContext, folder: Path) -> list[StagedSource]:
    """The first pass over all sources; the problems of all come together."""
    staged: list[StagedSource] = []
    problems: list[BadConfiguration | BadData] = []
    rows = 0
    for number, source in enumerate(context.plan.spec.data.sources):

        def on_rows(count: int, before: int = rows) -> None:
            _alive(context, phase="Reading", step=before + count)

        try:
            staged.append(stage_source(source, context.plan.spec.data.clean, folder / f"{number}.arrow", on_rows))
            rows += staged[-1].tally.read
        except (BadConfiguration, BadData) as error:
            problems.append(error)
    if problems:
        remedies = dict.fromkeys(p.remedy for p in problems if p.remedy)
        first = problems[0]
        raise type(first)(first.reason, "; ".join(p.message for p in problems), "     ".join(remedies))
    return staged


def _alive(context: StageContext, *, phase: Phase | None = None, step: int | None = None, message: str = "") -> None:
    """Say how far the stage is, and stop if asked to: it has nothing to save, and soon starts anew."""
    context.progress.update(phase=phase, step=step, message=message or None)
    if context.stop.requested:
        raise Preempted(None, "stopped on request; prepare starts anew")


def _check_leaks(staged: Sequence[StagedSource], assignments: Sequence[Assignment], *, strict: bool) -> None:
    trained = sum(int((a == 0).sum()) for a in assignments)
    if trained == 0:
        raise BadData(
            "NothingLeft",
            "no row is left for training after de-duplication, split and decontamination",
            "Give more text, or lower data.split.",
        )
    leaked = leaked_rows(staged, assignments)
    if strict and leaked:
        raise AssertionError(f"{leaked} training rows share a side with validation or test")


def _tokenizer(spec: FineTuneJobSpec, folder: Path) -> PreTrainedTokenizerFast:
    """The pretrained model's own, or a new one."""
    if spec.model.from_ is not None:
        from finetune_trainer.models import load_tokenizer, referenced_model  # they import torch

        return load_tokenizer(referenced_model(spec.model.from_, "spec.model.from").folder, "spec.model.from.uri")
    tokenizer, scratch = spec.model.tokenizer, spec.model.scratch
    settings = tokenizer.train if tokenizer and tokenizer.train else TrainTokenizer()
    context_length = scratch.context_length if scratch else DEFAULT_CONTEXT_LENGTH
    sources = spec.data.sources
    return train_tokenizer(settings, _training_texts(folder, sources), _prompt_names(sources), context_length)


def _training_texts(folder: Path, sources: Sequence[DataSource]) -> TextsByLanguage:
    """A reader of the training split of each language, over all sources that have it."""

    def reader(language: str) -> Iterable[str]:
        splits = (PairSplit(folder / "sources" / s.name / "train") for s in sources if language in s.languages)
        return chain.from_iterable(split.text(language) for split in splits)

    languages = dict.fromkeys(language for s in sources for language in s.languages)
    return {language: lambda language=language: reader(language) for language in languages}  # type: ignore[misc]


def _prompt_names(sources: Sequence[DataSource]) -> dict[str, str]:
    """What prompts call the languages that can be translated; a code without a name is refused where it is used."""
    names = {}
    for language in (language for source in sources if source.type == "Parallel" for language in source.languages):
        with suppress(BadConfiguration):
            names[language] = language_name(language)
    return names
