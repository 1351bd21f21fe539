"""The `finetune` command.

The modules of the commands say what a command takes, and import what it needs when it runs: help, completion and a
wrong option come at once. A test holds them to that.
"""

from __future__ import annotations

import sys

from typer import Typer

from finetune_api.exit_codes import CliExitCode
from finetune_cli.commands import compare, dashboard, lint, logs, plan, report, run, status, translate, version
from finetune_cli.output import write_in_every_locale

app = Typer(
    name="finetune",
    help="Run, plan, watch and explain fine-tuning jobs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run.run)
app.command("plan")(plan.plan)
app.command("lint")(lint.lint)
app.command("status")(status.status)
app.command("logs")(logs.logs)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("translate")(translate.translate)
app.command("dashboard")(dashboard.dashboard)
app.command("version")(version.version)


def main() -> None:
    """Entry point of `finetune` and `kubectl finetune`."""
    write_in_every_locale()
    try:
        app()
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(int(CliExitCode.FAILED)) from None
    except KeyboardInterrupt:
        raise SystemExit(int(CliExitCode.INTERRUPTED)) from None
