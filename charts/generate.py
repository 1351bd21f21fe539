"""`python charts/generate.py [--check]`: schema, README, CRDs and dashboards of the chart, and rules for Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from dashboards import dashboards
from pydantic.alias_generators import to_camel

from finetune_api.crd import custom_resource_definitions
from finetune_api.generate import as_yaml, write_or_check
from finetune_api.objects import Object
from finetune_operator.process.settings import OperatorSettings

RUNNING_VALUE = re.compile(r"\{\{.*?\}\}")
CHART = Path(__file__).resolve().parent / "finetune-operator"
VALUES = CHART / "values.yaml"
RULES = tuple(CHART / "rules" / f"{name}.yaml" for name in ("recording", "alerts"))
REFERENCE = CHART.parent.parent / "docs" / "reference"
MANIFESTS = CHART.parent.parent / "manifests" / "monitoring"
RULES_HEADER = "# Generated from charts/finetune-operator/rules by `make generate`; do not edit.\n"
DESCRIPTION, SCHEMA = "# -- ", "# @schema "
GIVEN_BY_THE_CHART = {"namespaces", "namespace", "kubeconfig", "lease_name", "identity", "http_host"}
"""Settings of the operator that are no part of `config`."""
TYPES = {"str": "string", "int": "integer", "bool": "boolean", "float": "number"}
README = """# finetune-operator

<!-- Generated from values.yaml by `make generate`; do not edit. -->

The operator for FineTuneJobs, with its CRDs. Kubernetes 1.29 or newer; Helm 3 or 4.

```sh
helm install finetune-operator charts/finetune-operator --namespace finetune-operator --create-namespace \\
  --set image.registry=registry.example.com
helm upgrade finetune-operator charts/finetune-operator --namespace finetune-operator --reset-then-reuse-values \\
  --set runtimes.cpu.enabled=true
```

No images are published: build them and push them to a registry of yours (docs/images.md), whose name stands for
registry.example.com. Where every node has them already, `--set imagesOnNodes=true` takes its place.

## Values

| value | default | meaning |
|---|---|---|
"""
VALUES_TITLE = """# Values of the chart

<!-- Generated from values.yaml by `make generate`; do not edit. -->

| value | default | meaning |
|---|---|---|
"""
ALERTS_TITLE = """# Alerts

<!-- Generated from the chart's rules by `make generate`; do not edit. -->

Each name leads to its runbook. Thresholds are [values of the chart](values.md).
"""


@dataclass
class Value:
    """One value: a leaf, or a map of values."""

    path: tuple[str, ...]
    default: Any
    description: str = ""
    schema: Object = field(default_factory=dict)
    children: list[Value] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether users choose the keys."""
        return "additionalProperties" in self.schema or "$ref" in self.schema


def read_values(text: str) -> list[Value]:
    """The values with what the comments above them say."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise TypeError("values.yaml is not a map")
    return list(_children(root, text.splitlines(), ()))


def _children(node: yaml.MappingNode, lines: list[str], path: tuple[str, ...]) -> Iterator[Value]:
    for key, child in node.value:
        name = (*path, str(key.value))
        value = Value(name, yaml.safe_load(yaml.serialize(child)), *_comment(lines, key.start_mark.line))
        if isinstance(child, yaml.MappingNode) and not value.is_open:
            value.children = list(_children(child, lines, name))
        yield value


def _comment(lines: list[str], line: int) -> tuple[str, Object]:
    """(description, schema) in the comment that ends above a line."""
    first = line
    while first > 0 and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    above = [text.strip() for text in lines[first:line]]
    described = [text.removeprefix(DESCRIPTION) for text in above if text.startswith(DESCRIPTION)]
    schemas = [json.loads(text.removeprefix(SCHEMA)) for text in above if text.startswith(SCHEMA)]
    return " ".join(described), schemas[0] if schemas else {}


def schema_of(values: list[Value]) -> Object:
    """Of a map that has these values and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {value.path[-1]: _schema(value) for value in values},
    }


def _schema(value: Value) -> Object:
    described = {"description": value.description} if value.description else {}
    if "$ref" in value.schema:
        return value.schema
    if value.children:
        return described | schema_of(value.children) | value.schema
    if isinstance(value.default, dict):
        return described | {"type": "object"} | value.schema
    if isinstance(value.default, list):
        return described | {"type": "array"} | value.schema
    return described | {"type": TYPES[type(value.default).__name__]} | value.schema


