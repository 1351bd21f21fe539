"""`python -m finetune_api.generate [--check]`: the CRDs and the reference of their fields and of metrics."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml
from babel import Locale
from babel.core import get_global

from finetune_api.crd import custom_resource_definitions
from finetune_api.language_names import TABLE
from finetune_api.metrics import ALL_METRICS, COMMON_LABELS, Part
from finetune_api.reference import resource_page

FOLDER = Path(__file__).resolve().parent.parent
REFERENCE = FOLDER.parent / "docs" / "reference"
HEADER = "# Generated from the models of finetune_api by `make generate`; do not edit.\n"
PARTS: dict[Part, str] = {
    "operator": "The operator, about itself",
    "job": "The operator, about jobs",
    "trainer": "The pods of a job, one endpoint a rank",
}


def as_yaml(value: object) -> str:
    """In the order and width of all generated YAML."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
    return text


def generated_files() -> dict[Path, str]:
    """Content of every generated file, by path."""
    crds = {FOLDER / f"{name}.yaml": HEADER + as_yaml(crd) for name, crd in custom_resource_definitions().items()}
    pages = {
        REFERENCE / f"{crd['spec']['names']['singular']}.md": resource_page(crd)
        for crd in custom_resource_definitions().values()
    }
    return crds | pages | {REFERENCE / "metrics.md": metrics_page(), TABLE: language_names()}


NO_LANGUAGES = frozenset({"mul", "und", "zxx"})
"""Codes for several, an unknown and no language."""


def language_names() -> str:
    """English names from CLDR (as babel has it) of languages, also by their old and longer codes, and of subtags."""
    english = Locale("en")
    languages = {code: name for code, name in english.languages.items() if code not in NO_LANGUAGES}
    aliases = {old: languages[new] for old, new in get_global("language_aliases").items() if new in languages}
    table = {
        "languages": aliases | languages,
        "scripts": dict(english.scripts),
        "regions": dict(english.territories),
        "variants": {code.lower(): name for code, name in english.variants.items()},
    }
    return json.dumps(table, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def metrics_page() -> str:
    """The reference of all metrics, in Markdown."""
    lines = ["# Metrics", "", "<!-- Generated from finetune_api.metrics by `make generate`; do not edit. -->"]
    for part, title in PARTS.items():
        common = ", ".join(f"`{label}`" for label in COMMON_LABELS[part])
        lines += ["", f"## {title}", ""]
        lines += [f"All have the labels {common}.", ""] if common else []
        lines += ["| metric | type | labels | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{m.exposed_name}` | {m.kind} | {', '.join(f'`{label}`' for label in m.labels)} | {m.help} |"
            for m in ALL_METRICS
            if m.part == part
        ]
    return "\n".join(lines) + "\n"


def write_or_check(files: dict[Path, str], description: str | None) -> int:
    """Write files of which another content is there, or with --check only name them; exit code 1 if it found any."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a file is out of date")
    check = parser.parse_args().check
    stale = [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if check:
            sys.stderr.write(f"{path} is out of date: run make generate\n")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(files[path], encoding="utf-8")
            sys.stdout.write(f"wrote {path}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(write_or_check(generated_files(), __doc__))
