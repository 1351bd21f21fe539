"""Fuzzy matches are found once, by prepare; the stages after it read tables of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune_api.exit_codes import ExitCode
from finetune_api.plan import Plan
from finetune_trainer.context import StageContext
from finetune_trainer.data.match_requests import training_requests
from finetune_trainer.data.match_tables import open_table
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.errors import BadConfiguration, BadData
from finetune_trainer.pod.main import main
from finetune_trainer.retrieval import FuzzyIndex
from finetune_trainer.stages import input_digests, prepare
from finetune_trainer.tasks.translation.test_set import load_test_set
from training.corpus import write_tsv
from training.prepared import make_plan, translation_spec

TEST = {"name": "t", "source": "ui", "direction": "en-es", "shots": [0, 1]}


def plan(workspace: Path, rows: int = 80, stage: str = "prepare", **blocks: Any) -> Plan:
    prompts = blocks.pop("prompts", {})
    corpus = workspace.parent / "ui.tsv"
    if not corpus.exists():
        write_tsv(corpus, rows)
    blocks.setdefault("adapt", {"task": {"source": "ui", "direction": "en-es"}, "prompts": prompts})
    fields = {key: blocks.pop(key) for key in ("folder", "inputs", "fingerprint") if key in blocks}
    spec = translation_spec(corpus, {"validation": 0.1, "test": 0.1}, 1, **blocks)
    return make_plan(workspace, stage, spec, **fields)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


def run(plan: Plan) -> PreparedData:
    outcome = prepare.run(StageContext.single(plan))
    return PreparedData.open(Path(plan.workspace), outcome.artifact or plan.inputs["prepare"], plan.folder)


def tables(folder: Path) -> dict[str, int]:
    """Time of writing of each table."""
    return {path.name: (path / "manifest.json").stat().st_mtime_ns for path in sorted((folder / "matches").iterdir())}


def test_prepare_leaves_the_matches_of_every_split_and_nobody_else_looks_for_any(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = plan(workspace, evaluate={"tasks": [TEST]}, prompts={"shots": [0, 2]})
    data = run(asked)
    assert asked.spec.adapt is not None
    pool = list(data.pairs("ui", "train").text("en"))
    retrieval = asked.spec.adapt.prompts.retrieval
    index = FuzzyIndex.build(pool, retrieval)
    monkeypatch.setattr(FuzzyIndex, "build", None)
    for request in training_requests(asked.spec.adapt):
        rows = request.rows(data)
        found, similarity = open_table(request, data, retrieval).of(rows, 2)
        texts = data.pairs("ui", request.split).text("en")
        own = rows if request.split == "train" else None
        expected = index.search([texts[int(row)] for row in rows], own, 2)
        assert np.array_equal(found, expected.rows)
        assert similarity == pytest.approx(expected.similarity)
        assert (np.diff(similarity) <= 1e-5).all()
        assert own is None or not (found == own[:, None]).any()
    examples = load_test_set(asked.spec, data, 0).examples
    assert examples is not None
    assert [pairs[0][0] in pool for pairs in examples.pairs] == [True] * data.rows("ui", "test")


def read_result(workspace: Path) -> dict[str, Any]:
    return json.loads((workspace / "reports/prepare.result.json").read_text("utf-8"))  # type: ignore[no-any-return]


def pod(plan: Plan, folder: Path) -> int:
    path = folder / "plan.json"
    path.write_text(plan.model_dump_json(by_alias=True), "utf-8")
    return main(["prepare", "--plan", str(path)])


def test_another_setting_finds_the_matches_alone(workspace: Path, tmp_path: Path) -> None:
    assert pod(plan(workspace), tmp_path) == ExitCode.DONE
    made, first = read_result(workspace), tables(workspace)
    manifest = workspace / made["artifact"] / "manifest.json"
    before = manifest.stat().st_mtime_ns

    assert pod(plan(workspace, prompts={"shots": [0]}), tmp_path) == ExitCode.DONE
    assert read_result(workspace) == made
    assert pod(plan(workspace, prompts={"retrieval": {"side": "Target"}}), tmp_path) == ExitCode.DONE
    again = read_result(workspace)
    assert again["artifact"] == made["artifact"]
    assert again["message"].startswith("unchanged · ")
    assert again["message"].endswith("fuzzy matches found anew")
    assert again["summary"]["matches.segments"] == made["summary"]["matches.segments"]
    assert manifest.stat().st_mtime_ns == before
    assert first.items() < tables(workspace).items()

    assert pod(plan(workspace, prompts={"shots": [0, 3]}), tmp_path) == ExitCode.DONE
    assert tables(workspace)[next(iter(first))] != first[next(iter(first))]
    wider = tables(workspace)
    assert pod(plan(workspace), tmp_path) == ExitCode.DONE  # a table of three has the first, too
    assert tables(workspace) == wider


def test_a_variant_reads_its_parents_matches_and_writes_its_own(workspace: Path, tmp_path: Path) -> None:
    assert pod(plan(workspace), tmp_path) == ExitCode.DONE
    parents = tables(workspace)
    variant: dict[str, Any] = {"folder": "jobs/v1", "lineage": {"parent": "tiny"}}
    assert pod(plan(workspace, **variant), tmp_path) == ExitCode.DONE
    assert not (workspace / "jobs/v1/matches").exists()
    asked = plan(workspace, prompts={"retrieval": {"side": "Target"}}, **variant)
    assert pod(asked, tmp_path) == ExitCode.DONE
    result = read_result(workspace / "jobs/v1")
    assert result["reusedFrom"] == "tiny"
    assert result["artifact"] == "data/0123456789abcdef"
    assert tables(workspace) == parents
    assert len(tables(workspace / "jobs/v1")) == 2


def test_what_adapt_reads_has_a_digest(workspace: Path) -> None:
    run(plan(workspace))
    adapt = plan(workspace, stage="adapt", inputs={"prepare": "data/0123456789abcdef"})
    before = input_digests(adapt, workspace)
    assert {"matches.ui.train.en", "matches.ui.validation.en"} <= before.keys()
    for table in (workspace / "matches").iterdir():
        (table / "matches.arrow").write_bytes(b"")
    assert input_digests(adapt, workspace).keys() == before.keys() - {
        "matches.ui.train.en", "matches.ui.validation.en",
    }  # fmt: skip


def test_a_maximum_that_leaves_nothing_is_refused(workspace: Path) -> None:
    lines = [f"The file number {n} is here.\tEl archivo número {n} está aquí.\n" for n in range(12)]
    (workspace.parent / "ui.tsv").write_text("".join(lines), "utf-8")
    asked = plan(workspace, prompts={"retrieval": {"maxSimilarity": 0.05}})
    with pytest.raises(BadData, match=r"maxSimilarity is 0.05: every training pair of 'ui' is more similar than this"):
        run(asked)
    assert not list((workspace / "matches").glob("*"))


def test_more_examples_than_there_are_pairs_are_refused(workspace: Path) -> None:
    with pytest.raises(
        BadConfiguration, match=r"adapt\.prompts\.shots asks for 5 .* and there are [1-4] beside its own"
    ):
        run(plan(workspace, rows=6, prompts={"shots": [5]}))
