"""What an exception means for the job: whose fault it is, the exit code, and what to do."""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Iterator
from pathlib import Path

import finetune_trainer
from finetune_trainer.errors import BadConfiguration, Hang, Infrastructure, OutOfMemory, StageFailure

PEER_LOST = "PeerLost"
_PACKAGE = Path(finetune_trainer.__file__).resolve().parent

_OUT_OF_MEMORY = re.compile(
    r"DefaultCPUAllocator: (can't allocate|not enough) memory|CUDA out of memory", re.IGNORECASE
)
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE)
_PEER_LOST = re.compile(
    r"Connection (reset|closed|refused) by|Connection (reset|closed|refused)\b|Broken pipe|remote process exited|"
    r"Socket closed|recvBytes|sendBytes|Connection was likely closed|NCCL communicator was aborted|"
    r"ncclRemoteError|failed to recv, got 0 bytes",
    re.IGNORECASE,
)
_PEER_SILENT = re.compile(
    r"Timed out waiting .*operation|wait timeout after|Watchdog caught collective operation timeout|"
    r"failed to pass monitoredBarrier",
    re.IGNORECASE,
)
_COLLECTIVE = re.compile(r"gloo|nccl|c10d|ProcessGroup|TCPStore|socket|monitoredBarrier", re.IGNORECASE)
_DISTRIBUTED_ERRORS = {"DistBackendError", "DistNetworkError", "DistStoreError", "DistError"}


def explain(error: BaseException) -> StageFailure:
    """The failure that `error` is: itself, what caused it as far as that is known, or a bug."""
    for candidate in _chain(error):
        known = _recognise(candidate)
        if known is not None:
            return known
    return StageFailure(
        "Bug",
        f"{type(error).__name__}: {_first_line(error)} ({_innermost_frame(error)})",
        "This is an error of the trainer. Please report it with the .traceback file in the workspace's logs/.",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, then its causes."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _recognise(error: BaseException) -> StageFailure | None:
    if isinstance(error, StageFailure):
        return error
    text = str(error)
    # By name: this module is used before, and without, torch.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _OUT_OF_MEMORY.search(text):
        return OutOfMemory(
            "OutOfMemory",
            f"memory is exhausted: {_first_line(error)}",
            "Use a smaller batch.microBatch (the global batch stays), a shorter sequenceLength, or more ranks.",
        )
    if isinstance(error, OSError) and (known := _recognise_os_error(error)):
        return known
    if _DISK_FULL.search(text):
        return _disk_full("")
    return _recognise_collective(error, text)


def _recognise_os_error(error: OSError) -> StageFailure | None:
    path = str(error.filename or "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _disk_full(path)
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return BadConfiguration(
            "NotWritable",
            f"no permission: {path or _first_line(error)}",
            "Let the user that runs the trainer read the sources and write the workspace.",
        )
    if error.errno == errno.EADDRINUSE:
        return port_taken(_first_line(error))
    return None


def _disk_full(path: str) -> BadConfiguration:
    return BadConfiguration(
        "DiskFull",
        f"the disk is full: {path}" if path else "the disk of the workspace is full",
        "Free space, then run the same command: it goes on where it was.",
    )


def port_taken(what: str) -> BadConfiguration:
    """A port that this pod has to listen on is in use."""
    return BadConfiguration(
        "PortTaken", f"a port is in use: {what}", "End the process that uses the port, or give another port."
    )


def _recognise_collective(error: BaseException, text: str) -> StageFailure | None:
    """Errors of collectives: they are how a rank learns that another one is gone."""
    distributed = type(error).__name__ in _DISTRIBUTED_ERRORS
    if not distributed and not (isinstance(error, RuntimeError) and _COLLECTIVE.search(text)):
        return None
    if "EADDRINUSE" in text or "address already in use" in text:
        return port_taken(_first_line(error))
    if _PEER_SILENT.search(text):
        return Hang(
            "PeerSilent",
            f"a peer rank did not answer in time: {_first_line(error)}",
            "Look at the logs of the other ranks; raise the time limit if a step may take that long.",
        )
    if distributed or _PEER_LOST.search(text):
        return peer_lost()
    return None


def peer_lost() -> Infrastructure:
    """This rank ended only because another one had."""
    return Infrastructure(PEER_LOST, "peer rank lost", "The log of the rank that ended first says why.")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:600] if lines else type(error).__name__


def _innermost_frame(error: BaseException) -> str:
    """`file:line in function` of the innermost frame of our code, or of any if there is none of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "no frame"
    own = [f for f in frames if Path(f.filename).resolve().is_relative_to(_PACKAGE)]
    frame = (own or frames)[-1]
    path = Path(frame.filename)
    shown = path.relative_to(_PACKAGE.parent) if own else Path(path.name)
    return f"{shown}:{frame.lineno} in {frame.name}"
