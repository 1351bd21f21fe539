"""QuestionAnswering sources: what is read, what is refused with its place, how questions are split and kept."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import datasets
import pytest

from finetune_api.data import Clean, DataSource
from finetune_api.questions import Answer, Question
from finetune_trainer.data.prepared import SPLITS
from finetune_trainer.data.questions import asked, clean_question, context_of, dumped, loaded
from finetune_trainer.data.rows import Malformed
from finetune_trainer.data.sources import read_source
from finetune_trainer.errors import BadConfiguration, BadData
from unit.data.test_prepare import prepare

CONTEXT = "Mara keeps nine hens. The hens live behind the mill."
ROW: dict[str, Any] = {
    "id": "m1", "context": CONTEXT, "question": "How many hens has Mara?",
    "answers": [{"text": "nine", "answer_start": 11}, {"text": "nine hens", "answer_start": 11}],
}  # fmt: skip
QUESTION = Question("m1", CONTEXT, "How many hens has Mara?", (Answer("nine", 11), Answer("nine hens", 11)))


def source(path: Path, **changes: Any) -> dict[str, Any]:
    return {"name": "qa", "type": "QuestionAnswering", "languages": ["en"], "uri": f"file://{path}"} | changes


def write(path: Path, *rows: object) -> DataSource:
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return DataSource.from_json_object(source(path))


def squad(*paragraphs: object, **changes: Any) -> dict[str, Any]:
    return {"version": "v2.0", "data": [{"title": "Hens", "paragraphs": list(paragraphs)}]} | changes


def paragraph(*questions: object, context: str = CONTEXT) -> dict[str, Any]:
    return {"context": context, "qas": list(questions)}


def asks(name: str, *answers: object, **changes: Any) -> dict[str, Any]:
    return {"id": name, "question": f"What of {name}?", "answers": list(answers)} | changes


def found(source: DataSource) -> list[Question | str]:
    rows = read_source(source)
    return [f"{row.line} {row.reason}" if isinstance(row, Malformed) else loaded(row.texts[0]) for row in rows]


def test_rows_hold_answers_in_each_usual_form(tmp_path: Path) -> None:
    hub = {"text": ["nine", "nine hens", "nine"], "answer_start": [11, 11, 11]}
    assert found(
        write(
            tmp_path / "qa.jsonl",
            ROW,
            ROW | {"answers": ["nine", "nine hens"]},
            ROW | {"id": "m2", "answers": hub},
            ROW | {"id": 3, "answers": [], "is_impossible": True},
            ROW | {"id": "m4", "answers": {"text": [], "answer_start": []}},
        )
    ) == [
        QUESTION, QUESTION, Question("m2", CONTEXT, QUESTION.question, QUESTION.answers),
        Question("3", CONTEXT, QUESTION.question, ()), Question("m4", CONTEXT, QUESTION.question, ()),
    ]  # fmt: skip


@pytest.mark.parametrize("compressed", [False, True])
def test_files_of_squad_are_read_in_both_versions(tmp_path: Path, *, compressed: bool) -> None:
    document = squad(
        paragraph(asks("a", {"text": "nine", "answer_start": 11}), asks("b", is_impossible=True, plausible_answers=[])),
        paragraph(asks("c", {"text": "é", "answer_start": 1}, is_impossible=False), context="né"),
    )
    path = tmp_path / ("train-v2.0.json" + compressed * ".gz")
    content = json.dumps(document).encode()
    path.write_bytes(gzip.compress(content) if compressed else content)
    assert found(DataSource.from_json_object(source(path))) == [
        Question("a", CONTEXT, "What of a?", (Answer("nine", 11),)), Question("b", CONTEXT, "What of b?", ()),
        Question("c", "né", "What of c?", (Answer("é", 1),)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answers": [{"text": "nine", "answer_start": 12}]},
         'has answers[0] "nine", which begins at 11 of the context, not at answer_start 12 (id "m1")'),
        ({"answers": [{"text": "hens", "answer_start": 27}, {"text": "mill", "answer_start": -1}]},
         ('has answers[0] "hens", which begins at 26 of the context, not at answer_start 27; '
          'answers[1] "mill", which begins at 47 of the context, not at answer_start -1 (id "m1")')),
        ({"answers": ["ten"]}, 'has answers[0] "ten", which is not in the context (id "m1")'),
        ({"answers": [{"text": "nine", "answer_start": "11"}]},
         'has answers[0] "nine" without a number in answer_start (id "m1")'),
        ({"answers": [{"answer_start": 11}]}, 'has answers[0] without a text (id "m1")'),
        ({"answers": ["nine", " "]}, 'has answers[1] without a text (id "m1")'),
        ({"answers": []}, 'has no answers: where the context does not answer, write is_impossible: true (id "m1")'),
        ({"answers": [], "is_impossible": False}, "has no answers: "),
        ({"is_impossible": True}, "has answers, and is_impossible: true"),
        ({"is_impossible": "yes"}, "has neither true nor false in key 'is_impossible'"),
        ({"answers": "nine"}, "has no list in key 'answers'"),
        ({"answers": {"text": ["nine"], "answer_start": []}},
         "has 1 texts in answers.text and 0 places in answers.answer_start"),
        ({"answers": {"text": "nine"}}, "has no lists in answers.text and answers.answer_start"),
        ({"context": " "}, "has no text in key 'context' (id \"m1\")"),
        ({"question": 7, "context": ""}, "has no text in key 'context'; has no text in key 'question'"),
        ({"id": None, "answers": None}, "has no key 'id', 'answers'; its keys: answers, context, id, question"),
        ({"id": True}, "has no text in key 'id'"),
        ({"question": "\ud800"}, "has half a character: "),
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused_with_its_line(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    good, bad = found(write(tmp_path / "qa.jsonl", ROW | {"id": "m0"}, ROW | change))
    assert isinstance(good, Question)
    assert isinstance(bad, str)
    assert bad.startswith(f"2 {reason}")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([],
         "1 has no list in key 'data': SQuAD's form is data[].paragraphs[].{context, qas[].{id, question, answers}}"),
        ({"data": [ROW]}, "1 (data[0]) has no list in key 'paragraphs'"),
        (squad(7), "1 (data[0].paragraphs[0]) is no object"),
        (squad(paragraph(asks("a")), {"context": CONTEXT}),
         "2 (data[0].paragraphs[1]) has no list in key 'qas'"),
        (squad({"qas": [asks("a", "nine")]}), "1 (data[0].paragraphs[0].qas[0]) has no key 'context'; its keys: "),
        (squad(paragraph(asks("a", "nine"), asks("b", "ten"))),
         '2 (data[0].paragraphs[0].qas[1]) has answers[0] "ten", which is not in the context (id "b")'),
        ('{"data":\n [,]}', "2 is not JSON: Expecting value"),
        ("[" * 100_000, "1 is not JSON that can be read: it is nested too deeply"),
        (b"\xff", "1 is not UTF-8 (byte 1)"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_of_squad_is_told_with_its_place(
    tmp_path: Path, document: object, reason: str
) -> None:
    content = document if isinstance(document, (str, bytes)) else json.dumps(document)
    path = tmp_path / "dev.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    *_, last = found(DataSource.from_json_object(source(path)))
    assert isinstance(last, str)
    assert last.startswith(reason)


def test_all_bad_rows_are_told_at_once_names_that_come_twice_too(tmp_path: Path) -> None:
    bad = [ROW | {"id": f"bad{n}", "answers": ["ten"]} for n in range(6)]
    write(tmp_path / "qa.jsonl", ROW, bad[0], ROW | {"question": "Who?"}, *bad[1:])
    with pytest.raises(BadData) as failure:
        prepare(tmp_path, source(tmp_path / "qa.jsonl"))
    path = tmp_path / "qa.jsonl"
    assert failure.value.message == (
        f'source \'qa\': {path}:2 has answers[0] "ten", which is not in the context (id "bad0")'
        f'; {path}:3 has the id "m1" again: {path}:1 has it'
        f'; {path}:4 has answers[0] "ten", which is not in the context (id "bad1")'
        f'; {path}:5 has answers[0] "ten", which is not in the context (id "bad2"); and 3 more'
    )
    _, summary, _ = prepare(
        tmp_path / "dropped", source(path), clean={"onMalformed": "Drop"}, split={"validation": 0.0, "test": 0.0}
    )
    assert (summary["rowsKept"], summary["dropped.malformed"]) == (1, 7)


def test_a_saved_data_set_holds_questions_too(tmp_path: Path) -> None:
    hub = {"text": ["nine", "nine hens"], "answer_start": [11, 11]}
    datasets.Dataset.from_list([ROW | {"answers": hub}]).save_to_disk(tmp_path / "qa")
    saved = DataSource.from_json_object(source(tmp_path / "qa", format="huggingface"))
    assert found(saved) == [QUESTION]


@pytest.mark.parametrize(
    ("context", "answer", "start", "moved"),
    [
        (" \r\n No cafe\u0301 here", "here", 13, "here"),  # each character before it may move it
        ("no no no", "no", 3, "no"),
        ("cafe\u0301 or \u0007cafe\u0301", "cafe\u0301", 10, "café"),
        ("tab\there\r\nthere", "here\r\nthere", 4, "here\nthere"),
    ],
)
def test_cleaning_keeps_the_places_of_answers(context: str, answer: str, start: int, moved: str) -> None:
    assert context.startswith(answer, start)
    text = clean_question(dumped(Question("x", context, " Why? ", (Answer(answer, start),))), Clean())
    question = loaded(text)
    (found,) = question.answers
    assert found.text == moved
    assert question.context.startswith(moved, found.start)
    assert question.context.count(moved, 0, found.start) == len(re.findall(re.escape(answer), context[:start]))
    assert question.question == "Why?"


def test_an_answer_that_normal_form_tears_apart_drops_its_question() -> None:
    """A combining accent at the border belongs to the letter before it."""
    assert clean_question(dumped(Question("x", "cafe\u0301s", "?", (Answer("\u0301s", 4),))), Clean()) == "answerLost"
    assert clean_question(dumped(Question("x", "\x07", "?", ())), Clean()) == "empty"


def test_what_is_asked_about_one_text_stays_in_one_split(tmp_path: Path) -> None:
    rows = [
        {"id": f"{n}-{m}", "context": f"Hen {n} lays {n + 1} eggs.", "question": f"{asks} {n}?", "answers": [f"{n}"]}
        for n in range(100)
        for m, asks in enumerate(("Which hen is", "What is the number of"))
    ]
    rows += [rows[0] | {"id": "again", "question": "which hen  is 0?"}, rows[1] | {"id": "more", "question": "Why?"}]
    write(tmp_path / "qa.jsonl", *rows)
    bench = {"id": "t", "context": "hen 7  lays 8 eggs.", "question": "Eggs?", "answers": ["8"]}
    write(tmp_path / "bench.jsonl", bench)
    data, summary, _ = prepare(
        tmp_path, source(tmp_path / "qa.jsonl"), source(tmp_path / "bench.jsonl", name="bench", role="Test")
    )
    assert summary["dropped.duplicate"] == 1
    contexts = []
    for split in SPLITS:
        texts = data.texts("qa", split, "en").text
        assert len(texts)
        contexts.append({context_of(text) for text in texts})
        assert len(texts) == 2 * len(contexts[-1]) + ("Hen 0 lays 1 eggs." in contexts[-1])
    assert len(set().union(*contexts)) == sum(map(len, contexts))
    assert "Hen 7 lays 8 eggs." not in contexts[0]
    assert asked(data.texts("bench", "test", "en").text[0]) == "hen 7 lays 8 eggs.\nEggs?"
    assert data.report()["sources"][0]["trainingTokens"] == {}


def test_a_format_of_questions_holds_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "qa.json").write_text("{}", encoding="utf-8")
    (tmp_path / "qa.tsv").write_text("a\tb\n", encoding="utf-8")
    for name, type_, message in (
        (
            "qa.tsv",
            "QuestionAnswering",
            "format tsv holds .*, but type is QuestionAnswering",
        ),
        ("qa.json", "Text", "format squad holds questions, but type is Text"),
    ):
        with pytest.raises(BadConfiguration, match=message):
            list(read_source(DataSource.from_json_object(source(tmp_path / name, type=type_))))
