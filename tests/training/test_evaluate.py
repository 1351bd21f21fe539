"""Evaluation from the outside: a model that has learnt against one that has not, on one rank and on two."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from finetune_api.adapt import Lora
from finetune_api.model import ScratchModel
from finetune_api.plan import Plan
from finetune_api.report import EvaluationReport
from finetune_trainer.context import StageContext
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.data.sampling import fixed_sample
from finetune_trainer.errors import BadConfiguration, BadData, Preempted, StageFailure
from finetune_trainer.methods.lora import add_lora
from finetune_trainer.models import save_model, scratch_model
from finetune_trainer.prompts.adaptive_mt import AdaptiveMtPrompt
from finetune_trainer.stages import evaluate, input_digests, prepare
from finetune_trainer.tasks.translation.test_set import load_test_set
from finetune_trainer.workspace.artifacts import find_artifact
from training import prepared
from training.conftest import StartGang
from training.corpus import write_tsv
from training.prepared import TINY_MODEL, translation_spec

DATA = "data/" + 16 * "d"
TASK: dict[str, Any] = {
    "name": "en-es", "source": "ui", "direction": "en-es", "shots": [0, 1], "maxSegments": 50, "maxNewTokens": 24,
}  # fmt: skip
TRAINED = {"prepare": DATA, "pretrain": "models/pretrain", "adapt": "models/adapt"}


def make_plan(
    workspace: Path,
    stage: str = "evaluate",
    ranks: int = 1,
    inputs: dict[str, str] | None = None,
    test: float = 0.1,
    task: dict[str, Any] | None = None,
    **changes: Any,
) -> Plan:
    is_prepare = stage == "prepare"
    spec = translation_spec(
        workspace / "ui.tsv",
        {"validation": 0.02, "test": test},
        ranks,
        evaluate={"tasks": [TASK | (task or {})], "batchSize": 16, **changes},
    )
    general = {
        "name": "general",
        "type": "Text",
        "languages": ["en"],
        "uri": str(workspace / "general.txt"),
        "role": "Test",
    }
    spec["data"]["sources"].append(general)
    return prepared.make_plan(
        workspace,
        stage,
        spec,
        inputs={} if is_prepare else TRAINED if inputs is None else inputs,
        fingerprint=("d" if is_prepare else "e") * 64,
    )


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with prepared data, a random model, and one that has learnt a little to translate."""
    workspace = tmp_path_factory.mktemp("template")
    write_tsv(workspace / "ui.tsv", 800)
    (workspace / "general.txt").write_text("".join(f"Rain fell on town {i}.\n" for i in range(40)), "utf-8")
    prepare.run(StageContext.single(make_plan(workspace, "prepare")))
    data = PreparedData.open(workspace, DATA)
    tokenizer = data.tokenizer()
    model = scratch_model(ScratchModel.model_validate(TINY_MODEL), tokenizer, seed=3)
    for folder, steps in (("models/pretrain", 0), ("models/adapt", 150)):
        learn(model, tokenizer, data, steps)
        save_model(workspace / folder, model, model.named_parameters())
        tokenizer.save_pretrained(workspace / folder)
    (workspace / "models/adapt/history.jsonl").write_text(
        '{"step": 1, "tokens": 10, "seconds": 1, "loss": 5}\n{"step": 2, "tokens": 20, "seconds": 2, "loss": 3}\n{"st'
    )
    return workspace


def learn(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: PreparedData,
    steps: int,
    answer: str | None = None,
) -> None:
    """A short plain training on zero-shot prompts, always to the same answer if one is given."""
    prompt = AdaptiveMtPrompt(tokenizer, "en-es")
    split = data.pairs("ui", "train")
    pairs = [
        (prompt.prompt(source), prompt.target(target if answer is None else tokenizer.encode(answer)))
        for source, target in ((split.tokens("en")[i], split.tokens("es")[i]) for i in range(len(split)))
    ]
    generator = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(steps):
        chosen = [pairs[i] for i in generator.integers(0, len(pairs), 16)]
        width = max(len(p) + len(t) for p, t in chosen)
        ids, labels = torch.zeros(16, width, dtype=torch.long), torch.full((16, width), -100)
        for row, (before, target) in enumerate(chosen):
            whole = torch.tensor([*before, *target])
            ids[row, : len(whole)] = whole
            labels[row, len(before) : len(whole)] = whole[len(before) :]
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.fixture
def workspace(template: Path, tmp_path: Path) -> Path:
    """A copy of `template` to work in."""
    return shutil.copytree(template, tmp_path / "workspace")


