from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from finetune_trainer.objectives import Batch, LossSum, fused_loss, next_token
from finetune_trainer.objectives.causal_lm import CausalLM
from finetune_trainer.objectives.next_token import Example
from tiny import PAD, tiny_model

collate = CausalLM().collate


def loss_of(model: nn.Module, batch: Batch) -> LossSum:
    return CausalLM().loss(model, **batch.inputs)


def examples(*lengths: int, seed: int = 0) -> list[Example]:
    generator = np.random.default_rng(seed)
    return [Example(generator.integers(3, 128, length).astype(np.int32), 1 + length // 3) for length in lengths]


def total_loss(batches: list[Batch]) -> tuple[float, int]:
    model = tiny_model().train(mode=False)
    with torch.no_grad():
        losses = [loss_of(model, batch) for batch in batches]
    return sum(float(loss.loss_sum) for loss in losses), sum(int(loss.loss_units) for loss in losses)


def test_packed_loss_equals_separate_loss() -> None:
    first, second, third = examples(17, 9, 23)
    packed = collate([[first, second, third]], 64, PAD)
    separate = [collate([[example]], len(example.tokens), PAD) for example in (first, second, third)]
    (loss, tokens), (expected, expected_tokens) = total_loss([packed]), total_loss(separate)
    assert packed.inputs["boundaries"].tolist() == [0, 23, 40, 49]
    assert tokens == expected_tokens
    assert loss / tokens == pytest.approx(expected / tokens, abs=1e-5)


def test_packed_gradient_equals_separate_gradient() -> None:
    both = examples(17, 9)
    gradients = []
    for batches in ([collate([both], 32, PAD)], [collate([[example]], 24, PAD) for example in both]):
        model = tiny_model()
        for batch in batches:
            torch.autograd.backward(loss_of(model, batch).loss_sum)
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-5)


def test_padding_changes_nothing() -> None:
    (example,) = examples(11)
    padded, exact = total_loss([collate([[example]], 40, PAD)]), total_loss([collate([[example]], 11, PAD)])
    assert padded[0] == pytest.approx(exact[0], abs=1e-4)
    assert padded[1] == exact[1] == 11 - (1 + 11 // 3)


def test_is_the_sum_of_the_shifted_cross_entropy() -> None:
    model = tiny_model().train(mode=False)
    chosen = examples(20, 20)
    ids = torch.tensor(np.array([example.tokens for example in chosen])).long()
    logits = model(input_ids=ids, use_cache=False).logits[:, 6:-1]
    expected = functional.cross_entropy(logits.flatten(0, 1), ids[:, 7:].flatten(), reduction="sum")
    torch.testing.assert_close(loss_of(model, collate([[example] for example in chosen], 20, PAD)).loss_sum, expected)


def test_first_loss_of_a_new_model_is_the_logarithm_of_the_vocabulary() -> None:
    loss, tokens = total_loss([collate([examples(60)], 64, PAD)])
    assert loss / tokens == pytest.approx(math.log(128), abs=0.1)


def loss_and_gradient(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    loss = loss_of(model, batch).loss_sum
    torch.autograd.backward(loss)
    return loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("limit", [2**27, 1000])
def test_a_fused_output_layer_gives_the_same_loss_and_gradient(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    batch = collate([examples(17, 9), examples(30)], 32, PAD)
    monkeypatch.setattr(fused_loss, "logits_rows", lambda vocabulary, gpu: 7)  # noqa: ARG005
    fused = loss_and_gradient(tiny_model(), batch)
    monkeypatch.setattr(next_token, "can_fuse", lambda head: False)  # noqa: ARG005
    monkeypatch.setattr(next_token, "LOGITS_PER_CHUNK", limit)  # all at once; or in chunks computed twice
    plain = loss_and_gradient(tiny_model(), batch)
    torch.testing.assert_close(fused[0], plain[0])
    torch.testing.assert_close(fused[1], plain[1], atol=1e-5, rtol=1e-5)


def test_only_a_plain_output_layer_in_float32_is_fused_on_a_cpu() -> None:
    head = nn.Linear(4, 8)
    assert fused_loss.can_fuse(head)
    assert not fused_loss.can_fuse(nn.Sequential(head))
    assert not fused_loss.can_fuse(nn.Linear(4, 8, dtype=torch.bfloat16))
    with torch.autocast("cpu", torch.bfloat16):
        assert not fused_loss.can_fuse(head)
    vars(head.weight)["ds_id"] = 0  # as ZeRO-3 marks what it partitions
    assert not fused_loss.can_fuse(head)


def test_a_fused_layer_adds_its_bias() -> None:
    torch.manual_seed(0)
    head, hidden, targets = nn.Linear(4, 8), torch.randn(5, 4), torch.arange(5)
    expected = functional.cross_entropy(head(hidden), targets, reduction="sum")
    torch.testing.assert_close(fused_loss.fused_loss(head, hidden, targets), expected)


def test_a_batch_without_targets_has_no_loss_but_a_gradient() -> None:
    model = tiny_model()
    loss = loss_of(model, collate([[]], 16, PAD))
    torch.autograd.backward(loss.loss_sum)
    assert (float(loss.loss_sum.detach()), int(loss.loss_units)) == (0.0, 0)
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_other_architectures_go_through_their_own_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = [collate([examples(17, 9)], 32, PAD)]
    expected = total_loss(batch)
    monkeypatch.setattr(next_token, "PLAIN_HEADS", frozenset())
    assert total_loss(batch) == pytest.approx(expected)
