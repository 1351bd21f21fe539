"""The runtimes that every local cluster has: processes of this machine need no image and no scheduling."""

from __future__ import annotations

from finetune_api.base import API_VERSION
from finetune_api.objects import Object


def built_in_runtimes() -> list[Object]:
    """`cpu` hides accelerators; `cuda` and `local` take what is there."""
    hidden = [{"name": "CUDA_VISIBLE_DEVICES", "value": ""}, {"name": "DS_ACCELERATOR", "value": "cpu"}]
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "ClusterFineTuneRuntime",
            "metadata": {"name": name},
            "spec": {"image": "local", "environment": environment},
        }
        for name, environment in (("cpu", hidden), ("cuda", []), ("local", []))
    ]