def read_report(workspace: Path) -> EvaluationReport:
    return EvaluationReport.model_validate_json((workspace / "reports/report.json").read_text("utf-8"))


def read_tsv(workspace: Path, shots: int) -> list[Sequence[str]]:
    """Columns: source, reference, hypothesis, baseline."""
    lines = (workspace / f"reports/en-es.{shots}shot.tsv").read_text("utf-8").removesuffix("\n").split("\n")
    return list(zip(*(line.split("\t")[:4] for line in lines[1:]), strict=True))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_was_learnt_shows_and_two_ranks_say_what_one_says(workspace: Path, start_gang: StartGang) -> None:
    plan = make_plan(workspace)
    outcome = evaluate.run(StageContext.single(plan))
    report = read_report(workspace)
    assert [(t.shots, t.segments) for t in report.tasks] == [(0, 50), (1, 50)]
    zero_shot = report.tasks[0]
    assert [s.verdict for s in zero_shot.scores] == ["Better"] * 3
    assert zero_shot.scores[0].p_value is not None
    assert zero_shot.scores[0].p_value < 0.05
    assert report.baseline is not None
    assert (report.model.name, report.baseline.name) == ("adapted", "pretrained")
    assert report.verdict.startswith("The adapted model is better than its baseline")
    assert outcome.evaluation is not None
    assert outcome.evaluation.verdict == report.verdict == outcome.message
    assert outcome.evaluation.path == "reports/report.json"
    manifest = find_artifact(workspace, "reports", plan.fingerprint)
    assert manifest is not None
    assert {"report.html", "report.md", "report.json", "en-es.0shot.tsv", "en-es.1shot.tsv"} == set(manifest.files)
    assert "Training loss" in (workspace / "reports/report.html").read_text("utf-8")

    for task in report.tasks:
        _, references, hypotheses, baseline = read_tsv(workspace, task.shots)
        scores = {s.metric: s for s in task.scores}
        for texts, value in ((hypotheses, scores["BLEU"].score), (baseline, scores["BLEU"].baseline)):
            assert sacrebleu.corpus_bleu(list(texts), [list(references)]).score == pytest.approx(value)

    alone = {name: (workspace / "reports" / name).read_bytes() for name in manifest.files if name.endswith(".tsv")}
    gang = start_gang(make_plan(workspace, ranks=2))
    gang.wait()
    assert gang.exit_codes == [0, 0], "".join(pod.output for pod in gang.pods)
    assert {name: (workspace / "reports" / name).read_bytes() for name in alone} == alone
    assert read_report(workspace).tasks == report.tasks
    result = gang.pods[0].result
    assert result is not None
    assert result.evaluation is not None
    assert result.evaluation.verdict == report.verdict


