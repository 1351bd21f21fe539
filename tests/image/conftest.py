"""The operator's image, built once for all tests of a session, from nothing that is pulled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from image import build_images
from image.builders import Bootstrap, bootstrap
from image.container import Container
from image.image_archive import ImageArchive, open_archive


@pytest.fixture(scope="session")
def builder() -> Iterator[Bootstrap]:
    """BuildKit, running, with the base of Debian's packages."""
    with bootstrap() as builder:
        yield builder


@pytest.fixture(scope="session")
def image(builder: Bootstrap, tmp_path_factory: pytest.TempPathFactory) -> ImageArchive:
    """The operator's image, as `make image` builds it."""
    orders = build_images.orders(["operator"], "cpu", {})
    build_images.build(orders, builder)
    return open_archive(orders[0].archive, tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="session")
def files(image: ImageArchive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root file system of the image."""
    root = tmp_path_factory.mktemp("root")
    root.chmod(0o755)
    image.unpack(root)
    return root


@pytest.fixture(scope="session")
def container(image: ImageArchive, files: Path, tmp_path_factory: pytest.TempPathFactory) -> Container:
    """Runs programs of the image."""
    return Container(files, image.configuration, tmp_path_factory.mktemp("containers"))
