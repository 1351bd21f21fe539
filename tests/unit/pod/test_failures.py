"""What an exception means for the job."""

from __future__ import annotations

import errno
import os

import pytest

from finetune_api.exit_codes import ExitCode
from finetune_trainer.errors import BadData
from finetune_trainer.observe.times import TimeAccount
from finetune_trainer.pod.failures import explain


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class DistBackendError(RuntimeError):
    """Named as torch's."""


def os_error(number: int, file: str = "model.safetensors") -> OSError:
    return OSError(number, os.strerror(number), file)


GLOO_RESET = "[../third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.3]:4312"
GLOO_SILENT = "[gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 300000ms for recv operation to complete"
ALLOCATOR = "[alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 B"


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (BadData("MalformedRow", "a.tsv:1: no"), ExitCode.BAD_DATA, "MalformedRow"),
        (MemoryError(), ExitCode.OUT_OF_MEMORY, "OutOfMemory"),
        (OutOfMemoryError("CUDA out of memory. Tried to"), ExitCode.OUT_OF_MEMORY, "OutOfMemory"),
        (RuntimeError(ALLOCATOR), ExitCode.OUT_OF_MEMORY, "OutOfMemory"),
        (os_error(errno.ENOSPC), ExitCode.BAD_CONFIGURATION, "DiskFull"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), ExitCode.BAD_CONFIGURATION, "DiskFull"),
        (os_error(errno.EACCES), ExitCode.BAD_CONFIGURATION, "NotWritable"),
        (os_error(errno.EROFS), ExitCode.BAD_CONFIGURATION, "NotWritable"),
        (os_error(errno.EADDRINUSE), ExitCode.BAD_CONFIGURATION, "PortTaken"),
        (RuntimeError(GLOO_RESET), ExitCode.KILLED, "PeerLost"),
        (
            DistBackendError("NCCL error: remote process exited or network error"),
            ExitCode.KILLED,
            "PeerLost",
        ),
        (RuntimeError(GLOO_SILENT), ExitCode.HANG, "PeerSilent"),
        (RuntimeError("[Rank 0]: Ranks 3 failed to pass monitoredBarrier in 3 ms"), ExitCode.HANG, "PeerSilent"),
        (ZeroDivisionError("division by nought"), ExitCode.BUG, "Bug"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), ExitCode.BUG, "Bug"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), ExitCode.BUG, "Bug"),
    ],
)
def test_the_exit_code_says_whose_fault_it_is(error: BaseException, code: ExitCode, reason: str) -> None:
    failure = explain(error)
    assert (failure.exit_code, failure.reason) == (code, reason)
    assert failure.message
    assert "\n" not in failure.message


def test_the_cause_behind_a_wrapped_error_counts() -> None:
    error = ValueError("cannot write the shard")
    error.__cause__ = os_error(errno.ENOSPC, "tokens.bin")
    failure = explain(error)
    assert failure.reason == "DiskFull"
    assert "tokens.bin" in failure.message
    assert "goes on where it was" in failure.remedy


def test_a_bug_names_type_message_and_our_innermost_frame() -> None:
    with pytest.raises(TypeError) as caught:
        TimeAccount(lambda *_: None, 0.0).add("data", "much")  # type: ignore[arg-type]
    message = explain(caught.value).message
    assert message.startswith("TypeError: ")
    assert "finetune_trainer/observe/times.py:" in message
    assert "in add" in message
