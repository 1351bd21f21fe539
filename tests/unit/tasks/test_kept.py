"""Numbers, placeholders and tags that an output lost; what the reference changes is not asked of it."""

from __future__ import annotations

import pytest

from finetune_trainer.tasks.translation.kept import FEWEST, lost_shares


def lost(source: str, reference: str, hypothesis: str) -> dict[str, float]:
    return lost_shares([source] * FEWEST, [reference] * FEWEST, [hypothesis] * FEWEST)


@pytest.mark.parametrize(
    ("source", "reference", "hypothesis", "shares"),
    [
        ("1,000.5 m in 2024", "1.000,5 m en 2024", "1000,5 m en 2024", {"numbersLost": 0.0}),
        ("costs 15 and 15", "cuesta 15 y 15", "cuesta 15", {"numbersLost": 1.0}),
        ("in 3 days", "en tres días", "mañana", {}),
        ("12 files", "١٢ ملف", "ملف", {"numbersLost": 1.0}),
        ("%d of %(all)s", "%d de %(all)s", "%d de todos", {"placeholdersLost": 1.0}),
        ("{0} of {name:>5}", "{name:>5}: {0}", "{name:>5}, {0}", {"placeholdersLost": 0.0}),
        ("50% discount", "50 % de descuento", "50 % de rebaja", {"numbersLost": 0.0}),
        ("<b>Bold</b><br/>", "<b>Negrita</b><br>", "<b>Negrita<br>", {"tagsLost": 1.0}),
        ('<a href="x" title="one">go</a>', '<a href="x" title="uno">ir</a>', "<a>ir</a>", {"tagsLost": 0.0}),
        ("%1$s has {1} <b>7</b>", "%1$s tiene {1} <b>7</b>", "tiene",
         {"numbersLost": 1.0, "placeholdersLost": 1.0, "tagsLost": 1.0}),
        ("nothing", "nada", "", {}),
    ],
)  # fmt: skip
def test_what_is_lost(source: str, reference: str, hypothesis: str, shares: dict[str, float]) -> None:
    assert lost(source, reference, hypothesis) == shares


def test_shares_are_of_the_segments_that_have_one_and_few_tell_nothing() -> None:
    sources = ["5 a"] * 12 + ["b"] * 88
    outputs = [""] * 3 + ["5 a"] * 9 + ["b"] * 88
    assert lost_shares(sources, sources, outputs) == {"numbersLost": 0.25}
    few = FEWEST - 1
    assert lost_shares(["5"] * few, ["5"] * few, [""] * few) == {}
