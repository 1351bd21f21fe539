"""The kinds that there are, and where an API server serves them."""

from __future__ import annotations

from dataclasses import dataclass

from finetune_api.base import API_VERSION
from finetune_operator.cluster.interface import Kind, Reference


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind's place in the API."""

    api_version: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """Empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """`v1alpha1`."""
        return self.api_version.rpartition("/")[2]

    def is_served(self, namespaces: tuple[str, ...]) -> bool:
        """Whether an operator of these namespaces (none: of all) may read it: a Role reaches no cluster-wide kind."""
        return self.namespaced or not namespaces

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """`/apis/batch/v1/namespaces/team/jobs/one`; no namespace: of all namespaces, or of a cluster-wide kind."""
        parts = ["", "apis" if "/" in self.api_version else "api", self.api_version]
        if namespace is not None and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        return "/".join(parts)


RESOURCES: dict[Kind, Resource] = {
    "FineTuneJob": Resource(API_VERSION, "finetunejobs"),
    "FineTuneRuntime": Resource(API_VERSION, "finetuneruntimes"),
    "ClusterFineTuneRuntime": Resource(API_VERSION, "clusterfinetuneruntimes", namespaced=False),
    "Job": Resource("batch/v1", "jobs"),
    "Pod": Resource("v1", "pods"),
    "Service": Resource("v1", "services"),
    "ConfigMap": Resource("v1", "configmaps"),
    "PersistentVolumeClaim": Resource("v1", "persistentvolumeclaims"),
    "NetworkPolicy": Resource("networking.k8s.io/v1", "networkpolicies"),
    "Event": Resource("events.k8s.io/v1", "events"),
}


def path_of(reference: Reference) -> str:
    """Path of one object."""
    return RESOURCES[reference.kind].path(reference.namespace, reference.name)
