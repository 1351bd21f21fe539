"""What a person sees of a job: pure functions from the job to rich renderables."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from pydantic.alias_generators import to_camel
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from finetune_api.figures import count, short_duration
from finetune_api.job import FineTuneJob
from finetune_api.stages import PIPELINE, Stage
from finetune_api.status import FineTuneJobStatus, ProgressStatus, StageStatus

ICONS = {"Succeeded": ("✔", "green"), "Running": ("◷", "cyan"), "Failed": ("✖", "red"), "Suspended": ("⏸", "yellow")}
PENDING_ICON = ("◌", "dim")


def job_view(job: FineTuneJob, now: datetime, log_lines: Iterable[str] = ()) -> RenderableType:
    """Header, one line per stage, footer, and the last lines of the logs if wanted."""
    status = job.status or FineTuneJobStatus()
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(width=1)
    table.add_column(width=9)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for stage in status.stages:
        icon, style = ICONS.get(stage.state, PENDING_ICON)
        progress = status.progress if stage.name == status.current_stage else None
        table.add_row(
            Text(icon, style=style),
            Text(stage.name, style="bold" if stage.state == "Running" else ""),
            _stage_detail(stage, progress),
            Text(_stage_time(stage, now), style="dim"),
        )
    parts: list[RenderableType] = [_header(job, status, now), table]
    parts.extend(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in log_lines)
    parts.append(_footer(job, status, now))
    return Group(*parts)


def _header(job: FineTuneJob, status: FineTuneJobStatus, now: datetime) -> RenderableType:
    parallelism = job.spec.parallelism
    ranks = parallelism.nodes * parallelism.processes_per_node
    names = [stage.name for stage in status.stages]
    position = ""
    if status.current_stage in names:
        position = f"{status.current_stage} {names.index(status.current_stage) + 1}/{len(names)}"
    engine = f"ZeRO-{parallelism.zero.stage}" if parallelism.engine == "DeepSpeed" else "DDP"
    attempt = next((s.attempt for s in status.stages if s.name == status.current_stage), 0)
    words = [position or status.state, engine, f"{ranks} rank{'s' if ranks > 1 else ''}"]
    if attempt:
        words.append(f"attempt {attempt}")
    line = Table.grid(expand=True)
    line.add_column()
    line.add_column(justify="right")
    started = min((s.start_time for s in status.stages if s.start_time), default=None)
    elapsed = short_duration(((status.completion_time or now) - started).total_seconds()) if started else ""
    line.add_row(Text.assemble((job.metadata.name, "bold"), "  ", " · ".join(words)), Text(elapsed, style="bold"))
    return line


def _stage_time(stage: StageStatus, now: datetime) -> str:
    if stage.start_time is None:
        return ""
    return short_duration(((stage.completion_time or now) - stage.start_time).total_seconds())


def _stage_detail(stage: StageStatus, progress: ProgressStatus | None) -> RenderableType:
    if stage.state != "Running" or progress is None:
        return Text(stage.message, style="red" if stage.state == "Failed" else "")
    figures = Text(" · ".join(_figures(progress)), overflow="fold")
    place = Text(" · ".join(_place(stage.name, progress)), overflow="fold")
    if not progress.total_steps:
        return Group(place, figures) if figures else place
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(width=20)
    line.add_column(width=4, justify="right")
    line.add_column(ratio=1)
    line.add_row(ProgressBar(100, progress.percent or 0, width=20), f"{progress.percent or 0}%", place)
    return Group(line, figures) if figures else line


def _place(stage: Stage, progress: ProgressStatus) -> list[str]:
    """How far, and how long still: `step 310/500`, `eta 41s`."""
    unit = PIPELINE[stage].unit
    total = f"/{progress.total_steps:,}" if progress.total_steps else ""
    words = [f"{unit} {progress.step:,}{total}"] if progress.step or progress.total_steps else ["starting"]
    if progress.eta_seconds is not None:
        words.append(f"eta {short_duration(progress.eta_seconds)}")
    return words


def _figures(progress: ProgressStatus) -> list[str]:
    """How well: `loss 2.870`, `validation 3.012`, `9.8 k tok/s`, `mixture en 31% es 69%`."""
    words = []
    if progress.loss is not None:
        words.append(f"loss {progress.loss:.3f}")
    if progress.validation_loss is not None:
        words.append(f"validation {progress.validation_loss:.3f}")
    if progress.tokens_per_second:
        words.append(f"{count(progress.tokens_per_second)} tok/s")
    if progress.mfu:
        words.append(f"MFU {progress.mfu:.0%}")
    if progress.mixture:
        words.append("mixture " + " ".join(f"{arm}\u00a0{p:.0%}" for arm, p in progress.mixture.items()))
    return words


def _footer(job: FineTuneJob, status: FineTuneJobStatus, now: datetime) -> RenderableType:
    words = []
    progress = status.progress
    if progress and progress.last_checkpoint:
        age = short_duration((now - progress.last_checkpoint.time).total_seconds())
        words.append(f"checkpoint step {progress.last_checkpoint.step:,} ({age} ago)")
    words.append(f"restarts {status.restarts}")
    if status.goodput and status.goodput.ratio is not None:
        words.append(f"goodput {status.goodput.ratio:.0%}")
    line = Table.grid(expand=True)
    line.add_column()
    line.add_column(justify="right")
    hint = "saving and stopping …" if job.spec.suspend else "Ctrl-C saves and stops"
    if status.completion_time or status.state == "Suspended":
        hint = ""
    line.add_row(Text(" · ".join(words), style="dim"), Text(hint, style="dim"))
    return line


def stage_lines(job: FineTuneJob) -> list[str]:
    """Each stage that has begun: `✔ prepare    8,012 pairs kept of 9,377`."""
    status = job.status or FineTuneJobStatus()
    lines = []
    for stage in status.stages:
        if stage.state != "Pending":
            icon, _ = ICONS.get(stage.state, PENDING_ICON)
            attempt = f"attempt {stage.attempt}" if stage.state == "Running" else stage.message
            lines.append(f"{icon} {stage.name:<9}  {attempt or stage.state}")
    return lines


def progress_line(job: FineTuneJob) -> str | None:
    """How far the running stage is: `◷ adapt      step 310/500 · eta 41s · loss 2.870`."""
    status = job.status or FineTuneJobStatus()
    stage = next((s for s in status.stages if s.name == status.current_stage and s.state == "Running"), None)
    if stage is None or status.progress is None:
        return None
    words = [*_place(stage.name, status.progress), *_figures(status.progress)]
    return f"{ICONS['Running'][0]} {stage.name:<9}  {' · '.join(words)}"


def change_line(job: FineTuneJob) -> dict[str, object]:
    """The job in one flat JSON object, for programs."""
    status = job.status or FineTuneJobStatus()
    stage = next((s for s in status.stages if s.name == status.current_stage), None)
    line: dict[str, object] = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "job": job.metadata.name,
        "state": status.state,
        "stage": status.current_stage,
        "attempt": stage.attempt if stage else None,
    }
    if status.progress is not None and stage is not None and stage.state == "Running":
        shown = ("step", "total_steps", "percent", "eta_seconds", "loss", "validation_loss", "tokens_per_second", "mfu")
        line |= {to_camel(name): getattr(status.progress, name) for name in shown}
    done = [s for s in status.stages if s.state in ("Succeeded", "Failed")]
    if done:
        line["message"] = f"{done[-1].name}: {done[-1].message}"
    return {key: value for key, value in line.items() if value is not None}
