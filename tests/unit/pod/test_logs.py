"""What a pod prints: one line a message, those of libraries in the same form."""

from __future__ import annotations

import re
import subprocess
import sys

LIBRARY = """
import logging, sys, warnings
from finetune_trainer.pod.logs import set_up_logs, take_over_libraries
set_up_logs(rank=1)
library = logging.getLogger("DeepSpeed")  # as DeepSpeed sets itself up
library.propagate = False
library.setLevel(logging.DEBUG)
library.addHandler(logging.StreamHandler(sys.stderr))
take_over_libraries()
library.info("nothing")
library.warning("two\\nlines")
for _ in range(2):
    warnings.warn("mind this", stacklevel=1)
logging.getLogger("finetune_trainer.pod").info("ours")
logging.getLogger("torch.distributed.elastic").error("a traceback")
"""


def test_warnings_of_libraries_are_printed_as_ours_and_less_is_not() -> None:
    result = subprocess.run([sys.executable, "-c", LIBRARY], capture_output=True, text=True, check=True)
    lines = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in result.stdout.splitlines()]
    assert lines == [
        "rank 1 WARNING two lines",
        "rank 1 WARNING <string>:13: UserWarning: mind this",
        "rank 1 ours",
    ]
    assert result.stderr == ""
