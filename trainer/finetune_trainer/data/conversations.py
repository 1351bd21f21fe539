"""Conversations, as rows of an Instruction source: read from records, cleaned, and kept as one text each.

A conversation is a list of messages of a role and a content: at first perhaps one of the system, then user and
assistant by turns; the last one is the assistant's. It is stored as canonical JSON, so that it fits into one column.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from finetune_api.data import Clean
from finetune_trainer.data.clean import clean_lines
from finetune_trainer.data.rows import EMPTY, Malformed, Row

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
MESSAGES, INSTRUCTION, INPUT, OUTPUT = "messages", "instruction", "input", "output"
KEYS = (MESSAGES, INSTRUCTION, INPUT, OUTPUT)
"""Keys of a record: the first, or the columns of Alpaca (Taori et al. 2023)."""
_MAX_NAMES = 20
Message = dict[str, str]
"""`role` and `content`."""
Conversation = list[Message]


def row_of_conversation(record: Mapping[str, Any], file: str, line: int) -> Row | Malformed:
    """The conversation in a record, as one text; Malformed where a role, a turn or a content is not as it should be."""
    try:
        return Row((dumped(_conversation(record)),), file, line)
    except _Broken as broken:
        return Malformed(file, line, str(broken))


def dumped(conversation: Sequence[Mapping[str, str]]) -> str:
    """As it is stored."""
    return json.dumps([dict(message) for message in conversation], ensure_ascii=False)


def loaded(text: str) -> Conversation:
    """A conversation from what `dumped` wrote."""
    conversation: Conversation = json.loads(text)
    return conversation


def asked(text: str) -> str:
    """What a stored conversation asks: all messages but those of the system and the last answer, one after the other.

    Two conversations that ask the same belong into the same split, whatever they answer.
    """
    messages = [message for message in loaded(text)[:-1] if message["role"] != SYSTEM]
    return "\n".join(message["content"] for message in messages)


def contents(texts: Iterable[str]) -> Iterable[str]:
    """The contents of all messages of stored conversations."""
    return (message["content"] for text in texts for message in loaded(text))


def clean_conversation(text: str, rules: Clean) -> str:
    """A stored conversation in normal form, without control characters; or `empty`, the rule that drops it.

    Line breaks and tabs stay, for they are part of an answer; a message of the system without content is left out.
    """
    messages = [message | {"content": clean_lines(message["content"], rules)} for message in loaded(text)]
    if messages[0]["role"] == SYSTEM and not messages[0]["content"]:
        del messages[0]
    return dumped(messages) if all(message["content"] for message in messages) else EMPTY


class _Broken(ValueError):
    """What is wrong with a record; completes "file:line "."""


def _conversation(record: Mapping[str, Any]) -> Conversation:
    if record.get(MESSAGES) is not None:
        return _of_messages(record[MESSAGES])
    if record.get(INSTRUCTION) is not None or record.get(OUTPUT) is not None:
        return _of_columns(record)
    there = ", ".join(sorted(map(str, record))[:_MAX_NAMES]) or "none"
    raise _Broken(f"has neither '{MESSAGES}' nor '{INSTRUCTION}' and '{OUTPUT}'; its keys: {there}")


def _of_columns(record: Mapping[str, Any]) -> Conversation:
    """Alpaca's columns: the input, where there is one, stands below the instruction."""
    instruction, given, output = (_column(record, name) for name in (INSTRUCTION, INPUT, OUTPUT))
    request = f"{instruction}\n\n{given}" if given.strip() else instruction
    return [{"role": USER, "content": request}, {"role": ASSISTANT, "content": output}]


def _column(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if value is None and name == INPUT:
        return ""
    if value is None:
        raise _Broken(f"has no key '{name}'")
    if not isinstance(value, str):
        raise _Broken(f"has no text in key '{name}'")
    return value


def _of_messages(messages: Any) -> Conversation:
    if not isinstance(messages, list) or not messages:
        raise _Broken(f"has no list of messages in key '{MESSAGES}'")
    conversation = [_message(message, place) for place, message in enumerate(messages)]
    expected = USER
    for place, message in enumerate(conversation):
        role = message["role"]
        if role == SYSTEM and place == 0:
            continue
        if role != expected:
            raise _Broken(f"has {role} in {MESSAGES}[{place}], where it is the turn of {expected}")
        expected = ASSISTANT if role == USER else USER
    if conversation[-1]["role"] != ASSISTANT:
        raise _Broken(f"has no answer: the last of {MESSAGES} is of {conversation[-1]['role']}")
    return conversation


def _message(message: Any, place: int) -> Message:
    where = f"{MESSAGES}[{place}]"
    if not isinstance(message, Mapping):
        raise _Broken(f"has no object of role and content in {where}")
    role, content = message.get("role"), message.get("content")
    if role not in (SYSTEM, USER, ASSISTANT):
        raise _Broken(f"has the role {json.dumps(role, ensure_ascii=False)} in {where}: use system, user or assistant")
    if not isinstance(content, str):
        raise _Broken(f"has no text in {where}.content")
    return {"role": str(role), "content": content}
