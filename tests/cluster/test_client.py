"""What the API server makes of what the client sends."""

from __future__ import annotations

import asyncio

from kubernetes.aio.client import ApiClient

from cluster.control_plane import ControlPlane
from cluster.jobs import job
from finetune_api.objects import Object
from finetune_api.status import FineTuneJobStatus, ProgressStatus
from finetune_operator.cluster.interface import Reference
from finetune_operator.cluster.kubernetes import KubernetesCluster, load_configuration


def test_a_map_in_the_status_can_become_empty_again(plane: ControlPlane, namespace: str) -> None:
    """The mixture of pretrain is gone when evaluate begins."""
    plane.apply(job("learns", namespace))

    async def write_both() -> Object:
        async with ApiClient(await load_configuration(str(plane.kubeconfig("operator")))) as api:
            cluster = KubernetesCluster(api)
            for mixture in ({"en": 0.4, "es": 0.6}, {}):
                status = FineTuneJobStatus(progress=ProgressStatus(step=1, mixture=mixture))
                stored = await cluster.get(Reference("FineTuneJob", namespace, "learns"))
                await cluster.apply_status(stored | {"status": status.to_json_object()} | _own_metadata(stored))
            return await cluster.get(Reference("FineTuneJob", namespace, "learns"))

    stored = asyncio.run(write_both())
    assert not stored["status"]["progress"].get("mixture")
    assert stored["status"]["progress"]["step"] == 1


def _own_metadata(stored: Object) -> Object:
    return {"metadata": {key: stored["metadata"][key] for key in ("name", "namespace", "resourceVersion")}}