def test_a_model_that_learnt_to_answer_commas_is_never_better(workspace: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(workspace / "models/adapt")
    model = AutoModelForCausalLM.from_pretrained(workspace / "models/adapt")
    learn(model, tokenizer, PreparedData.open(workspace, DATA), 40, answer=",")
    save_model(workspace / "models/commas", model, model.named_parameters())
    tokenizer.save_pretrained(workspace / "models/commas")
    inputs = TRAINED | {"pretrain": "models/adapt", "adapt": "models/commas"}
    plan = make_plan(workspace, inputs=inputs, task={"maxSegments": 20, "shots": [0]})
    outcome = evaluate.run(StageContext.single(plan))
    report = read_report(workspace)
    assert set(read_tsv(workspace, 0)[2]) == {","}
    assert report.tasks[0].scores[0].verdict == "Worse"
    assert (report.outcome, report.tasks[0].outcome) == ("NotUsable", "NotUsable")
    assert "not usable" in report.verdict or "both unusable" in report.verdict
    assert "lengthRatio" in {finding.name for finding in report.findings if finding.unusable}
    assert "segments" in {finding.name for finding in report.findings}
    assert outcome.evaluation is not None
    assert outcome.evaluation.outcome == "NotUsable"
    assert any("length ratio" in warning for warning in outcome.evaluation.warnings)
    page = (workspace / "reports/report.html").read_text("utf-8")
    assert '<div class="verdict Failed">' in page


def test_a_model_that_was_only_pretrained_has_no_baseline(workspace: Path) -> None:
    inputs = {"prepare": DATA, "pretrain": "models/pretrain"}
    outcome = evaluate.run(StageContext.single(make_plan(workspace, inputs=inputs, task={"maxSegments": 5})))
    report = read_report(workspace)
    assert (report.model.name, report.baseline) == ("pretrained", None)
    assert "no baseline" in report.verdict
    assert "baseline.model" in report.notes[0]
    assert all(s.verdict is None and s.baseline is None for t in report.tasks for s in t.scores)
    assert set(read_tsv(workspace, 0)[3]) == {""}
    assert outcome.evaluation is not None
    assert outcome.evaluation.gate == "None"


def test_a_named_baseline_and_a_gate_that_fails(workspace: Path) -> None:
    changes: dict[str, Any] = {
        "baseline": {"model": {"uri": f"file://{workspace / 'models/adapt'}"}},
        "gate": {"require": [{"metric": "chrF++", "task": "en-es", "betterThanBaseline": True}]},
    }
    plan = make_plan(workspace, task={"maxSegments": 6, "shots": [0]}, **changes)
    outcome = evaluate.run(StageContext.single(plan))
    report = read_report(workspace)
    assert report.baseline is not None
    assert report.baseline.name == f"file://{workspace / 'models/adapt'}"
    assert [s.verdict for s in report.tasks[0].scores] == ["NoDifference"] * 3  # a model against itself
    assert outcome.evaluation is not None
    assert outcome.evaluation.gate == "Failed"
    lead = report.tasks[0].scores[0].score
    assert outcome.evaluation.failed_checks == [
        f"chrF++ of en-es (0-shot) better than the baseline at p < 0.05: {lead:.2f} against {lead:.2f}, p = 1"
    ]
    assert report.gate is not None
    assert [(check.requirement, check.passed) for check in report.gate.checks[1:]] == [
        ("usable outputs of en-es (0-shot)", True)
    ]


def test_rivals_of_every_kind_stand_beside_the_baseline(workspace: Path) -> None:
    base = workspace / "models/adapt"
    adapted = add_lora(AutoModelForCausalLM.from_pretrained(base), Lora(rank=2), 1, str(base))
    adapted.save_pretrained(str(workspace / "adapter"))
    plan = make_plan(workspace, task={"maxSegments": 6})
    examples = load_test_set(plan.spec, PreparedData.open(workspace, DATA), 0).examples
    assert examples is not None
    (workspace / "agency.es").write_text("".join(f"texto {i}\n" for i in range(6)), "utf-8")
    changes: dict[str, Any] = {
        "rivals": [
            {"name": "agency", "hypotheses": [{"task": "en-es", "uri": f"file://{workspace / 'agency.es'}"}]},
            {"name": "paste", "type": "FuzzyMatch"},
            {"name": "adapter", "model": {"uri": f"file://{workspace / 'adapter'}"}},
        ],
        "gate": {"require": [{"metric": "chrF++", "task": "en-es", "notWorseThan": "adapter"}], "requireUsable": False},
    }
    plan = make_plan(workspace, task={"maxSegments": 6}, **changes)
    outcome = evaluate.run(StageContext.single(plan))
    report = read_report(workspace)
    assert [(r.name, r.type) for r in report.rivals] == [
        ("agency", "Hypotheses"), ("paste", "FuzzyMatch"), ("adapter", "Model"),
    ]  # fmt: skip
    lines = [line.split("\t") for line in (workspace / "reports/en-es.1shot.tsv").read_text("utf-8").splitlines()]
    assert lines[0] == [
        "source", "reference", "hypothesis", "baseline", "agency", "paste", "adapter",
        "example.1.source", "example.1.target", "example.1.similarity",
    ]  # fmt: skip
    columns = list(zip(*lines[1:], strict=True))
    assert columns[4] == tuple(f"texto {i}" for i in range(6))
    assert columns[5] == tuple(pairs[0][1] if pairs else "" for pairs in examples.pairs)
    assert columns[8] == columns[5]
    assert all(0 < float(cosine) < 1 for cosine in columns[9])
    assert columns[6] == columns[2]  # an adapter that has not learnt changes nothing
    for task in report.tasks:
        by_name = {rival.name: rival for rival in task.rivals}
        assert by_name["adapter"].scores[0].delta == 0
        score = sacrebleu.corpus_bleu(list(columns[5]), [list(columns[1])]).score
        assert by_name["paste"].scores[1].score == pytest.approx(score)
    assert len(report.tasks[0].p_values) == 12
    assert outcome.evaluation is not None
    assert (outcome.evaluation.gate, len(outcome.evaluation.rivals)) == ("Passed", 6)
    page = (workspace / "reports/report.html").read_text("utf-8")
    assert "Against rivals" in page
    assert "the target of the most similar training pair, unchanged" in page

    before = input_digests(plan, workspace)
    (workspace / "agency.es").write_text("otro\n" * 6, "utf-8")
    assert input_digests(plan, workspace) != before


def test_what_was_forgotten_is_measured_on_general_text(workspace: Path) -> None:
    changes: dict[str, Any] = {
        "gate": {"require": [{"metric": "BitsPerByte", "task": "general", "atMostWorseBy": 50.0}]},
    }
    general = {
        "name": "general", "type": "LanguageModelling", "source": "general", "direction": None, "shots": [0],
        "metrics": ["BitsPerByte"], "maxSegments": 20,
    }  # fmt: skip
    plan = make_plan(workspace, task=general, **changes)
    evaluate.run(StageContext.single(plan))
    report = read_report(workspace)
    (task,) = report.tasks
    (score,) = task.scores
    assert (score.metric, task.segments, task.diagnostics) == ("BitsPerByte", 20, {})
    lines = (workspace / "reports/general.0shot.tsv").read_text("utf-8").splitlines()[1:]
    costs = [[float(word) for word in line.split("\t")[2].split() if word[0].isdigit()] for line in lines]
    assert score.score == pytest.approx(sum(bits for bits, _ in costs) / sum(size for _, size in costs), rel=1e-3)
    assert score.baseline is not None
    assert score.verdict == ("Worse" if score.score > score.baseline else "Better")
    assert score.low < score.score < score.high
    worst = [example.score for example in task.worst]
    assert worst == sorted(worst, reverse=True)
    assert report.gate is not None
    assert report.gate.passed
    assert f"{score.score:.4f}" in (workspace / "reports/report.html").read_text("utf-8")


def test_noise_in_the_sources_is_answered_beside_the_clean_test(workspace: Path) -> None:
    plan = make_plan(workspace, task={"maxSegments": 8, "shots": [0], "robustness": ["Case", "Diacritics"]})
    evaluate.run(StageContext.single(plan))
    (task,) = read_report(workspace).tasks
    case, diacritics = task.robustness
    lines = [line.split("\t") for line in (workspace / case.hypotheses).read_text("utf-8").splitlines()[1:]]
    assert case.hypotheses == "reports/en-es.case.0shot.tsv"
    assert [line[0] for line in lines] == [source.lower() for source in read_tsv(workspace, 0)[0]]
    score = sacrebleu.corpus_chrf([line[2] for line in lines], [[line[1] for line in lines]], word_order=2).score
    assert case.score == pytest.approx(score)
    assert case.delta == pytest.approx(case.score - task.scores[0].score)
    assert case.baseline is not None
    assert case.changed == 1.0
    assert (diacritics.changed, diacritics.delta) == (0.0, 0.0)  # English has none
    assert len(task.p_values) == 3
    assert "With noised sources" in (workspace / "reports/report.html").read_text("utf-8")


def test_drawn_examples_are_drawn_anew_and_their_spread_is_told(workspace: Path) -> None:
    task = {"maxSegments": 6, "shots": [0, 2], "examples": "Random", "draws": 3, "maxNewTokens": 12}
    plan = make_plan(workspace, task=task)
    evaluate.run(StageContext.single(plan))
    zero, two = read_report(workspace).tasks
    assert zero.draws is None
    assert two.draws is not None
    assert len(two.draws.scores) == 3
    assert two.draws.scores[0] == two.scores[0].score
    assert two.draws.mean == pytest.approx(sum(two.draws.scores) / 3)
    assert two.draws.deviation == pytest.approx(np.std(two.draws.scores, ddof=1))
    assert two.draws.baseline_scores is not None
    assert two.draws.baseline_scores[0] == two.scores[0].baseline
    assert "similarity" not in two.buckets
    train = PreparedData.open(workspace, DATA).pairs("ui", "train")
    known, drawn = set(train.text("en")), set()
    for name in (two.hypotheses, *two.draws.hypotheses):
        header, *rows = (line.split("\t") for line in (workspace / name).read_text("utf-8").splitlines())
        assert header[4:] == ["example.1.source", "example.1.target", "example.2.source", "example.2.target"]
        assert {row[place] for row in rows for place in (4, 6)} <= known
        assert all(row[4] != row[6] for row in rows)
        drawn.add(tuple(row[4] for row in rows))
    assert len(drawn) == 3
    page = (workspace / "reports/report.html").read_text("utf-8")
    assert "Over draws of the examples" in page
    assert "±" in (workspace / "reports/report.md").read_text("utf-8")


def test_the_test_split_is_not_among_the_examples(workspace: Path) -> None:
    plan = make_plan(workspace)
    data = PreparedData.open(workspace, DATA)
    test_set = load_test_set(plan.spec, data, 0)
    assert test_set.examples is not None
    train = data.pairs("ui", "train")
    known = set(zip(train.text("en"), train.text("es"), strict=True))
    assert len(test_set.examples.pairs) == 50
    assert all(pairs[0] in known for pairs in test_set.examples.pairs)
    assert not {pairs[0][0] for pairs in test_set.examples.pairs} & set(test_set.sources)


def test_the_sample_is_fixed_by_content() -> None:
    keys = np.random.default_rng(0).permutation(1000).astype(np.uint64)
    rows = fixed_sample(keys, 10)
    assert sorted(keys[rows]) == list(range(10))
    assert list(rows) == sorted(rows)
    moved = np.roll(keys, 17)
    assert set(moved[fixed_sample(moved, 10)]) == set(keys[rows])
    assert list(fixed_sample(keys[:3], 10)) == [0, 1, 2]


def broken_model(workspace: Path) -> None:
    for file in (workspace / "models/pretrain").glob("tokenizer*"):
        file.unlink()


def scratch_sources(workspace: Path) -> None:
    prepare.run(StageContext.single(make_plan(workspace, "prepare", test=0.0)))


@pytest.mark.parametrize(
    ("damage", "changes", "error", "message"),
    [
        (broken_model, {}, BadConfiguration, "has no tokenizer"),
        (None, {"baseline": {"model": {"uri": "file:///nowhere"}}}, BadConfiguration, "/nowhere is not a model folder"),
        (None, {"baseline": {"model": {"uri": "s3://a/b"}}}, BadConfiguration, "s3:// is not supported"),
        (None, {"task": {"direction": "de-es"}}, BadConfiguration, "direction is de-es, but source 'ui'.*en and es"),
        (None, {"task": {"direction": "en-en"}}, BadConfiguration, "direction is en-en"),
        (
            None,
            {"gate": {"require": [{"metric": "BLEU", "task": "en-es"}]}},
            BadConfiguration,
            r"gate.require\[0\] requires nothing",
        ),
        (scratch_sources, {"test": 0.0}, BadData, r"tasks\[0\]: the test split of source 'ui' is empty"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_in_words(
    workspace: Path, damage: Any, changes: dict[str, Any], error: type[StageFailure], message: str
) -> None:
    if damage is not None:
        damage(workspace)
    with pytest.raises(error, match=message) as caught:
        evaluate.run(StageContext.single(make_plan(workspace, **changes)))
    assert caught.value.remedy
    assert not (workspace / "reports").exists()


def test_a_stop_ends_the_evaluation_and_leaves_nothing(workspace: Path) -> None:
    context = StageContext.single(make_plan(workspace))
    context.stop.request()
    with pytest.raises(Preempted, match="starts anew"):
        evaluate.run(context)
    assert not (workspace / "reports").exists()


def test_a_prompt_too_long_for_its_example_goes_without(workspace: Path) -> None:
    plan = make_plan(workspace, task={"maxSegments": 5, "shots": [1], "maxNewTokens": 60})
    evaluate.run(StageContext.single(plan))
    report = read_report(workspace)
    assert any("too long for an example" in note for note in report.notes)
    assert json.loads((workspace / "reports/report.json").read_text("utf-8"))["notes"]


def test_answers_of_every_system_are_chosen_among_samples_that_are_kept(workspace: Path) -> None:
    decoding = {"method": "MBR", "samples": 4, "temperature": 0.8}
    plan = make_plan(workspace, task={"maxSegments": 3, "shots": [0], "maxNewTokens": 12, "decoding": decoding})
    evaluate.run(StageContext.single(plan))
    report = EvaluationReport.model_validate_json((workspace / "reports/report.json").read_text(encoding="utf-8"))
    (task,) = report.tasks
    assert task.decoding == "MBR (samples 4, temperature 0.8, top p 1, seed 17)"
    lines = [json.loads(line) for line in (workspace / task.candidates).read_text(encoding="utf-8").splitlines()]
    assert [(line["system"], line["segment"]) for line in lines] == [
        (name, segment) for name in ("adapted", "pretrained") for segment in (1, 2, 3)
    ]
    rows = [row.split("\t") for row in (workspace / task.hypotheses).read_text(encoding="utf-8").splitlines()[1:]]
    assert [line["candidates"][0]["text"] for line in lines] == [row[column] for column in (2, 3) for row in rows]
    for line in lines:
        utilities = [candidate["utility"] for candidate in line["candidates"]]
        assert len(utilities) == 4
        assert utilities == sorted(utilities, reverse=True)
    page = (workspace / "reports/report.md").read_text(encoding="utf-8")
    assert task.decoding in page
    assert task.candidates in page
