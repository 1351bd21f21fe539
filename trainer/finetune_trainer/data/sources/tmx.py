"""TMX, the exchange format of translation memories."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from finetune_api.data import DataSource
from finetune_trainer.data.lines import BROKEN_FILE, open_bytes
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.rows import Row
from finetune_trainer.data.sources.fields import language_not_found
from finetune_trainer.errors import BadData

XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
CODE = frozenset({"bpt", "ept", "it", "ph", "ut"})
"""Inline elements whose content is formatting code of the translated program, not text (TMX 1.4b, section 3)."""


def read_tmx(source: DataSource) -> Iterator[Row]:
    """Each <tu> that has all languages; `en` also matches xml:lang="en-GB". Inline codes are dropped.

    Raises:
        BadData: if it is not XML.
        BadConfiguration: if no unit has the languages.
    """
    (path,) = source_files(source)
    number = 0
    found = False
    languages: set[str] = set()
    try:
        with open_bytes(path) as file:
            body: Element | None = None
            for event, element in iterparse(file, events=("start", "end")):
                if event == "start":
                    body = element if element.tag == "body" else body
                elif element.tag == "tu":
                    number += 1
                    variants = _variants(element)
                    languages.update(variants)
                    texts = [_text_in(language, variants) for language in source.languages]
                    if body is not None:
                        body.clear()  # else it would hold every unit of the file
                    if None not in texts:
                        found = True
                        yield Row(tuple(text or "" for text in texts), str(path), number)
    except (ParseError, DefusedXmlException, *BROKEN_FILE) as error:
        raise BadData(
            "SourceNotReadable",
            f"source '{source.name}': {path} is not whole TMX after {number:,} units: {error}",
            "Export it again.",
        ) from None
    if number and not found:
        wanted = " and ".join(source.languages)
        raise language_not_found(source, f"no unit of {path} has {wanted}", languages)


def _variants(unit: Element) -> dict[str, Element]:
    """The first variant in each language, by code in lower case."""
    variants: dict[str, Element] = {}
    for variant in unit.findall("tuv"):
        code = variant.get(XML_LANGUAGE) or variant.get("lang") or ""
        variants.setdefault(code.replace("_", "-").lower(), variant)
    return variants


def _text_in(language: str, variants: dict[str, Element]) -> str | None:
    """The text of the first variant in a language, or in a regional form of it."""
    wanted = language.lower()
    for code in (wanted, *(c for c in variants if c.startswith(f"{wanted}-"))):
        segment = variants[code].find("seg") if code in variants else None
        if segment is not None:
            return "".join(_pieces(segment))
    return None


def _pieces(element: Element) -> Iterator[str]:
    """Text outside inline codes."""
    yield element.text or ""
    for child in element:
        if child.tag not in CODE:
            yield from _pieces(child)
        yield child.tail or ""
