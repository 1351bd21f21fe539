"""A cluster without Kubernetes: a durable object store, and pods as processes of this machine."""

from finetune_operator.cluster.local.local_cluster import LocalCluster
from finetune_operator.cluster.local.lock import WorkspaceInUseError

__all__ = ["LocalCluster", "WorkspaceInUseError"]
