"""TMX, the exchange format of translation memories."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, iterparse

from finetune_api.data import DataSource
from finetune_api.languages import matching_codes
from finetune_trainer.data.compression import BROKEN_FILE, open_text
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.sources.fields import language_not_found
from finetune_trainer.data.xml_text import BROKEN_BYTE, Utf8Reader
from finetune_trainer.errors import BadData

XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
CODE = frozenset({"bpt", "ept", "it", "ph", "ut"})
"""Inline elements whose content is formatting code of the translated program, not text (TMX 1.4b, section 3)."""


def read_tmx(source: DataSource) -> Iterator[Row | Malformed]:
    """Each <tu> that has all languages; `en` also matches xml:lang="en-GB" and "eng". Inline codes are dropped.

    Raises:
        BadData: if it is not XML.
        BadConfiguration: if no unit has the languages.
    """
    (path,) = source_files(source)
    number = 0
    found = False
    languages: set[str] = set()
    try:
        with open_text(path) as file:
            for number, variants in enumerate(_units(file), 1):
                languages.update(variants)
                texts = [_text_in(language, variants) for language in source.languages]
                if None not in texts:
                    found = True
                    yield _row(tuple(text or "" for text in texts), str(path), number)
    except (ParseError, DefusedXmlException, LookupError, ValueError, *BROKEN_FILE) as error:
        raise BadData(
            "SourceNotReadable",
            f"source '{source.name}': {path} is not whole TMX after {number:,} units: {error}",
            "Export it again.",
        ) from None
    if number and not found:
        wanted = " and ".join(source.languages)
        raise language_not_found(source, f"no unit of {path} has {wanted}", languages)


def _row(texts: tuple[str, ...], file: str, number: int) -> Row | Malformed:
    if any(BROKEN_BYTE in text for text in texts):
        return Malformed(file, number, "has bytes that the encoding of the file does not have")
    return Row(texts, file, number)


def _units(file: IO[bytes]) -> Iterator[dict[str, Element]]:
    """The variants of each unit: the first in each language, by code in lower case."""
    body: Element | None = None
    parser = DefusedXMLParser(target=TreeBuilder(), encoding="utf-8")
    for event, element in iterparse(Utf8Reader(file), events=("start", "end"), parser=parser):
        tag = _name(element)
        if event == "start":
            body = element if tag == "body" else body
        elif tag == "tu":
            variants: dict[str, Element] = {}
            for variant in (child for child in element if _name(child) == "tuv"):
                code = variant.get(XML_LANGUAGE) or variant.get("lang") or ""
                variants.setdefault(code.replace("_", "-").lower(), variant)
            yield variants
            if body is not None:
                body.clear()  # else it would hold every unit of the file


def _name(element: Element) -> str:
    """Without the namespace that a file may give to all its elements."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _text_in(language: str, variants: dict[str, Element]) -> str | None:
    """The text of the first variant in a language, under another code for it, or in a regional form of it."""
    for code in matching_codes(language, variants):
        segment = next((child for child in variants[code] if _name(child) == "seg"), None)
        if segment is not None:
            return "".join(_pieces(segment))
    return None


def _pieces(segment: Element) -> Iterator[str]:
    """Text outside inline codes, however deep they are."""
    yield segment.text or ""
    waiting = [iter(segment)]
    tails: list[str] = []
    while waiting:
        child = next(waiting[-1], None)
        if child is None:
            waiting.pop()
            yield tails.pop() if tails else ""
        elif _name(child) in CODE:
            yield child.tail or ""
        else:
            yield child.text or ""
            waiting.append(iter(child))
            tails.append(child.tail or "")
