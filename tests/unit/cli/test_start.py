"""What the command line does not import: that is what would make it slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SLOW = {
    "aiohttp", "asyncio", "celpy", "finetune_api.base", "finetune_charts", "finetune_operator", "finetune_trainer",
    "jinja2", "kopf", "kubernetes", "prometheus_client", "pydantic", "rich", "structlog", "yaml",
}  # fmt: skip
TELL = """
import json, sys
from finetune_cli.main import main
sys.argv[0] = "finetune"
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
COMMANDS = ("run", "plan", "lint", "status", "logs", "report", "compare", "translate", "dashboard", "version")


def imported(*arguments: str, **variables: str) -> tuple[str, set[str]]:
    """What `finetune` prints, and which of SLOW it has imported."""
    result = subprocess.run(
        [sys.executable, "-c", TELL, *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    modules = json.loads(result.stderr.splitlines()[-1])
    return result.stdout, SLOW & {part for name in modules for part in (name, name.partition(".")[0])}


def test_help_imports_nothing_slow() -> None:
    said, slow = imported("--help")
    assert all(f"  {command}" in said for command in COMMANDS)
    assert slow == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_imports_nothing_of_ours_that_is_slow(command: str) -> None:
    said, slow = imported(command, "--help")
    assert f"Usage: finetune {command} " in said
    # typer itself has an adapter for pydantic, which it imports when it meets a command.
    assert slow <= {"pydantic"}


def test_completion_imports_nothing_slow() -> None:
    said, slow = imported(_FINETUNE_COMPLETE="complete_bash", COMP_WORDS="finetune ", COMP_CWORD="1")
    assert set(COMMANDS) <= set(said.split())
    assert slow <= {"pydantic"}
