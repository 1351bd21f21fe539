"""What the corpora are, by content."""

from __future__ import annotations

from finetune_api.dictionary import dictionaries
from finetune_api.plan import Plan
from finetune_trainer.data.locate import source_files
from finetune_trainer.errors import BadData, StageFailure, printable
from finetune_trainer.workspace.files import sha256_file
from finetune_trainer.workspace.storage import local_path


def source_digests(plan: Plan) -> dict[str, str]:
    """sha256 by file of every source that is a file.

    Raises:
        BadData: naming all that are missing.
    """
    digests: dict[str, str] = {}
    problems: list[StageFailure] = []
    for source in plan.spec.data.sources:
        if source.uri.startswith("hf://"):
            continue
        try:
            for path in source_files(source):
                files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
                digests |= {printable(str(file)): sha256_file(file) for file in files}
        except StageFailure as error:
            problems.append(error)
    if problems:
        messages = "; ".join(p.message for p in problems)
        raise BadData(problems[0].reason, messages, problems[0].remedy)
    return digests


def dictionary_digests(plan: Plan, block: str) -> dict[str, str]:
    """sha256 by file of the dictionaries that a block of the spec names; missing ones are left to who reads them."""
    named = [(field, reference) for field, reference in dictionaries(plan.spec) if field.startswith(f"spec.{block}.")]
    paths = [local_path(reference.uri, f"{field}.uri") for field, reference in named]
    return {printable(str(path)): sha256_file(path) for path in paths if path.is_file()}


def hypotheses_digests(plan: Plan) -> dict[str, str]:
    """sha256 by file of the hypotheses that rivals are given; files that are missing are left to who reads them."""
    rivals = (plan.spec.evaluate.rivals if plan.spec.evaluate else None) or []
    files = [file for rival in rivals for file in rival.hypotheses or ()]
    paths = [local_path(file.uri, "spec.evaluate.rivals") for file in files]
    return {printable(str(path)): sha256_file(path) for path in paths if path.is_file()}
