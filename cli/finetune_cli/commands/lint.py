"""`finetune lint`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune_api.exit_codes import CliExitCode


def lint(
    manifests: Annotated[list[Path], typer.Argument(help="Files, folders, or - for standard input; nothing is run.")],
) -> None:
    """Check jobs and runtimes; every problem is reported, with file and line. Exit code 2 if there is one."""
    from finetune_cli.manifest import lint as problems_below

    failed = False
    for path in manifests:
        for name, problems in problems_below(path):
            failed = failed or bool(problems)
            for problem in problems:
                print(f"✖ {problem}")
            if not problems:
                print(f"✔ {name}")
    raise typer.Exit(int(CliExitCode.REFUSED if failed else CliExitCode.SUCCEEDED))
