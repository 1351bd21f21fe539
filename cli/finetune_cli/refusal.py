"""How a refused manifest or wrong usage ends: plain lines on standard error, exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import NoReturn

from finetune_api.exit_codes import CliExitCode


def refuse(lines: Iterable[object]) -> NoReturn:
    """Print each line and leave with exit code 2."""
    for line in lines:
        print(f"✖ {line}", file=sys.stderr)
    raise SystemExit(int(CliExitCode.REFUSED))
