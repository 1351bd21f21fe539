"""Terms of a dictionary: what is asked of an output, and what it lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from finetune_api.dictionary import read_dictionary
from finetune_api.refusals import refusals
from finetune_trainer.tasks.translation.kept import FEWEST
from finetune_trainer.tasks.translation.task import TranslationTask
from finetune_trainer.tasks.translation.terms import AskedTerms, Terms
from unit.api.test_methods import spec
from unit.evaluation.test_parts import make_test_set

WORDS = {
    "liver": ("hígado",),
    "blood pressure": ("presión arterial", "tensión arterial"),
    "c++": ("C++",),
    "café": ("cafetería",),
}


@pytest.mark.parametrize(
    ("source", "reference", "output", "lost"),
    [
        ("The liver hurts.", "Duele el hígado.", "Duele el HÍGADO", []),
        ("The liver hurts.", "Duele el hígado.", "Duele la vida.", ["liver → hígado"]),
        ("Liverpool", "El hígado", "nada", []),  # no word of the source
        ("The liver hurts.", "Le duele ahí.", "nada", []),  # the reference says it otherwise
        ("High blood  pressure", "Presión arterial alta", "Tensión arterial alta", []),
        ("High blood pressure", "Presión arterial alta", "Presiones arteriales",
         ["blood pressure → presión arterial / tensión arterial"]),
        ("In C++, the liver", "En C++, el hígado", "En C, el", ["c++ → C++", "liver → hígado"]),
        ("The cafe\u0301 is shut", "La cafetería", "cafetería", []),
        ("The cafe\u0301 is shut", "La cafetería", "", ["café → cafetería"]),
    ],
)  # fmt: skip
def test_what_is_asked_and_lost(source: str, reference: str, output: str, lost: list[str]) -> None:
    terms = Terms(WORDS, ("en", "es"))
    asked = AskedTerms(terms, [terms.asked(source, reference)])
    assert sorted(map(str, asked.lost(0, output))) == sorted(lost)


def test_scripts_without_blanks_are_searched_by_characters() -> None:
    terms = Terms({"肝臓": ("liver",)}, ("ja", "en"))
    assert [term.source for term in terms.asked("彼の肝臓が痛い", "His liver hurts")] == ["肝臓"]
    back = Terms({"liver": ("肝臓",)}, ("en", "ja"))
    (term,) = back.asked("His liver hurts", "彼の肝臓が痛い")
    assert back.kept([term], "肝臓病") == [term]


def test_the_share_is_of_segments_with_a_term_and_worst_segments_name_it() -> None:
    sources = ["The liver"] * 12 + ["Nothing"] * 88
    terms = Terms({"liver": ("liver",)}, ("en", "es"))
    asked = AskedTerms(terms, [terms.asked(source, source) for source in sources])
    test_set = replace(make_test_set(sources), terms=asked)
    outputs = ["The"] * 3 + ["The liver"] * 9 + [""] * 88
    task = TranslationTask()
    assert task.diagnose(test_set, outputs)["termsLost"] == 0.25
    assert task.lost(test_set, 0, "The") == ["liver → liver"]
    assert task.lost(test_set, 3, "The liver") == task.lost(make_test_set(sources), 0, "The") == []


def test_few_segments_with_a_term_tell_nothing_but_a_note() -> None:
    sources = ["The liver"] * (FEWEST - 1)
    terms = Terms({"liver": ("liver",)}, ("en", "es"))
    test_set = replace(make_test_set(sources), terms=AskedTerms(terms, [terms.asked(s, s) for s in sources]))
    assert "termsLost" not in TranslationTask().diagnose(test_set, [""] * len(sources))
    notes = TranslationTask().notes(spec({"method": "Full"}), test_set)
    assert f"only {FEWEST - 1} segments have a term" in notes[0]


def test_all_lines_that_are_no_terms_are_told(tmp_path: Path) -> None:
    path = tmp_path / "terms.tsv"
    path.write_bytes("liver\thígado\nliver\tel hígado\n\nheart\nlung\t\nkidney\tri".encode() + b"\xf1\xf3n\n")
    with pytest.raises(ValueError, match=r"terms.tsv:4: .*; .*terms.tsv:5: .*; .*terms.tsv:6: byte 10 is not UTF-8"):
        read_dictionary(path)
    path.write_text("\n\n")
    with pytest.raises(ValueError, match="holds no words"):
        read_dictionary(path)
    path.write_text("liver\thígado\nLiver\thepático\n", encoding="utf-8")
    assert read_dictionary(path) == {"liver": ("hígado", "hepático")}


def test_terms_that_nobody_counts_are_refused() -> None:
    def told(task: dict[str, object], **gate: object) -> list[str]:
        tasks = [{"name": "t", "source": "ui", **task}]
        evaluate = {"tasks": tasks, "gate": {"require": [{"task": "t", "diagnostic": "termsLost", "maximum": 0.1}]}}
        job = spec({"method": "Full"}).model_dump(by_alias=True, exclude_none=True) | {"evaluate": evaluate}
        return [str(problem) for problem in refusals(type(spec({"method": "Full"})).model_validate(job))]

    translation: dict[str, object] = {"direction": "en-es"}
    assert told(translation | {"terms": {"uri": "terms.tsv"}}) == []
    assert told(translation) == [
        "spec.evaluate.gate.require[0].diagnostic: termsLost needs a dictionary: give evaluate.tasks[0].terms"
    ]
    assert told(translation | {"terms": {"uri": "s3://a/terms.tsv"}})[0].startswith("spec.evaluate.tasks[0].terms.uri")
