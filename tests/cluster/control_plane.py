"""A Kubernetes control plane on loopback: etcd, API server, controller manager, scheduler; and KWOK nodes if asked."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import lifeline
from finetune_api.objects import Object

MEMORY = "/dev/shm"
"""A file system in memory."""
LOOPBACK = "127.0.0.1"
ANY_PORT = 0
NODE = "node-1"
"""Name of the node with a real kubelet, where there is one."""
OPERATOR_USER = "system:serviceaccount:finetune-operator:finetune-operator"
NAMESPACED = "namespaced-operator"
"""Namespace of an operator with Roles only, and its user in tokens.csv."""
START_SECONDS = 60.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Limits:
    """Requests per second that the components allow themselves."""

    controller_manager: int = 20
    controller_manager_burst: int = 30
    scheduler: int = 50
    scheduler_burst: int = 100


RAISED = Limits(500, 500, 500, 500)


@dataclass
class ControlPlane:
    """One cluster in one folder. Processes are stopped by pid, or killed with ours.

    Args:
        folder: for data, keys, logs; its own.
        programs: paths of the programs by name.
        limits: of the clients of the API server.
        audit: a log of all writes in `folder/audit.log`.
        address: where the API server listens.
        port: of the API server; 0 for a free one.
        flags: more flags of components, by name.
    """

    folder: Path
    programs: dict[str, Path]
    limits: Limits = Limits()
    audit: bool = False
    address: str = LOOPBACK
    port: int = ANY_PORT
    flags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _data: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> None:
        """Start all components and wait until they serve."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._etcd, self._peer, free = free_ports(3)
        self.port = self.port or free
        self._write_keys()
        self.start_etcd()
        self.start_api_server()
        self.run("kube-controller-manager", *self._controller_manager_flags())
        self.run("kube-scheduler", *self._scheduler_flags())
        wait_for("the default service account", lambda: self.succeeds("get", "serviceaccount", "default"))

    def stop(self) -> None:
        """Stop everything that was started, the API server's clients first."""
        for name in reversed(list(self.processes)):
            self.kill(name)
        if self._data is not None:
            self._data.cleanup()

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End one component."""
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(STOP_SECONDS)

    def run(self, name: str, *flags: str) -> None:
        """Start a component; its output goes to `<name>.log`."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = lifeline.start(
                [self.programs[name], *flags, *self.flags.get(name, ())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

    def start_etcd(self) -> None:
        """etcd in memory: nothing here outlives the tests, and what others write to the disk cannot hold it up."""
        self._data = tempfile.TemporaryDirectory(prefix="etcd-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
        client, peer = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{self._peer}"
        self.run(
            "etcd",
            f"--data-dir={self._data.name}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=error",
        )
        wait_for("etcd", lambda: _answers(f"{client}/health"))

    def start_api_server(self) -> None:
        """Start it, or start it again on the same port."""
        flags = [
            f"--etcd-servers=http://127.0.0.1:{self._etcd}",
            f"--secure-port={self.port}",
            f"--bind-address={self.address}",
            f"--cert-dir={self.folder / 'pki'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={self.folder / 'sa.key'}",
            f"--service-account-key-file={self.folder / 'sa.pub'}",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--v=1",
        ]
        if self.audit:
            policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": AUDIT_RULES}
            (self.folder / "audit-policy.json").write_text(json.dumps(policy), encoding="utf-8")
            flags += [
                f"--audit-policy-file={self.folder / 'audit-policy.json'}",
                f"--audit-log-path={self.folder / 'audit.log'}",
                "--audit-log-maxsize=4000",
            ]
        self.run("kube-apiserver", *flags)
        wait_for("the API server", lambda: _answers(f"{self.url}/readyz", self.tokens["admin"]))

    @property
    def url(self) -> str:
        """Of the API server."""
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self, user: str = "admin", server: str | None = None) -> Path:
        """Credentials of a user of tokens.csv."""
        path = self.folder / f"{user}.kubeconfig"
        cluster = {"server": server or self.url, "insecure-skip-tls-verify": True}
        value = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        if server is not None:
            path = self.folder / f"{user}-{server.rpartition(':')[2]}.kubeconfig"
        if not path.exists():  # others may be reading it
            path.write_text(json.dumps(value), encoding="utf-8")
        return path

    def kubectl(self, *arguments: str, stdin: str | None = None, user: str = "admin") -> str:
        """Output of kubectl.

        Raises:
            KubectlError: with what it said.
        """
        command = [str(self.programs["kubectl"]), f"--kubeconfig={self.kubeconfig(user)}", *arguments]
        environment = os.environ | {"HOME": str(self.folder)}  # its discovery cache
        result = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, env=environment)
        if result.returncode != 0:
            raise KubectlError(result.stderr.strip())
        return result.stdout

    def succeeds(self, *arguments: str) -> bool:
        """Whether kubectl ends well."""
        try:
            self.kubectl(*arguments)
        except KubectlError:
            return False
        return True

    def get(self, *arguments: str) -> Object:
        """`kubectl get … -o json`."""
        value: Object = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return value

    def apply(self, *values: Object, user: str = "admin") -> str:
        """Server-side apply."""
        return self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(_list(values)), user=user)

    def start_kwok(self, nodes: int, config: Path | None = None) -> None:
        """Nodes on which pods run at once, without processes."""
        self.apply(*(_node(index) for index in range(nodes)))
        flags = [f"--kubeconfig={self.kubeconfig()}", "--manage-all-nodes", "--node-lease-duration-seconds=40"]
        self.run("kwok", *flags, *([f"--config={config}"] if config else []))
        self.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=120s")

    def _write_keys(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (self.folder / "sa.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        (self.folder / "sa.pub").write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        users = {
            "admin": ("admin", "system:masters"),
            "controllers": ("system:kube-controller-manager", ""),
            "scheduler": ("system:kube-scheduler", ""),
            "operator": (OPERATOR_USER, "system:serviceaccounts,system:serviceaccounts:finetune-operator"),
            NAMESPACED: (
                f"system:serviceaccount:{NAMESPACED}:finetune-operator",
                f"system:serviceaccounts,system:serviceaccounts:{NAMESPACED}",
            ),
            "tenant": ("tenant", "tenants"),
            "kubelet": (f"system:node:{NODE}", "system:nodes"),
        }
        self.tokens = {user: secrets.token_hex(16) for user in users}
        lines = [f'{self.tokens[user]},{name},{user},"{groups}"' for user, (name, groups) in users.items()]
        (self.folder / "tokens.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _controller_manager_flags(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig('controllers')}",
            f"--service-account-private-key-file={self.folder / 'sa.key'}",
            f"--root-ca-file={self.folder / 'pki' / 'apiserver.crt'}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--secure-port=0",
            f"--kube-api-qps={self.limits.controller_manager}",
            f"--kube-api-burst={self.limits.controller_manager_burst}",
        ]

    def _scheduler_flags(self) -> list[str]:
        kubeconfig = self.kubeconfig("scheduler")
        config = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": False},
            "clientConnection": {
                "kubeconfig": str(kubeconfig),
                "qps": self.limits.scheduler,
                "burst": self.limits.scheduler_burst,
            },
        }
        path = self.folder / "scheduler.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        return [f"--config={path}", "--secure-port=0"]


class KubectlError(Exception):
    """kubectl ended with an error."""


AUDIT_RULES = [
    {"level": "None", "verbs": ["get", "list", "watch"]},
    {"level": "None", "resources": [{"group": "coordination.k8s.io"}, {"group": "authorization.k8s.io"}]},
    {"level": "Metadata", "omitStages": ["RequestReceived"]},
]


@contextmanager
def running(plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane, from start to stop."""
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def wait_for(what: str, is_there: Callable[[], Any], seconds: float = START_SECONDS, every: float = 0.05) -> Any:
    """Wait until `is_there`, asked every so many seconds, says something true, and return it.

    Raises:
        TimeoutError: naming `what`, if that takes longer.
    """
    end = time.monotonic() + seconds
    while True:
        found = is_there()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not there after {seconds:.0f} s")
        time.sleep(every)


def _answers(url: str, token: str = "") -> bool:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _list(values: tuple[Object, ...]) -> Object:
    return {"apiVersion": "v1", "kind": "List", "items": list(values)}


def _node(index: int) -> Object:
    size = {"cpu": "1000", "memory": "4Ti", "pods": "1000"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"node-{index:04d}", "labels": {"type": "kwok"}},
        "status": {"allocatable": size, "capacity": size},
    }
