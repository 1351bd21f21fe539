"""A real node: containerd, runc, kubelet, CoreDNS and kube-router beside a control plane, in namespaces of their own.

It runs in the namespaces that `node_requirements.NAMESPACES` makes, so nothing of it is left, however the tests end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cluster.control_plane import LOOPBACK, NODE, ControlPlane, KubectlError, free_ports, wait_for
from e2e import network_policies
from e2e.node_image import mounted_folders, runtime_spec, write_image
from e2e.node_requirements import CNI_PLUGINS

BRIDGE = "finetune0"
POD_NETWORK = "10.245.0"
GATEWAY = f"{POD_NETWORK}.1"
"""The node's address, and that of its DNS server."""
API_SERVICE = "10.96.0.1"
"""What pods call the API server by; it is an address of the bridge, so no kube-proxy is needed."""
API_PORT = 443
IMAGE_HANDLER = "image"
"""Runs containers from their image alone; the default one mounts the machine's programs over it."""
PAUSE = "node.local/pause:1"
CGROUP = "finetune-e2e"
CGROUP_ROOT = Path("/sys/fs/cgroup")
CGROUP_V1_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd")
KERNEL_SETTINGS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}
"""What kubelet wants to see; it sees them in this mount namespace only."""
READY_SECONDS = 90.0


def in_own_namespaces() -> bool:
    """Whether this process may build a node: no packet of it leaves the machine."""
    return not _run("ip", "route", "show", "default").strip()


@dataclass
class RealNode:
    """One node of `plane`.

    Args:
        plane: made by `plane_for_node`, not started.
        root: the repository, which containers see.
        images: names by which manifests call the one image there is.
    """

    plane: ControlPlane
    root: Path
    images: Sequence[str]

    @property
    def folder(self) -> Path:
        """State and logs."""
        return self.plane.folder

    def __post_init__(self) -> None:
        self._sockets = Path(tempfile.mkdtemp(prefix="shims-", dir="/tmp"))
        """containerd takes no path of more than 42 characters for those of its shims."""

    def start(self) -> None:
        """Network, control plane, containerd, kubelet, DNS, NetworkPolicies; returns when the node is ready."""
        self._make_network()
        _remove_cgroups()  # of a run that was killed
        self._make_cgroups()
        self._set_kernel()
        self.plane.start()
        self._configure_containerd()
        self._start_containerd()
        self.import_machine_image()
        self._configure_kubelet()
        self._start_kubelet()
        self._start_dns()
        wait_for("the node", self.is_ready, READY_SECONDS)
        network_policies.enforce(self.plane)

    def stop(self) -> None:
        """End the pods, then everything else."""
        self.plane.succeeds("delete", "pods", "--all", "--all-namespaces", "--grace-period=1", "--timeout=30s")
        self.plane.stop()
        _run("ip", "link", "delete", BRIDGE)
        _remove_cgroups()
        shutil.rmtree(self._sockets)

    def crash(self) -> None:
        """As if the power failed: every process of kubelet, containerd and the pods is gone at once."""
        for name in ("kubelet", "containerd"):
            self.plane.kill(name)
        _succeeds("pkill", "-KILL", "-f", f"containerd-shim-runc-v2 .*{self.folder}")
        _remove_cgroups()

    def boot(self) -> None:
        """The power is back."""
        self._make_cgroups()
        self._start_containerd()
        self._start_kubelet()

    def is_ready(self) -> bool:
        """As the control plane sees it."""
        try:
            conditions = self.plane.get("node", NODE)["status"]["conditions"]
        except KubectlError:
            return False
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def import_image(self, archive: Path) -> None:
        """Put an OCI archive where kubelet finds it."""
        _run(*self._ctr(), "images", "import", "--all-platforms", str(archive))

    def import_machine_image(self) -> None:
        """Put the image there whose programs are the machine's, under all its names."""
        archive = self.folder / "image.tar"
        write_image(archive, [PAUSE, *self.images], self.plane.programs["pause"])
        self.import_image(archive)

    def tag_image(self, name: str, other: str) -> None:
        """Give an image a second name."""
        _run(*self._ctr(), "images", "tag", name, other)

    def _ctr(self) -> tuple[str, ...]:
        return (str(self.plane.programs["ctr"]), "--address", str(self._socket), "--namespace", "k8s.io")

    @property
    def _socket(self) -> Path:
        return self.folder / "containerd.sock"

    def _make_network(self) -> None:
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "address", "add", f"{GATEWAY}/24", "dev", BRIDGE)
        _run("ip", "address", "add", f"{API_SERVICE}/32", "dev", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")

    def _make_cgroups(self) -> None:
        if _is_cgroup_v2():
            return
        for controller in CGROUP_V1_CONTROLLERS:
            (CGROUP_ROOT / controller / CGROUP).mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            value = (CGROUP_ROOT / "cpuset" / name).read_text(encoding="utf-8")
            (CGROUP_ROOT / "cpuset" / CGROUP / name).write_text(value, encoding="utf-8")

    def _set_kernel(self) -> None:
        _run("mount", "--make-rshared", "/")
        folder = self.folder / "kernel"
        folder.mkdir(parents=True)
        for name, value in KERNEL_SETTINGS.items():
            stand_in = folder / name.replace("/", ".")
            stand_in.write_text(f"{value}\n", encoding="utf-8")
            _run("mount", "--bind", str(stand_in), f"/proc/sys/{name}")

    def _configure_containerd(self) -> None:
        specification = self.folder / "runtime-spec.json"
        default = json.loads(_run(str(self.plane.programs["ctr"]), "oci", "spec"))
        specification.write_text(json.dumps(runtime_spec(default, mounted_folders(self.root))), encoding="utf-8")
        networks = self.folder / "cni"
        networks.mkdir()
        (networks / "10-pods.conflist").write_text(json.dumps(_network(self.folder / "ipam")), encoding="utf-8")
        configuration = self._containerd_configuration(specification, networks)
        (self.folder / "containerd.toml").write_text(configuration, encoding="utf-8")
        os.environ["PATH"] = (
            f"{self.plane.programs['containerd'].parent}:{os.environ['PATH']}"  # it finds its shim there
        )

    def _start_containerd(self) -> None:
        self.plane.run("containerd", "--config", str(self.folder / "containerd.toml"))
        wait_for("containerd", lambda: _succeeds(*self._ctr(), "version"))

    def _containerd_configuration(self, specification: Path, networks: Path) -> str:
        return f"""version = 4
root = '{self.folder}/containerd/root'
state = '{self.folder}/containerd/state'
disabled_plugins = ['io.containerd.nri.v1.nri']
[plugins.'io.containerd.server.v1.grpc']
address = '{self._socket}'
[plugins.'io.containerd.server.v1.ttrpc']
address = '{self._socket}.ttrpc'
[plugins.'io.containerd.shim.v1.manager']
socket_dir = '{self._sockets}'
[plugins.'io.containerd.internal.v1.opt']
path = '{self.folder}/opt'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{PAUSE}'
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
disable_apparmor = true
cdi_spec_dirs = []
[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = 'machine'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.machine]
runtime_type = 'io.containerd.runc.v2'
base_runtime_spec = '{specification}'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.machine.options]
BinaryName = '{shutil.which("runc")}'
Root = '{self.folder}/runc'
SystemdCgroup = false
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{IMAGE_HANDLER}]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{IMAGE_HANDLER}.options]
BinaryName = '{shutil.which("runc")}'
Root = '{self.folder}/runc'
SystemdCgroup = false
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['{CNI_PLUGINS}']
conf_dir = '{networks}'
"""

    def _configure_kubelet(self) -> None:
        resolver = self.folder / "resolv.conf"
        resolver.write_text(f"nameserver {GATEWAY}\n", encoding="utf-8")
        configuration = json.dumps(self._kubelet_configuration(resolver))
        (self.folder / "kubelet.json").write_text(configuration, encoding="utf-8")

    def _start_kubelet(self) -> None:
        self.plane.run(
            "kubelet",
            f"--config={self.folder / 'kubelet.json'}",
            f"--kubeconfig={self.plane.kubeconfig('kubelet')}",
            f"--root-dir={self.folder / 'kubelet'}",
            f"--cert-dir={self.folder / 'kubelet-pki'}",
            f"--hostname-override={NODE}",
            f"--node-ip={GATEWAY}",
        )

    def _kubelet_configuration(self, resolver: Path) -> dict[str, object]:
        never = ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "pid.available")
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": "/" if _is_cgroup_v2() else f"/{CGROUP}",
            "oomScoreAdj": 0,
            "failSwapOn": False,
            "protectKernelDefaults": True,
            "makeIPTablesUtilChains": False,
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "resolvConf": str(resolver),
            "clusterDomain": "cluster.local",
            "clusterDNS": [GATEWAY],
            "address": GATEWAY,
            "healthzBindAddress": LOOPBACK,
            # Nobody but these tests is in this network.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "evictionHard": dict.fromkeys([*never, "imagefs.inodesFree"], "0%"),
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "podLogsDir": str(self.folder / "pod-logs"),
            "volumePluginDir": str(self.folder / "volume-plugins"),
        }

    def _start_dns(self) -> None:
        ready = f"{LOOPBACK}:{free_ports(1)[0]}"
        configuration = self.folder / "Corefile"
        configuration.write_text(
            f"""cluster.local:53 in-addr.arpa:53 {{
  bind {GATEWAY}
  errors
  ready {ready}
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {self.plane.kubeconfig()} c
    ttl 1
  }}
}}
""",
            encoding="utf-8",
        )
        self.plane.run("coredns", "-conf", str(configuration))
        wait_for("CoreDNS", lambda: _succeeds("curl", "--silent", "--fail", f"http://{ready}/ready"))


