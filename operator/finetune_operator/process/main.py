"""`finetune-operator`: from settings to an exit code."""

from __future__ import annotations

import asyncio
import logging
import sys

from prometheus_client import disable_created_metrics
from pydantic import ValidationError

from finetune_api.problems import join_problems, problems_of
from finetune_operator.cluster.interface import ClusterError
from finetune_operator.cluster.kubernetes import load_configuration
from finetune_operator.process.app import OperatorProcess
from finetune_operator.process.logs import set_up_logging
from finetune_operator.process.settings import OperatorSettings

_log = logging.getLogger(__name__)


def main() -> int:
    """Returns 0 after a stop that was wanted, 1 if the operator cannot go on, 2 for settings that are wrong."""
    try:
        settings = OperatorSettings()
    except ValidationError as error:
        print(f"finetune-operator: {join_problems(problems_of(error))}", file=sys.stderr)  # noqa: T201
        return 2
    set_up_logging(settings.log_level, settings.log_format)
    disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each counter, which nobody reads
    try:
        return asyncio.run(_main(settings))
    except (ClusterError, OSError) as error:
        _log.error("%s", error)
        return 1


async def _main(settings: OperatorSettings) -> int:
    configuration = await load_configuration(str(settings.kubeconfig) if settings.kubeconfig else None)
    process = OperatorProcess(settings, configuration)
    await process.run()
    return 0 if process.was_asked_to_stop else 1
