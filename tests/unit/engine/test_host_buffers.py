"""Copies that stay what they are while training goes on."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

from finetune_trainer.engine import HostBuffers


def tree(value: float) -> dict[str, Any]:
    shared = torch.full((4, 3), value)
    return OrderedDict(
        weights={"a": shared, "tied": shared, "view": torch.full((6, 2), value).t()},
        optimizer=[{"step": torch.tensor(value)}, (torch.zeros(0), "text", torch.Size([2, 3]))],
    )


def pointers(copied: dict[str, Any]) -> list[int]:
    return [tensor.data_ptr() for tensor in copied["weights"].values()]


def test_a_copy_is_equal_and_stays_so() -> None:
    original = tree(1.0)
    copied = HostBuffers().copy(original)
    original["weights"]["a"].fill_(7.0)
    original["optimizer"][0]["step"].fill_(7.0)
    expected = tree(1.0)
    assert all(torch.equal(copied["weights"][name], value) for name, value in expected["weights"].items())
    assert copied["optimizer"][0]["step"] == 1.0
    assert copied["optimizer"][1][1:] == ("text", torch.Size([2, 3]))
    assert copied["weights"]["a"] is copied["weights"]["tied"]


def test_the_next_copy_takes_the_same_memory() -> None:
    buffers = HostBuffers()
    before = pointers(buffers.copy(tree(1.0)))
    copied = buffers.copy(tree(2.0))
    assert pointers(copied) == before
    assert copied["weights"]["a"][0, 0] == 2.0


def test_what_has_another_shape_gets_other_memory_and_what_is_gone_is_given_back() -> None:
    buffers = HostBuffers()
    first = buffers.copy({"a": torch.ones(3), "b": torch.ones(2)})
    second = buffers.copy({"a": torch.ones(5)})
    assert (first["a"].shape, second["a"].shape) == ((3,), (5,))
    assert buffers.copy({"b": torch.zeros(2)})["b"].data_ptr() != first["b"].data_ptr()
