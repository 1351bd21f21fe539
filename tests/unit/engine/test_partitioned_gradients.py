"""What a rank whose backward pass broke off hands to ZeRO's reduction in its place."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from finetune_trainer.engine.partitioned_gradients import PartitionedGradients

WEIGHTS = [nn.Parameter(torch.ones(size)) for size in (2, 3, 4)]


class Reduction:
    """As much of DeepSpeed's optimizer as hooks and recovery call; it notes what is reduced."""

    def __init__(self) -> None:
        self._backward_active_depth = 0
        self.reduced: list[float | str] = []
        self.fails_at = -1

    def process_gradients(self, parameter: nn.Parameter, _: int) -> None:
        if len(self.reduced) == self.fails_at:
            raise torch.OutOfMemoryError
        assert parameter.grad is not None
        self.reduced.append(float(parameter.grad.sum()))

    def overlapping_partition_gradients_reduce_epilogue(self) -> None:
        self.reduced.append("end")

    def set_gradient_accumulation_boundary(self, is_boundary: bool) -> None:
        assert not is_boundary

    def exit_backward(self) -> None:
        self._backward_active_depth -= 1

    def clear_backward_seen_flag(self) -> None:
        assert self._backward_active_depth == 0

    def zero_grad(self, set_to_none: bool) -> None:
        assert set_to_none
        self.reduced.clear()


def backward(reduction: Reduction, gradients: PartitionedGradients, until: int = 3) -> None:
    """As DeepSpeed does it; breaks off after some weights."""
    gradients.begin()
    reduction._backward_active_depth += 1
    for parameter in reversed(WEIGHTS[3 - until :]):
        parameter.grad = torch.ones_like(parameter)
        reduction.process_gradients(parameter, 0)
    if until < 3:
        raise torch.OutOfMemoryError
    reduction.overlapping_partition_gradients_reduce_epilogue()
    reduction.exit_backward()
    gradients.end()


@pytest.fixture
def reduction() -> Reduction:
    return Reduction()


def broken_off(reduction: Reduction, gradients: PartitionedGradients, until: int) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        backward(reduction, gradients, until)


@pytest.mark.parametrize("until", [0, 1, 2])
def test_the_rest_of_the_micro_batches_is_reduced_as_zeros_in_the_same_order(until: int, reduction: Reduction) -> None:
    gradients = PartitionedGradients(reduction, 2)
    backward(reduction, gradients)
    whole = [4.0, 3.0, 2.0]
    assert reduction.reduced == [*whole, "end"]
    reduction.reduced.clear()
    broken_off(reduction, gradients, until)
    assert gradients.can_complete
    gradients.complete(2)
    assert reduction.reduced == [*whole[:until], *[0.0] * (3 - until), "end", 0.0, 0.0, 0.0, "end"]
    assert gradients.recover(), "what was reduced is left to DeepSpeed's own step"
    gradients.stepped()
    assert not gradients.recover()


def test_a_rank_cannot_go_on_before_it_knows_the_order_or_within_a_reduction(reduction: Reduction) -> None:
    gradients = PartitionedGradients(reduction, 2)
    broken_off(reduction, gradients, 1)
    assert not gradients.can_complete
    gradients.recover()
    backward(reduction, gradients)
    reduction.reduced.clear()
    reduction.fails_at = 1
    broken_off(reduction, gradients, 2)
    assert not gradients.can_complete


def test_a_backward_pass_in_another_order_cannot_be_completed(reduction: Reduction) -> None:
    gradients = PartitionedGradients(reduction, 2)
    backward(reduction, gradients)
    gradients.begin()
    reduction.process_gradients(WEIGHTS[0], 0)
    assert not gradients.can_complete


def test_zero_1_reduces_nothing_before_its_step_and_drops_what_there_is(reduction: Reduction) -> None:
    gradients = PartitionedGradients(reduction, 1)
    broken_off(reduction, gradients, 1)
    assert gradients.can_complete
    reduction.reduced.clear()
    gradients.complete(3)
    assert reduction.reduced == []
    assert not gradients.recover()
