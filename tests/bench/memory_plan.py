"""Prints what the memory model says of a rank beside what torch allocates, by engine, precision and method."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from memory_meter import CASES, measured

MIB = 2**20


def main() -> None:
    sys.stdout.write(f"{'engine, precision, method, activations':42} {'plan MiB':>9} {'measured':>9} {'off':>7}\n")
    for result in measured(CASES):
        dropout = f" dropout {result.case.dropout}" if result.case.dropout else ""
        sys.stdout.write(
            f"{result.case.name + dropout:42} {result.planned / MIB:9.1f} {result.measured / MIB:9.1f} "
            f"{result.deviation:+7.1%}\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
