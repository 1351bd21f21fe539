"""The models as structural CustomResourceDefinitions."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from finetune_api.base import GROUP, VERSION
from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.runtime import ClusterFineTuneRuntime, FineTuneRuntime

LIST_KEYS = {"sources": "name", "objectives": "name", "tasks": "name", "conditions": "type", "stages": "name"}
"""Lists of named things: keyed maps to server-side apply."""

COPIED_KEYS = (
    "type", "description", "format", "pattern", "enum", "minimum", "maximum",
    "minLength", "maxLength", "minItems", "maxItems", "maxProperties",
)  # fmt: skip

JOB_COLUMNS = (
    ("State", "string", ".status.state", "", 0),
    ("Stage", "string", ".status.currentStage", "", 0),
    ("Progress", "integer", ".status.progress.percent", "Percent of the current stage", 0),
    ("ETA", "integer", ".status.progress.etaSeconds", "Seconds left in the current stage", 0),
    ("Loss", "number", ".status.progress.loss", "", 0),
    ("Score", "string", ".status.score", "", 0),
    ("Restarts", "integer", ".status.restarts", "", 0),
    ("Goodput", "number", ".status.goodput.ratio", "Share of the time that became progress", 1),
    ("Tokens/s", "number", ".status.progress.tokensPerSecond", "", 1),
    ("Nodes", "integer", ".status.nodes", "", 1),
    ("Runtime", "string", ".spec.runtimeRef.name", "", 1),
    ("Gate", "string", ".status.evaluation.gate", "", 1),
    ("Age", "date", ".metadata.creationTimestamp", "", 0),
)
RUNTIME_COLUMNS = (
    ("Image", "string", ".spec.image", "", 0),
    ("Age", "date", ".metadata.creationTimestamp", "", 0),
)


def custom_resource_definitions() -> dict[str, Object]:
    """All CRDs, by name."""
    crds = [
        _crd(FineTuneJob, "finetunejobs", ["ftj"], "Namespaced", JOB_COLUMNS, has_status=True),
        _crd(FineTuneRuntime, "finetuneruntimes", ["ftr"], "Namespaced", RUNTIME_COLUMNS),
        _crd(ClusterFineTuneRuntime, "clusterfinetuneruntimes", ["cftr"], "Cluster", RUNTIME_COLUMNS),
    ]
    return {crd["metadata"]["name"]: crd for crd in crds}


def structural_schema(model: type[BaseModel]) -> Object:
    """The model as a structural schema: no references, no alternatives but int-or-string."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    structural = _structural(schema, schema.get("$defs", {}))
    properties = structural["properties"]
    name = properties["metadata"]["properties"]["name"]
    properties["apiVersion"] = {"type": "string"}
    properties["kind"] = {"type": "string"}
    properties["metadata"] = {"type": "object", "properties": {"name": name}}
    structural["required"] = [field for field in structural["required"] if field != "metadata"]
    return structural


def _crd(
    model: type[BaseModel],
    plural: str,
    short_names: list[str],
    scope: str,
    columns: tuple[tuple[str, str, str, str, int], ...],
    *,
    has_status: bool = False,
) -> Object:
    version: Object = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": structural_schema(model)},
        "additionalPrinterColumns": [_column(*column) for column in columns],
    }
    if has_status:
        version["subresources"] = {"status": {}}
        # Read as Pending before the operator has seen it.
        version["schema"]["openAPIV3Schema"]["properties"]["status"]["default"] = {}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": model.__name__,
                "listKind": f"{model.__name__}List",
                "plural": plural,
                "singular": plural.removesuffix("s"),
                "shortNames": short_names,
                "categories": ["all", "ml"] if has_status else ["ml"],
            },
            "scope": scope,
            "versions": [version],
        },
    }


def _column(name: str, type_: str, path: str, description: str, priority: int) -> Object:
    column: Object = {"name": name, "type": type_, "jsonPath": path}
    if description:
        column["description"] = description
    if priority:
        column["priority"] = priority
    return column


def _structural(schema: Object, definitions: dict[str, Object]) -> Object:
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[-1]]
        siblings = {key: value for key, value in schema.items() if key != "$ref"}
        return _structural(target | siblings, definitions)
    if "anyOf" in schema:
        return _alternative(schema, definitions)
    result: Object = {key: schema[key] for key in COPIED_KEYS if key in schema}
    if "const" in schema:
        result |= {"type": "string", "enum": [schema["const"]]}
    result |= _exclusive_bounds(schema)
    if schema.get("default") is not None:
        result["default"] = _without_nulls(schema["default"])
    if schema.get("type") == "object":
        result |= _object(schema, definitions)
    if schema.get("type") == "array":
        result["items"] = _structural(schema["items"], definitions)
    if "x-kubernetes-validations" in schema:
        result["x-kubernetes-validations"] = schema["x-kubernetes-validations"]
    return result


def _exclusive_bounds(schema: Object) -> Object:
    """OpenAPI 3.0 has `minimum` with a flag where JSON schema has `exclusiveMinimum`."""
    bounds: Object = {}
    for bound in ("Minimum", "Maximum"):
        if f"exclusive{bound}" in schema:
            bounds |= {bound.lower(): schema[f"exclusive{bound}"], f"exclusive{bound}": True}
    return bounds


def _object(schema: Object, definitions: dict[str, Object]) -> Object:
    if "properties" not in schema:
        values = schema.get("additionalProperties")
        if isinstance(values, dict) and values:
            return {"additionalProperties": _structural(values, definitions)}
        return {"x-kubernetes-preserve-unknown-fields": True}
    properties = {name: _structural(value, definitions) for name, value in schema["properties"].items()}
    for name, value in properties.items():
        if name in LIST_KEYS and LIST_KEYS[name] in value.get("items", {}).get("required", ()):
            value["x-kubernetes-list-type"] = "map"
            value["x-kubernetes-list-map-keys"] = [LIST_KEYS[name]]
    result: Object = {"properties": properties}
    if schema.get("required"):
        result["required"] = list(schema["required"])
    return result


def _alternative(schema: Object, definitions: dict[str, Object]) -> Object:
    """`X | None` is an optional X; `int | "Auto"` is an int-or-string with a rule."""
    siblings = {key: value for key, value in schema.items() if key != "anyOf"}
    options = [option for option in schema["anyOf"] if option.get("type") != "null"]
    if len(options) == 1:
        return _structural(options[0] | siblings, definitions)
    words = [option["const"] for option in options if "const" in option]
    result: Object = {"x-kubernetes-int-or-string": True, "description": schema["description"]}
    if "default" in schema:
        result["default"] = schema["default"]
    result["x-kubernetes-validations"] = [
        {
            "rule": f"type(self) == int ? int(self) >= 1 : string(self) in {words}".replace('"', "'"),
            "message": f"must be a positive number or one of {', '.join(words)}",
        }
    ]
    return result


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
