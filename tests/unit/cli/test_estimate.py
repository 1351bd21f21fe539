"""Parameter counts, FLOPs and memory against figures that are known."""

import json
from pathlib import Path

import pytest

from finetune_api.job import FineTuneJobSpec
from finetune_api.memory import TrainingShape, training_memory
from finetune_api.micro_batch import largest_micro_batch
from finetune_api.model import Parallelism, ScratchModel, Zero
from finetune_api.training import Batch
from finetune_api.transformer import TransformerShape, shape_of_scratch
from finetune_cli.estimate.assumptions import Assumptions
from finetune_cli.estimate.flops import flops_per_token, lora_flops_per_token
from finetune_cli.estimate.job import DEVICES, estimate_job
from finetune_cli.plan_view import print_plan

ROOT = Path(__file__).resolve().parents[3]

MISTRAL_7B = TransformerShape(
    layers=32, hidden=4096, heads=32, kv_heads=8, head_size=128, intermediate=14336, vocabulary=32000, tied=False
)


def test_mistral_7b_has_the_published_number_of_parameters() -> None:
    assert MISTRAL_7B.parameters == 7_241_732_096
    assert MISTRAL_7B.matmul_parameters == 7_110_393_856


def test_lora_on_all_linear_layers_counts_both_factors() -> None:
    assert MISTRAL_7B.lora_parameters(16, list(MISTRAL_7B.linear_layers)) == 41_943_040


def test_flops_per_token_at_512() -> None:
    lora = MISTRAL_7B.lora_parameters(16, list(MISTRAL_7B.linear_layers))
    assert flops_per_token(MISTRAL_7B, 512) == pytest.approx(43.5e9, rel=0.002)
    assert lora_flops_per_token(MISTRAL_7B, lora, 512) == pytest.approx(29.5e9, rel=0.002)


def test_mlp_width_of_a_scratch_model_follows_mistral() -> None:
    assert ScratchModel(layers=1, hidden=4096, heads=32, kv_heads=8).intermediate_size() == 14336
    assert ScratchModel(layers=1, hidden=36, heads=2, kv_heads=2).intermediate_size() == 128


@pytest.mark.parametrize(
    ("stage", "weights", "gradients", "optimizer"),
    [(0, 1, 1, 1), (1, 1, 1, 4), (2, 1, 4, 4), (3, 4, 4, 4)],
)
def test_zero_partitions_part_by_part(stage: int, weights: int, gradients: int, optimizer: int) -> None:
    shape = shape_of_scratch(ScratchModel(layers=2, hidden=64, heads=4, kv_heads=2), 1000)
    parallelism = Parallelism(nodes=2, processes_per_node=2, zero=Zero(stage=stage))
    memory = training_memory(TrainingShape(shape, parallelism, bf16=False), 1, 8)
    assert memory.weights == shape.parameters * 4 // weights
    assert memory.gradients == shape.parameters * 4 // gradients
    assert memory.optimizer == shape.parameters * 8 // optimizer


@pytest.mark.parametrize(("stage", "on_host"), [(0, 0), (1, 2), (2, 2), (3, 3)])
def test_offload_moves_what_zero_partitions_of_the_optimizer_and_of_weights(stage: int, on_host: int) -> None:
    shape = shape_of_scratch(ScratchModel(layers=2, hidden=64, heads=4, kv_heads=2), 1000)
    here, offloaded = (
        training_memory(
            TrainingShape(
                shape,
                Parallelism(nodes=4, zero=Zero.model_construct(stage=stage, offload=offload)),
                bf16=False,
            ),
            1,
            8,
        )
        for offload in ("None", "CPU")
    )
    assert here.host == 0
    assert offloaded.host == on_host * (shape.parameters * 4 // 4)
    assert offloaded.total + offloaded.host == here.total


@pytest.mark.parametrize(("rows", "expected"), [(1, 1), (12, 12), (17, 1), (32, 16), (40, 10)])
def test_auto_micro_batch_is_the_largest_divisor_up_to_16(rows: int, expected: int) -> None:
    batch = Batch(global_tokens=rows * 2 * 8, sequence_length=8)
    assert largest_micro_batch(batch, rows) == expected


def test_a_job_on_gpus_tells_the_memory_of_its_machines_and_one_on_cpus_does_not() -> None:
    """Rank 0 of a pod of two copies float32 weights, both moments, and the weights as they are computed with."""
    spec = FineTuneJobSpec.from_json_object(
        {
            "runtimeRef": {"name": "cuda"},
            "model": {"scratch": {"layers": 2, "hidden": 64, "heads": 4}, "tokenizer": {"train": {}}},
            "parallelism": {"nodes": 2, "processesPerNode": 2, "zero": {"stage": 2}},
            "data": {"sources": [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "ui.tsv"}]},
            "pretrain": {
                "budget": {"tokens": 1000000},
                "objectives": [{"name": "en", "type": "CausalLM", "source": "ui", "language": "en"}],
            },
        }
    )
    (stage,) = estimate_job(spec, DEVICES["h100"]).stages
    assert stage.host is not None
    assert stage.host.checkpoint == 2 * (stage.trainable * 12 // 4) + stage.trainable * 2
    assert (stage.host.offloaded, stage.host.best) == (0, 0)
    assert [stage.host for stage in estimate_job(spec, DEVICES["cpu"]).stages] == [None]


def test_a_model_elsewhere_is_planned_by_its_config(capsys: pytest.CaptureFixture[str]) -> None:
    sample = ROOT / "manifests/samples/mistral-7b-adaptive-mt.yaml"
    assumed = Assumptions(ROOT / "manifests/samples/mistral-7b", adapt_tokens=121 * 16_384, price=2.0)
    print_plan(sample, "a100", assumed, as_json=True)
    (stage,) = json.loads(capsys.readouterr().out)["estimate"]["stages"]
    assert stage["steps"] == 121, "as many as Moslem et al. 2023 took"
    assert stage["trainable"] == 27_262_976
    assert stage["cost"] == pytest.approx(stage["seconds"] / 3600 * 2.0)
    assert stage["fits"]


def test_without_a_price_there_is_no_cost(capsys: pytest.CaptureFixture[str]) -> None:
    sample = ROOT / "manifests/samples/mistral-7b-adaptive-mt.yaml"
    print_plan(sample, "a100", Assumptions(ROOT / "manifests/samples/mistral-7b", 1_000_000), as_json=False)
    assert "cost" not in capsys.readouterr().out


def test_a_folder_without_config_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        print_plan(ROOT / "manifests/samples/mistral-7b-adaptive-mt.yaml", "a100", Assumptions(tmp_path), as_json=False)
    assert caught.value.code == 2
    assert f"--model {tmp_path}: there is no config.json" in capsys.readouterr().err
