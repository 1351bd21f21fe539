"""A manifest file and all that is wrong with it, each problem with file:line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pydantic import ValidationError

from finetune_api.base import GROUP
from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.problems import Problem
from finetune_api.refusals import refusals
from finetune_operator.admission.admit import MODELS, problems_in
from finetune_operator.admission.yaml_source import Source, YamlError, read_documents, read_yaml

JOB = FineTuneJob.__name__


@dataclass(frozen=True, slots=True)
class ManifestProblem:
    """A problem with its place."""

    place: str
    """job.yaml:12"""
    problem: Problem

    def __str__(self) -> str:
        return f"{self.place} {self.problem}"


Check = Callable[[Object], list[Problem]]
"""Problems of a FineTuneJob as written that schema and rules do not know of."""


def _as_written(job: Object) -> Object:
    return job


def read_manifest(
    content: bytes, filename: str, also: Check | None = None, resolved: Callable[[Object], Object] = _as_written
) -> tuple[Object | None, list[ManifestProblem]]:
    """The one FineTuneJob of a file, and every problem of it: syntax, schema, rules, what is not supported yet.

    `resolved` gives the job as the rules shall see it. The object is None only if the file is not YAML of the expected
    form.
    """
    try:
        source = read_yaml(content)
    except YamlError as error:
        return None, [_unreadable(error, filename)]
    kind = source.value.get("kind")
    if kind != JOB:
        return source.value, _placed([Problem("kind", f"must be {JOB}, not {kind!r}")], filename, source)
    return source.value, _placed(_problems(source.value, also, resolved), filename, source)


def problems_in_file(
    content: bytes, filename: str, also: Check | None = None, resolved: Callable[[Object], Object] = _as_written
) -> tuple[int, list[ManifestProblem]]:
    """How many objects of ours a file of any number of YAML documents has, and every problem of them."""
    try:
        ours = [source for source in read_documents(content) if _is_ours(source.value)]
    except YamlError as error:
        return int(GROUP.encode() in content), [_unreadable(error, filename)]
    return len(ours), [
        problem for source in ours for problem in _placed(_problems(source.value, also, resolved), filename, source)
    ]


def _is_ours(value: Object) -> bool:
    return value.get("kind") in MODELS or str(value.get("apiVersion")).startswith(f"{GROUP}/")


def _problems(value: Object, also: Check | None, resolved: Callable[[Object], Object]) -> list[Problem]:
    if value.get("kind") != JOB:
        return problems_in(value)
    return problems_in(resolved(value)) + _refusals(value) + (also(value) if also else [])


def _refusals(value: Object) -> list[Problem]:
    """None where the schema is not kept: then nobody knows what was meant."""
    try:
        return refusals(FineTuneJob.from_manifest(value).spec)
    except ValidationError:
        return []


def _placed(problems: list[Problem], filename: str, source: Source) -> list[ManifestProblem]:
    by_line = sorted((source.line_of(p.field), i) for i, p in enumerate(problems))
    return [ManifestProblem(f"{filename}:{line}", _in_words(problems[i], source)) for line, i in by_line]


def _unreadable(error: YamlError, filename: str) -> ManifestProblem:
    return ManifestProblem(f"{filename}:{error.line}", Problem("", str(error)))


def _in_words(problem: Problem, source: Source) -> Problem:
    """The Norway problem and its relatives: `no`, `1.0` and `null` are no text unless they are quoted."""
    word = source.bare_words.get(problem.field)
    if word and problem.message.startswith("must be text"):
        return replace(problem, message=f'must be text: write "{word}" in quotes, without them YAML reads another type')
    return problem
