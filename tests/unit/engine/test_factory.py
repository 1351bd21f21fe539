from __future__ import annotations

from pathlib import Path

from peft import LoraConfig, get_peft_model

from finetune_api.model import Parallelism, Zero
from finetune_trainer.context import StageContext
from finetune_trainer.engine import chosen_engine
from finetune_trainer.models import quiet
from tiny import tiny_model, tiny_plan


def test_a_partly_frozen_model_is_no_adapter(tmp_path: Path) -> None:
    """A single rank trains it under ZeRO-3, where weights are partitioned; an adapter has DDP."""
    context = StageContext.single(tiny_plan(tmp_path))
    parallelism = Parallelism(engine="DeepSpeed", precision="BF16", zero=Zero(stage=3))
    spec = context.plan.spec.model_copy(update={"parallelism": parallelism})
    context.plan = context.plan.model_copy(update={"spec": spec})
    model = tiny_model()
    next(model.parameters()).requires_grad = False
    assert chosen_engine(context, model) == "ZeRO-3"
    with quiet():
        adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"]))
    assert chosen_engine(context, adapted) == "DDP"
