"""Links lead somewhere, commands exist, manifests pass, and every word that a user may read is explained."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from finetune_api.status import CONDITION_TYPES
from finetune_operator.reconcile.types import EventReason
from unit.cli.commands import finetune

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "charts").rglob("*.md")])
IN_REPOSITORY = re.compile(r"(?:charts|crds|docs|manifests|tests)/[\w./-]+")


def tokens_of(page: Path) -> Iterator[Token]:
    """All tokens of a page, those within lines too."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, text) of every block of code in a language."""
    return [
        (str(page.relative_to(ROOT)), token.content)
        for page in PAGES
        for token in tokens_of(page)
        if token.type == "fence" and token.info.strip() == language
    ]


def commands() -> list[tuple[str, str]]:
    """(page, command) of every line of the blocks of shell, continued lines joined, without comments."""
    lines = [(page, line) for page, text in blocks("sh") for line in text.replace("\\\n", " ").splitlines()]
    return [(page, line) for page, line in lines if line.strip() and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for token in tokens_of(page):
        href = str(token.attrGet("href") or "") if token.type == "link_open" else ""
        link = urlsplit(href)
        if not href or link.scheme or not link.path:
            continue
        assert (page.parent / link.path).exists(), href


def test_every_page_is_on_the_site() -> None:
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs")) in listed, page


@pytest.mark.parametrize(("page", "text"), blocks("sh"))
def test_shell_is_shell(page: str, text: str) -> None:
    result = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert result.returncode == 0, (page, result.stderr)


@pytest.mark.parametrize(("page", "text"), blocks("yaml"))
def test_manifests_pass(page: str, text: str, tmp_path: Path) -> None:
    for value in yaml.safe_load_all(text):
        if value.get("kind") == "FineTuneJob":
            (tmp_path / "ui.tsv").write_text("a\tb\n", encoding="utf-8")
            (tmp_path / "job.yaml").write_text(text, encoding="utf-8")
            told = finetune(tmp_path, "lint", "job.yaml")
            assert told.returncode == 0, (page, told.stderr)


def test_commands_name_what_is_there() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    own = set(re.findall(r"^## finetune (\w+)", (ROOT / "docs/reference/cli.md").read_text("utf-8"), re.MULTILINE))
    seen = 0
    for page, command in commands():
        words = shlex.split(command, comments=True)
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, (page, command)
        elif words[0].endswith("finetune"):
            assert words[1] in own, (page, command)
        for path in IN_REPOSITORY.findall(" ".join(words)):
            assert (ROOT / path).exists(), (page, path)
            seen += 1
    assert seen > 5


def test_values_that_commands_set_are_values_of_the_chart() -> None:
    schema = yaml.safe_load((ROOT / "charts/finetune-operator/values.schema.json").read_text(encoding="utf-8"))
    for page, command in commands():
        if command.startswith("helm"):
            for given in re.findall(r"--set '?([\w.]+)=", command):
                part = schema
                for name in given.split("."):
                    assert name in part["properties"], (page, given)
                    part = part["properties"][name]


@pytest.mark.parametrize("words", [CONDITION_TYPES, get_args(EventReason)], ids=["conditions", "events"])
def test_troubleshooting_explains_every_word(words: tuple[str, ...]) -> None:
    rows = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").splitlines()
    first_cells = " ".join(row.split("|")[1] for row in rows if row.startswith("| `"))
    assert set(words) <= set(re.findall(r"`(\w+)`", first_cells))
