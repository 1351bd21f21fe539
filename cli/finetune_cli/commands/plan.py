"""`finetune plan`."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from finetune_api.job import FineTuneJob
from finetune_cli.commands.options import Output, OutputOption
from finetune_cli.estimate.job import DEVICES, estimate_job
from finetune_cli.manifest import load_manifest
from finetune_cli.plan_view import plan_view

WIDTH = 140
"""Columns where the output is not a terminal: tables must not wrap in a file."""


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
    loaded = load_manifest(manifest)
    spec = FineTuneJob.from_json_object(loaded.job).spec
    estimate = estimate_job(spec, DEVICES[device.value])
    if output is Output.json:
        print(json.dumps({"job": loaded.job, "estimate": asdict(estimate)}, indent=2))
    else:
        console = Console()
        if not console.is_terminal:
            console.width = WIDTH
        console.print(plan_view(loaded.job, loaded.written, estimate))
