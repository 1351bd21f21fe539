"""Lines in, lines out: order, blank lines, batches, notes and text that is not UTF-8."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import pytest

from finetune_trainer.errors import BadData
from finetune_trainer.interactive.translate import answer_lines


class Shouting:
    """Answers in capitals, and keeps what it was asked."""

    def __init__(self, notes: Sequence[str] = ()) -> None:
        self.asked: list[list[str]] = []
        self.notes = notes

    def __call__(self, texts: Sequence[str]) -> tuple[list[str], list[str]]:
        self.asked.append(list(texts))
        return [text.upper() for text in texts], list(self.notes)


def answers(content: bytes, answer: Shouting, batch_size: int = 2) -> tuple[str, list[str]]:
    out, told = BytesIO(), list[str]()
    answer_lines(BytesIO(content), out, answer, batch_size, told.append)
    return out.getvalue().decode(), told


def test_each_line_has_its_answer_and_a_blank_one_none() -> None:
    answer = Shouting()
    assert answers("\ufeffaño\r\n\n  b \n\n\nc".encode(), answer) == ("AÑO\n\nB\n\n\nC\n", [])
    assert answer.asked == [["año"], ["b"], ["c"]]


def test_nothing_in_is_nothing_out() -> None:
    assert answers(b"", Shouting()) == ("", [])


def test_notes_tell_of_which_lines_they_are() -> None:
    assert answers(b"a\nb\nc\n", Shouting(["one was long"]))[1] == [
        "lines 1 to 2: one was long", "lines 3 to 3: one was long"
    ]  # fmt: skip


def test_lines_before_one_that_is_not_utf8_are_answered() -> None:
    out = BytesIO()
    with pytest.raises(BadData, match=r"^standard input, line 4: not UTF-8 text$") as caught:
        answer_lines(BytesIO(b"a\nb\nc\n\xf1\nd\n"), out, Shouting(), 2, pytest.fail)
    assert out.getvalue() == b"A\nB\nC\n"
    assert caught.value.remedy == "Convert it: iconv -f LATIN1 -t UTF-8."
