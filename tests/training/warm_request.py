"""What a test asks of the warm server, and how a fork carries it out: see warm_server.py."""

from __future__ import annotations

import atexit
import json
import os
import runpy
import socket
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import NoReturn

from finetune_trainer.pod.environment import set_defaults

PACKET_BYTES = 1 << 20
FIXED = (
    "CUDA_VISIBLE_DEVICES", "DS_ACCELERATOR", "HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_OFFLINE", "OMP_NUM_THREADS",
    "PYTHONPATH", "TORCH_CPP_LOG_LEVEL", "TRANSFORMERS_NO_ADVISORY_WARNINGS", "TRANSFORMERS_VERBOSITY",
)  # fmt: skip
"""Variables that are read when something is imported: too late for a fork to change them."""


@dataclass(frozen=True)
class Request:
    """A program to run."""

    module: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    descriptors: list[int]

    @classmethod
    def receive(cls, control: socket.socket) -> Request | None:
        """The next request; None if there will be no more."""
        packet, descriptors, _, _ = socket.recv_fds(control, PACKET_BYTES, 3)
        return cls(**json.loads(packet), descriptors=descriptors) if packet else None

    def conflict(self) -> str:
        """Why a fork cannot run it; empty if it can."""
        wanted = dict(self.environment)
        set_defaults(wanted)
        changed = [name for name in FIXED if wanted.get(name) != os.environ.get(name)]
        return f"{', '.join(changed)} take effect at imports: start this program fresh" if changed else ""

    def run(self) -> None:
        """Run it as `python -m module` does, in this process."""
        opened = os.open(os.devnull, os.O_RDONLY), *self.descriptors[:2]
        for number, descriptor in enumerate(opened):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.folder)
        sys.path[0] = self.folder
        sys.argv = [self.module, *self.arguments]
        runpy.run_module(self.module, run_name="__main__", alter_sys=True)

    def run_to_end(self) -> NoReturn:
        """Run it and end this process, without taking the interpreter apart: that takes seconds with all this in it."""
        code = 1
        try:
            self.run()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException:  # noqa: BLE001 - as at the end of an interpreter
            traceback.print_exc()
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
