"""The experiment's manifests are jobs, and its tables say what the reports say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from finetune_api.job import FineTuneJob

SCRIPT = Path(__file__).resolve().parents[2] / "manifests/experiments/adaptive_mt.py"


@pytest.fixture(scope="module")
def experiment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("adaptive_mt", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_manifest_is_a_job_that_differs_where_it_says(experiment: ModuleType, tmp_path: Path) -> None:
    found = list(experiment.manifests(tmp_path, tmp_path / "general.en.gz", None))
    first, *variants, table = [FineTuneJob.model_validate(manifest) for manifest in found]
    assert first.spec.adapt is not None
    for variant in variants:
        assert variant.spec.adapt != first.spec.adapt
        assert variant.spec.evaluate is None
        assert variant.spec.data == first.spec.data
        assert variant.spec.lineage is not None
        assert variant.spec.lineage.parent == first.metadata.name
    names = [variant.metadata.name for variant in variants]
    assert "epochs-4" in names
    assert table.spec.adapt == first.spec.adapt
    assert table.spec.evaluate is not None
    assert [rival.name for rival in table.spec.evaluate.rivals or ()] == names


def test_one_variant_can_be_asked_for(experiment: ModuleType, tmp_path: Path) -> None:
    found = list(experiment.manifests(tmp_path, tmp_path / "general.en.gz", {"rank-16"}))
    assert [manifest["metadata"]["name"] for manifest in found] == ["adaptive-mt", "rank-16", "adaptive-mt-table"]


def test_an_example_that_helps_is_told(experiment: ModuleType, tmp_path: Path) -> None:
    references = [f"the patient takes {n} tablets a day" for n in range(14)]
    halves = [reference[:12] for reference in references]
    for shots, hypotheses in ((0, halves), (1, references)):
        rows = ["source\treference\thypothesis\tbaseline"]
        rows += [f"s\t{r}\t{h}\t{b}" for r, h, b in zip(references, hypotheses, halves, strict=True)]
        (tmp_path / f"es-en.{shots}shot.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    base, tuned = experiment.shots_table(tmp_path).splitlines()[2:]
    assert base.endswith("+0.0 (+0.0 to +0.0) | 1 |")
    assert "| 100.0 | +" in tuned
    assert tuned.endswith("| 0.0002 |")
