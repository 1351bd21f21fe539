"""Walks through the schemas of CRDs."""

from __future__ import annotations

from collections.abc import Iterator

from finetune_api.objects import Object


def schema_of(crd: Object) -> Object:
    schema: Object = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: Object, path: str = "") -> Iterator[tuple[str, Object]]:
    """Path and schema of a field and of all within it."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def what_may_be_written(crd: Object) -> list[str]:
    """`Kind path` of each field of the spec, and `Kind path=name` of each name of its enumerations."""
    kind = crd["spec"]["names"]["kind"]
    found = [(path, node) for path, node in nodes(schema_of(crd)) if path.startswith("spec.")]
    return [
        f"{kind} {path}{suffix}"
        for path, node in found
        for suffix in ("", *(f"={name}" for name in node.get("enum", ())))
    ]
