"""What one GPU can prove about the trainer, in nine minutes: `python tests/gpu/check.py --out FOLDER`.

`--shape tiny` runs the same on a CPU in a minute or two, with models of no use. Figures and equalities go to
FOLDER/gpu.jsonl, a line a case and a line a step; what the steps print goes to FOLDER/gpu.log.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
SOURCES = (TESTS, *(TESTS.parent / name for name in ("crds", "trainer")))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for lines and logs")
    parser.add_argument("--shape", choices=("full", "tiny"), default="full", help="sizes: for a card of 80 GB, or any")
    parser.add_argument("--seconds", type=float, default=540, help="steps that come later are not run")
    parser.add_argument("--steps", default="", help="letters of those to run; all by default")
    parser.add_argument("--bundle", type=Path, help="folder of wheels that this machine lacks (make gpu-bundle)")
    parser.add_argument("--cpu", action="store_true", help="leave the GPU alone (with --shape tiny)")
    return parser.parse_args()


def see(*folders: Path) -> None:
    """Let this process and those that it starts import from `folders`."""
    found = [str(folder) for folder in folders]
    sys.path[:0] = found
    os.environ["PYTHONPATH"] = os.pathsep.join([*found, *filter(None, [os.environ.get("PYTHONPATH")])])


def main() -> int:
    """Run the steps, and print a line of each."""
    arguments = parse_arguments()
    see(*SOURCES)
    from gpu import bundle

    with ExitStack() as stack:
        if arguments.bundle:
            see(bundle.unpack(arguments.bundle, Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        if arguments.cpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        from finetune_trainer.pod.environment import has_cuda

        if arguments.shape == "full" and not has_cuda(os.environ):
            sys.stderr.write("No NVIDIA GPU is here. --shape tiny runs the same steps on a CPU.\n")
            return 2
        from gpu import driver
        from gpu.registry import STEPS

        steps = [step for step in STEPS if not arguments.steps or step.id in arguments.steps]
        outcomes = driver.run_steps(arguments.out, arguments.shape, arguments.seconds, steps)
    for outcome in outcomes:
        print(f"{outcome.step.id} {outcome.state:<9} {outcome.seconds:5.0f} s  {outcome.step.title}")
        if outcome.detail:
            print("    " + outcome.detail.replace("\n", "\n    "))
    print(f"One card cannot show: {driver.NOT_ON_ONE_CARD}.")
    return int(any(outcome.state in ("failed", "timed out") for outcome in outcomes))


if __name__ == "__main__":
    raise SystemExit(main())
