"""A cluster without Kubernetes: a durable object store, and pods as processes of this machine.

It does what `finetune run` needs for one FineTuneJob on one machine, and no more: Indexed Jobs whose pods have one
container and never restart, the fields and volumes that `reconcile` puts into them (the plan's ConfigMap, the
workspace, empty folders, claims that a URI names), stable host names, grace periods, garbage collection by owner.
Whatever else Kubernetes has is refused by name rather than ignored. What a cluster needs beyond that belongs into
`cluster/kubernetes`, and is tested on a real control plane.
"""

from finetune_operator.cluster.local.local_cluster import LocalCluster
from finetune_operator.cluster.workspace_lock import WorkspaceInUseError

__all__ = ["LocalCluster", "WorkspaceInUseError"]
