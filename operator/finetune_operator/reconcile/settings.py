"""Numbers of the controller that are no part of a job's spec."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Intervals in seconds, budgets in restarts of one stage."""

    status_interval_seconds: float = 15.0
    """Progress is written at most this often, unless a condition changes."""
    waiting_seconds: float = 60.0
    """Pods that do not run yet are looked for this often; news of them cause a visit at once."""
    first_status_seconds: float = 5.0
    """The first status of a job waits this long for its pods to run, unless there is anything else to report."""
    backoff_base_seconds: float = 10.0
    """Wait before the first restart after a failure of the machine; doubles with each within the window."""
    backoff_max_seconds: float = 300.0
    """Longest wait."""
    settle_seconds: float = 30.0
    """How long to wait for the other pods' exit codes after the first pod failed."""
    heartbeat_seconds: float = 20.0
    """A heartbeat is looked at this often."""
    stall_confirm_seconds: float = 30.0
    """A heartbeat must stay too old for this long."""
    bug_restarts: int = 1
    """Exit 70 and unknown exit codes."""
    out_of_memory_restarts: int = 1
    """Exit 78 and OOMKilled: each halves the micro-batch."""
    non_finite_restarts: int = 3
    """Exit 76: each skips more data."""
    skip_steps: int = 10
    """Data steps skipped after the checkpoint, per restart from exit 76."""
    node_failures: int = 2
    """A node is avoided after so many failures in one stage."""
    looks_at_parents: bool = True
    """Whether parents are jobs of the cluster; else the command line has looked at them."""
    allows_workspace_path: bool = False
    """Whether a job may name a folder of the machine: on a cluster that would be any node's."""
    serves_cluster_runtimes: bool = True
    """False: the operator has rights in single namespaces only."""
    operator_namespace: str | None = None
    """Where the operator's pods are, for the NetworkPolicy of a job; None: jobs get none."""
    scrape_namespaces: tuple[str, ...] = ()
    """From where else the metrics of a job's pods may be read."""


DEFAULT_SETTINGS = Settings()
LOCAL_SETTINGS = Settings(
    status_interval_seconds=1.0,
    backoff_base_seconds=1.0,
    backoff_max_seconds=60.0,
    settle_seconds=10.0,
    looks_at_parents=False,
    allows_workspace_path=True,
)
"""For one job on one machine, watched by a person."""
