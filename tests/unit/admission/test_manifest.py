"""Manifests as people and attackers write them."""

from __future__ import annotations

import json
import re

import pytest

from finetune_api.base import FORMS, ApiModel, child_models
from finetune_api.problems import Problem
from finetune_api.suggest import NAMES_ELSEWHERE
from finetune_operator.admission import read_manifest
from finetune_operator.admission.admit import MODELS

GOOD = """\
apiVersion: finetune-operator.io/v1alpha1
kind: FineTuneJob
metadata:
  name: ui
spec:
  parallelism: {nodes: 2}
  model:
    scratch: {layers: 2, hidden: 64, heads: 4, contextLength: 64}
  data:
    sources:
    - {name: ui, type: Parallel, languages: [en, es], uri: ui.tsv}
    - name: news
      type: Text
      languages: [en]
      uri: news.txt
  pretrain:
    budget: {tokens: 4096}
    optimizer: {learningRate: 3e-4}
    objectives:
    - {name: mt, type: Translation, source: ui, directions: [en-es]}
    batch: {globalTokens: 1024, sequenceLength: 64}
"""


def problems_of(text: str) -> list[str]:
    return [str(p) for p in read_manifest(text.encode(), "job.yaml")[1]]


def changed(old: str, new: str) -> list[str]:
    assert old in GOOD
    return problems_of(GOOD.replace(old, new, 1))


def test_a_good_manifest_has_no_problem_and_numbers_are_numbers() -> None:
    value, problems = read_manifest(GOOD.encode(), "job.yaml")
    assert problems == []
    assert value is not None
    assert value["spec"]["pretrain"]["optimizer"]["learningRate"] == pytest.approx(3e-4)


def test_all_problems_come_at_once_each_with_its_line() -> None:
    broken = GOOD.replace("nodes: 2", "nodes: 2, colour: red").replace("layers: 2", "layers: two")
    broken = broken.replace("languages: [en]\n", "languages: [en, es]\n")
    one_language = "a source that is not Parallel has exactly one language"
    assert problems_of(broken) == [
        "job.yaml:6 spec.parallelism.colour: unknown field",
        "job.yaml:8 spec.model.scratch.layers: must be a whole number, not 'two'",
        f"job.yaml:14 spec.data.sources[1].languages: {one_language}",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("learningRate: 3e-4", "learning_rate: 3e-4",
         ".optimizer.learning_rate: unknown field: did you mean learningRate?"),
        ("  pretrain:", "  adapt: {task: {source: ui, direction: en-es}, lora: {r: 8}}\n  pretrain:",
         "spec.adapt.lora.r: unknown field: did you mean rank?"),
        ("  pretrain:", "  adapt: {task: {source: ui, direction: en-es}, num_train_epochs: 3}\n  pretrain:",
         "spec.adapt.num_train_epochs: unknown field: did you mean epochs?"),
        ("  pretrain:\n", "  pretrain:\n    max_seq_length: 64\n",
         "spec.pretrain.max_seq_length: unknown field: did you mean spec.pretrain.batch.sequenceLength?"),
        ("  pretrain:", "  save_steps: 10\n  pretrain:",
         "spec.save_steps: unknown field: did you mean spec.checkpoint.everySteps?"),
        ("hidden: 64", "hidden_size: 64", "spec.model.scratch.hidden_size: unknown field: did you mean hidden?"),
        ("type: Text", "type: text", "'Labelled' or 'CoNLL', not 'text': did you mean Text?"),
        ("tokens: 4096", "tokens: 420M", "must be a whole number, not '420M': write 420000000"),
        ("tokens: 4096", "tokens: 0", "spec.pretrain.budget.tokens: must be at least 1, not 0"),
        ("learningRate: 3e-4", "learningRate: fast", "must be a number, not 'fast'"),
        ("[en, es]", "en", "spec.data.sources[0].languages: must be a list, not 'en'"),
        ("{tokens: 4096}", "4096", "spec.pretrain.budget: must have fields of its own, not 4096"),
        ("    objectives:\n    - {name: mt, type: Translation, source: ui, directions: [en-es]}\n",
         "    objectives: []\n", "spec.pretrain.objectives: must have at least 1 item, not 0"),
        ("name: ui\n", "name: My Job\n", "metadata.name: must be of small letters, digits and '-'"),
        ("languages: [en]", "languages: [english]", "languages[0]: must be a language code, as in en"),
        ("languages: [en]", "languages: [engl]", "languages[0]: must be a language code, as in en"),
        ("[en-es]", "[en_es]", "must be two language codes, the source first"),
        ("uri: news.txt", "uri: 'news;rm.txt'", "must be a path, or start with"),
    ],
)  # fmt: skip
def test_what_was_meant_is_told_in_words(old: str, new: str, expected: str) -> None:
    problems = changed(old, new)
    assert any(expected in problem for problem in problems), problems


