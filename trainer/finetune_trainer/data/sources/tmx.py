"""TMX, the exchange format of translation memories."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from finetune_api.data import DataSource
from finetune_trainer.data.lines import open_bytes
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.rows import Row
from finetune_trainer.errors import BadData

XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def read_tmx(source: DataSource) -> Iterator[Row]:
    """Each <tu> that has both languages; `en` also matches xml:lang="en-GB". Inline markup is dropped.

    Raises:
        BadData: if it is not XML.
    """
    (path,) = source_files(source)
    number = 0
    with open_bytes(path) as file:
        try:
            for _, element in iterparse(file, events=("end",)):
                if element.tag == "tu":
                    number += 1
                    texts = _texts(element, source.languages)
                    if texts is not None:
                        yield Row(texts, str(path), number)
                    element.clear()
        except (ParseError, DefusedXmlException, OSError, EOFError) as error:
            raise BadData(
                "SourceNotReadable",
                f"source '{source.name}': {path} is not whole TMX after {number:,} units: {error}",
                "Export it again.",
            ) from None


def _texts(unit: Element, languages: list[str]) -> tuple[str, ...] | None:
    found: dict[str, str] = {}
    for variant in unit.iter("tuv"):
        code = (variant.get(XML_LANGUAGE) or variant.get("lang") or "").replace("_", "-").lower()
        segment = variant.find("seg")
        for language in languages:
            wanted = language.lower()
            if segment is not None and (code == wanted or code.startswith(f"{wanted}-")):
                found.setdefault(language, "".join(segment.itertext()))
    return tuple(found[language] for language in languages) if len(found) == len(languages) else None
