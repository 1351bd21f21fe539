"""Adaptation from the outside: LoRA under ZeRO-2 and ZeRO-3 on two ranks, resume, early stopping, what is written."""

from __future__ import annotations

import os
import re
import shutil
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoTokenizer

from finetune_api.adapt import Adapt
from finetune_api.model import ScratchModel
from finetune_api.plan import Plan
from finetune_api.progress import HistoryRow, read_history
from finetune_api.stage_result import StageResult
from finetune_trainer.batching import ArmExamples, make_layout, validation_batches
from finetune_trainer.context import StageContext
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.distributed import Ranks
from finetune_trainer.errors import BadConfiguration, BadData
from finetune_trainer.models import load_model, save_model, scratch_model
from finetune_trainer.objectives.causal_lm import CausalLM
from finetune_trainer.retrieval import FuzzyIndex
from finetune_trainer.stages import adapt, prepare
from finetune_trainer.tasks.translation.training import training_data
from training import prepared
from training.conftest import GangRun, StartGang
from training.corpus import pairs, write_tsv
from training.prepared import TINY_MODEL, translation_spec

RunGang = Callable[..., GangRun]
CalmRun = Callable[[int], "Finished"]
ADAPT: dict[str, Any] = {
    "lora": {"rank": 8, "alpha": 16, "dropout": 0.1, "targets": ["q_proj", "v_proj", "o_proj", "down_proj"]},
    "task": {"source": "ui", "direction": "en-es", "maxExamples": 150},
    "batch": {"globalTokens": 768, "sequenceLength": 96},
    "optimizer": {"learningRate": 0.02},
    "validateEverySteps": 5,
}


