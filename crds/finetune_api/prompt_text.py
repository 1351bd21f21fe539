"""Texts of prompts with placeholders: what they may say, and their parts. They hold no code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from string import Formatter

SOURCE, TARGET, EXAMPLES = "source", "target", "examples"
LANGUAGES = ("source_language", "target_language")
IN_TEXT = (SOURCE, TARGET, *LANGUAGES, EXAMPLES)
IN_EXAMPLE = (SOURCE, TARGET, *LANGUAGES)

Pieces = list[tuple[str, str | None]]
"""A literal and the placeholder after it, which only the last may lack."""


def parse_pieces(text: str) -> Pieces:
    """The parts of a text; `{{` and `}}` are braces.

    Raises:
        ValueError: if a brace stands alone, or a placeholder is more than a name.
    """
    pieces: Pieces = []
    for literal, name, form, conversion in Formatter().parse(text):
        if form or conversion:
            raise ValueError(f"{{{name}}} has a format, and only its name may stand there")
        pieces.append((literal, name))
    return _joined(pieces)


def _joined(pieces: Pieces) -> Pieces:
    """With neighbouring literals in one: `{{` ends a literal."""
    joined: Pieces = []
    pending = ""
    for literal, name in pieces:
        pending += literal
        if name is not None:
            joined.append((pending, name))
            pending = ""
    return [*joined, (pending, None)] if pending else joined


def with_languages(pieces: Pieces, names: Mapping[str, str]) -> Pieces:
    """`pieces` with the names of languages in the place of their placeholders."""
    return _joined(
        [(literal + names[name], None) if name and name in names else (literal, name) for literal, name in pieces]
    )


def text_problems(text: str, example: str | None, shots: Sequence[int]) -> Iterator[tuple[str, str]]:
    """What is wrong with the texts of a Custom prompt: (field, message)."""
    parsed, found = {}, False
    for field, value, allowed in (("text", text, IN_TEXT), ("example", example, IN_EXAMPLE)):
        if value is None:
            continue
        try:
            parsed[field] = parse_pieces(value)
        except ValueError as error:
            found = True
            yield field, f"{error}: write {{{{ and }}}} for braces"
            continue
        names = [name for _, name in parsed[field] if name is not None]
        for message in _placeholder_problems(names, allowed):
            found = True
            yield field, message
    if not found:
        yield from _order_problems(parsed["text"], parsed.get("example"), shots)


def _placeholder_problems(names: list[str], allowed: Sequence[str]) -> Iterator[str]:
    unknown = sorted({name for name in names if name not in allowed})
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in allowed)
        yield f"no placeholder is called {' or '.join(f'{{{name}}}' for name in unknown)}: use {known}"
    for name, meaning in ((SOURCE, "the text to translate"), (TARGET, "where its translation begins")):
        if names.count(name) != 1:
            yield f"must have {{{name}}} once ({meaning}), not {names.count(name)} times"
    if names.count(EXAMPLES) > 1:
        yield "must have {examples} at most once"


def _order_problems(text: Pieces, example: Pieces | None, shots: Sequence[int]) -> Iterator[tuple[str, str]]:
    names = [name for _, name in text]
    if names[-1] != TARGET:
        yield "text", "must end with {target}: the model goes on from there"
    if EXAMPLES in names and names.index(EXAMPLES) > names.index(SOURCE):
        yield "text", "must have {examples} before {source}"
    if any(shots) and (EXAMPLES not in names or example is None):
        why = f"for shots has {max(shots)}"
        yield (
            ("text", f"must have {{examples}}, {why}: add it, or use shots: [0]")
            if EXAMPLES not in names
            else ("example", f"must be given, {why}: how one example looks, with {{source}} and {{target}}")
        )
    if example is None:
        return
    if [name for _, name in example if name in (SOURCE, TARGET)] != [SOURCE, TARGET]:
        yield "example", "must have {source} before {target}"
    for name in (SOURCE, TARGET):
        if follows_blank(text, name) is not follows_blank(example, name):
            yield "example", f"must have {{{name}}} after a blank as in text, or after none as there"


def follows_blank(pieces: Pieces, name: str) -> bool:
    """Whether a blank stands before the placeholder `name`."""
    return next(literal for literal, found in pieces if found == name).endswith(" ")
