"""What is in the operator's image, what is not, and that it runs where nothing can be written."""

from __future__ import annotations

import importlib.util
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from image.container import USER, Container
from image.image_archive import ImageArchive, entries, unpacked_size

OWN_BYTES = 150_000_000
BASE_LAYERS = 1
"""Of the base in debian_base.py."""
SITE = "opt/finetune/lib/python3.11/site-packages"
PROGRAMS_OF_BUILDS = ("c++", "cc", "g++", "gcc", "make", "nvcc", "pip", "uv")
UNCHECKED_HASH = 1
"""In the header of bytecode: it is used whatever the time stamp of its source."""
WRITE_EVERYWHERE = """
import errno, os, tempfile
assert os.getuid() == os.getgid() == 65532, os.getuid()
for folder, _, _ in os.walk("/"):
    if folder.startswith(("/proc", "/sys", "/dev", "/tmp")):
        continue
    try:
        open(os.path.join(folder, "probe"), "w")
    except OSError as error:
        assert error.errno in (errno.EROFS, errno.EACCES), (folder, error)
    else:
        raise AssertionError(folder)
tempfile.TemporaryFile().write(b"x")
import finetune_operator.process.main
print("imported")
"""


@pytest.fixture(scope="module")
def version(root: Path) -> str:
    return str(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def all_files(root: Path) -> Iterator[tuple[Path, int]]:
    for path in root.rglob("*"):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode):
            yield path, mode


def test_own_layers_are_small(image: ImageArchive) -> None:
    own = [unpacked_size(layer) for layer in image.layers[BASE_LAYERS:]]
    assert 10_000_000 < sum(own) <= OWN_BYTES, own


def test_a_new_version_of_the_operator_is_a_small_layer(image: ImageArchive) -> None:
    last = image.layers[-1]
    assert any(entry.name == f"{SITE}/finetune_operator/process/main.py" for entry in entries(last))
    assert unpacked_size(last) < 5_000_000


def test_the_manifest_names_the_image_and_its_command(image: ImageArchive, root: Path) -> None:
    deployment = yaml.safe_load((root / "manifests/install/deployment.yaml").read_text(encoding="utf-8"))
    pod = deployment["spec"]["template"]["spec"]
    assert image.names == [pod["containers"][0]["image"]]
    assert image.configuration["Entrypoint"] == pod["containers"][0]["command"]
    user = pod["securityContext"]
    assert image.configuration["User"] == f"{user['runAsUser']}:{user['runAsGroup']}" == f"{USER}:{USER}"


def test_labels_say_what_it_is(image: ImageArchive, version: str) -> None:
    labels = {name.rpartition(".")[2]: value for name, value in image.configuration["Labels"].items()}
    assert labels["version"] == version
    assert labels["title"] == "finetune-operator"
    assert labels["licenses"] == "Apache-2.0"
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", labels["revision"])


def test_versions_are_those_of_the_constraints(files: Path, root: Path, version: str) -> None:
    constraints = (root / "requirements/constraints.txt").read_text(encoding="utf-8")
    pinned = {_canonical(name): pin for name, pin in re.findall(r"^([\w.-]+)==([^\s;]+)", constraints, re.MULTILINE)}
    found = dict(folder.name.removesuffix(".dist-info").split("-", 1) for folder in (files / SITE).glob("*.dist-info"))
    installed = {_canonical(name): pin for name, pin in found.items()}
    assert installed.pop("finetune-operator") == version
    assert {"kopf", "kubernetes", "pydantic"} <= installed.keys()
    assert {"torch", "pytest", "pip", "setuptools", "uv"}.isdisjoint(installed)
    assert installed == {name: pinned[name] for name in installed}


@pytest.mark.parametrize("package", ["finetune_api", "finetune_operator"])
def test_packages_are_whole(files: Path, package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent
    wanted = {
        path.relative_to(source) for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    installed = files / SITE / package
    assert {path for path in wanted if not (installed / path).is_file()} == set()


def test_no_file_gives_rights_away(files: Path) -> None:
    entitled = [path for path, mode in all_files(files) if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID)]
    assert entitled == []


def test_nobody_may_write_but_into_temporary_folders(files: Path) -> None:
    open_to_all = [path for path, mode in all_files(files) if mode & stat.S_IWOTH and not mode & stat.S_ISVTX]
    assert open_to_all == []


def test_the_product_belongs_to_root(files: Path) -> None:
    foreign = [path for path, _ in all_files(files / "opt") if path.lstat().st_uid != 0 or path.lstat().st_gid != 0]
    assert foreign == []


def test_nothing_of_the_build_is_left(image: ImageArchive, files: Path) -> None:
    own = [entry.name for layer in image.layers[BASE_LAYERS:] for entry in entries(layer)]
    tools = [
        name for name in own if name.startswith(("tools", "source", "code", "wheels", "root", "etc/ssl", "etc/pip"))
    ]
    caches = [name for name in own if re.search(r"(^|/)(\.cache|\.lock|pip|uv)(/|$)|\.whl$", name)]
    assert tools + caches == []
    folders = ("opt/finetune/bin", "usr/local/bin", "usr/bin", "bin")
    assert [name for name in PROGRAMS_OF_BUILDS for folder in folders if (files / folder / name).exists()] == []


def test_bytecode_is_there_and_needs_no_time_stamp(files: Path) -> None:
    for package in ("finetune_operator", "finetune_api", "kopf", "aiohttp", "pydantic"):
        sources = [path for path in (files / SITE / package).rglob("*.py") if "__pycache__" not in path.parts]
        assert sources
        for source in sources:
            bytecode = source.parent / "__pycache__" / f"{source.stem}.cpython-311.pyc"
            assert int.from_bytes(bytecode.read_bytes()[4:8], "little") == UNCHECKED_HASH, source


def test_it_runs_as_nobody_on_a_root_that_is_read_only(container: Container) -> None:
    result = container.run("python", "-c", WRITE_EVERYWHERE)
    assert (result.returncode, result.stdout) == (0, "imported\n"), result.stderr


def test_without_a_cluster_the_operator_says_so(container: Container) -> None:
    result = container.run()
    assert result.returncode == 1
    assert "Set KUBECONFIG or run in a pod" in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_settings_that_are_wrong_are_named(container: Container) -> None:
    result = container.run("env", "FINETUNE_OPERATOR_WORKERS=none", "finetune-operator")
    assert result.returncode == 2
    assert "workers" in result.stderr


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
