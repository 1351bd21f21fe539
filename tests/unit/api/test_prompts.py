"""Prompts that lint refuses."""

from __future__ import annotations

import pytest

from finetune_api.prompt_text import text_problems
from finetune_api.refusals import refusals
from unit.api.test_methods import spec

GOOD = "{examples}{source_language}: {source}\n{target_language}: {target}"
PAIR = "{source_language}: {source}\n{target_language}: {target}\n"


def told(prompts: dict[str, object]) -> list[str]:
    return [str(problem) for problem in refusals(spec({"method": "Full", "prompts": prompts}))]


@pytest.mark.parametrize(
    ("text", "example", "words"),
    [
        (GOOD, PAIR, []),
        ("{source} => {target}", None, ["text: must have {examples}, for shots has 1"]),
        (GOOD, None, ["example: must be given, for shots has 1"]),
        ("{source} {target", PAIR, ["text: expected '}' before end of string"]),
        ("{source.__class__}{target}", PAIR, [
            "text: no placeholder is called {source.__class__}", "text: must have {source} once",
        ]),
        ("{source!r}{target}", PAIR, ["text: {source} has a format"]),
        ("{examples} {source} is {target}.", PAIR, ["text: must end with {target}"]),
        ("{source}{examples} {target}", PAIR, [
            "text: must have {examples} before {source}", "example: must have {source} after a blank",
        ]),
        ("{exampels}{target}", "{x}", [
            "text: no placeholder is called {exampels}", "text: must have {source} once",
            "example: no placeholder is called {x}", "example: must have {source} once",
            "example: must have {target} once",
        ]),
        (GOOD, "{target}: {source}", [
            "example: must have {source} before {target}", "example: must have {target} after a blank",
        ]),
    ],
)  # fmt: skip
def test_a_text_of_ones_own_shows_the_source_and_where_the_target_begins(
    text: str, example: str | None, words: list[str]
) -> None:
    found = [f"{field}: {message}" for field, message in text_problems(text, example, [0, 1])]
    assert len(found) == len(words), found
    assert all(message.startswith(begin) for message, begin in zip(found, words, strict=True)), found


def test_no_shots_need_no_examples() -> None:
    assert not list(text_problems("{source} => {target}", None, [0]))


def test_what_a_template_needs_and_what_it_has_no_use_for() -> None:
    assert told({"template": "DiPMT"}) == ["spec.adapt.prompts.dictionary: DiPMT needs it"]
    assert told({"template": "Custom"}) == ["spec.adapt.prompts.text: Custom needs it"]
    assert told({"template": "ALMA", "text": GOOD, "dictionary": {"uri": "d.tsv"}}) == [
        "spec.adapt.prompts.text: ALMA has no use for it: use template: Custom",
        "spec.adapt.prompts.dictionary: ALMA has no use for it: use template: DiPMT",
    ]
    assert told({"template": "Custom", "text": GOOD, "example": PAIR}) == []
    (chat,) = told({"template": "Chat"})
    assert chat.startswith("spec.adapt.prompts.template: a model from scratch has no chat template")