@pytest.mark.parametrize("path", ["my corpora/c.tsv", 'it\'s "here".tsv', "R&D/c.tsv"])
def test_paths_may_have_blanks_and_quotes(path: str) -> None:
    quoted = path.replace("'", "''")
    assert changed("uri: news.txt", f"uri: '{quoted}'") == []


def test_every_form_of_a_text_is_told_in_words() -> None:
    """No message of ours shows a regular expression."""
    patterns = {
        pattern for model in MODELS.values() for pattern in re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', schema(model))
    }
    assert patterns
    assert {json.loads(pattern) for pattern in patterns} <= set(FORMS)


def schema(model: type[ApiModel]) -> str:
    return json.dumps(model.model_json_schema(by_alias=True))


def test_every_name_of_another_tool_leads_to_a_field() -> None:
    names = {name for model in MODELS.values() for name in names_below(model)}
    assert set(NAMES_ELSEWHERE.values()) <= names


def names_below(model: type[ApiModel]) -> set[str]:
    own = {field.alias or name for name, field in model.model_fields.items()}
    return own.union(*(names_below(child) for _, child in child_models(model)))


def test_what_is_wrong_and_what_is_not_supported_come_together() -> None:
    problems = changed("  pretrain:", "  export: {}\n  adapt: {task: {source: gone, direction: en-es}}\n  pretrain:")
    assert "spec.export: the export block is not supported" in problems[0]
    assert "adapt.task.source must be one of data.sources" in problems[1]


@pytest.mark.parametrize("value", ["'2'", "true", "1:30", "[2]", "two", "~"])
def test_a_number_is_a_number_as_for_the_api_server(value: str) -> None:
    (problem,) = changed("nodes: 2", f"nodes: {value}")
    assert problem.startswith("job.yaml:6 spec.parallelism.nodes: ")


@pytest.mark.parametrize("word", ["no", "off", "123", "1.0", "0x1f", "1e3"])
def test_bare_words_that_yaml_takes_for_something_else(word: str) -> None:
    (problem,) = changed("[en]", f"[{word}]")
    assert problem.startswith(f'job.yaml:14 spec.data.sources[1].languages[0]: must be text: write "{word}" in quotes')


def test_dates_are_text() -> None:
    assert changed("name: ui\n", "name: 2026-01-01\n") == []


def test_what_is_not_supported_is_told_together() -> None:
    problems = changed("  pretrain:", "  export: {}\n  elastic: {}\n  pretrain:")
    assert [p.partition(" is not supported")[0] for p in problems] == [
        "job.yaml:16 spec.export: the export block",
        "job.yaml:17 spec.elastic: the elastic block",
    ]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "job.yaml:1 one YAML document is expected, not 0"),
        ("a: 1\n---\nb: 2\n", "job.yaml:1 one YAML document is expected, not 2"),
        ("- a\n", "job.yaml:1 a mapping with"),
        ("a: 1\nb: c: d\n", "job.yaml:2 not valid YAML"),
        ("a: [1\n", "job.yaml:2 not valid YAML"),
        ("a: 1\na: 2\n", "job.yaml:2 a is given twice"),
        ("? [a]\n: 1\n", "job.yaml:1 keys must be plain words"),
        ("kind: Pod\n", "job.yaml:1 kind: must be FineTuneJob, not 'Pod'"),
        ("kind: FineTuneJob\n", "job.yaml:1 apiVersion: must be finetune-operator.io/v1alpha1"),
        ("a: !!python/object/apply:os.system [x]\n", "job.yaml:1 not valid YAML"),
        ("a: 1\nb: \x07\n", "job.yaml:1 not valid YAML"),
        (BOMB, "job.yaml:1 too many aliases"),
        ("a: &a {b: *a}\n", "job.yaml:1 too many aliases"),
        ("[" * 100_000, "job.yaml:1 nested more than 64 levels deep"),
        ("a: " + "{a: " * 200 + "1" + "}" * 200, "job.yaml:1 nested more than 64 levels deep"),
        ("a: [" + "1, " * 120_000 + "1]", "job.yaml:1 more than 50,000 values"),
        ("a: " + "x" * (1 << 20), "job.yaml:1 a manifest may have at most 1,048,576 bytes"),
    ],
)
def test_what_is_no_manifest_ends_in_one_plain_line(text: str, problem: str) -> None:
    value, problems = read_manifest(text.encode(), "job.yaml")
    assert len(problems) == 1
    assert str(problems[0]).startswith(problem)
    assert "\n" not in str(problems[0])
    assert value is None or problem.endswith(("'Pod'", "v1alpha1"))


