"""The Kubernetes API as a `Cluster`."""

from finetune_operator.cluster.kubernetes.cache import CachedCluster
from finetune_operator.cluster.kubernetes.client import KubernetesCluster, load_configuration

__all__ = ["CachedCluster", "KubernetesCluster", "load_configuration"]
