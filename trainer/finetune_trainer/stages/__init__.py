"""The recipes of the stages, one a file; the table is `finetune_api.stages.PIPELINE`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.plan import Plan
from finetune_api.stages import PIPELINE, Stage, StageDescription
from finetune_trainer.context import StageContext, StageOutcome
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.registry import Registry
from finetune_trainer.workspace.artifacts import stage_digests

if TYPE_CHECKING:
    from finetune_trainer.data.prepared import PreparedData

StageFunction = Callable[[StageContext], StageOutcome]
StageTable = Mapping[Stage, StageDescription]


def require_stage(name: Stage, table: StageTable = PIPELINE) -> None:
    """Refuse a stage that this version does not have.

    Raises:
        BadConfiguration: NotSupported.
    """
    if table[name].implementation is None:
        raise BadConfiguration(
            "NotSupported", f"stage {name} is not supported yet", f"Remove spec.{name} from the job."
        )


def find_stage(name: Stage, table: StageTable = PIPELINE) -> StageFunction:
    """Import the recipe of a stage that `require_stage` lets pass."""
    registry: Registry[StageFunction] = Registry(__name__, "stage", {str(key): stage for key, stage in table.items()})
    return registry.find(name)


def artifact_path(plan: Plan, table: StageTable = PIPELINE) -> str:
    """Path of the artifact of `plan` within its workspace."""
    return artifact_in(plan.folder, plan, table)


def artifact_in(folder: str | None, plan: Plan, table: StageTable = PIPELINE) -> str:
    """Path within the workspace of the artifact that a job with this folder has of the plan's stage."""
    path = table[plan.stage].artifact.format(digest=plan.fingerprint[:16])
    return path if folder is None else f"{folder}/{path}"


def input_digests(plan: Plan, workspace: Path, table: StageTable = PIPELINE) -> dict[str, str]:
    """Digest by input of what the stage reads, as of now: a finished artifact made from others is not adopted.

    Raises:
        BadData: if a source is missing.
    """
    from finetune_trainer.data.provenance import dictionary_digests, hypotheses_digests, source_digests

    stage = table[plan.stage]
    if stage.produces == "data":
        return source_digests(plan)
    digests = stage_digests(plan, workspace)
    if "adapt" in stage.parts:
        digests |= dictionary_digests(plan, "adapt") | _match_digests(plan, workspace, of_tests=False)
    if stage.produces == "report":
        digests |= hypotheses_digests(plan) | dictionary_digests(plan, "evaluate")
        digests |= _match_digests(plan, workspace, of_tests=True)
    return digests


def open_data(plan: Plan, workspace: Path) -> PreparedData:
    """The data that the plan's stage reads.

    Raises:
        BadConfiguration: if they are not there.
    """
    from finetune_trainer.data.prepared import PreparedData

    return PreparedData.open(workspace, plan.inputs.get("prepare", ""), plan.folder)


def lacks_matches(plan: Plan, workspace: Path, artifact: str, table: StageTable = PIPELINE) -> bool:
    """Whether data that were made before have no table of some fuzzy matches that the plan's spec asks for."""
    from finetune_trainer.data.match_tables import missing_requests

    if table[plan.stage].produces != "data":
        return False
    data = open_data(plan.model_copy(update={"inputs": {"prepare": artifact}}), workspace)
    return bool(missing_requests(plan.spec, data))


def _match_digests(plan: Plan, workspace: Path, *, of_tests: bool) -> dict[str, str]:
    """Digest of each table of fuzzy matches that adapt or evaluate reads; what is missing is left to who reads it."""
    from finetune_trainer.data.match_tables import table_digests

    try:
        return table_digests(plan.spec, open_data(plan, workspace), of_tests=of_tests)
    except BadConfiguration:
        return {}
