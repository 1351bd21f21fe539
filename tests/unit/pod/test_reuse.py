"""Which artifacts of a parent a pod takes, which it does not, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetune_api.plan import Plan
from finetune_api.stage_result import StageResult
from finetune_api.stages import PIPELINE, Stage
from finetune_trainer.evaluation.provenance import lineage, read_manifests, stage_costs
from finetune_trainer.pod.main import adopted_result
from finetune_trainer.pod.reuse import reused_result
from finetune_trainer.stages import artifact_path, input_digests
from finetune_trainer.workspace.artifacts import record_result, write_artifact
from unit.pod.plans import SPEC, make_plan

PRINTS: dict[str, str] = {"prepare": "a" * 64, "pretrain": "b" * 64, "adapt": "c" * 64, "evaluate": "f" * 64}
DATA = f"data/{16 * 'a'}"
TIME = "2026-01-05T09:00:00Z"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "ui.tsv"
    path.write_text("open\tabrir\n", encoding="utf-8")
    return path


def spec(corpus: Path, parent: str | None) -> dict[str, Any]:
    source = SPEC["data"]["sources"][0] | {"uri": f"file://{corpus}"}
    adapt = {"task": {"source": "ui", "direction": "en-es"}}
    lineage = {} if parent is None else {"lineage": {"parent": parent}}
    return SPEC | {"data": {"sources": [source]}, "adapt": adapt} | lineage


def plan(corpus: Path, stage: str, parent: str | None = "base", name: str = "v1", **changes: Any) -> Plan:
    own: dict[str, Any] = {"folder": f"jobs/{name}"} if parent is not None else {}
    if stage == "prepare" and parent is not None:
        own |= {"later": {"pretrain": PRINTS["pretrain"], "adapt": PRINTS["adapt"]}}
    fields = {"stage": stage, "spec": spec(corpus, parent), "fingerprint": PRINTS[stage]} | own | changes
    return make_plan(corpus.parent / "workspace", **fields)


def make(plan: Plan, message: str = "done") -> str:
    """The artifact of a plan, as its pod would leave it."""
    workspace, artifact = Path(plan.workspace), artifact_path(plan)
    with write_artifact(workspace, artifact, plan, input_digests(plan, workspace)) as folder:
        (folder / "file").write_text(f"{plan.stage} {plan.fingerprint}", encoding="utf-8")
    result = {
        "stage": plan.stage, "outcome": "Succeeded", "exitCode": 0, "artifact": artifact, "message": message,
        "productiveSeconds": 60.0, "summary": {"tokens": 1000.0}, "startedAt": TIME, "completedAt": TIME,
    }  # fmt: skip
    record_result(workspace, artifact, result)
    return artifact


def make_parent(corpus: Path, *stages: Stage) -> None:
    inputs: dict[str, str] = {}
    for stage in stages:
        inputs[stage] = make(plan(corpus, stage, None, inputs=dict(inputs)), f"{stage} of base")


def adopt(plan: Plan) -> StageResult | str | None:
    return adopted_result(plan, Path(plan.workspace), PIPELINE)


def test_the_first_pod_finds_all_that_the_parent_made_alike(corpus: Path) -> None:
    make_parent(corpus, "prepare", "pretrain")
    result = adopt(plan(corpus, "prepare"))
    assert isinstance(result, StageResult)
    assert (result.reused_from, result.artifact, result.message) == ("base", DATA, "reused from base · prepare of base")
    assert result.productive_seconds == 0.0
    assert [(r.stage, r.artifact, r.message) for r in result.also_reused or ()] == [
        ("pretrain", "models/pretrain", "pretrain of base")
    ]
    assert result.runs_anew == {"adapt": "base left no adapt in this workspace"}


def test_its_result_fits_the_termination_message(corpus: Path) -> None:
    make_parent(corpus, "prepare", "pretrain")
    result = adopt(plan(corpus, "prepare"))
    assert isinstance(result, StageResult)
    assert StageResult.model_validate_json(result.to_termination_message()).also_reused == result.also_reused


def test_a_variant_of_a_variant_reads_what_its_grandparent_made(corpus: Path) -> None:
    make_parent(corpus, "prepare", "pretrain")
    adopt(plan(corpus, "prepare"))
    adapted = make(plan(corpus, "adapt", inputs={"prepare": DATA, "pretrain": "models/pretrain"}), "adapt of v1")
    result = adopt(plan(corpus, "prepare", "v1", "v2"))
    assert isinstance(result, StageResult)
    assert (result.reused_from, result.artifact) == ("v1", DATA)
    assert [(r.stage, r.artifact) for r in result.also_reused or ()] == [
        ("pretrain", "models/pretrain"), ("adapt", adapted),
    ]  # fmt: skip
    assert adapted == "jobs/v1/models/adapt"


def test_an_edited_corpus_is_named(corpus: Path) -> None:
    make_parent(corpus, "prepare", "pretrain")
    corpus.write_text("open\tabre\n", encoding="utf-8")
    assert adopt(plan(corpus, "prepare")) == f"{corpus} changed since base read it"


def test_an_edited_dictionary_makes_adapt_run_anew(corpus: Path) -> None:
    words = corpus.with_name("words.tsv")
    words.write_text("open\tabrir\n", encoding="utf-8")
    prompts = {"template": "DiPMT", "dictionary": {"uri": f"file://{words}"}}
    adapt = {"task": {"source": "ui", "direction": "en-es"}, "prompts": prompts}
    adapted = plan(corpus, "adapt", None, spec=spec(corpus, None) | {"adapt": adapt})
    make(adapted)
    assert isinstance(adopt(adapted), StageResult)
    words.write_text("open\tabierto\n", encoding="utf-8")
    assert adopt(adapted) is None


def test_edited_terms_make_evaluate_run_anew(corpus: Path) -> None:
    terms = corpus.with_name("terms.tsv")
    terms.write_text("open\tabrir\n", encoding="utf-8")
    test = {"name": "t", "source": "ui", "direction": "en-es", "terms": {"uri": f"file://{terms}"}}
    evaluated = plan(corpus, "evaluate", None, spec=spec(corpus, None) | {"evaluate": {"tasks": [test]}})
    make(evaluated)
    assert isinstance(adopt(evaluated), StageResult)
    terms.write_text("open\tabierto\n", encoding="utf-8")
    assert adopt(evaluated) is None


def test_another_spec_is_told(corpus: Path) -> None:
    make_parent(corpus, "prepare", "pretrain")
    other = plan(corpus, "pretrain", inputs={"prepare": DATA}, fingerprint="e" * 64)
    assert adopt(other) == "models/pretrain was made from another spec"


def test_damaged_files_are_not_taken(corpus: Path) -> None:
    make_parent(corpus, "prepare", "pretrain")
    (corpus.parent / "workspace/models/pretrain/file").write_text("gone", encoding="utf-8")
    result = adopt(plan(corpus, "prepare"))
    assert isinstance(result, StageResult)
    assert result.also_reused is None
    assert result.runs_anew == {"pretrain": "files of models/pretrain are missing or were changed"}


def test_a_model_of_other_data_is_not_taken(corpus: Path) -> None:
    make_parent(corpus, "prepare", "pretrain")
    data = make(plan(corpus, "prepare", fingerprint="d" * 64))
    found = adopt(plan(corpus, "pretrain", inputs={"prepare": data}))
    assert found == "prepare changed since base read it"


def test_a_report_is_never_taken_from_the_parent(corpus: Path) -> None:
    make_parent(corpus, "prepare", "pretrain")
    evaluate = plan(corpus, "prepare").model_copy(update={"stage": "evaluate"})
    assert reused_result(evaluate, Path(evaluate.workspace), PIPELINE) is None


def test_what_the_variant_made_before_comes_first(corpus: Path) -> None:
    make_parent(corpus, "prepare", "pretrain")
    make(plan(corpus, "pretrain", inputs={"prepare": DATA}), "pretrain of v1")
    result = adopt(plan(corpus, "pretrain", inputs={"prepare": DATA}))
    assert isinstance(result, StageResult)
    assert (result.artifact, result.reused_from) == ("jobs/v1/models/pretrain", None)
    assert result.message == "unchanged · pretrain of v1"


def test_without_a_parent_nothing_else_is_looked_at(corpus: Path) -> None:
    make(plan(corpus, "prepare", "base"))
    assert adopt(plan(corpus, "prepare", None)) is None


def test_what_the_parent_made_is_named_in_the_report_and_costs_nothing(corpus: Path) -> None:
    make_parent(corpus, "prepare", "pretrain")
    inputs = {"prepare": DATA, "pretrain": "models/pretrain"}
    inputs["adapt"] = make(plan(corpus, "adapt", inputs=dict(inputs)))
    own = plan(corpus, "prepare", inputs=inputs)
    manifests = read_manifests(own, Path(own.workspace))
    assert {stage: about.get("reusedFrom") for stage, about in lineage(own, manifests).items()} == {
        "prepare": "base", "pretrain": "base", "adapt": None,
    }  # fmt: skip
    assert {name.partition(".")[0] for name in stage_costs(own, manifests)} == {"adapt"}
