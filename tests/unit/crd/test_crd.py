"""The CRDs that are generated from the models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.crd import custom_resource_definitions
from finetune_api.generate import generated_files
from finetune_api.objects import Object
from finetune_operator.admission import admit
from unit.crd.schemas import nodes, schema_of

JOB_CRD = "finetunejobs.finetune-operator.io"
FIELDS = Path(__file__).with_name("fields.txt")


def test_generated_files_are_up_to_date() -> None:
    for path, content in generated_files().items():
        assert path.read_text(encoding="utf-8") == content, f"{path.name}: run make generate"


def test_the_list_of_fields_changes_only_on_purpose() -> None:
    fields = [path for path, _ in nodes(schema_of(custom_resource_definitions()[JOB_CRD])) if path]
    assert fields == FIELDS.read_text(encoding="utf-8").split("\n")[:-1], "fields.txt lists the API's fields"


@pytest.mark.parametrize("name", list(custom_resource_definitions()))
def test_schemas_are_structural(name: str) -> None:
    for path, node in nodes(schema_of(custom_resource_definitions()[name])):
        assert not {"$ref", "anyOf", "oneOf", "allOf", "title", "const", "nullable"} & node.keys(), path
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        assert not ("properties" in node and "additionalProperties" in node), path
        for key in node.get("x-kubernetes-list-map-keys", ()):
            assert key in node["items"]["required"], path


def test_every_field_of_the_spec_is_bounded() -> None:
    """CEL's cost estimate multiplies by these bounds."""
    spec = schema_of(custom_resource_definitions()[JOB_CRD])["properties"]["spec"]
    for path, node in nodes(spec, "spec"):
        if node.get("type") == "array":
            assert "maxItems" in node, path
        if node.get("type") == "string" and not path.endswith("{}"):
            assert "enum" in node or "maxLength" in node, path


def test_no_reference_names_a_namespace() -> None:
    spec = schema_of(custom_resource_definitions()[JOB_CRD])["properties"]["spec"]
    assert [path for path, _ in nodes(spec) if path.endswith("namespace")] == []


def test_every_rule_of_a_field_path_names_a_field() -> None:
    for _, node in nodes(schema_of(custom_resource_definitions()[JOB_CRD])):
        for rule in node.get("x-kubernetes-validations", ()):
            target = node
            for name in rule.get("fieldPath", "").split(".")[1:]:
                target = target["properties"][name]


def defaulted(schema: Object, value: Any) -> Any:
    """What the API server makes of `value`: defaults of the schema filled in, from the outside inwards."""
    if isinstance(value, list):
        return [defaulted(schema["items"], item) for item in value]
    if not isinstance(value, dict) or "properties" not in schema:
        return value
    filled = dict(value)
    for name, child in schema["properties"].items():
        if name not in filled and "default" in child:
            filled[name] = child["default"]
        if name in filled:
            filled[name] = defaulted(child, filled[name])
    return filled


def test_defaults_of_the_crd_are_those_of_the_models() -> None:
    written = yaml.safe_load(
        """
        apiVersion: finetune-operator.io/v1alpha1
        kind: FineTuneJob
        metadata: {name: tiny}
        spec:
          model: {scratch: {layers: 2, hidden: 64, heads: 4}, tokenizer: {train: {}}}
          data: {sources: [{name: ui, type: Parallel, languages: [en, es], uri: "file:///ui.tsv"}]}
          pretrain:
            budget: {tokens: 4096}
            objectives: [{name: mt, type: Translation, source: ui, directions: [en-es]}]
          adapt: {task: {source: ui, direction: en-es}, earlyStopping: {}}
          evaluate: {tasks: [{name: t, source: ui, direction: en-es}], gate: {require: [{metric: BLEU, task: t}]}}
        """
    )
    schema = schema_of(custom_resource_definitions()[JOB_CRD])
    admitted, problems = admit(written)
    assert problems == []
    assert defaulted(schema["properties"]["spec"], written["spec"]) == admitted["spec"]
