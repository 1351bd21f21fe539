"""What is refused before a pod runs, though schema and rules are kept."""

from __future__ import annotations

from typing import Any

from finetune_api.evaluate import Rival
from finetune_api.job import FineTuneJobSpec
from finetune_api.refusals import refusals


def spec(languages: list[str], direction: str, metrics: list[str] | None = None, **source: Any) -> FineTuneJobSpec:
    task = {"name": "t", "source": "ui", "direction": direction} | ({"metrics": metrics} if metrics else {})
    objective = {"name": "mt", "type": "Translation", "source": "ui", "directions": [direction]}
    return FineTuneJobSpec.from_json_object(
        {
            "model": {"scratch": {"layers": 1, "hidden": 64, "heads": 2}},
            "data": {
                "sources": [
                    {"name": "ui", "type": "Parallel", "languages": languages, "uri": "file:///ui.tsv"} | source
                ]
            },
            "pretrain": {"budget": {"tokens": 1}, "objectives": [objective]},
            "adapt": {"task": {"source": "ui", "direction": direction}},
            "evaluate": {"tasks": [task]},
        }
    )


def found(spec: FineTuneJobSpec) -> list[tuple[str, str, str]]:
    return [(p.field, p.message, p.reason) for p in refusals(spec)]


def test_prompts_need_names_wherever_a_direction_is_given() -> None:
    advice = "use an ISO 639 code such as en, deu or pt-BR"
    message = f"xq is no language code with an English name, and prompts need one: {advice}"
    assert found(spec(["en", "xq"], "en-xq")) == [
        ("spec.pretrain.objectives[0].directions[0]", message, "UnknownLanguage"),
        ("spec.adapt.task.direction", message, "UnknownLanguage"),
        ("spec.evaluate.tasks[0].direction", message, "UnknownLanguage"),
    ]


def test_texts_need_no_name() -> None:
    plain = spec(["en", "es"], "en-es")
    text = plain.data.sources[0].model_copy(update={"name": "news", "type": "Text", "languages": ["xq"]})
    data = plain.data.model_copy(update={"sources": [*plain.data.sources, text]})
    assert found(plain.model_copy(update={"data": data})) == []


def test_ter_is_refused_where_it_finds_no_words() -> None:
    assert found(spec(["eng_Latn", "tha_Thai"], "eng_Latn-tha_Thai")) == [
        (
            "spec.evaluate.tasks[0].metrics",
            (
                "TER counts words, and tha_Thai is written without blanks between them: "
                "leave it out, write metrics: [chrF++, BLEU]"
            ),
            "MetricWithoutWords",
        )
    ]
    assert found(spec(["en", "km"], "en-km", ["chrF++"])) == []
    assert found(spec(["en", "km"], "km-en")) == []
    assert found(spec(["en", "zho"], "en-zho")) == []


def test_columns_are_those_of_the_languages() -> None:
    columns = {"languages": {"en": "src", "fr": "tgt"}}
    assert found(spec(["eng_Latn", "spa_Latn"], "eng_Latn-spa_Latn", columns=columns)) == [
        (
            "spec.data.sources[0].columns.languages.fr",
            "the source has no fr: name eng_Latn and spa_Latn",
            "Invalid",
        )
    ]


def test_examples_need_training_pairs_in_the_languages() -> None:
    plain = spec(["en", "es"], "en-es")
    assert plain.evaluate is not None
    text = plain.data.sources[0].model_copy(update={"name": "news", "type": "Text", "languages": ["en"]})
    tested = plain.data.sources[0].model_copy(update={"role": "Test"})
    task = plain.evaluate.tasks[0].model_copy(update={"shots": [0, 1]})
    paste = Rival(name="paste", type="FuzzyMatch")
    changed = {
        "data": plain.data.model_copy(update={"sources": [tested, text]}),
        "evaluate": plain.evaluate.model_copy(update={"tasks": [task], "rivals": [paste]}),
    }
    lacking = "no source with role Train holds pairs of en and es to take examples from"
    assert found(plain.model_copy(update=changed)) == [
        ("spec.evaluate.tasks[0].shots", f"{lacking}: use [0], or add one", "NoExamples"),
        ("spec.evaluate.rivals[0].type", f"{lacking}: leave it out, or add one", "NoExamples"),
    ]
    assert found(plain.model_copy(update={"evaluate": changed["evaluate"]})) == []


def test_domains_are_of_pairs_and_columns_of_formats_that_have_them() -> None:
    def told(**source: object) -> list[str]:
        given = {"name": "x", "type": "Parallel", "languages": ["en", "es"], "uri": "x", "columns": {"domain": "topic"}}
        job = spec(["en", "es"], "en-es").to_json_object()
        job["data"]["sources"].append(given | source)
        return [str(problem) for problem in refusals(FineTuneJobSpec.from_json_object(job))]

    assert told(format="csv") == []
    assert told(format="moses") == ["spec.data.sources[1].columns: format moses has no columns: remove it"]
    assert told(type="Text", languages=["en"]) == [
        "spec.data.sources[1].columns.domain: a Text source is not scored by domain: remove it"
    ]


def test_settings_of_draws_that_nothing_uses_are_refused() -> None:
    plain = spec(["en", "es"], "en-es")
    assert plain.evaluate is not None
    for update, field in (({"examples": "Random"}, "examples"), ({"shots": [1], "draws": 3}, "draws")):
        task = plain.evaluate.tasks[0].model_copy(update=update)
        changed = plain.model_copy(update={"evaluate": plain.evaluate.model_copy(update={"tasks": [task]})})
        assert [(name, reason) for name, _, reason in found(changed)] == [
            (f"spec.evaluate.tasks[0].{field}", "SettingsExcludeEachOther")
        ]
