"""Compiled catalogs (.mo): GNU gettext manual, "The format of GNU MO files"."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from finetune_trainer.data.catalogs import Message, charset_of, form_for_one, translation_of
from finetune_trainer.data.rows import Malformed

BYTE_ORDERS = {b"\xde\x12\x04\x95": "<", b"\x95\x04\x12\xde": ">"}
CONTEXT_END = b"\x04"
PLURAL_END = b"\0"


def read_mo(content: bytes, file: str) -> Iterator[Message | Malformed]:
    """Every translation that is not empty; plurals in their form for one thing.

    Raises:
        LookupError: if the charset is not known.
        ValueError: if the content is not a whole catalog.
    """
    pairs = list(_pairs(content))
    header = next((value.decode("latin-1") for key, value in pairs if not key), "")
    charset, for_one = charset_of(header) or "utf-8", form_for_one(header)
    for number, (key, value) in enumerate(pairs, 1):
        if not key:
            continue
        name, is_plural, _ = key.rpartition(CONTEXT_END)[2].partition(PLURAL_END)
        try:
            forms = dict(enumerate(part.decode(charset) for part in value.split(PLURAL_END)))
            text = translation_of(None if is_plural else value.decode(charset), forms, for_one)
            message = Message(number, name.decode(charset), text)
        except UnicodeError:
            yield Malformed(file, number, f"is not {charset.upper()}")
            continue
        if message.translation:
            yield message


def _pairs(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and translations as they are stored."""
    order = BYTE_ORDERS.get(content[:4])
    if order is None:
        raise ValueError("it does not begin as a .mo does")
    if len(content) < 20:
        raise ValueError("it ends early")
    count, keys, values = struct.unpack_from(f"{order}8x3I", content)
    if max(keys, values) + 8 * count > len(content):
        raise ValueError("it ends early")
    for row in range(count):
        yield _string(content, order, keys + 8 * row), _string(content, order, values + 8 * row)


def _string(content: bytes, order: str, place: int) -> bytes:
    length, start = struct.unpack_from(f"{order}2I", content, place)
    if start + length > len(content):
        raise ValueError("it ends early")
    return content[start : start + length]
