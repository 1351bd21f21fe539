"""What a pod prints: one line a message on stdout, with the rank if there are several.

Warnings of libraries are printed in that form, once each, and nothing below a warning. One that says nothing to a user
is mended where it is caused, or left out by its own words there: `engine/zero.py`, `models/folder.py`,
`methods/lora.py`.
"""

from __future__ import annotations

import logging
import sys

_LIBRARIES = (
    "deepspeed", "DeepSpeed", "transformers", "datasets", "urllib3", "filelock", "torch", "absl", "faiss", "peft",
)  # fmt: skip
"""Some of these have levels and handlers of their own."""


class _OneLine(logging.Formatter):
    def __init__(self, prefix: str) -> None:
        super().__init__(f"%(asctime)s {prefix}%(levelname)s %(message)s", datefmt="%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        # Tracebacks go to a file; here one line is one message.
        record.exc_info = record.exc_text = record.stack_info = None
        return " ".join(super().format(record).splitlines()).replace(" INFO ", " ", 1)


def set_up_logs(rank: int | None = None) -> None:
    """Configure logging of this process. `rank` is shown if given."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_OneLine("" if rank is None else f"rank {rank} "))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("finetune_trainer").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    take_over_libraries()


def take_over_libraries() -> None:
    """Have libraries log as we do; call again after importing them, since some set their own levels and handlers."""
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.split(".")[0] in _LIBRARIES:
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
    # The agent reports a failed worker with a traceback; launch.py logs one line.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    # It looks for kernels on the hub when transformers or peft import it, and complains that it may not.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
