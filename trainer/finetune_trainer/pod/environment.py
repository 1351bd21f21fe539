"""Environment variables that have to be right before torch and its friends are imported."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from finetune_api import labels


def has_cuda(environment: MutableMapping[str, str]) -> bool:
    """Whether a GPU can be used, judged without importing torch."""
    return environment.get("CUDA_VISIBLE_DEVICES", "all") not in ("", "-1") and Path("/dev/nvidiactl").exists()


def set_defaults(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set what is not set yet."""
    defaults = {
        # Models and data come from the workspace; nothing is fetched during training.
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        # Warnings of torch's C++ side about host names and sockets.
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "PYTHONUNBUFFERED": "1",
    }
    if has_cuda(environment):
        # The older name is for torch before 2.9.
        defaults |= dict.fromkeys(("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"), "expandable_segments:True")
    else:
        defaults |= {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    if environment.get(labels.ENV_POD_IP, "").startswith("127."):
        # gloo asks the host's name for its address, which need not be the loopback one.
        defaults["GLOO_SOCKET_IFNAME"] = "lo"
    for name, value in defaults.items():
        environment.setdefault(name, value)
