"""Whether this installation can train: the command line, the operator and the trainer come in one package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata

from finetune_cli.refusal import refuse

PACKAGE = "finetune-operator"


def refuse_without_trainer(what: str) -> None:
    """Refuse where the trainer is not installed; `what` this installation cannot do then."""
    if missing := missing_packages():
        refuse(
            [
                f"this installation cannot {what}: it has no {', '.join(missing)}",
                "Install the extra `trainer`: make install in a checkout, pip install 'FILE.whl[trainer]' of a wheel",
            ]
        )


def missing_packages() -> list[str]:
    """Distributions of the extra `trainer` that are not installed; nothing is imported."""
    return [name for name in _of_trainer() if not _is_installed(name)]


def _of_trainer() -> Iterator[str]:
    for requirement in metadata.requires(PACKAGE) or ():
        what, _, marker = requirement.partition(";")
        if re.search(r"extra\s*==\s*['\"]trainer['\"]", marker):
            yield re.split(r"[^A-Za-z0-9._-]", what.strip(), maxsplit=1)[0]


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
