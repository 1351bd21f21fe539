"""Compiled layers: the same losses as without, and a compiler that fails costs no run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from families import tiny
from finetune_api.model import Parallelism
from finetune_api.training import Batch, Curriculum, Optimizer
from finetune_trainer.batching import make_layout
from finetune_trainer.context import StageContext
from finetune_trainer.models import segment_attention
from finetune_trainer.models.activation_checkpointing import checkpoint_activations
from finetune_trainer.models.compiled_layers import compile_layers, decoder_layers, run_eagerly, wants_compiled_layers
from finetune_trainer.models.segment_attention import use_segment_attention
from finetune_trainer.objectives.causal_lm import CausalLM
from finetune_trainer.objectives.next_token import Example
from finetune_trainer.run import compilation
from finetune_trainer.run.schedule import Budget
from finetune_trainer.run.settings import TrainSettings
from tiny import PAD, TinyTexts, documents, tiny_model, tiny_plan

BATCH = Batch(global_tokens=12 * 64, sequence_length=64)
SETTINGS = TrainSettings(BATCH, Optimizer(), Curriculum(), Budget(tokens=1), 0, PAD, validate_every_steps=1)
Backend = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    config = torch._dynamo.config
    before = config.suppress_errors
    torch._dynamo.reset()
    counters.clear()
    yield
    config.suppress_errors = before
    torch._dynamo.reset()


def as_it_is(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
    """A back end that compiles nothing: Dynamo's graphs, run as they were traced."""
    return graph.forward


def broken(*_: Any) -> Callable[..., Any]:
    raise FileNotFoundError("no C compiler\non this machine")


@pytest.fixture
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `Module.compile` use the back end of the test's parameter."""
    compiled = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda module, **options: compiled(module, backend=request.param, **options)
    )


def run(tmp_path: Path, model: torch.nn.Module, **layout: Any) -> tuple[bool, StageContext]:
    plan = tiny_plan(tmp_path)
    spec = plan.spec.model_copy(update={"parallelism": Parallelism.model_validate({"engine": "DDP"} | layout)})
    context = StageContext.single(plan.model_copy(update={"spec": spec}))
    arms = {"en": documents(TinyTexts(20, longest=30), 64)}
    shape = make_layout(BATCH, context.ranks, 4, PAD)
    return compilation.compile_where_it_pays(context, model, arms, shape, SETTINGS), context


def gradients(model: torch.nn.Module, step: int) -> tuple[float, Tensor]:
    texts = TinyTexts(3 + step, 14.0, seed=step)
    rows = [[Example(texts[i] % 96, 1)] for i in range(len(texts))]
    loss = CausalLM().loss(model, **CausalLM().collate(rows, 64, PAD).inputs).loss_sum
    torch.autograd.backward(loss)
    found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    return float(loss.detach()), found


@pytest.mark.parametrize(
    ("setting", "engine", "device", "expected"),
    [
        ("Auto", "DDP", "cuda", True),
        ("Auto", "ZeRO-2", "cuda", True),
        ("Auto", "ZeRO-3", "cuda", False),
        ("Auto", "DDP", "cpu", False),
        ("Layers", "DDP", "cpu", True),
        ("None", "DDP", "cuda", False),
    ],
)
def test_where_layers_are_compiled(setting: Any, engine: Any, device: str, expected: bool) -> None:
    assert wants_compiled_layers(setting, engine, torch.device(device)) is expected


@pytest.mark.parametrize("backend", [as_it_is], indirect=True)
@pytest.mark.usefixtures("backend")
def test_compiled_layers_learn_the_same_and_no_length_compiles_anew(tmp_path: Path) -> None:
    model = tiny_model().train()
    use_segment_attention(model)
    expected = [gradients(model, step) for step in range(4)]
    assert run(tmp_path, model, compile="Layers")[0]
    assert all(layer._compiled_call_impl for layer in decoder_layers(model))
    graphs = counters["stats"]["unique_graphs"]
    assert graphs > 0
    for step, (loss, gradient) in enumerate(expected):
        found = gradients(model, step)
        assert found[0] == pytest.approx(loss, rel=1e-5)
        torch.testing.assert_close(found[1], gradient, rtol=1e-4, atol=1e-5)
    assert counters["stats"]["unique_graphs"] == graphs


@pytest.mark.parametrize("backend", [as_it_is], indirect=True)
@pytest.mark.parametrize("kept", ["None", "Selective", "Full"])
@pytest.mark.usefixtures("backend")
def test_flash_attention_is_part_of_a_layers_graph(kept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Played on a CPU: each segment attends to itself and all of its row before it, which has the same shapes."""

    def attend(query: Tensor, key: Tensor, value: Tensor, *_: Any, window_size: Any, enable_gqa: bool) -> Tensor:
        assert window_size[1] == 0
        q, k, v = (states.transpose(0, 1)[None] for states in (query, key, value))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=enable_gqa)[
            0
        ].transpose(0, 1)

    flash = segment_attention._Flash(attend, frozenset({"window_size", "enable_gqa"}))
    monkeypatch.setattr(segment_attention, "_find_flash", lambda: flash)
    monkeypatch.setattr(segment_attention, "_is_for_flash", lambda *_: True)
    model = tiny("llama").train()
    use_segment_attention(model)
    checkpoint_activations(model, kept)
    expected = [gradients(model, step)[1] for step in range(3)]
    compile_layers(model)
    for step, gradient in enumerate(expected):
        torch.testing.assert_close(gradients(model, step)[1], gradient, rtol=1e-4, atol=1e-4)
    assert counters["stats"]["unique_graphs"] == 1, "both layers, all lengths"
    assert not counters["graph_break"]


@pytest.mark.parametrize("backend", [broken], indirect=True)
@pytest.mark.usefixtures("backend")
def test_a_compiler_that_fails_costs_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model().train()
    use_segment_attention(model)
    expected = gradients(model, 0)
    compiled, context = run(tmp_path, model, compile="Layers")
    assert not compiled
    assert not any(layer._compiled_call_impl for layer in decoder_layers(model))
    assert "no C compiler" in caplog.text
    assert "parallelism.compile: None" in caplog.text
    assert context.progress.snapshot().message == "layers are not compiled: no C compiler"
    assert gradients(model, 0)[0] == expected[0]


def test_a_model_of_which_nothing_can_be_compiled_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compilation, "compile_layers", lambda _: None)
    model = tiny_model()
    use_segment_attention(model)
    assert not run(tmp_path, model, compile="Layers")[0]
    assert "nothing of a layer can be compiled" in caplog.text


@pytest.mark.parametrize("backend", [as_it_is], indirect=True)
@pytest.mark.usefixtures("backend")
def test_compiled_layers_can_be_had_back() -> None:
    model = tiny_model()
    compile_layers(model)
    assert all(layer._compiled_call_impl for layer in model.model.layers)
    run_eagerly(model)
    assert not any(layer._compiled_call_impl for layer in model.model.layers)
