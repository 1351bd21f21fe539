"""`finetune plan`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from finetune_cli.commands.options import Output, OutputOption
from finetune_cli.estimate.assumptions import Assumptions


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
    model: Annotated[
        Path | None,
        typer.Option(help="Folder with the config.json of the pretrained model, where the model is elsewhere."),
    ] = None,
    adapt_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens that adapt trains on, over all epochs: the data is known after prepare."),
    ] = None,
    price: Annotated[float | None, typer.Option(min=0, help="Of one device, an hour: cost is told, too.")] = None,
    output: OutputOption = Output.text,
) -> None:
    """What a job will do and need: parameters, memory per rank by part, tokens, FLOPs, time, cost, defaults."""
    from finetune_cli.plan_view import print_plan

    print_plan(manifest, device.value, Assumptions(model, adapt_tokens, price), as_json=output is Output.json)
