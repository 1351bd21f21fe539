"""Markup in text: which tags are HTML, which of them part words, and which `<…>` and `&…` are none."""

from __future__ import annotations

import html
import re
from html.entities import html5

_LISTED = """
inline: a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q rb rp rt rtc ruby s samp
inline: small span strike strong sub sup time tt u var wbr
apart: address area article aside audio base blockquote body br button canvas caption center col colgroup dd details
apart: dialog dir div dl dt embed fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header
apart: hgroup hr html iframe img input legend li link main map menu meta meter nav noscript object ol optgroup option
apart: output p param picture pre progress script section select source style summary svg table tbody td template
apart: textarea tfoot th thead title tr track ul video
placeholder: address area article audio base body button canvas caption cite code col data details dialog dir font
placeholder: footer form frame head header input kbd label legend link main map mark menu meta meter object option
placeholder: output param picture progress samp section select source style summary svg table template time title track
placeholder: var video
bare: allowfullscreen async autofocus autoplay checked compact controls default defer disabled hidden ismap loop
bare: multiple muted nohref noshade novalidate nowrap open readonly required reversed selected
"""


def _listed(kind: str) -> frozenset[str]:
    lines = (line.partition(": ") for line in _LISTED.split("\n"))
    return frozenset(word for head, _, words in lines if head == kind for word in words.split())


INLINE = _listed("inline")
"""Elements within a line: `H<sub>2</sub>O` is one word."""
APART = _listed("apart")
"""Elements that end a line, or stand between words."""
PLACEHOLDERS = _listed("placeholder")
"""Elements whose bare names also stand for what is to be put in, as in `cp <source> <output>`."""
BARE_ATTRIBUTES = _listed("bare")
"""Attributes without a value."""
TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:\s[^<>]{0,1000})?)(/?)>")
WORDS = re.compile(r"[\w\s,.;:!?-]+")
REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")


def without_markup(text: str) -> str:
    """The text that HTML shows: tags within a line vanish, others leave a blank; references become characters.

    What is no element of HTML stays, as `<name>` does, and so does a reference without its semicolon, as in a link's
    `?a=1&copy=2`.
    """
    if "<" in text:
        lower = text.lower()
        text = TAG.sub(lambda match: _in_place_of(match, lower), text)
    return REFERENCE.sub(_character, text) if "&" in text else text


def _in_place_of(tag: re.Match[str], text: str) -> str:
    closing, name, attributes, empty = (
        tag[1],
        tag[2].lower(),
        tag[3].strip().rstrip("/"),
        tag[4] or tag[3].endswith("/"),
    )
    words = attributes.lower().split()
    # As in "a <b and c> d", unlike `<input disabled>` and the `<a %(link)s>` of a template.
    is_sentence = bool(words) and WORDS.fullmatch(attributes) is not None and not BARE_ATTRIBUTES.issuperset(words)
    is_placeholder = name in PLACEHOLDERS and not (attributes or empty or _has_other_half(closing, name, text))
    if is_sentence or is_placeholder:
        return tag[0]
    if name in INLINE:
        return ""
    return " " if name in APART else tag[0]


def _has_other_half(closing: str, name: str, text: str) -> bool:
    return (f"<{name}>" in text or f"<{name} " in text) if closing else f"</{name}" in text


def _character(reference: re.Match[str]) -> str:
    is_known = reference[0][1] == "#" or reference[0][1:] in html5
    return html.unescape(reference[0]) if is_known else reference[0]
