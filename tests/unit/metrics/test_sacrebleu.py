"""BLEU and TER count words as the language's script wants it, however its code is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from finetune_trainer.metrics import create_metric
from finetune_trainer.metrics.sacrebleu import tokenisation
from finetune_trainer.reporting.tsv import TSV_COLUMNS, write_tsv


@pytest.mark.parametrize(
    ("codes", "tokenizer", "asian"),
    [
        ("zh zho chi cmn yue zh-Hant zh-Hans-CN zho_Hans zh_TW.UTF-8", "zh", True),
        ("ja jpn ja-JP jpn_Jpan", "char", True),
        ("ko kor kor_Hang ko-KR", "char", True),
        ("th tha km khm my mya bur lo lao bo bod tib dz dzo", "char", False),
        ("en eng eng_Latn de es vi vie pt-BR ru hi ar zh-Latn ca-valencia", "13a", False),
        ("", "13a", False),
    ],
)
def test_words_are_found_by_the_script(codes: str, tokenizer: str, asian: bool) -> None:
    for code in codes.split() or [""]:
        assert (tokenisation(code).bleu, tokenisation(code).ter_asian) == (tokenizer, asian), code
        assert f"|tok:{tokenizer}|" in create_metric("BLEU", code).signature
        words = "yes" if asian else "no"
        assert f"|norm:{words}|punct:yes|asian:{words}|" in create_metric("TER", code).signature


def test_what_is_counted_in_place_of_words_is_told() -> None:
    assert create_metric("TER", "zho").note == "TER of zho counts ideographs, and what stands between them."
    assert create_metric("BLEU", "tha_Thai").note == "BLEU of tha_Thai counts characters."
    assert create_metric("BLEU", "zh-Hans-CN").note == (
        "BLEU of zh-Hans-CN counts Chinese characters, and words in other scripts."
    )
    assert [create_metric("TER", code).note for code in ("es", "ko", "")] == [""] * 3
    assert [create_metric(name, code).note for name, code in (("BLEU", "es"), ("BLEU", ""), ("chrF++", "th"))] == [
        "", "", ""
    ]  # fmt: skip


REFERENCES = ["水壶在炉子上。", "请关上窗户。", "这条河很宽。"]
OUTPUTS = ["水壶在桌子上。", "请打开窗户。", "河"]


def test_the_code_of_three_letters_scores_as_that_of_two() -> None:
    for name in ("BLEU", "TER"):
        scores = []
        for code in ("zh", "zho", "cmn"):
            metric = create_metric(name, code)
            scores.append(metric.score(metric.statistics(OUTPUTS, [(reference,) for reference in REFERENCES]).sum(0)))
        assert scores[0] == scores[1] == scores[2]
        assert 0 < scores[0] < 100  # by blanks each sentence is one wrong word: BLEU 0, TER 100


@pytest.mark.parametrize("name", ["BLEU", "TER"])
def test_the_command_in_the_report_gives_the_score_again(tmp_path: Path, name: str) -> None:
    metric = create_metric(name, "zho")
    score = metric.score(metric.statistics(OUTPUTS, [(reference,) for reference in REFERENCES]).sum(0))
    write_tsv(tmp_path / "x.tsv", dict(zip(TSV_COLUMNS, [REFERENCES, REFERENCES, OUTPUTS, OUTPUTS], strict=True)))
    command = create_metric(name, "").command("x.tsv", metric.signature)
    assert command is not None
    command = command.replace("sacrebleu", f"{sys.executable} -m sacrebleu", 1)
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(score, abs=6e-5)
