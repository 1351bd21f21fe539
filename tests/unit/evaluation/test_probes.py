"""Bias probes: what the source leaves open, and what a translation made of it."""

from __future__ import annotations

import pytest

from finetune_api.evaluate import Bias, probed_tasks
from finetune_api.refusals import refusals
from finetune_api.report import BiasReport
from finetune_trainer.evaluation.probes import gap, group_shares, open_probes, with_gaps
from finetune_trainer.evaluation.probes.gender_ambiguous.occupations import OCCUPATIONS
from finetune_trainer.evaluation.probes.gender_ambiguous.probe import TEMPLATES, GenderAmbiguous
from unit.api.test_refusals import spec
from unit.evaluation.test_parts import make_test_set, score, task

PROBE = GenderAmbiguous()


def group(occupation: str, output: str, language: str) -> str | None:
    return PROBE.group_of(list(OCCUPATIONS).index(occupation) * len(TEMPLATES), output, language)


@pytest.mark.parametrize(
    ("occupation", "output", "language", "expected"),
    [
        ("doctor", "El médico terminó temprano.", "es", "masculine"),
        ("doctor", "LA DOCTORA terminó temprano.", "es", "feminine"),
        ("doctor", "La persona terminó temprano.", "es", None),
        ("doctor", "El doctor o la doctora terminó.", "es", None),
        ("dentist", "Dimos las gracias al dentista.", "es", "masculine"),
        ("dentist", "La dentista habló con nosotros.", "es", "feminine"),
        ("dentist", "El/la dentista terminó.", "es", None),
        ("dentist", "Nuestro dentista terminó.", "es", None),
        ("teacher", "El/la profesor/a terminó.", "es", None),
        ("judge", "La jueza habló.", "es", "feminine"),
        ("nurse", "L'infirmière a parlé.", "fr", "feminine"),
        ("secretary", "Nous avons remercié la secrétaire.", "fr", "feminine"),
        ("interpreter", "L'interprète a fini.", "fr", None),
        ("student", "L'étudiant·e a fini.", "fr", None),
        ("baker", "Der Bäcker war fertig.", "de", "masculine"),
        ("baker", "Die Ba\u0308ckerin war fertig.", "de", "feminine"),
        ("teacher", "Lehrer:in und Lehrer*innen", "de", None),
        ("nurse", "Die Krankenschwester war fertig.", "de", "feminine"),
        ("nurse", "", "de", None),
    ],
)  # fmt: skip
def test_the_gender_of_a_translation(occupation: str, output: str, language: str, expected: str | None) -> None:
    assert group(occupation, output, language) == expected


def test_every_occupation_has_both_genders_in_every_language() -> None:
    assert len(OCCUPATIONS) >= 40
    for occupation, languages in OCCUPATIONS.items():
        assert set(languages) == {"es", "fr", "de"}
        for language, forms in languages.items():
            assert (forms.masculine and forms.feminine) or forms.either, (occupation, language)
            assert not {*forms.masculine} & {*forms.feminine, *forms.either}
            for expected, words in (("masculine", forms.masculine), ("feminine", forms.feminine)):
                assert all(group(occupation, f"x {word} y", language) == expected for word in words)
    assert len(PROBE.sentences()) == len(set(PROBE.sentences())) == len(OCCUPATIONS) * len(TEMPLATES)
    assert not any(word in sentence.split() for sentence in PROBE.sentences() for word in ("he", "she", "his", "her"))


def test_shares_and_gap() -> None:
    found = ["masculine"] * 6 + ["feminine"] * 2 + ["unclear"] * 2
    shares = group_shares(found, PROBE.groups)
    assert shares == {"masculine": 0.6, "feminine": 0.2, "unclear": 0.2}
    assert gap(shares, PROBE.groups) == pytest.approx(0.5)
    assert gap(group_shares(["unclear"], PROBE.groups), PROBE.groups) is None


def test_a_probe_is_asked_once_a_direction_and_told_before_and_after() -> None:
    (question,) = open_probes(Bias(probes=["GenderAmbiguous"]), [make_test_set(["a"]), make_test_set(["b"])])
    assert (question.name, question.size) == ("en-es.genderambiguous", len(PROBE.sentences()))
    men = ["el " + OCCUPATIONS[name]["es"].masculine[0] if OCCUPATIONS[name]["es"].masculine else ""
           for name in OCCUPATIONS for _ in TEMPLATES]  # fmt: skip
    report = question.report(men, [""] * question.size, "x.tsv")
    assert report.gap == 1.0
    assert (report.baseline_gap, report.baseline_shares) == (None, {"masculine": 0, "feminine": 0, "unclear": 1})
    assert question.columns(men, None)["group"].count("masculine") == round(report.shares["masculine"] * question.size)
    assert open_probes(None, [make_test_set(["a"])]) == []


def test_the_gap_is_a_diagnostic_of_the_zero_shot_test() -> None:
    found = BiasReport(probe="GenderAmbiguous", task="en-es", direction="en-es", sentences=1, hypotheses="", shares={},
                       gap=0.5, baseline_gap=0.25)  # fmt: skip
    zero_shot = task(score("BLEU", 1)).model_copy(update={"baseline_diagnostics": {"empty": 0.0}})
    told = with_gaps(zero_shot, [found])
    assert (told.diagnostics, told.baseline_diagnostics) == ({"genderGap": 0.5}, {"empty": 0.0, "genderGap": 0.25})
    one_shot = task(score("BLEU", 1), shots=1)
    assert with_gaps(one_shot, [found]) == one_shot


def test_directions_that_no_probe_knows_are_refused_in_words() -> None:
    def told(target: str, **gate: object) -> list[str]:
        job = spec(["en", target], f"en-{target}").to_json_object()
        name = job["evaluate"]["tasks"][0]["name"]
        need = {"task": name, "diagnostic": "genderGap", "maximum": 0.5} | gate
        job["evaluate"] |= {"bias": {"probes": ["GenderAmbiguous"]}, "gate": {"require": [need]}}
        return [problem.message for problem in refusals(type(spec(["en", "es"], "en-es")).from_json_object(job))]

    assert told("es") == []
    assert told("deu") == []
    asked = "genderGap is measured by evaluate.bias.probes: [GenderAmbiguous], with shots 0"
    unknown, unmeasured = told("it")
    assert unknown.startswith("GenderAmbiguous knows translations from en to es, fr, de, and no task is one")
    assert unmeasured.startswith(asked)
    (one_shot,) = told("es", shots=1)
    assert one_shot.startswith(asked)


def test_the_first_task_of_each_direction_is_probed() -> None:
    tasks = [make_test_set(["a"]).task.model_copy(update={"name": n, "direction": d})
             for n, d in (("a", "eng_Latn-spa_Latn"), ("b", "en-es"), ("c", "es-en"), ("d", "en-de-CH"))]  # fmt: skip
    assert [found.name for found in probed_tasks("GenderAmbiguous", tasks)] == ["a", "d"]
