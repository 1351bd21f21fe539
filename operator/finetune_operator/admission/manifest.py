"""A manifest file and all that is wrong with it, each problem with file:line."""

from __future__ import annotations

from dataclasses import dataclass, replace

from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.problems import Problem
from finetune_api.support import unsupported
from finetune_operator.admission.admit import problems_in
from finetune_operator.admission.yaml_source import Source, YamlError, read_yaml


@dataclass(frozen=True, slots=True)
class ManifestProblem:
    """A problem with its place."""

    place: str
    """job.yaml:12"""
    problem: Problem

    def __str__(self) -> str:
        return f"{self.place} {self.problem}"


def read_manifest(content: bytes, filename: str) -> tuple[Object | None, list[ManifestProblem]]:
    """The one FineTuneJob of a file, and every problem of it: syntax, schema, rules, what is not supported yet.

    The object is None only if the file is not YAML of the expected form.
    """
    try:
        source = read_yaml(content)
    except YamlError as error:
        return None, [ManifestProblem(f"{filename}:{error.line}", Problem("", str(error)))]
    return source.value, _placed(_problems(source.value), filename, source)


def place_problems(content: bytes, filename: str, problems: list[Problem]) -> list[ManifestProblem]:
    """Problems found later, with their place in a manifest that `read_manifest` could parse."""
    return _placed(problems, filename, read_yaml(content))


def _placed(problems: list[Problem], filename: str, source: Source) -> list[ManifestProblem]:
    by_line = sorted((source.line_of(p.field), i) for i, p in enumerate(problems))
    return [ManifestProblem(f"{filename}:{line}", _in_words(problems[i], source)) for line, i in by_line]


def _in_words(problem: Problem, source: Source) -> Problem:
    """The Norway problem and its relatives: `no`, `1.0` and `null` are no text unless they are quoted."""
    word = source.bare_words.get(problem.field)
    if word and problem.message.startswith("input should be a valid string"):
        return replace(problem, message=f'must be text: write "{word}" in quotes, without them YAML reads another type')
    return problem


def _problems(value: Object) -> list[Problem]:
    if value.get("kind") != "FineTuneJob":
        return [Problem("kind", f"must be FineTuneJob, not {value.get('kind')!r}")]
    problems = problems_in(value)
    return problems or unsupported(FineTuneJob.from_json_object(value).spec)
