"""A run that was stopped: its end and `finetune status` afterwards say who, when, what is kept and how to go on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from finetune_api import labels
from finetune_api.exit_codes import CliExitCode
from finetune_api.objects import Object
from finetune_cli.outcome import print_outcome
from finetune_cli.status import show_status
from finetune_cli.workspace import JOB_FILE, write_json_atomically

NOON = 1_767_268_800
"""2026-01-01 12:00:00 UTC."""


def stopped_run(folder: Path, *, by_hand: bool, step: int | None) -> Object:
    """The job of a run in `folder` that wrote its last at noon, with a checkpoint of adapt at `step`."""
    job: Object = {
        "apiVersion": "finetune-operator.io/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "tiny", "annotations": {labels.MANIFEST: "/my jobs/job.yaml"}},
        "spec": {
            "suspend": by_hand,
            "model": {"from": {"uri": "model"}},
            "data": {"sources": [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "ui.tsv"}]},
        },
        "status": {"state": "Suspended", "currentStage": "adapt", "stages": [{"name": "adapt", "state": "Running"}]},
    }
    if step is not None:
        checkpoint = folder / "checkpoints" / "adapt" / f"step-{step:08d}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "checkpoint.json").write_text("{}", encoding="utf-8")
    write_json_atomically(folder / JOB_FILE, job)
    os.utime(folder / JOB_FILE, (NOON, NOON))
    return job


@pytest.mark.parametrize(
    ("by_hand", "step", "first"),
    [
        (
            True,
            3000,
            "Stopped by Ctrl-C or SIGTERM at 2026-01-01 12:00:00 UTC; kept: the checkpoint of step 3,000 of adapt.",
        ),
        (True, None, "Stopped by Ctrl-C or SIGTERM at 2026-01-01 12:00:00 UTC; kept: finished stages."),
        (False, None, "Stopped because its process ended at 2026-01-01 12:00:00 UTC; kept: finished stages."),
    ],
)
def test_the_end_of_a_run_and_its_status_say_the_same(
    by_hand: bool, step: int | None, first: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = stopped_run(tmp_path, by_hand=by_hand, step=step)
    said = [first, f"Go on with: finetune run '/my jobs/job.yaml' --workspace {tmp_path}"]
    print_outcome(job, tmp_path, tmp_path, Path("job.yaml"), CliExitCode.INTERRUPTED)
    assert capsys.readouterr().out.splitlines() == said
    assert show_status(tmp_path, as_json=False, watch=False) is CliExitCode.SUCCEEDED
    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines if line.startswith(("Stopped", "Go on"))] == said
