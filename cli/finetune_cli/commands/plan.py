"""`finetune plan`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from finetune_cli.commands.options import Output, OutputOption


class DeviceName(StrEnum):
    """Keys of DEVICES."""

    cpu = "cpu"
    a100 = "a100"
    h100 = "h100"
    h200 = "h200"
    b200 = "b200"


def plan(
    manifest: Annotated[Path, typer.Argument(help="A FineTuneJob.")],
    device: Annotated[DeviceName, typer.Option(help="What each rank runs on.")] = DeviceName.cpu,
    output: OutputOption = Output.text,
) -> None:
    """What a job will do and need: parameters, memory per rank by part, tokens, FLOPs, time, defaults filled in."""
    from finetune_cli.plan_view import print_plan

    print_plan(manifest, device.value, as_json=output is Output.json)
