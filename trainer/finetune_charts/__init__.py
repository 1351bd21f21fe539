"""Charts of a run as SVG, and the style of pages that show them: for the report and for `finetune dashboard`."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from importlib import resources

import jinja2

from finetune_charts.drawing import swatch


def page_style() -> str:
    """The style sheet."""
    return _packaged("page.css")


def page_environment(template: Callable[[str], str]) -> jinja2.Environment:
    """For a page; `template` reads its own by name, and `figure.html.j2` has the macro for a chart."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: _packaged(name) if name == "figure.html.j2" else template(name)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(swatch=swatch)
    return environment


def _packaged(name: str) -> str:
    return (resources.files(__package__) / name).read_text("utf-8")


def content_hash(text: str) -> str:
    """For a page's content security policy: only this style or script may be used."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