def make_plan(workspace: Path, stage: str = "adapt", zero: int = 2, ranks: int = 2, **changes: Any) -> Plan:
    is_prepare = stage == "prepare"
    spec = translation_spec(
        workspace / "ui.tsv",
        {"validation": 0.05, "test": 0.05},
        ranks,
        parallelism={"nodes": ranks, "zero": {"stage": zero}, "engine": "DDP" if ranks == 1 else "DeepSpeed"},
        adapt=ADAPT | changes,
        checkpoint={"everySteps": 4, "everySeconds": 864_000},
    )
    return prepared.make_plan(
        workspace,
        stage,
        spec,
        nodes=1 if is_prepare else ranks,
        inputs={} if is_prepare else {"prepare": "data/" + 16 * "d", "pretrain": "models/pretrain"},
        fingerprint=("d" if is_prepare else "a") * 64,
    )


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with prepared data and a model that has learnt a little: of pure noise an adapter makes nothing."""
    workspace = tmp_path_factory.mktemp("template")
    write_tsv(workspace / "ui.tsv", 600)
    prepare.run(StageContext.single(make_plan(workspace, "prepare")))
    data = PreparedData.open(workspace, "data/" + 16 * "d")
    model = scratch_model(ScratchModel.model_validate(TINY_MODEL), data.tokenizer(), seed=3)
    save_model(workspace / "models/pretrain", model, model.named_parameters())
    data.tokenizer().save_pretrained(workspace / "models/pretrain")
    first: dict[str, Any] = {"method": "Full", "epochs": 6, "prompts": {"shots": [0]}}
    first |= {"optimizer": {"learningRate": 0.01}, "task": {"source": "ui", "direction": "en-es"}}
    adapt.run(StageContext.single(make_plan(workspace, ranks=1, **first)))
    shutil.rmtree(workspace / "models/pretrain")
    (workspace / "models/adapt").rename(workspace / "models/pretrain")
    return workspace


@pytest.fixture
def workspace(template: Path, tmp_path: Path) -> Path:
    """A copy of `template` to work in."""
    return shutil.copytree(template, tmp_path / "workspace")


@dataclass(frozen=True)
class Finished:
    """What a run has left behind."""

    result: StageResult
    history: list[HistoryRow]
    folder: Path

    @property
    def losses(self) -> list[float]:
        return [row.loss for row in self.history if row.loss is not None]


def finished(gang: GangRun, workspace: Path) -> Finished:
    assert gang.exit_codes == [0, 0], "".join(pod.output for pod in gang.pods)
    result = gang.pods[0].result
    assert result is not None
    folder = workspace / "models/adapt"
    return Finished(result, read_history(folder / "history.jsonl"), folder)


@pytest.fixture(scope="module")
def finished_runs() -> dict[int, Finished]:
    """Undisturbed runs so far."""
    return {}


@pytest.fixture
def calm(template: Path, tmp_path: Path, run_gang: RunGang, finished_runs: dict[int, Finished]) -> CalmRun:
    """`calm(zero)` is an undisturbed run of two ranks under that ZeRO stage; each is run once."""

    def run(zero: int) -> Finished:
        if zero not in finished_runs:
            workspace = shutil.copytree(template, tmp_path / f"zero{zero}")
            finished_runs[zero] = finished(run_gang(make_plan(workspace, zero=zero)), workspace)
            assert not (workspace / "checkpoints/adapt").exists()
        return finished_runs[zero]

    return run


def validation_loss(folder: Path, workspace: Path, plan: Plan) -> float:
    """Over all validation examples, computed apart from the stage."""
    settings = plan.spec.adapt
    assert settings is not None
    data = PreparedData.open(workspace, plan.inputs["prepare"])
    layout = make_layout(settings.batch, Ranks(), 1, data.pad_id)
    model = load_model(folder, "artifact").eval()
    loss, tokens = 0.0, 0
    for examples in training_data(settings, data).validation.values():
        for batch in validation_batches(ArmExamples(CausalLM(), examples), layout):
            with torch.no_grad():
                part = CausalLM().loss(model, **batch.inputs)
            loss, tokens = loss + float(part.loss_sum), tokens + int(part.loss_units)
    return loss / tokens


@pytest.mark.timeout(500)
def test_lora_is_the_same_under_zero_2_and_zero_3(template: Path, calm: CalmRun) -> None:
    second, third = calm(2), calm(3)
    assert third.losses == pytest.approx(second.losses, abs=1e-4)
    summary = third.result.summary
    assert summary["validationLoss"] < summary["firstValidationLoss"] - 0.1
    assert summary["examples"] == 300
    assert summary["examples.oneShot"] == 150
    assert summary["steps"] == third.history[-1].step
    assert {"zero-shot", "one-shot", "all"} == set(third.history[0].validation_loss)
    assert "300 examples · 1 epoch · loss" in third.result.message

    for run in (second, third):
        adapter = load_file(run.folder / "adapter/adapter_model.safetensors")
        assert len(adapter) == 2 * 2 * 4
        assert {name.split(".")[-2]: weight.shape for name, weight in adapter.items() if "layers.0.mlp" in name} == {
            "lora_A": (8, 224), "lora_B": (64, 8)
        }  # fmt: skip
        assert all(weight.abs().max() > 1e-3 for name, weight in adapter.items() if "lora_B" in name)
        merged = load_model(run.folder, "artifact").eval()
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            parts = PeftModel.from_pretrained(
                load_model(template / "models/pretrain", "base"), str(run.folder / "adapter")
            )
        tokens = torch.arange(10, 60)[None]
        with torch.no_grad():
            assert torch.allclose(merged(tokens).logits, parts.eval()(tokens).logits, atol=1e-5)
        assert merged.lm_head.weight is merged.model.embed_tokens.weight
        assert AutoTokenizer.from_pretrained(run.folder).eos_token == "</s>"
    plan = make_plan(template)
    assert validation_loss(third.folder, template, plan) == pytest.approx(summary["validationLoss"], abs=1e-4)


@pytest.mark.timeout(500)
def test_a_killed_rank_changes_nothing_in_the_result(
    workspace: Path, start_gang: StartGang, run_gang: RunGang, calm: CalmRun
) -> None:
    plan = make_plan(workspace, zero=3)
    gang = start_gang(plan)
    checkpoints = workspace / "checkpoints/adapt"
    gang.wait_until(lambda: any(path.name > "step-0000000003" for path in checkpoints.glob("step-*")), "checkpoint")
    os.kill(gang.pods[1].rank_pids()[0], signal.SIGKILL)
    gang.wait()
    assert 0 not in gang.exit_codes
    assert not (workspace / "models/adapt").exists()
    size = sum(file.stat().st_size for file in next(checkpoints.iterdir()).rglob("*.pt"))
    base = (workspace / "models/pretrain/model.safetensors").stat().st_size
    adapter = (calm(3).folder / "adapter/adapter_model.safetensors").stat().st_size
    assert size < base + 4 * adapter, "the frozen weights are in the checkpoint"

    before = read_history(workspace / "logs/adapt-history.jsonl")[:3]
    after = finished(run_gang(plan.model_copy(update={"attempt": 2})), workspace)
    assert after.history[:3] == before, "it went on where it was: to start again would take other times"
    assert after.losses == pytest.approx(calm(3).losses, abs=1e-6)
    expected = calm(3).result.summary["validationLoss"]
    assert after.result.summary["validationLoss"] == pytest.approx(expected, abs=1e-6)


def stopping_plan(workspace: Path, method: str, rate: float) -> Plan:
    return make_plan(
        workspace, ranks=1, method=method, epochs=60, earlyStopping={"patience": 2},
        task=ADAPT["task"] | {"maxExamples": 24}, optimizer={"learningRate": rate}, validateEverySteps=4,
        batch={"globalTokens": 1536, "sequenceLength": 96},
    )  # fmt: skip


@pytest.mark.parametrize("method", ["Full", "LoRA"])
def test_early_stopping_keeps_the_best_weights(workspace: Path, method: str) -> None:
    plan = stopping_plan(workspace, method, 0.003)
    outcome = adapt.run(StageContext.single(plan))
    rows = [row for row in read_history(workspace / "models/adapt/history.jsonl") if row.validation_loss]
    losses = {row.step: row.validation_loss["all"] for row in rows}
    best = min(losses, key=lambda step: losses[step])
    assert list(losses)[-3] == best, "two validations without improvement"
    assert outcome.summary["bestStep"] == best
    assert outcome.summary["validationLoss"] == pytest.approx(losses[best])
    assert f"(best at step {best})" in outcome.message
    assert "stopped early" in outcome.message
    assert best > 0, "the rate helps at first"
    folder = workspace / "models/adapt"
    assert validation_loss(folder, workspace, plan) == pytest.approx(losses[best], abs=1e-4)
    assert (folder / "adapter").exists() is (method == "LoRA")
    assert load_model(folder, "artifact").lm_head.weight.shape == (400, 64)
    merged = {"mergeDifference"} & outcome.summary.keys()
    assert bool(merged) is (method == "LoRA")
    assert all(outcome.summary[name] < 1e-4 for name in merged)


def test_a_model_that_only_gets_worse_is_no_result(workspace: Path) -> None:
    """The best weights are those of the base, which there is already."""
    with pytest.raises(BadConfiguration, match="the validation loss never fell below that of the base"):
        adapt.run(StageContext.single(stopping_plan(workspace, "LoRA", 5.0)))
    rows = [row for row in read_history(workspace / "logs/adapt-history.jsonl") if row.validation_loss]
    assert min(rows, key=lambda row: row.validation_loss["all"]).step == 0
    assert not (workspace / "models/adapt").exists()


@pytest.mark.parametrize("packing", [True, False])
def test_an_epoch_of_few_steps_is_said_before_and_after(workspace: Path, packing: bool) -> None:
    batch = {"globalTokens": 96 * 64, "sequenceLength": 96, "packing": packing}
    plan = make_plan(workspace, ranks=1, batch=batch, task=ADAPT["task"] | {"maxExamples": 128})
    context = StageContext.single(plan)
    said: list[str] = []
    context.progress.update = lambda **values: said.append(str(values.get("message")))  # type: ignore[method-assign]
    outcome = adapt.run(context)
    done = outcome.summary["steps"]
    warning = re.compile(r"only (\d+) steps: lower adapt.batch.globalTokens, or raise epochs")
    expected = next(match for text in said if (match := warning.search(text)))
    assert abs(int(expected[1]) - done) <= 1
    assert f"only {done:.0f} steps" in outcome.message


def matched(workspace: Path, **changes: Any) -> tuple[Adapt, PreparedData, dict[str, float]]:
    """Settings, the data, and what prepare tells of the matches that it finds for data that are there already."""
    artifact = "data/" + 16 * "d"
    plan = make_plan(workspace, "prepare", **changes).model_copy(update={"inputs": {"prepare": artifact}})
    summary = prepare.run(StageContext.single(plan)).summary
    assert plan.spec.adapt is not None
    return plan.spec.adapt, PreparedData.open(workspace, artifact), summary


def test_matches_come_from_the_training_split_only(workspace: Path) -> None:
    settings, data, _ = matched(workspace, task=ADAPT["task"] | {"maxExamples": None})
    tokenizer = data.tokenizer()
    splits = {
        name: set(zip(data.pairs("ui", name).text("en"), data.pairs("ui", name).text("es"), strict=True))
        for name in ("train", "validation", "test")
    }  # type: ignore[misc, unused-ignore]
    assert sum(map(len, splits.values())) == len(pairs(600))
    built = training_data(settings, data)
    for examples, split in ((built.train, "train"), (built.validation["one-shot"], "validation")):
        one_shot = 0
        for index in range(len(examples)):
            text = str(tokenizer.decode(examples[index].tokens)).removesuffix("</s>")
            lines = [line.partition(": ")[2] for line in text.split("\n")]
            found = list(zip(lines[::2], lines[1::2], strict=True))
            assert found[-1] in splits[split]
            assert set(found[:-1]) <= splits["train"] - {found[-1]}
            one_shot += len(found) == 2
        assert one_shot == len(splits[split])


def test_matches_are_similar_on_the_side_that_was_asked(workspace: Path) -> None:
    data = PreparedData.open(workspace, "data/" + 16 * "d")
    pool = data.pairs("ui", "train")
    translation_of = dict(zip(pool.text("en"), pool.text("es"), strict=True))
    example_of: dict[str, dict[str, str]] = {}
    for side, texts in (("Source", list(translation_of)), ("Target", list(translation_of.values()))):
        prompts = {"shots": [1], "retrieval": {"side": side}}
        settings, data, summary = matched(workspace, prompts=prompts, task=ADAPT["task"] | {"maxExamples": None})
        assert summary["matches.segments"] >= len(pool)
        built = training_data(settings, data)
        shown = [str(data.tokenizer().decode(built.train[i].tokens)) for i in range(len(built.train))]
        lines = [[line.partition(": ")[2] for line in text.removesuffix("</s>").split("\n")] for text in shown]
        example_of[side] = {own: example for example, _, own, _ in lines}
        nearest = FuzzyIndex.build(texts, settings.prompts.retrieval).search(texts, own_rows=np.arange(len(texts)))
        sources = list(translation_of)
        assert example_of[side] == {own: sources[nearest.rows[row, 0]] for row, own in enumerate(sources)}
    assert example_of["Source"] != example_of["Target"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"lora": {"targets": ["wq"]}}, BadConfiguration, "no linear layer named wq"),
        ({"batch": {"globalTokens": 1024, "sequenceLength": 128}}, BadConfiguration, "128 exceeds the model's 96"),
        ({"batch": {"globalTokens": 64, "sequenceLength": 8}}, BadData, "none of .* segments fits into 8 tokens"),
    ],
)
def test_what_cannot_work_is_refused(
    template: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    plan = make_plan(template, ranks=1, **changes)
    with pytest.raises(error, match=message):
        adapt.run(StageContext.single(plan))


def test_data_of_another_tokenizer_is_refused(workspace: Path) -> None:
    file = workspace / "models/pretrain/tokenizer.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"z": ', '"zzz": '), encoding="utf-8")
    with pytest.raises(BadConfiguration, match="tokenised with another tokenizer"):
        adapt.run(StageContext.single(make_plan(workspace, ranks=1)))
