"""The loss as a module, so that the hooks of DDP and DeepSpeed see one forward pass."""

from __future__ import annotations

from torch import Tensor, nn

from finetune_trainer.objectives import Batch, causal_loss


class LossModule(nn.Module):
    """Wraps a language model; `forward` gives (loss sum, target tokens)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, labels: Tensor, position_ids: Tensor, packed: bool) -> tuple[Tensor, Tensor]:
        """Tensors, not a Batch: the engines' wrappers look into the arguments."""
        loss = causal_loss(self.model, Batch(input_ids, labels, position_ids, packed))
        return loss.loss_sum, loss.target_tokens


def arguments(batch: Batch) -> tuple[Tensor, Tensor, Tensor, bool]:
    """The arguments of `LossModule.forward`."""
    return batch.input_ids, batch.labels, batch.position_ids, batch.packed
