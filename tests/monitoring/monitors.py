"""From ServiceMonitor and PodMonitor to what Prometheus is told, as the Prometheus Operator does it."""

from __future__ import annotations

import re
from pathlib import Path

from finetune_api.objects import Object

_META = "__meta_kubernetes_"


def scrape_config(monitor: Object, kubeconfig: Path) -> Object:
    """The job of a monitor's one endpoint: namespaces, labels and port decide what is scraped."""
    metadata, spec = monitor["metadata"], monitor["spec"]
    is_pods = monitor["kind"] == "PodMonitor"
    (endpoint,) = spec["podMetricsEndpoints" if is_pods else "endpoints"]
    chosen = spec.get("namespaceSelector", {})
    names = [] if chosen.get("any") else chosen.get("matchNames", [metadata["namespace"]])
    discovery: Object = {"role": "pod" if is_pods else "endpointslice", "kubeconfig_file": str(kubeconfig)}
    port = "pod_container_port_name" if is_pods else "endpointslice_port_name"
    return {
        "job_name": f"{monitor['kind']}/{metadata['namespace']}/{metadata['name']}",
        "honor_labels": endpoint.get("honorLabels", False),
        "metrics_path": endpoint["path"],
        "kubernetes_sd_configs": [discovery | ({"namespaces": {"names": names}} if names else {})],
        "relabel_configs": [
            *(
                _keep(f"{'pod' if is_pods else 'service'}_label_{re.sub(r'[^a-zA-Z0-9_]', '_', key)}", value)
                for key, value in spec["selector"]["matchLabels"].items()
            ),
            _keep(port, endpoint["port"]),
            {"action": "drop", "source_labels": [f"{_META}pod_phase"], "regex": "Failed|Succeeded"},
            _label("namespace", "namespace"),
            _label("pod", "pod_name"),
        ],
    }


def _keep(source: str, value: str) -> Object:
    return {"action": "keep", "source_labels": [_META + source], "regex": re.escape(value)}


def _label(name: str, source: str) -> Object:
    return {"source_labels": [_META + source], "target_label": name}
