"""The command `finetune`, as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FINETUNE = Path(sys.executable).with_name("finetune")


def finetune(folder: Path, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [FINETUNE, *arguments],
        cwd=folder,
        env=os.environ | environment,
        input=stdin,
        capture_output=True,
        encoding=environment.get("PYTHONIOENCODING", "utf-8"),
        timeout=60,
        check=False,
    )
    assert "Traceback" not in result.stdout + result.stderr
    return result
