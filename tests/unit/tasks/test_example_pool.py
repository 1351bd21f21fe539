"""Where the examples of prompts come from: a training source in the test's languages, by whatever codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetune_api.job import FineTuneJobSpec
from finetune_api.plan import Plan, PlanJob
from finetune_trainer.context import StageContext
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.objectives.translation import Translation
from finetune_trainer.stages.prepare import run
from finetune_trainer.tasks.translation.test_set import load_test_set
from training.corpus import pairs

TRAIN = pairs(60)


def prepare(tmp_path: Path, direction: str, tested: list[str], *trained: list[str]) -> tuple[Any, PreparedData]:
    """One test set, and training sources a, b, ..., of which each holds a text that the others do not."""
    sources = [{"name": "bench", "type": "Parallel", "languages": tested, "uri": "", "role": "Test"}]
    sources += [
        {"name": name, "type": "Parallel", "languages": languages, "uri": ""}
        for name, languages in zip("abc", trained, strict=False)
    ]
    for source in sources:
        path = tmp_path / f"{source['name']}.tsv"
        source["uri"] = f"file://{path}"
        lines = TRAIN[:40] if source["name"] != "bench" else TRAIN[40:]
        backwards = str(source["languages"][0]).startswith("e") is False
        texts = [(f"{source['name']} {en}", f"{source['name']} {es}") for en, es in lines]
        path.write_text(
            "".join("\t".join(pair[::-1] if backwards else pair) + "\n" for pair in texts), encoding="utf-8"
        )
    spec = FineTuneJobSpec.from_json_object(
        {
            "model": {
                "scratch": {"layers": 1, "hidden": 16, "heads": 2, "contextLength": 64},
                "tokenizer": {"train": {"vocabularySize": 400}},
            },
            "data": {"sources": sources},
            "evaluate": {"tasks": [{"name": "t", "source": "bench", "direction": direction, "shots": [0, 1]}]},
        }
    )
    job = PlanJob(name="tiny", namespace="default", uid="1")
    plan = Plan(job=job, stage="prepare", workspace=str(tmp_path), spec=spec, fingerprint="f" * 64)
    outcome = run(StageContext.single(plan))
    assert outcome.artifact is not None
    return spec, PreparedData.open(tmp_path, outcome.artifact)


def pool_of(tmp_path: Path, direction: str, tested: list[str], *trained: list[str]) -> tuple[str, str]:
    """The name of the training source that an example's two sides are from, and which side is English."""
    spec, data = prepare(tmp_path, direction, tested, *trained)
    test_set = load_test_set(spec, data, 0)
    assert test_set.examples is not None
    first = next(pairs[0] for pairs in test_set.examples.pairs if pairs)
    (english,) = {index for index, side in enumerate(first) if side.partition(" ")[2] in dict(TRAIN)}
    assert first[0][0] == first[1][0]
    return first[0][0], ("source", "target")[english]


def test_a_training_source_under_other_codes_and_the_other_way_round_gives_examples(tmp_path: Path) -> None:
    assert pool_of(tmp_path, "en-es", ["en", "es"], ["spa_Latn", "eng_Latn"]) == ("a", "source")


def test_the_source_that_says_just_these_languages_comes_first(tmp_path: Path) -> None:
    trained = (["en", "es-AR"], ["en", "es"], ["eng", "spa_MX"])
    assert pool_of(tmp_path, "es-MX-en", ["en", "es-MX"], *trained) == ("c", "target")


def test_another_region_gives_no_examples(tmp_path: Path) -> None:
    spec, data = prepare(tmp_path, "en-es-MX", ["en", "es-MX"], ["en", "es-AR"])
    with pytest.raises(BadConfiguration, match="no Train source holds en and es-MX"):
        load_test_set(spec, data, 0)


def test_a_direction_is_shown_by_its_languages() -> None:
    objective = {"name": "mt", "type": "Translation", "source": "ui", "directions": ["zh-Hans-CN-en"]}
    source = {"name": "ui", "type": "Parallel", "languages": ["en", "zh-Hans-CN"], "uri": "file:///x"}
    spec = FineTuneJobSpec.from_json_object(
        {
            "model": {"scratch": {"layers": 1, "hidden": 16, "heads": 2}},
            "data": {"sources": [source]},
            "pretrain": {"budget": {"tokens": 1}, "objectives": [objective]},
        }
    )
    assert spec.pretrain is not None
    (arm,) = Translation().arms(spec.pretrain.objectives[0], spec.data.sources[0], "spec.pretrain.objectives[0]")
    assert (arm.variant, arm.label) == ("zh-Hans-CN-en", "zh-Hans-CN→en")
