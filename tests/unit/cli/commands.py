"""The command `finetune`, as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FINETUNE = Path(sys.executable).with_name("finetune")


def finetune(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [FINETUNE, *arguments], cwd=folder, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in result.stdout + result.stderr
    return result