def test_bytes_that_are_no_text() -> None:
    (problem,) = read_manifest(b"a: 1\nb: \xff\n", "job.yaml")[1]
    assert str(problem) == "job.yaml:2 not UTF-8 text"


def test_problems_of_other_checks_are_placed_at_the_field_or_around_it() -> None:
    others = [Problem("spec.data.sources[1].uri", "missing"), Problem("spec.data.sources[0].nowhere", "x")]
    placed = read_manifest(GOOD.encode(), "job.yaml", lambda _: others)[1]
    assert [p.place for p in placed] == ["job.yaml:11", "job.yaml:15"]


TAGGED = (
    GOOD.replace("[en, es]", "[eng_Latn, spa_Latn]")
    .replace("[en-es]", "[eng_Latn-spa_Latn, spa_Latn-eng_Latn]")
    .replace(
        "  pretrain:",
        """\
    - {name: zh, type: Parallel, languages: [zh-Hans-CN, en], uri: zh.tsv}
    - {name: ca, type: Parallel, languages: [ca-valencia, es], uri: ca.tsv}
    - {name: pt, type: Parallel, languages: [en, pt-BR], uri: pt.tsv}
  adapt: {task: {source: zh, direction: zh-Hans-CN-en}, batch: {globalTokens: 1024, sequenceLength: 64}}
  evaluate:
    tasks:
    - {name: ca, source: ca, direction: ca-valencia-es}
    - {name: pt, source: pt, direction: en-pt-BR}
  pretrain:""",
    )
)


def test_languages_are_given_in_tags_of_every_shape() -> None:
    assert problems_of(TAGGED) == []


NOT_A_CODE = "must be a language code, as in en, deu, pt-BR, zh-Hans-CN, ca-valencia or eng_Latn"
NOT_A_DIRECTION = "must be two language codes, the source first, as in en-es or eng_Latn-spa_Latn"
NOT_OF_THE_SOURCE = "must name the two languages of its source, as they are written there, as in en-es"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[en, pt-BR]", "[en, pt-br]", f"sources[4].languages[1]: {NOT_A_CODE}, not 'pt-br': write pt-BR"),
        (
            "direction: zh-Hans-CN-en",
            "direction: ZH-hans-cn-en",
            f"adapt.task.direction: {NOT_A_DIRECTION}, not 'ZH-hans-cn-en': write zh-Hans-CN-en",
        ),
        (
            "direction: en-pt-BR",
            "direction: en-pt",
            f"evaluate.tasks[1].direction: each of evaluate.tasks.direction {NOT_OF_THE_SOURCE}",
        ),
        (
            "[ca-valencia, es]",
            "[ca-valencia, spa]",
            f"evaluate.tasks[0].direction: each of evaluate.tasks.direction {NOT_OF_THE_SOURCE}",
        ),
    ],
)
def test_tags_that_are_written_otherwise_are_refused_in_words(old: str, new: str, expected: str) -> None:
    (problem,) = problems_of(TAGGED.replace(old, new, 1))
    assert problem.partition(" spec.")[2].removeprefix("data.") == expected


def test_a_language_without_a_name_is_refused_by_lint() -> None:
    unnamed = TAGGED.replace("[ca-valencia, es]", "[ca-valencia, xqa]").replace("ca-valencia-es", "ca-valencia-xqa")
    assert problems_of(unnamed) == [
        (
            "job.yaml:22 spec.evaluate.tasks[0].direction: xqa is no language code with an English name, "
            "and prompts need one: use an ISO 639 code such as en, deu or pt-BR"
        )
    ]
