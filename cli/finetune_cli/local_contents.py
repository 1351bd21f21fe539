"""What is in the files of this machine that a job names: whether they fit it, before a pod reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from finetune_api.dictionary import DictionaryError, dictionaries, read_dictionary
from finetune_api.encoder import encoder_problem
from finetune_api.job import FineTuneJob, FineTuneJobSpec
from finetune_api.objects import Object
from finetune_api.pretrained import adapter_problem, conflicts_with_model, read_pretrained
from finetune_api.problems import Problem
from finetune_api.question_files import question_problems
from finetune_cli.local_manifest import local_model_folder, local_path


def problems_of_local_contents(job: Object, folder: Path) -> list[Problem]:
    """What is wrong with models, dictionaries, encoders and questions of a job as written, where they are here.

    Plain paths are relative to `folder`; that a file is not there is told elsewhere.
    """
    try:
        spec = FineTuneJob.from_manifest(job).spec
    except ValidationError:
        return []
    return [problem for look in (_model, _dictionaries, _encoder, _questions) for problem in look(spec, folder)]


def _model(spec: FineTuneJobSpec, folder: Path) -> list[Problem]:
    """Settings that do not fit the model that the job starts from."""
    path = local_model_folder(spec, folder)
    if path is None:
        return []
    adapter = adapter_problem(path, "spec.model.from.uri")
    if adapter is not None:
        return [adapter]
    model = read_pretrained(path, and_tokenizer=True)
    return conflicts_with_model(spec, model) if model is not None else []


def _dictionaries(spec: FineTuneJobSpec, folder: Path) -> Iterator[Problem]:
    for field, reference in dictionaries(spec):
        path = local_path(reference.uri, folder)
        if path is None:
            continue
        try:
            read_dictionary(path)
        except DictionaryError as error:
            yield Problem(f"{field}.uri", str(error), "BadDictionary")
        except OSError:
            continue


def _encoder(spec: FineTuneJobSpec, folder: Path) -> Iterator[Problem]:
    encoder = spec.adapt.prompts.retrieval.encoder if spec.adapt is not None else None
    path = local_path(encoder.uri, folder) if encoder is not None else None
    problem = encoder_problem(path) if path is not None else None
    if problem is not None:
        yield problem


def _questions(spec: FineTuneJobSpec, folder: Path) -> Iterator[Problem]:
    if spec.data.clean.on_malformed == "Drop":
        return
    for index, source in enumerate(spec.data.sources):
        path = local_path(source.uri, folder) if source.type == "QuestionAnswering" else None
        for message in question_problems(path, source.format, source.max_rows) if path is not None else ():
            yield Problem(f"spec.data.sources[{index}].uri", message, "MalformedRow")
