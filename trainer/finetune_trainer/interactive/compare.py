"""`python -m finetune_trainer.interactive.compare`: runs beside each other, as one JSON object on standard output.

`finetune compare` starts it, and decides which runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from finetune_api.exit_codes import CliExitCode
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.evaluation.run_comparison import compare_runs
from finetune_trainer.evaluation.saved_runs import SavedRun, read_run


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the runs of the command line; returns the exit code of the command."""
    parser = argparse.ArgumentParser(prog="finetune-compare", description=__doc__)
    parser.add_argument("--run", nargs=3, action="append", metavar=("NAME", "REPORT", "WORKSPACE"), required=True)
    runs: list[SavedRun] = []
    problems: list[str] = []
    for name, report, workspace in parser.parse_args(arguments).run:
        try:
            runs.append(read_run(name, Path(report), Path(workspace)))
        except BadConfiguration as failure:
            problems.append(f"{failure.message}. {failure.remedy}")
    for problem in problems:
        print(f"✖ {problem}", file=sys.stderr)  # noqa: T201 - it speaks for a command
    if problems:
        return int(CliExitCode.REFUSED)
    # ASCII, for the pipe may be in any locale.
    json.dump(compare_runs(runs).to_json_object(), sys.stdout)
    return int(CliExitCode.SUCCEEDED)


if __name__ == "__main__":
    sys.exit(main())
