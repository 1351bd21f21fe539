"""The page: a pure function of the job and its histories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import resources

from finetune_api.figures import short_duration
from finetune_api.job import FineTuneJob
from finetune_api.progress import HistoryRow
from finetune_api.status import FineTuneJobStatus
from finetune_charts import content_hash, page_environment, page_style
from finetune_charts.training import training_charts

REFRESH_SECONDS = 5


def render(job: FineTuneJob, histories: Mapping[str, Sequence[HistoryRow]], now: datetime, *, has_report: bool) -> str:
    """The page; `histories` are the curves by stage. It reloads itself until the job has ended."""
    status = job.status or FineTuneJobStatus()
    environment = page_environment(lambda name: (resources.files(__package__) / name).read_text("utf-8"))
    environment.filters.update(duration=short_duration)
    style = page_style()
    curves = [(stage, training_charts(rows)) for stage, rows in histories.items() if rows]
    return environment.get_template("page.html.j2").render(
        job=job,
        status=status,
        curves=[(stage, charts) for stage, charts in curves if charts],
        seconds={
            stage.name: ((stage.completion_time or now) - stage.start_time).total_seconds()
            for stage in status.stages
            if stage.start_time
        },
        has_report=has_report,
        refresh=None if status.completion_time else REFRESH_SECONDS,
        style=style,
        style_hash=content_hash(style),
    )
