"""`finetune plan`: what will run, what defaults filled in, and what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from finetune_api.figures import bytes_, count, short_duration
from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.pretrained import fit_to_context, read_pretrained
from finetune_cli.estimate.assumptions import Assumptions
from finetune_cli.estimate.job import DEVICES, JobEstimate, estimate_job
from finetune_cli.local_manifest import local_model_folder
from finetune_cli.manifest import load_manifest
from finetune_cli.output import write_json
from finetune_cli.refusal import refuse

WIDTH = 140
"""Columns where the output is not a terminal: tables must not wrap in a file."""


def print_plan(manifest: Path, device: str, assumed: Assumptions, *, as_json: bool) -> None:
    """Print what the job of a manifest needs on one of DEVICES; refuses a model folder without config.json."""
    loaded = load_manifest(manifest)
    spec = FineTuneJob.from_json_object(loaded.job).spec
    folder = assumed.model or local_model_folder(spec)
    model = read_pretrained(folder) if folder is not None else None
    if assumed.model is not None and model is None:
        refuse([f"--model {assumed.model}: there is no config.json of a model that can be read"])
    spec = fit_to_context(spec, model.context_length if model is not None else None)
    job = loaded.job | {"spec": spec.to_json_object()}
    estimate = estimate_job(spec, DEVICES[device], model, assumed)
    if as_json:
        write_json({"job": job, "estimate": asdict(estimate)})
        return
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(plan_view(job, loaded.written, estimate))


def plan_view(job: Object, written: Object, estimate: JobEstimate) -> RenderableType:
    """`job` with defaults beside the object as `written`, and the estimate."""
    parts: list[RenderableType] = [_model_line(job, estimate)]
    if estimate.stages:
        parts += [Text(), _training_table(estimate), Text(), _memory_table(estimate)]
        if any(stage.host is not None for stage in estimate.stages):
            parts += [Text(), _host_table(estimate)]
    if estimate.lora_layers:
        parts += [Text(), Text(f"LoRA updates {', '.join(estimate.lora_layers)}")]
    defaults = list(filled_in(written.get("spec", {}), job["spec"], "spec"))
    if defaults:
        parts += [Text(), Text(f"Defaults filled in ({len(defaults)})", style="bold"), _defaults_table(defaults)]
    if estimate.warnings:
        parts += [Text(), *(Text(f"⚠ {warning}", style="yellow") for warning in estimate.warnings)]
    if estimate.notes:
        parts += [Text(), *(Text(note, style="dim") for note in estimate.notes)]
    return Group(*parts)


def filled_in(written: Any, complete: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each leaf of `complete` that `written` does not have, with its field path."""
    if isinstance(complete, dict):
        for key, value in complete.items():
            known = written.get(key) if isinstance(written, dict) else None
            yield from filled_in(known, value, f"{path}.{key}")
    elif isinstance(complete, list) and isinstance(written, list) and len(written) == len(complete):
        for index, (known, value) in enumerate(zip(written, complete, strict=True)):
            yield from filled_in(known, value, f"{path}[{index}]")
    elif written is None:
        yield path, complete


def _model_line(job: Object, estimate: JobEstimate) -> Text:
    text = Text.assemble((job["metadata"]["name"], "bold"))
    if estimate.shape is not None:
        text.append(f"  {count(estimate.shape.parameters)} parameters")
    zero = job["spec"]["parallelism"]["zero"]["stage"]
    text.append(f" · {estimate.ranks} ranks · ZeRO-{zero} · {estimate.device.name}")
    return text


def _training_table(estimate: JobEstimate) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0))
    table.add_column("stage", style="bold")
    for heading in (
        "trainable",
        "micro-batch",
        "accumulation",
        "kept",
        "tokens",
        "steps",
        "FLOPs",
        "time (estimate)",
    ):
        table.add_column(heading, justify="right")
    has_price = any(stage.cost is not None for stage in estimate.stages)
    if has_price:
        table.add_column("cost", justify="right")
    for stage in estimate.stages:
        by_data = "depends on data"
        table.add_row(
            stage.stage,
            count(stage.trainable),
            str(stage.micro_batch),
            str(stage.accumulation),
            stage.kept,
            count(stage.tokens) if stage.tokens is not None else by_data,
            f"{stage.steps:,}" if stage.steps is not None else by_data,
            count(stage.flops) if stage.flops is not None else by_data,
            short_duration(stage.seconds) if stage.seconds is not None else by_data,
            *([f"{stage.cost:,.2f}" if stage.cost is not None else by_data] if has_price else []),
        )
    return table


def _memory_table(estimate: JobEstimate) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0))
    table.add_column("memory per rank", style="bold")
    parts = ("weights", "gradients", "optimizer", "activations", "momentary", "buffers", "total", "host")
    for part in parts:
        table.add_column(part, justify="right")
    table.add_column("fits")
    for stage in estimate.stages:
        table.add_row(
            stage.stage,
            *(bytes_(getattr(stage.memory, part)) for part in parts),
            Text("yes", style="green") if stage.fits else Text("no", style="red"),
        )
    return table


def _host_table(estimate: JobEstimate) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0))
    table.add_column("host memory per pod", style="bold")
    parts = ("processes", "loading", "offloaded", "checkpoint", "best", "writing", "total")
    for part in parts:
        table.add_column("at most" if part == "total" else part, justify="right")
    for stage in estimate.stages:
        if stage.host is not None:
            table.add_row(stage.stage, *(bytes_(getattr(stage.host, part)) for part in parts))
    return table


def _defaults_table(defaults: list[tuple[str, Any]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for path, value in defaults:
        table.add_row(Text(f"  {path}", style="dim"), str(value))
    return table
