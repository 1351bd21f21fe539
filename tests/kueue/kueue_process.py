"""A real Kueue beside the control plane: its CRDs and webhooks come with its module, its process runs on loopback."""

from __future__ import annotations

import base64
import ipaddress
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cluster.build_tools import MANIFESTS
from cluster.control_plane import LOOPBACK, ControlPlane, free_ports, wait_for
from finetune_api.objects import Object

GROUPS = ("kueue.x-k8s.io", "batch")
"""API groups whose webhooks are installed: those of other frameworks would only cost time."""
PROCESS = "kueue-with-own-etc"


def start_kueue(plane: ControlPlane) -> None:
    """Install Kueue and run it; returns when its webhooks answer."""
    manifests = plane.programs["kueue"].parent / MANIFESTS / "components"
    webhook_port, health_port = free_ports(2)
    folder = plane.folder / "kueue"
    certificate = _write_certificate(folder / "etc" / "kueue" / "metrics" / "certs")
    plane.kubectl("create", "namespace", "kueue-system")
    for path in sorted((manifests / "crd" / "bases").glob("*.yaml")):
        plane.kubectl("create", "-f", str(path))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    config = folder / "config.yaml"
    config.write_text(json.dumps(_configuration(webhook_port, health_port)), encoding="utf-8")
    flags = (f"--config={config}", f"--kubeconfig={plane.kubeconfig()}", "--feature-gates=VisibilityOnDemand=false")
    plane.programs[PROCESS] = _with_own_etc(plane.programs["kueue"], folder)
    plane.run(PROCESS, *flags)
    plane.apply(*_webhooks(manifests / "webhook" / "manifests.yaml", webhook_port, certificate))
    wait_for("Kueue's webhooks", lambda: plane.succeeds("create", "--dry-run=server", "-f", _flavor_file(folder)))


def _with_own_etc(program: Path, folder: Path) -> Path:
    """Kueue reads its key from a fixed place below /etc: it gets an /etc of its own, which nobody else sees."""
    user = "" if os.geteuid() == 0 else "--user --map-root-user "
    # In a new user namespace a process no longer ends with its parent, unless it asks for that again.
    mount = 'mount --bind "$0" /etc && exec setpriv --pdeathsig KILL -- "$@"'
    script = folder / PROCESS
    script.write_text(
        f"#!/bin/sh\nexec unshare --mount {user}-- sh -c '{mount}' '{folder / 'etc'}' '{program}' \"$@\"\n",
        encoding="utf-8",
    )
    script.chmod(0o755)
    return script


def _configuration(webhook_port: int, health_port: int) -> Object:
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": f"{LOOPBACK}:{health_port}"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"host": LOOPBACK, "port": webhook_port, "certDir": "/etc/kueue/metrics/certs"},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "integrations": {"frameworks": ["batch/job"]},
    }


def _flavor_file(folder: Path) -> str:
    path = folder / "flavor.json"
    path.write_text(json.dumps(flavor("probe")), encoding="utf-8")
    return str(path)


def flavor(name: str) -> Object:
    """A ResourceFlavor."""
    return {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "ResourceFlavor", "metadata": {"name": name}}


def _webhooks(path: Path, port: int, certificate: bytes) -> Iterator[Object]:
    """The module's webhooks, called by URL instead of by Service."""
    for configuration in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        kept = [hook for hook in configuration["webhooks"] if hook["rules"][0]["apiGroups"][0] in GROUPS]
        for hook in kept:
            url = f"https://{LOOPBACK}:{port}{hook['clientConfig']['service']['path']}"
            hook["clientConfig"] = {"url": url, "caBundle": base64.b64encode(certificate).decode()}
        yield configuration | {"webhooks": kept}


def _write_certificate(folder: Path) -> bytes:
    """A key and a certificate of its own for loopback; returns the certificate as PEM."""
    folder.mkdir(parents=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, LOOPBACK)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "tls.crt").write_bytes(pem)
    (folder / "tls.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem
