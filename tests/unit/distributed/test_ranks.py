from __future__ import annotations

from pathlib import Path

import pytest
import torch

from finetune_trainer.distributed import Ranks


def test_one_rank_needs_no_process_group() -> None:
    alone = Ranks()
    assert alone.map(lambda share: [x * x for x in share], [3, 1, 2]) == [9, 1, 4]
    assert alone.sum(torch.tensor([2.0])).tolist() == [2.0]
    assert alone.from_main(lambda: "said") == "said"
    assert (alone.any(False), alone.any(True), alone.gather(5)) == (False, True, [5])
    alone.barrier()


def test_an_error_of_the_main_rank_is_raised() -> None:
    with pytest.raises(FileNotFoundError):
        Ranks().from_main(lambda: Path("/nowhere/at/all").read_text())
