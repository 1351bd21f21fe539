"""All ranks of a stage: nobody else asks torch.distributed."""

from finetune_trainer.distributed.process_group import (
    ensure_process_group,
    join_process_group,
    leave_process_group,
    use_steady_timeout,
)
from finetune_trainer.distributed.ranks import Ranks

__all__ = ["Ranks", "ensure_process_group", "join_process_group", "leave_process_group", "use_steady_timeout"]
