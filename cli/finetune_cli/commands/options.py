"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

NameArgument = Annotated[str | None, typer.Argument(help="Name of the job; default: the newest run.")]
WorkspaceOption = Annotated[Path | None, typer.Option(help="Folder of the run; default: runs/<name>.")]


class Output(StrEnum):
    """How a job is printed."""

    text = "text"
    json = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="text for people, json for machines.")]
