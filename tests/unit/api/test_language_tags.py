"""How manifests spell languages and directions: what is taken, how it is split, and what is told of the rest."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from finetune_api.common import Direction, LanguageCode
from finetune_api.language_tags import (
    MAX_TAG_LENGTH,
    direction_languages,
    spelling_of_direction,
    spelling_of_tag,
)

CODE, DIRECTION = TypeAdapter(LanguageCode), TypeAdapter(Direction)
TAGS = [
    "en", "deu", "pt-BR", "pt_BR", "es-419", "zh-Hant", "zh-Hans-CN", "zh_Hans_CN", "eng_Latn", "ca-valencia",
    "de-1996", "de-CH-1996", "sl-rozaj-biske-1994", "sr-Latn-RS-ekavsk", "hy-arevela",
]  # fmt: skip


def is_taken(adapter: TypeAdapter[str], text: str) -> bool:
    try:
        adapter.validate_python(text)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("tag", TAGS)
def test_tags_of_every_shape_are_taken_as_they_are(tag: str) -> None:
    assert is_taken(CODE, tag)
    assert spelling_of_tag(tag) == tag


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("pt-br", "pt-BR"),
        ("PT_BR", "pt_BR"),
        ("ZH-hans-cn", "zh-Hans-CN"),
        ("eng_latn", "eng_Latn"),
        ("ENG", "eng"),
        ("ca-VALENCIA", "ca-valencia"),
        ("pt_BR.UTF-8", "pt_BR"),
        ("sr@latin", "sr-Latn"),
        ("sr_RS@latin", "sr-Latn_RS"),
        ("ca_ES@valencia", "ca_ES-valencia"),
        ("english", ""),
        ("e", ""),
        ("", ""),
        ("en-", ""),
        ("-en", ""),
        ("zh-cmn-Hans", ""),
        ("en-x-own", ""),
        ("de-1996-DE", ""),
        ("en es", ""),
        ("sl" + "-rozaj" * 6, ""),
    ],
)
def test_another_spelling_is_refused_with_the_right_one_where_it_is_known(text: str, meant: str) -> None:
    assert not is_taken(CODE, text)
    assert spelling_of_tag(text) == meant
    assert not meant or is_taken(CODE, meant)


@pytest.mark.parametrize(("source", "target"), list(product(TAGS, TAGS)))
def test_every_direction_of_two_tags_is_split_where_they_were_joined(source: str, target: str) -> None:
    direction = f"{source}-{target}"
    assert is_taken(DIRECTION, direction)
    assert not is_taken(CODE, direction)
    assert direction_languages(direction) == (source, target)


SUBTAGS = st.tuples(
    st.from_regex("[a-z]{2,3}", fullmatch=True),
    st.one_of(st.just(""), st.from_regex("[-_][A-Z][a-z]{3}", fullmatch=True)),
    st.one_of(st.just(""), st.from_regex("[-_]([A-Z]{2}|[0-9]{3})", fullmatch=True)),
    st.lists(st.from_regex("[-_]([a-z0-9]{5,8}|[0-9][a-z0-9]{3})", fullmatch=True), max_size=2).map("".join),
).map("".join)


@given(SUBTAGS, SUBTAGS)
def test_any_two_tags_make_a_direction_that_can_be_read_in_one_way(source: str, target: str) -> None:
    assert len(source) <= MAX_TAG_LENGTH
    assert is_taken(CODE, source)
    direction = f"{source}-{target}"
    assert is_taken(DIRECTION, direction)
    assert direction_languages(direction) == (source, target)
    ways = [i for i, letter in enumerate(direction) if letter == "-"
            and is_taken(CODE, direction[:i]) and is_taken(CODE, direction[i + 1:])]  # fmt: skip
    assert ways == [len(source)]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("en_es", "en-es"),
        ("EN-ES", "en-es"),
        ("eng_latn-spa_latn", "eng_Latn-spa_Latn"),
        ("eng_Latn_spa_Latn", "eng_Latn-spa_Latn"),
        ("en-pt-br", "en-pt-BR or en-PT-br"),
        ("en-ca-VALENCIA", "en-ca-valencia"),
        ("en", ""),
        ("ZH-hans-cn-en", "zh-Hans-CN-en"),  # there is no language cn
        ("en-es-fr", "en-es-FR or en-ES-fr"),
        ("english-spanish", ""),
    ],
)
def test_another_spelling_of_a_direction_is_refused_likewise(text: str, meant: str) -> None:
    assert not is_taken(DIRECTION, text)
    assert spelling_of_direction(text) == meant
    assert all(is_taken(DIRECTION, way) for way in meant.split(" or ") if way)


def test_one_language_is_no_direction() -> None:
    with pytest.raises(ValueError, match="'zh-Hans-CN' is no direction"):
        direction_languages("zh-Hans-CN")