def config_schema() -> Object:
    """`config`: the operator's settings, in the spelling of charts."""
    own = OperatorSettings.model_json_schema()["properties"]
    kept = ("type", "items", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "default")
    return {
        "type": "object",
        "description": "Settings of the operator's process.",
        "additionalProperties": False,
        "properties": {
            to_camel(name): {key: schema[key] for key in kept if key in schema} | {"description": schema["description"]}
            for name, schema in own.items()
            if name not in GIVEN_BY_THE_CHART
        },
    }


def values_schema(values: list[Value]) -> Object:
    """What Helm checks values against."""
    schema = schema_of(values)
    schema["properties"]["global"] = {
        "type": "object",
        "description": "Helm's own, where this chart is part of another.",
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of finetune-operator",
        **schema,
        "definitions": {"config": config_schema()},
    }


def alerts_page(rules: str) -> str:
    """The reference of all alerts, in Markdown."""
    lines = [ALERTS_TITLE, "| alert | severity | says |", "|---|---|---|"]
    for group in yaml.safe_load(rules)["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                link = f"[{rule['alert']}]({rule['annotations']['runbook_url'].replace('docs/', '../', 1)})"
                said = RUNNING_VALUE.sub("…", rule["annotations"]["summary"])
                lines.append(
                    f"| {link} | {rule['labels']['severity']} | {said}. {rule['annotations']['description']} |"
                )
    return RUNNING_VALUE.sub("…", "\n".join(lines)) + "\n"


def readme(values: list[Value], title: str = README) -> str:
    """The table of all values, under a title."""
    rows = [
        f"| `{'.'.join(value.path)}` | `{json.dumps(value.default)}` | {value.description} |"
        for value in _leaves(values)
    ]
    settings = [
        f"| `config.{name}` | `{json.dumps(schema.get('default'))}` | {schema['description']} |"
        for name, schema in config_schema()["properties"].items()
    ]
    return title + "\n".join([*rows, *settings]) + "\n"


def _leaves(values: list[Value]) -> Iterator[Value]:
    for value in values:
        if value.children:
            yield from _leaves(value.children)
        else:
            yield value


def crd_template(crd: Object) -> str:
    """A CRD as a template: Helm upgrades it, and leaves it where it is if it should be kept."""
    body = as_yaml({"spec": crd["spec"]})
    if "{{" in body:
        raise ValueError(f"{crd['metadata']['name']}: a template must not contain two braces")
    return (
        "{{- /* Generated from the models of finetune_api by `make generate`; do not edit. */ -}}\n"
        "{{- if .Values.crds.enabled }}\n"
        f"apiVersion: {crd['apiVersion']}\nkind: {crd['kind']}\nmetadata:\n  name: {crd['metadata']['name']}\n"
        '  {{- $keep := ternary (dict "helm.sh/resource-policy" "keep") dict .Values.crds.keep }}\n'
        '  {{- include "finetune-operator.metadata" (list . $keep) | nindent 2 }}\n'
        f"{body}{{{{- end }}}}\n"
    )


def prometheus_rules(monitoring: Object) -> str:
    """The rules for a Prometheus without its operator, with the chart's own values of `monitoring.rules`."""
    groups = []
    for path in RULES:
        text = path.read_text(encoding="utf-8")
        for name, value in monitoring["rules"]["thresholds"].items():
            text = text.replace(f"threshold({name})", str(value))
        groups += yaml.safe_load(text)["groups"]
    for group in groups:
        for rule in group["rules"]:
            if "alert" in rule:
                page = f"{group['name'].removeprefix('finetune-')}.md#{rule['alert'].lower()}"
                rule["annotations"]["runbook_url"] = f"docs/runbooks/{page}"
    return RULES_HEADER + as_yaml({"groups": groups})


def generated_files() -> dict[Path, str]:
    """Content of every generated file of the chart, by path."""
    text = VALUES.read_text(encoding="utf-8")
    values = read_values(text)
    rules = prometheus_rules(yaml.safe_load(text)["monitoring"])
    files = {
        CHART / "values.schema.json": json.dumps(values_schema(values), indent=2, ensure_ascii=False) + "\n",
        CHART / "README.md": readme(values),
        MANIFESTS / "rules.yaml": rules,
        REFERENCE / "values.md": readme(values, VALUES_TITLE),
        REFERENCE / "alerts.md": alerts_page(rules),
    }
    for name, dashboard in dashboards().items():
        files[CHART / "dashboards" / f"{name}.json"] = dashboard
    for name, crd in custom_resource_definitions().items():
        files[CHART / "templates" / "crds" / f"{name.partition('.')[0]}.yaml"] = crd_template(crd)
    return files


if __name__ == "__main__":
    raise SystemExit(write_or_check(generated_files(), __doc__))
