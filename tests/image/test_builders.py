"""Which builder is taken, and what it is told; docker and buildah are played by scripts that note their arguments."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from image import build_images
from image.builders import Buildah, Docker, Order, find_builder
from image.debian_base import ImageError

SCRIPT = """#!{python}
import json, sys
with open({log!r}, "a") as log:
    log.write(json.dumps([{name!r}, *sys.argv[1:]]) + "\\n")
sys.exit({code} if sys.argv[1] in {failing!r} else 0)
"""


class Programs:
    """A folder that is the whole PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"

    def add(self, name: str, code: int = 0, failing: tuple[str, ...] = ()) -> None:
        path = self.folder / name
        text = SCRIPT.format(python=sys.executable, log=str(self.log), name=name, code=code, failing=failing)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setenv("PATH", str(tmp_path))
    return Programs(tmp_path)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order("operator", "a/b:1", tmp_path / "b.tar", {"VERSION": "1"}, {"pip": tmp_path / "pip.conf"})


def test_docker_is_taken_first(programs: Programs, order: Order) -> None:
    programs.add("docker")
    programs.add("buildah")
    find_builder().build(order)
    build, save = programs.calls[-2:]
    assert build[:3] == ["docker", "buildx", "build"]
    assert _value(build, "--target") == "operator"
    assert _value(build, "--tag") == "a/b:1"
    assert _value(build, "--build-arg") == "VERSION=1"
    assert _value(build, "--secret") == f"id=pip,src={order.secrets['pip']}"
    assert save == ["docker", "save", "--output", str(order.archive), "a/b:1"]


@pytest.mark.parametrize("failing", ["info", "buildx"])
def test_docker_that_cannot_build_is_passed_over(programs: Programs, order: Order, failing: str) -> None:
    programs.add("docker", code=1, failing=(failing,))
    programs.add("buildah")
    order.archive.write_bytes(b"of yesterday")
    find_builder().build(order)
    build, push = programs.calls[-2:]
    assert build[:2] == ["buildah", "bud"]
    assert push == ["buildah", "push", "a/b:1", f"oci-archive:{order.archive}:a/b:1"]
    assert not order.archive.exists()


def test_without_a_builder_the_message_names_what_to_install(programs: Programs) -> None:
    with pytest.raises(ImageError, match=r"apt install buildah.*make image BOOTSTRAP=1"):
        find_builder()
    assert build_images.main(["operator"]) == 1


@pytest.mark.parametrize("builder", [Docker(), Buildah()])
def test_a_build_that_fails_is_reported(programs: Programs, order: Order, builder: Docker | Buildah) -> None:
    programs.add("docker", code=3, failing=("buildx",))
    programs.add("buildah", code=3, failing=("bud",))
    with pytest.raises(ImageError, match="ended with 3"):
        builder.build(order)
    assert len(programs.calls) == 1


def test_only_the_trainer_has_variants() -> None:
    operator, trainer = build_images.orders(["operator", "trainer"], "cuda", {"DS_BUILD_FUSED_ADAM": "0"})
    assert operator.name.endswith(operator.arguments["VERSION"])
    assert "EXTRAS" not in operator.arguments
    assert trainer.name.endswith("-cuda")
    assert trainer.arguments["EXTRAS"] == "trainer cuda"
    assert trainer.arguments["DS_BUILD_FUSED_ADAM"] == "0"
    (older,) = build_images.orders(["trainer"], "cuda12", {})
    assert older.name.endswith("-cuda12")
    assert older.arguments["CUDA"] == "12"
    assert "CUDA" not in trainer.arguments


def test_an_unknown_target_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_images.main(["operatr"])
    assert ended.value.code == 2
    assert "choose from operator, trainer" in capsys.readouterr().err


def _value(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]