def plane_for_node(folder: Path, programs: dict[str, Path]) -> ControlPlane:
    """A control plane that pods can reach, by the address that Kubernetes tells them."""
    return ControlPlane(
        folder,
        programs,
        address="0.0.0.0",  # of a network without a way out
        port=API_PORT,
        flags={
            "kube-apiserver": (
                f"--advertise-address={GATEWAY}",
                "--kubelet-preferred-address-types=InternalIP",
                "--allow-privileged=true",
            )
        },
    )


def _network(state: Path) -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "dataDir": str(state),
        "ranges": [[{"subnet": f"{POD_NETWORK}.0/24", "rangeStart": f"{POD_NETWORK}.2", "gateway": GATEWAY}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True, "ipam": addresses}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}


def _is_cgroup_v2() -> bool:
    return (CGROUP_ROOT / "cgroup.controllers").exists()


def _remove_cgroups() -> None:
    """End what still runs in pods, and remove their groups."""
    roots = [CGROUP_ROOT / controller / CGROUP for controller in (*CGROUP_V1_CONTROLLERS, "unified")]
    for folder in (folder for root in roots if root.exists() for folder in sorted(root.glob("**/"), reverse=True)):
        wait_for(f"the end of {folder}", lambda folder=folder: _is_removed(folder))  # type: ignore[misc]


def _is_removed(group: Path) -> bool:
    """Kill what is in a group and remove it; a process takes its time to leave."""
    for pid in (group / "cgroup.procs").read_text(encoding="utf-8").split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    with suppress(OSError):
        group.rmdir()
        return True
    return False


def _run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
