"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = {
    "finetune_api": "crds",
    "finetune_operator": "operator",
    "finetune_charts": "trainer",
    "finetune_trainer": "trainer",
    "finetune_cli": "cli",
}
ALLOWED_IN_API = {"pydantic", "pydantic_core", "finetune_api"} | sys.stdlib_module_names
# `python -m finetune_api.generate` writes YAML; it is a tool of the house that no package imports.
GENERATOR = {("generate.py", "babel"), ("generate.py", "yaml")}
LOCKS = ("requirements/bootstrap.txt", "requirements/constraints.txt", "requirements/constraints-cuda12.txt")
TORCHS_OWN = re.compile(r"torch|triton|cuda-.*|nvidia-.*")
"""What comes with torch, of one release of CUDA or another."""
# Spelled in pieces, so that this file does not find itself.
REGISTRY_HOSTS = re.compile(
    "|".join(
        name + r"\." + domain
        for name, domain in [
            ("py" + "pi", "org"),
            ("python" + "hosted", "org"),
            ("download.py" + "torch", "org"),
            ("docker", "io"),
            ("gh" + "cr", "io"),
            ("quay", "io"),
            ("hugging" + "face", "co"),
        ]
    )
)
MACHINE_PATHS = re.compile(r"(?<![\w.<{$])/(?:wo" + r"rk|ro" + r"ot|ho" + r"me|Us" + r"ers)/\w")


@pytest.fixture(scope="module")
def tracked(root: Path) -> list[Path]:
    """Text files that are, or would be, committed."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git work tree, so there is no list of tracked files")
    paths = [root / name for name in listing.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:4096]]


def lines_matching(paths: list[Path], root: Path, pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(root)}:{number}: {line.strip()[:120]}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def imported_roots(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_the_standard_operator_module_is_importable_from_the_root(root: Path) -> None:
    code = "import operator; assert operator.eq(1, 1), operator.__file__"
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
    assert not (root / "operator" / "__init__.py").exists()


@pytest.mark.parametrize(("package", "folder"), PACKAGES.items())
def test_each_package_is_typed_and_lives_in_its_folder(package: str, folder: str, root: Path) -> None:
    assert (root / folder / package / "__init__.py").is_file()
    assert (root / folder / package / "py.typed").is_file()


def test_the_contract_package_imports_only_pydantic_and_the_standard_library(root: Path) -> None:
    foreign = {
        f"{path.name}: {name}"
        for path in (root / "crds" / "finetune_api").rglob("*.py")
        for name in imported_roots(path)
        if name not in ALLOWED_IN_API and (path.name, name) not in GENERATOR
    }
    assert not foreign


def test_nothing_imports_the_generator(root: Path) -> None:
    users = [
        str(path.relative_to(root))
        for package, folder in PACKAGES.items()
        for path in (root / folder / package).rglob("*.py")
        if re.search(r"^\s*(from|import) finetune_api(\.| import )generate", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert not users


def test_the_base_install_has_no_torch(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[^\w-]", line)[0].lower() for line in project["dependencies"]}
    assert names.isdisjoint({"torch", "transformers", "deepspeed", "peft", "datasets", "accelerate"})


def test_no_registry_hosts_and_no_paths_of_one_machine(tracked: list[Path], root: Path) -> None:
    assert lines_matching(tracked, root, REGISTRY_HOSTS) == []
    assert lines_matching(tracked, root, MACHINE_PATHS) == []


@pytest.mark.parametrize("name", LOCKS)
def test_locks_hold_versions_and_hashes_but_no_addresses(name: str, root: Path) -> None:
    lines = (root / name).read_text(encoding="utf-8").splitlines()
    requirement = re.compile(r"^[a-z0-9][a-z0-9._-]*==[\w.+!-]+( ; [^@:/]+)? \\$")
    digest = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
    assert [line for line in lines if not (requirement.match(line) or digest.match(line))] == []
    starts = [number for number, line in enumerate(lines) if requirement.match(line)]
    assert starts
    assert all(digest.match(lines[number + 1]) for number in starts), "a pin without a hash"


def test_both_locks_agree(root: Path) -> None:
    def pins(name: str) -> set[tuple[str, str]]:
        return set(re.findall(r"^([a-z0-9._-]+)==(\S+)", (root / name).read_text("utf-8"), re.MULTILINE))

    constraints, bootstrap = pins("requirements/constraints.txt"), pins("requirements/bootstrap.txt")
    assert {name for name, _ in bootstrap - constraints} == {"uv"}


def test_the_lock_of_cuda_12_differs_in_torch_alone(root: Path) -> None:
    newer, older = (
        dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (root / f"requirements/{name}").read_text("utf-8"), re.MULTILINE))
        for name in ("constraints.txt", "constraints-cuda12.txt")
    )
    others = [{name: pin for name, pin in pins.items() if not TORCHS_OWN.fullmatch(name)} for pins in (newer, older)]
    assert others[0] == others[1], "run: make lock"
    assert f"torch=={older['torch']}" == (root / "requirements/cuda12.in").read_text("utf-8").strip()
    of_cuda_12 = {name for name in older if name.startswith("nvidia-")}
    assert of_cuda_12
    assert all(name.endswith("-cu12") for name in of_cuda_12)


def test_every_dependency_is_pinned(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in wanted}
    pinned = set(
        re.findall(r"^([a-z0-9._-]+)==", (root / "requirements/constraints.txt").read_text("utf-8"), re.MULTILINE)
    )
    assert names - pinned == set(), "run: make lock"


def test_files_stay_short(tracked: list[Path], root: Path) -> None:
    long = {
        str(path.relative_to(root)): count
        for path in tracked
        if path.suffix in {".py", ".sh", ".md"} and (count := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert not long


def test_commands_in_the_documents_are_targets_of_make(root: Path) -> None:
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):.*## ", makefile, re.MULTILINE))
    assert len(targets) <= 24, "make help is one screen"
    documents = [root / "README.md", root / "CONTRIBUTING.md", *(root / "docs").rglob("*.md")]
    named = {
        name
        for document in documents
        for name in re.findall(r"(?:`|^)make ([a-z0-9-]+)", document.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {"demo", "test"} <= named
    assert named <= targets


def test_links_between_documents_lead_somewhere(tracked: list[Path], root: Path) -> None:
    broken = [
        f"{path.relative_to(root)} -> {target}"
        for path in tracked
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert not broken
