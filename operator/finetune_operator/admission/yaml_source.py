"""YAML of a manifest, read as kubectl reads it, with the line of every field; bounded in size, depth and aliases."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from finetune_api.objects import Object

MAX_BYTES = 1 << 20
MAX_NODES = 50_000
MAX_DEPTH = 64
_MERGE = "tag:yaml.org,2002:merge"


class YamlError(Exception):
    """Not a manifest that can be read; `line` is where."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class Source:
    """The value of a file, and the line of each part."""

    value: Object
    lines: dict[str, int] = field(default_factory=lambda: {"": 1})
    """Line by field path: spec.data.sources[1].languages."""
    bare_words: dict[str, str] = field(default_factory=dict)
    """As written, by field path: unquoted scalars that YAML takes for something else than text."""

    def line_of(self, path: str) -> int:
        """Line of a field, or of the nearest one around it."""
        while path not in self.lines and path:
            cut = max(path.rfind("."), path.rfind("["))
            path = path[:cut] if cut > 0 else ""
        return self.lines[path]


# The C parser where it was built: a megabyte takes it a second instead of half a minute.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """Numbers as in YAML 1.2 (1e-4 is one, 1:30 is not), no dates: what reaches the API server is JSON."""


_OWN = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float", "tag:yaml.org,2002:int")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _OWN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"),
    list("-+0123456789."),
)


def read_yaml(content: bytes) -> Source:
    """The one mapping of a file.

    Raises:
        YamlError: if it is something else, or too large or too deep.
    """
    sources = read_documents(content)
    if len(sources) != 1:
        raise YamlError(1, f"one YAML document is expected, not {len(sources)}")
    return sources[0]


def read_documents(content: bytes) -> list[Source]:
    """The mappings of a file; empty documents are none.

    Raises:
        YamlError: if something else is among them, or too large or too deep.
    """
    if len(content) > MAX_BYTES:
        raise YamlError(1, f"a manifest may have at most {MAX_BYTES:,} bytes, not {len(content):,}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise YamlError(content[: error.start].count(b"\n") + 1, "not UTF-8 text") from None
    try:
        # Building nodes recurses, scanning does not: only what is known to be shallow is built.
        _check_extent(text)
        documents = list(yaml.compose_all(text, _Loader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise YamlError(line, f"not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise YamlError(1, f"not valid YAML: {str(error).splitlines()[0]}") from None
    return [_source(document) for document in documents if document.tag != "tag:yaml.org,2002:null"]


def _source(document: yaml.Node) -> Source:
    line = document.start_mark.line + 1
    if not isinstance(document, yaml.MappingNode):
        raise YamlError(line, "a mapping with apiVersion, kind, metadata and spec is expected")
    source = Source({}, {"": line})
    _Reader(source).note(document, "", ())
    source.value = _construct(document)
    return source


def _check_extent(text: str) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(text, _Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        line = event.start_mark.line + 1 if event.start_mark else 1
        if depth > MAX_DEPTH:
            raise YamlError(line, f"nested more than {MAX_DEPTH} levels deep")
        if count > 2 * MAX_NODES:
            raise YamlError(line, f"more than {MAX_NODES:,} values")


class _Reader:
    """Notes the line of each field; refuses duplicate keys, loops and expansion bombs."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._budget = MAX_NODES

    def note(self, node: yaml.Node, path: str, parents: tuple[int, ...]) -> None:
        """Visit a node and what is below it; an alias counts each time."""
        self._budget -= 1
        line = node.start_mark.line + 1
        if self._budget < 0 or id(node) in parents or len(parents) > MAX_DEPTH:
            raise YamlError(line, "too many aliases: write the values out")
        self._source.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            self._note_mapping(node, path, (*parents, id(node)))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.note(item, f"{path}[{index}]", (*parents, id(node)))
        elif node.tag != "tag:yaml.org,2002:str" and not getattr(node, "style", None):
            self._source.bare_words[path] = str(node.value)

    def _note_mapping(self, node: yaml.MappingNode, path: str, parents: tuple[int, ...]) -> None:
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise YamlError(line, "keys must be plain words")
            child = f"{path}.{key.value}" if path else key.value
            if key.value in seen:
                raise YamlError(line, f"{child} is given twice")
            seen.add(key.value)
            if key.tag != _MERGE:
                key.tag = "tag:yaml.org,2002:str"  # JSON has no other keys: `on:` is a word here
            self._source.lines.setdefault(child, line)
            self.note(value, child, parents)


def _construct(node: yaml.Node) -> Any:
    loader = _Loader("")
    try:
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None) or node.start_mark
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise YamlError(mark.line + 1, f"not valid YAML: {reason}") from None
    finally:
        loader.dispose()
