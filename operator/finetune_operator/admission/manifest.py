"""A manifest file, read with the line of every field, so that each problem can be told as file:line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from finetune_api.job import FineTuneJob
from finetune_api.problems import Problem
from finetune_api.support import unsupported
from finetune_operator.admission.admit import problems_in

Object = dict[str, Any]
MAX_MANIFEST_BYTES = 1 << 20
MAX_NODES = 50_000


@dataclass(frozen=True, slots=True)
class ManifestProblem:
    """A problem with its place."""

    place: str
    """job.yaml:12"""
    problem: Problem

    def __str__(self) -> str:
        return f"{self.place} {self.problem}"


class _PlacedError(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def read_manifest(content: bytes, filename: str) -> tuple[Object | None, list[ManifestProblem]]:
    """The one FineTuneJob of a file, and every problem of it: syntax, schema, rules, what is not supported yet.

    The object is None only if the file is not YAML of the expected form.
    """
    lines: dict[str, int] = {"": 1}
    try:
        value = _parse(content, lines)
    except _PlacedError as error:
        return None, [ManifestProblem(f"{filename}:{error.line}", Problem("", str(error)))]
    return value, _placed(_problems(value), filename, lines)


def place_problems(content: bytes, filename: str, problems: list[Problem]) -> list[ManifestProblem]:
    """Problems found later, with their place in a manifest that `read_manifest` could parse."""
    lines: dict[str, int] = {"": 1}
    _parse(content, lines)
    return _placed(problems, filename, lines)


def _placed(problems: list[Problem], filename: str, lines: dict[str, int]) -> list[ManifestProblem]:
    by_line = sorted((_line_of(p.field, lines), i) for i, p in enumerate(problems))
    return [ManifestProblem(f"{filename}:{line}", problems[i]) for line, i in by_line]


def _problems(value: Object) -> list[Problem]:
    if value.get("kind") != "FineTuneJob":
        return [Problem("kind", f"must be FineTuneJob, not {value.get('kind')!r}")]
    problems = problems_in(value)
    return problems or unsupported(FineTuneJob.from_json_object(value).spec)


def _parse(content: bytes, lines: dict[str, int]) -> Object:
    if len(content) > MAX_MANIFEST_BYTES:
        raise _PlacedError(1, f"a manifest may have at most {MAX_MANIFEST_BYTES:,} bytes, not {len(content):,}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _PlacedError(content[: error.start].count(b"\n") + 1, "not UTF-8 text") from None
    try:
        documents = list(yaml.compose_all(text, yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _PlacedError(line, f"not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise _PlacedError(1, f"not valid YAML: {str(error).splitlines()[0]}") from None
    if len(documents) != 1:
        raise _PlacedError(1, f"one YAML document is expected, not {len(documents)}")
    if not isinstance(documents[0], yaml.MappingNode):
        raise _PlacedError(1, "a mapping with apiVersion, kind, metadata and spec is expected")
    budget = [MAX_NODES]
    _walk(documents[0], "", lines, budget, ())
    value: Object = _construct(documents[0])
    return value


def _walk(node: yaml.Node, path: str, lines: dict[str, int], budget: list[int], parents: tuple[int, ...]) -> None:
    """Note the line of each field; refuse duplicate keys, loops and expansion bombs."""
    budget[0] -= 1
    line = node.start_mark.line + 1
    if budget[0] < 0 or id(node) in parents:
        raise _PlacedError(line, "too many aliases: write the values out")
    lines.setdefault(path, line)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _PlacedError(key.start_mark.line + 1, "keys must be plain words")
            child = f"{path}.{key.value}" if path else key.value
            if key.value in seen:
                raise _PlacedError(key.start_mark.line + 1, f"{child} is given twice")
            seen.add(key.value)
            lines.setdefault(child, key.start_mark.line + 1)
            _walk(value, child, lines, budget, (*parents, id(node)))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, f"{path}[{index}]", lines, budget, (*parents, id(node)))


def _construct(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        raise _PlacedError(node.start_mark.line + 1, f"not valid YAML: {str(error).splitlines()[0]}") from None
    finally:
        loader.dispose()


def _line_of(field: str, lines: dict[str, int]) -> int:
    """Line of the field, or of the nearest one around it."""
    while field not in lines and field:
        cut = max(field.rfind("."), field.rfind("["))
        field = field[:cut] if cut > 0 else ""
    return lines[field]
