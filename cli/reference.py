"""`python cli/reference.py [--check]`: the reference page of the command line, from its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from finetune_api.generate import REFERENCE, write_or_check
from finetune_cli.main import app

HEADER = """# The command line

<!-- Generated from the commands by `make generate`; do not edit. -->

`kubectl finetune` is the same program. Exit codes: 0 done, 1 the run failed, 2 refused, 130 interrupted.
"""


def page() -> str:
    """Every command with its arguments and options, in Markdown."""
    group = typer.main.get_command(app)
    if not isinstance(group, TyperGroup):
        raise TypeError("finetune has no commands")
    return HEADER + "".join(_command(name, command) for name, command in sorted(group.commands.items()))


def _command(name: str, command: Any) -> str:
    if not isinstance(command, TyperCommand):
        raise TypeError(f"{name} is no command")
    context = typer.Context(command, info_name=f"finetune {name}")
    lines = ["", f"## finetune {name}", "", "```", command.get_usage(context).removeprefix("Usage: "), "```", ""]
    lines += [*(command.help or "").strip().splitlines(), ""]
    rows = [_row(parameter, context) for parameter in command.params]
    return "\n".join(lines + (["| parameter | default | meaning |", "|---|---|---|", *rows, ""] if rows else []))


def _row(parameter: Any, context: typer.Context) -> str:
    name = ", ".join(parameter.opts) if isinstance(parameter, TyperOption) else parameter.name.upper()
    default = parameter.get_default(context)
    shown = "" if default in (None, False, ()) else f"`{getattr(default, 'value', default)}`"
    return f"| `{name}` | {shown} | {getattr(parameter, 'help', None) or ''} |"


def main() -> int:
    """Write or check."""
    return write_or_check({Path(REFERENCE / "cli.md"): page()}, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
