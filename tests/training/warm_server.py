"""A process that has imported what a rank imports, and forks for each program that a test runs.

`python -m training.warm_server FD` takes requests from the socket of descriptor FD until its other end is closed. A
request is one packet with three descriptors: where the program's stdout and stderr go, and a socket for the answers.
These are the program's pid, with a descriptor of the process, and later its exit code as `subprocess` counts it.

A fork runs the module with the environment, the arguments and the working directory of the request, and ends as forks
of multiprocessing end. It is a child of this process, and killed with it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import selectors
import socket
import sys
from pathlib import Path
from typing import Any

import lifeline
from finetune_trainer.pod.environment import set_defaults
from training.warm_request import Request

LATE = ("datasets", "peft", "torch.distributed.launcher.api", "transformers.models.llama.modeling_llama")
"""What stages import while they run, beside DeepSpeed."""


def serve(control: socket.socket) -> Request | None:
    """Fork for each request until there are no more: None. In a fork: the request that it has to carry out."""
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    selector.unregister(key.fileobj)
                    _tell_end(key.fd, *key.data)
                elif (request := Request.receive(control)) is None:
                    return None
                elif _fork(request, selector):
                    return request


def _fork(request: Request, selector: selectors.BaseSelector) -> bool:
    """Fork for a request and say so; whether this is the fork."""
    server = os.getpid()
    answers = socket.socket(fileno=request.descriptors[2])
    conflict = request.conflict()
    if conflict:
        with answers:
            _tell(answers, error=conflict)
    elif pid := os.fork():
        descriptor = os.pidfd_open(pid)
        socket.send_fds(answers, [json.dumps({"pid": pid}).encode()], [descriptor])
        selector.register(descriptor, selectors.EVENT_READ, (pid, answers))
    else:
        lifeline.bind_to(server)()
        answers.close()
        _close_all(selector)
        return True
    for descriptor in request.descriptors[:2]:
        os.close(descriptor)
    return False


def _tell(answers: socket.socket, **answer: Any) -> None:
    try:
        answers.send(json.dumps(answer).encode())
    except BrokenPipeError:
        return  # the test has lost its interest


def _tell_end(descriptor: int, pid: int, answers: socket.socket) -> None:
    """Take in the process, which has ended, and say how."""
    os.close(descriptor)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with answers:
        _tell(answers, code=code)


def _close_all(selector: selectors.BaseSelector) -> None:
    """Close in a fork what belongs to the server and to other programs."""
    for key in selector.get_map().values():
        if isinstance(key.fileobj, socket.socket):
            key.fileobj.close()
        else:
            os.close(key.fd)
            key.data[1].close()


def import_all() -> None:
    """Import what ranks import.

    Raises:
        RuntimeError: if that has started a thread, which no fork would have.
    """
    set_defaults()
    import finetune_trainer

    for module in pkgutil.walk_packages(finetune_trainer.__path__, "finetune_trainer."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
    for name in LATE:
        importlib.import_module(name)
    import torch

    from finetune_trainer.distributed.deepspeed import import_deepspeed

    import_deepspeed(torch.device("cpu"))
    threads = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    if len(threads) != 1:
        raise RuntimeError(f"imports have started threads: {', '.join(threads)}")
    gc.collect()
    gc.freeze()  # the collector of a fork would write to every page


def main() -> None:
    """Serve; in a fork, run the program that was asked for."""
    control = socket.socket(fileno=int(sys.argv[1]))
    import_all()
    request = serve(control)
    if request is not None:
        request.run_to_end()


if __name__ == "__main__":
    main()
