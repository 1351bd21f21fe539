"""The status under construction: what is written, and what waits until something else is."""

from __future__ import annotations

from datetime import UTC, datetime

from finetune_api.job import FineTuneJob
from finetune_api.status import Goodput, ProgressStatus
from finetune_operator.reconcile.draft import Draft, Measured
from unit.admission.rule_cases import GOOD

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
OLD, NEW = ProgressStatus(step=10), ProgressStatus(step=20)


def stored(**fields: object) -> Draft:
    """A draft of a job whose status has been written before."""
    job = FineTuneJob.from_json_object(GOOD)
    first = Draft(job, NOW).finish()
    assert first is not None
    return Draft(job.model_copy(update={"status": first.model_copy(update={"progress": OLD} | fields)}), NOW)


def test_an_equal_value_is_no_change() -> None:
    draft = stored(nodes=2)
    draft.nodes, draft.progress = 2, OLD.model_copy()
    assert draft.finish() is None


def test_figures_wait_until_they_are_due_or_something_else_is_written() -> None:
    draft = stored()
    draft.measured = Measured(NEW, None, is_due=False)
    assert draft.finish() is None
    draft.nodes = 2
    status = draft.finish()
    assert status is not None
    assert status.progress == NEW
    draft = stored()
    draft.measured = Measured(NEW, Goodput(ratio=0.5), is_due=True)
    status = draft.finish()
    assert status is not None
    assert (status.progress, status.goodput) == (NEW, Goodput(ratio=0.5))


def test_what_is_set_stands_above_what_is_measured_even_if_it_is_as_before() -> None:
    draft = stored()
    draft.progress = OLD.model_copy()
    draft.measured = Measured(NEW, None, is_due=True)
    assert draft.finish() is None
