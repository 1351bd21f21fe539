"""The Kubernetes API as a `Cluster`."""

from finetune_operator.cluster.kubernetes.cache import ObjectCache
from finetune_operator.cluster.kubernetes.caching_cluster import CachingCluster
from finetune_operator.cluster.kubernetes.client import KubernetesCluster, load_configuration

__all__ = ["CachingCluster", "KubernetesCluster", "ObjectCache", "load_configuration"]
