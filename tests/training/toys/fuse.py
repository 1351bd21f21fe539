"""A stage whose block the API has already: it copies the newest model."""

from __future__ import annotations

import shutil

from finetune_trainer.context import StageContext, StageOutcome
from finetune_trainer.models import newest_model
from finetune_trainer.stages import artifact_path
from finetune_trainer.workspace.artifacts import stage_digests, write_artifact


def run(context: StageContext) -> StageOutcome:
    """Every rank calls it."""
    plan, workspace = context.plan, context.workspace
    if context.ranks.is_main:
        with write_artifact(workspace, artifact_path(plan), plan, stage_digests(plan, workspace)) as folder:
            shutil.copytree(newest_model(plan, workspace).folder, folder, dirs_exist_ok=True)
            (folder / "manifest.json").unlink()
    context.ranks.barrier()
    return StageOutcome(artifact_path(plan), message="copied")
