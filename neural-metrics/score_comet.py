"""Scores translations with COMET: the program behind FINETUNE_NEURAL_METRICS, in an environment of its own.

    score_comet.py --metric COMET --checkpoint FOLDER < segments.jsonl > scores.jsonl

FOLDER is that of a model as the hub has it (hparams.yaml, checkpoints/model.ckpt). The files of its encoder, such as
xlm-roberta-large, must be in the hub's cache (HF_HOME): nothing is fetched. docs/tasks/platform-team.md: the contract.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import json
import sys
from importlib.metadata import version
from pathlib import Path

BATCH = 16
LOW, HIGH = -5.0, 5.0
"""Older models are not scaled to 0 to 1; nothing that they score is outside."""


def main() -> int:
    """Score standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metric", choices=["COMET"], required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    given = parser.parse_args()
    rows = [json.loads(line) for line in sys.stdin]
    checkpoint = given.checkpoint / "checkpoints/model.ckpt" if given.checkpoint.is_dir() else given.checkpoint
    with contextlib.redirect_stdout(sys.stderr):  # its libraries talk
        comet, torch = importlib.import_module("comet"), importlib.import_module("torch")
        model = comet.load_from_checkpoint(str(checkpoint), local_files_only=True)
        asked = [{"src": row["source"], "mt": row["output"], "ref": row["reference"]} for row in rows]
        scores = model.predict(asked, batch_size=BATCH, gpus=int(torch.cuda.is_available()), num_workers=0).scores
    about = {
        "metric": given.metric,
        "model": checkpoint.resolve().parents[1].name,
        "version": f"unbabel-comet {version('unbabel-comet')}, sha256 {_digest(checkpoint)[:12]}",
        "low": LOW,
        "high": HIGH,
    }
    for line in (about, *({"score": float(score)} for score in scores)):
        sys.stdout.write(json.dumps(line) + "\n")
    return 0


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
