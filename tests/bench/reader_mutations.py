"""What each reader of corpora makes of broken files: `python tests/bench/reader_mutations.py`.

Files are those of tests/mutated.py, the same in every run. Refused: exit 64 or 65, in words that name the file.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mutated import corpora, read_mutations


def main() -> int:
    """Print one table in Markdown, and the crashes."""
    print("| format | tried | rows | refused | crashes |\n|---|---:|---:|---:|---:|")
    crashes = []
    with tempfile.TemporaryDirectory() as name:
        for format_, corpus in corpora(Path(name)).items():
            counts = read_mutations(format_, corpus, Path(name))
            crashes += counts.crashes
            print(f"| {format_} | {counts.tried} | {counts.rows} | {counts.refused} | {len(counts.crashes)} |")
    for crash in crashes:
        print(crash)
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
