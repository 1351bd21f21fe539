"""The reference page of a custom resource, from its schema."""

from __future__ import annotations

import json
from collections.abc import Iterator

from finetune_api.objects import Object

BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "maxLength": "at most {} characters",
}


def resource_page(crd: Object) -> str:
    """All fields of the spec and the status, in Markdown."""
    names = crd["spec"]["names"]
    (version,) = crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    lines = [f"# {names['kind']}", "", "<!-- Generated from the models by `make generate`; do not edit. -->", ""]
    lines += [f"`apiVersion: {crd['spec']['group']}/{version['name']}`", ""]
    for part in ("spec", "status"):
        if part in schema["properties"]:
            lines += [f"## {part}", "", "| field | type | default | meaning |", "|---|---|---|---|"]
            lines += [_row(*field) for field in _fields(schema["properties"][part], "")]
            lines += [""]
    return "\n".join(lines)


def _fields(schema: Object, path: str) -> Iterator[tuple[str, Object, bool]]:
    """(path, schema, whether it must be given) of every field below."""
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        own = f"{path}{name}"
        yield own, field, name in required
        inner = field.get("items", field)
        yield from _fields(inner, f"{own}[]." if "items" in field else f"{own}.")


def _row(path: str, schema: Object, required: bool) -> str:
    default = f"`{json.dumps(schema['default'])}`" if "default" in schema else "**required**" if required else ""
    bounds = [text.format(f"{schema[key]:,}") for key, text in BOUNDS.items() if key in schema]
    meaning = " ".join(schema.get("description", "").split())
    text = " ".join([meaning, *([f"({', '.join(bounds)})"] if bounds else [])])
    return f"| `{path}` | {_type(schema)} | {_cell(default)} | {_cell(text)} |"


def _type(schema: Object) -> str:
    if "enum" in schema:
        return " ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    return str(schema.get("type", "any"))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
