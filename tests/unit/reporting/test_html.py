"""report.html: whole, self-contained, and text from data stays text."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from finetune_api.report import EvaluationReport, GateResult, Outcome
from finetune_trainer.reporting import sections
from finetune_trainer.reporting.html import render_html
from finetune_trainer.reporting.markdown import render_markdown
from unit.reporting import sample

VOID = {"meta", "input", "br", "img"}


class Page(HTMLParser):
    """Tags, attributes and the text of a page; fails where tags do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.raw: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("style", "script"):
            self.raw[self._open[-1]] = data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def html() -> str:
    return render_html(sample.report(), {"pretrain": sample.history()})


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_hostile_text_stays_text(html: str, page: Page) -> None:
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert "<img" not in html.replace(page.raw["script"], "")
    assert 'alert("x")' in page.text
    assert "{{ 7*7 }}" in page.text
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]


def test_nothing_comes_from_elsewhere(html: str, page: Page) -> None:
    assert not re.findall(r"(?:https?:)?//[a-z]+\.[a-z]+", html)
    links = [value for _, name, value in page.attributes if name in ("href", "src")]
    assert links
    assert all(link.startswith("#") for link in links)
    ids = {value for _, name, value in page.attributes if name == "id"}
    assert {link[1:] for link in links} <= ids


def test_the_policy_allows_this_style_and_this_script_only(page: Page) -> None:
    policy = next(value for tag, name, value in page.attributes if tag == "meta" and "default-src" in value)
    for element in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.raw[element].encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy


def test_the_reader_finds_what_they_came_for(page: Page) -> None:
    for text in (
        "The adapted model is better.", "Gate: failed", "BLEU of en-es (0-shot) at least 99", "31.25", "30.10 to 32.30",
        "+12.85 (+11.50 to +14.21)", "< 0.001", "2.0 % ⚠",
        "62.0 % ✖", "two-sided, corrected for 18 comparisons", "▲ better",
        "Against rivals", "paste: the target of the most similar training pair, unchanged", "+2.25 (+1.50 to +3.00)",
        "Training loss by arm", "Validation loss", "Mixture", "tokens per second",
        "nats per target token", "3–5 words", "Off target", "Most improved (1)", "Worst (1)", "2 min 41 s", "9,377",
        "Samples of dropped rows", "torch 2.15.0", "data.split.seed 17", "sacrebleu", "finetune run",
        "nrefs:1|case:mixed|version:2.6.0", "reports/en-es.1shot.tsv",
    ):  # fmt: skip
        assert text in page.text, text


def test_terms_are_those_of_the_page(html: str) -> None:
    def named(page: str) -> list[str]:
        return re.findall(r"<dt>(.*?)</dt>", page.partition('<dl class="terms">')[2])

    shown = named(html)
    for term in ("chrF++", "BLEU", "TER", "Zero-shot", "One-shot", "Baseline", "p", "Gate", "Arm, mixture"):
        assert term in shown
    assert "BitsPerByte" not in shown
    assert not {"Baseline", "p", "Gate", "Arm, mixture"} & set(
        named(render_html(sample.report(compared=False, gate=False), {}))
    )


def test_figures_on_a_phone_have_their_names_beside_them(html: str, page: Page) -> None:
    """The head of the table of scores is not shown there."""
    labels = [value for _, name, value in page.attributes if name == "data-label"]
    assert labels == ["baseline", "difference", "p", "interval"] * 6
    assert "attr(data-label)" in html


def test_paper_is_a4_and_light(html: str) -> None:
    assert "@page { size: A4;" in html
    assert "@media screen and (prefers-color-scheme: dark)" in html
    assert "@media (prefers-color-scheme: dark)" not in html


def test_failures_and_few_segments_stand_in_the_first_box(html: str) -> None:
    box = html.partition('<div class="verdict Failed">')[2].partition("</div>")[0]
    assert "The adapted model is better." in box
    assert "✖ en-es zero-shot: length ratio 0.05" in box
    assert "⚠ en-es: only 50 segments" in box
    lines = render_markdown(sample.report()).split("\n\n")
    assert lines[1].startswith("**The adapted model")
    assert lines[2].startswith("- ✖ en-es zero-shot: length ratio 0.05")


@pytest.mark.parametrize(
    ("outcome", "gate", "tone"),
    [
        ("Better", True, "Passed"), ("Better", False, "Failed"), ("Worse", True, "Failed"), ("Better", None, "Passed"),
        ("NotUsable", None, "Failed"), ("Mixed", None, ""), ("NoDifference", True, ""), (None, None, ""),
    ],
)  # fmt: skip
def test_the_first_box_is_as_bad_as_the_worse_of_outcome_and_gate(
    outcome: Outcome | None, gate: bool | None, tone: str
) -> None:
    result = None if gate is None else GateResult(passed=gate, checks=[])
    assert sections.tone(sample.report().model_copy(update={"outcome": outcome, "gate": result})) == tone


def test_words_that_differ_are_marked(html: str) -> None:
    assert '<mark class="missing">the</mark> plain' in html
    assert "(empty)" in html


def test_charts_are_well_formed_and_of_bounded_size(html: str) -> None:
    drawings = re.findall(r"<svg .*?</svg>", html, re.DOTALL)
    assert len(drawings) > 8
    for drawing in drawings:
        ET.fromstring(drawing)
    assert len(render_html(sample.report(), {"pretrain": sample.history(90_000)})) < len(html) * 1.3


def test_without_baseline_the_page_compares_nothing() -> None:
    page = Page(render_html(sample.report(compared=False, gate=False), {}))
    assert "baseline: none" in page.text
    for text in ("Most improved", "Difference", "Gate", "Training loss"):
        assert text not in page.text


def test_equal_reports_give_equal_pages(html: str) -> None:
    assert html == render_html(sample.report(), {"pretrain": sample.history()})


@pytest.mark.parametrize("report", [sample.report(), sample.report(compared=False, gate=False)])
def test_markdown_says_the_same_in_short_and_escapes(report: EvaluationReport) -> None:
    text = render_markdown(report)
    assert "| chrF++ |" in text
    assert "**31.25**" in text
    assert ("| paste | zero-shot | chrF++ | 29.00 |" in text) == bool(report.rivals)
    assert ("+12.85 (+11.50 to +14.21)" in text) == ("corrected for 18 comparisons" in text) == bool(report.baseline)
    assert not re.search(r"(?<!\\)<(script|img)", text)
    assert all(line.count(" | ") == lines[0].count(" | ") for lines in _tables(text) for line in lines)


def _tables(text: str) -> list[list[str]]:
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert blocks
    return [[re.sub(r"\\\|", "", line) for line in block] for block in blocks]
