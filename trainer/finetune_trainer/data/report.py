"""The prepare stage's report on its sources: counts by rule, provenance, licences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune_trainer.data.labels import LabelCounts
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.prepared import SPLITS
from finetune_trainer.data.staging import StagedSource
from finetune_trainer.data.writing import words_by_language

MAX_CHARACTERS = 500
"""Of a message, which the API bounds; the report has all counts."""
WORDS = {"inTest": "in test"}
SETTINGS = {
    "copy": "data.clean.dropCopies",
    "duplicate": "data.deduplicate",
    "inTest": "data.decontaminate",
    "lengthRatio": "data.clean.maxLengthRatio",
    "tooLong": "data.clean.maxWords",
    "tooShort": "data.clean.minWords",
}
"""What to look at, by rule."""
SplitSizes = Mapping[str, Mapping[str, int]]
"""Rows by source and split."""


def sources_report(
    staged: Sequence[StagedSource],
    sizes: SplitSizes,
    tokens: Mapping[str, Mapping[str, int]],
    digests: Mapping[str, str],
    folder: Path,
    labels: Mapping[str, LabelCounts],
) -> dict[str, Any]:
    """The whole report.

    Args:
        staged: the sources after all rules.
        sizes: rows by source and split.
        tokens: training tokens by source and language.
        digests: sha256 by file.
        folder: of the artifact.
        labels: rows by source that has labels, split and label.
    """
    sources = []
    for item in staged:
        source = item.source
        own = source_files(source) if not source.uri.startswith("hf://") else []
        sources.append(
            {
                "name": source.name,
                "type": source.type,
                "languages": source.languages,
                "role": source.role,
                "uri": source.uri,
                "license": source.license,
                "sha256": {f: d for f, d in digests.items() if any(Path(f).is_relative_to(p) for p in own)},
                "splits": sizes[source.name],
                "trainingTokens": tokens[source.name],
                "trainingWords": words_by_language(folder / "sources" / source.name, source),
                **({"trainingLabels": labels[source.name]["train"]} if source.name in labels else {}),
                **item.tally.to_json(),
            }
        )
    return {"sources": sources, "message": summary_line(staged)}


def summary_figures(staged: Sequence[StagedSource], sizes: SplitSizes, vocabulary: int) -> dict[str, float]:
    """Keys as in StageResult.summary."""
    dropped = _dropped(staged)
    return {
        "rowsRead": sum(s.tally.read for s in staged),
        "rowsKept": sum(s.tally.kept for s in staged),
        "vocabularySize": vocabulary,
        **{split: sum(size[split] for size in sizes.values()) for split in SPLITS},
        **{f"dropped.{rule}": count for rule, count in dropped.most_common()},
    }


def summary_line(staged: Sequence[StagedSource]) -> str:
    """`8,012 pairs kept of 9,377 (612 duplicate, 712 lengthRatio, 41 in test)`, with a warning where one seems due."""
    detail = ", ".join(f"{count:,} {WORDS.get(rule, rule)}" for rule, count in _dropped(staged).most_common())
    unit = "pairs" if all(s.source.type == "Parallel" for s in staged) else "rows"
    kept, read = (sum(getattr(s.tally, name) for s in staged) for name in ("kept", "read"))
    line = f"{kept:,} {unit} kept of {read:,}" + (f" ({detail})" if detail else "")
    for warning in (warning for s in staged for warning in _warnings(s)):
        if len(line) + len(warning) > MAX_CHARACTERS:
            return f"{line}; and more"
        line = f"{line}; {warning}"
    return line


def _warnings(staged: StagedSource) -> Iterator[str]:
    """Where one rule takes more than half of a source, it is likely that the rule does not fit."""
    tally = staged.tally
    for rule, count in tally.dropped.most_common(1):
        if count * 2 > tally.read:
            remedy = f": see {SETTINGS[rule]}" if rule in SETTINGS else ""
            yield f"warning: {rule} took {count:,} of {tally.read:,} rows of source '{staged.source.name}'{remedy}"


def _dropped(staged: Sequence[StagedSource]) -> Counter[str]:
    return sum((s.tally.dropped for s in staged), Counter())
