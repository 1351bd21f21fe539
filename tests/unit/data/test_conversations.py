"""Instruction sources: what is read as a conversation, what is refused with its line, how they are split and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from finetune_api.data import Clean, DataSource
from finetune_api.job import FineTuneJobSpec
from finetune_api.refusals import refusals
from finetune_trainer.data.conversations import asked, clean_conversation, dumped, loaded
from finetune_trainer.data.prepared import SPLITS
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.sources import read_source
from finetune_trainer.errors import BadConfiguration, BadData
from unit.data.test_prepare import prepare

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Say\tit\ntwice"},
    {"role": "assistant", "content": "Hello! Hello!"},
]


def turns(*roles: str) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": f"{role} {place}"} for place, role in enumerate(roles)]}


def write(path: Path, *rows: object) -> DataSource:
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return DataSource.from_json_object(source(path))


def source(path: Path, **changes: Any) -> dict[str, Any]:
    return {"name": "chat", "type": "Instruction", "languages": ["en"], "uri": f"file://{path}"} | changes


def test_messages_and_the_columns_of_alpaca_are_conversations(tmp_path: Path) -> None:
    rows = read_source(
        write(
            tmp_path / "chat.jsonl",
            {"messages": TALK, "id": 7},
            {"instruction": "Add them.", "input": "1 and 2", "output": "3"},
            {"instruction": "Say hi.", "input": "", "output": "Hi."},
            {"instruction": "Say ho.", "output": "Ho.", "messages": None},
        )
    )
    found = [loaded(row.texts[0]) for row in rows if not isinstance(row, Malformed)]
    assert found[0] == TALK
    assert [[m["content"] for m in talk] for talk in found[1:]] == [
        ["Add them.\n\n1 and 2", "3"], ["Say hi.", "Hi."], ["Say ho.", "Ho."],
    ]  # fmt: skip
    assert {m["role"] for talk in found[1:] for m in talk} == {"user", "assistant"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"messages": [', "is not JSON: "),
        ({"messages": []}, "has no list of messages in key 'messages'"),
        ({"messages": "hi"}, "has no list of messages in key 'messages'"),
        ({"messages": ["hi"]}, "has no object of role and content in messages[0]"),
        ({"messages": [{"role": "human", "content": "hi"}]},
         'has the role "human" in messages[0]: use system, user or assistant'),
        ({"messages": [{"role": "user", "content": None}]}, "has no text in messages[0].content"),
        (turns("assistant"), "has assistant in messages[0], where it is the turn of user"),
        (turns("user", "user"), "has user in messages[1], where it is the turn of assistant"),
        (turns("user", "system", "assistant"), "has system in messages[1], where it is the turn of assistant"),
        (turns("user"), "has no answer: the last of messages is of user"),
        (turns("system"), "has no answer: the last of messages is of system"),
        ({"instruction": "Add."}, "has no key 'output'"),
        ({"instruction": "Add.", "input": 3, "output": "4"}, "has no text in key 'input'"),
        ({"text": "Add."}, "has neither 'messages' nor 'instruction' and 'output'; its keys: text"),
        ('{"instruction": "\\ud800", "output": "x"}', "has half a character: "),
    ],
)  # fmt: skip
def test_what_is_no_conversation_is_refused_with_its_line(tmp_path: Path, row: object, reason: str) -> None:
    good = {"messages": TALK}
    _, bad = read_source(write(tmp_path / "chat.jsonl", good, row))
    assert isinstance(bad, Malformed)
    assert (bad.file, bad.line) == (str(tmp_path / "chat.jsonl"), 2)
    assert bad.reason.startswith(reason)
    with pytest.raises(BadData, match=r"chat\.jsonl:2 (has|is) "):
        prepare(tmp_path, source(tmp_path / "chat.jsonl"))


def test_a_saved_data_set_holds_conversations_too(tmp_path: Path) -> None:
    datasets.Dataset.from_list([{"messages": TALK}, {"messages": TALK[1:]}]).save_to_disk(tmp_path / "chat")
    saved = DataSource.from_json_object(source(tmp_path / "chat", format="huggingface"))
    assert [loaded(row.texts[0]) for row in read_source(saved) if isinstance(row, Row)] == [TALK, TALK[1:]]


def test_cleaning_leaves_lines_and_markup_alone() -> None:
    talk = [{"role": "system", "content": " "}, {"role": "user", "content": " <b>e\u0301</b>\x07\r\n\tx  y "}, TALK[2]]
    assert loaded(clean_conversation(dumped(talk), Clean())) == [
        {"role": "user", "content": "<b>é</b>\n\tx  y"}, TALK[2],
    ]  # fmt: skip
    assert clean_conversation(dumped([TALK[1], {"role": "assistant", "content": "\n"}]), Clean()) == "empty"
    assert asked(dumped(TALK)) == "Hi\nHello!\nSay\tit\ntwice"


def test_prepare_counts_what_it_drops_and_keeps_equal_questions_in_one_split(tmp_path: Path) -> None:
    rows: list[object] = [
        {"instruction": f"What is {n} plus {n}?", "output": text}
        for n in range(150)
        for text in (f"It is {2 * n}.", "I do not know.")
    ]
    rows += [rows[0], {"instruction": "Why?", "output": " "}, turns("user", "user")]
    write(tmp_path / "chat.jsonl", *rows)
    data, summary, message = prepare(
        tmp_path, source(tmp_path / "chat.jsonl"), clean={"onMalformed": "Drop", "maxWords": 2}
    )
    assert (summary["rowsKept"], summary["dropped.duplicate"]) == (300, 1)
    assert (summary["dropped.empty"], summary["dropped.malformed"]) == (1, 1)
    assert "300 rows kept of 303" in message
    questions = []
    for split in SPLITS:
        texts = data.texts("chat", split, "en").text
        assert len(texts)
        questions.append({asked(text) for text in texts})
        assert len(texts) == 2 * len(questions[-1])
    assert sum(map(len, questions)) == len(set().union(*questions)) == 150
    report = data.report()["sources"][0]
    assert report["samples"]["empty"][0].startswith(f"{tmp_path / 'chat.jsonl'}:302: ")
    words = sum(
        len(message["content"].split()) for text in data.texts("chat", "train", "en").text for message in loaded(text)
    )
    assert report["trainingWords"] == {"en": words}
    assert report["trainingTokens"] == {}


def test_a_question_of_a_test_source_is_not_trained_on(tmp_path: Path) -> None:
    write(tmp_path / "chat.jsonl", *({"instruction": f"Name {n}.", "output": f"Number {n}."} for n in range(60)))
    write(tmp_path / "bench.jsonl", {"instruction": "name 7.", "output": "Seven."}, {"instruction": "X", "output": "Y"})
    bench = source(tmp_path / "bench.jsonl", name="bench", role="Test")
    data, summary, _ = prepare(tmp_path, source(tmp_path / "chat.jsonl"), bench)
    assert summary["dropped.inTest"] == 1
    assert len(data.texts("bench", "test", "en").text) == 2


def test_a_format_without_keys_holds_no_conversations(tmp_path: Path) -> None:
    (tmp_path / "chat.tsv").write_text("a\tb\n", encoding="utf-8")
    with pytest.raises(
        BadConfiguration, match="format tsv holds pairs, texts and texts with labels, but type is Instruction"
    ):
        list(read_source(DataSource.from_json_object(source(tmp_path / "chat.tsv"))))


def test_settings_that_conversations_have_no_use_for_are_refused() -> None:
    spec = FineTuneJobSpec.from_json_object(
        {
            "model": {"from": {"uri": "file:///m"}},
            "data": {"sources": [source(Path("/c.jsonl"), columns={"text": "chat"})]},
            "pretrain": {"objectives": [{"name": "lm", "type": "CausalLM", "source": "chat"}], "budget": {"tokens": 9}},
        }
    )
    assert [(p.field, p.message) for p in refusals(spec)] == [
        (
            "spec.data.sources[0].columns",
            "the keys of an Instruction source are messages, or instruction, input and output: remove columns",
        ),
        (
            "spec.pretrain.objectives[0].source",
            "'chat' is Instruction: pre-training needs a source of type Text or Parallel",
        ),
    ]
