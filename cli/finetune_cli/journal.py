"""The story of a lineage in Markdown: what each run changed, why, what it took over, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finetune_api.comparison import ComparedScore, ComparedTest, Comparison
from finetune_api.differences import Difference
from finetune_api.figures import shots_name
from finetune_api.job import FineTuneJob
from finetune_api.markdown import escape, markdown_table
from finetune_cli.comparing import ReportedRun, run_comparison
from finetune_cli.lineage import Iteration, source_digests, spec_changes
from finetune_cli.score_table import digits_of, interval_text, p_number
from finetune_operator.reconcile.lineage import compare

_MOST_PATHS = 3
"""Changes named in the table of all runs."""
_LONGEST = 200
"""Characters of a value."""
_DIGEST = 12
"""Characters of a digest: enough to tell files apart."""
_SIGNS = {"Better": "▲", "Worse": "▼", "NoDifference": "="}
_WORDS = {"Better": "better", "Worse": "worse", "NoDifference": "no difference"}


def compare_variants(iterations: Sequence[Iteration]) -> dict[str, Comparison]:
    """By parent: the parent and its variants with a report beside each other, the parent first."""
    found = {}
    for parent in iterations:
        variants = [each for each in iterations if each.job.parent == parent.name and each.parent and each.has_report]
        if parent.has_report and variants:
            found[parent.name] = run_comparison([ReportedRun(each.name, each.folder) for each in [parent, *variants]])
    return found


def write_journal(iterations: Sequence[Iteration], comparisons: Mapping[str, Comparison]) -> str:
    """The whole journal; text from manifests is escaped, so that it cannot become markup.

    Args:
        iterations: each parent before its variants.
        comparisons: by parent, as `compare_variants` makes them.
    """
    first = iterations[0]
    runs = "1 run" if len(iterations) == 1 else f"{len(iterations)} runs"
    blocks = [f"# Journal of {escape(first.name)}: {runs}"]
    blocks.append(_overview(iterations, comparisons))
    if comparisons:
        blocks.append(
            "Differences are to the parent, paired over the segments of the test; p is corrected (Holm) for all that "
            "the variants of one parent are compared in. ▲ better, ▼ worse, = no difference that counts."
        )
    for iteration in iterations:
        blocks += _iteration(iteration, iterations, comparisons)
    return "\n\n".join(blocks) + "\n"


def _overview(iterations: Sequence[Iteration], comparisons: Mapping[str, Comparison]) -> str:
    """One line a run, with the leading score of each test."""
    scores = {each.name: _leading_scores(each, comparisons) for each in iterations}
    tests = list(dict.fromkeys(test for of_run in scores.values() for test in of_run))
    rows = [
        [
            each.name,
            each.parent.metadata.name if each.parent else "–",
            _paths(spec_changes(each.job, each.parent)) if each.parent else "–",
            *(scores[each.name].get(test, "–") for test in tests),
        ]
        for each in iterations
    ]
    return markdown_table(["Run", "From", "Changed", *tests], rows)


def _paths(changes: Sequence[Difference]) -> str:
    more = f" and {len(changes) - _MOST_PATHS} more" if len(changes) > _MOST_PATHS else ""
    return ", ".join(change.path for change in changes[:_MOST_PATHS]) + more if changes else "nothing"


def _leading_scores(iteration: Iteration, comparisons: Mapping[str, Comparison]) -> dict[str, str]:
    """`5.5 ▼` by `en-es zero-shot, chrF++`."""
    evaluation = iteration.job.status.evaluation if iteration.job.status else None
    found: dict[str, str] = {}
    for score in evaluation.scores if evaluation else ():
        test = f"{score.task} {shots_name(score.shots)}"
        if any(title.startswith(f"{test}, ") for title in found):
            continue
        compared = _compared_with_parent(iteration, comparisons, score.task, score.shots, score.metric)
        sign = f" {_SIGNS[compared.verdict]}" if compared and compared.verdict else ""
        found[f"{test}, {score.metric}"] = f"{_figure(score.score, score.metric)}{sign}"
    return found


def _compared_with_parent(
    iteration: Iteration, comparisons: Mapping[str, Comparison], task: str, shots: int, metric: str
) -> ComparedScore | None:
    comparison = comparisons.get(iteration.parent.metadata.name) if iteration.parent else None
    return next(
        (
            score
            for test in (comparison.tests if comparison else ())
            if (test.name, test.shots) == (task, shots)
            for row in test.rows
            if row.run == iteration.name
            for score in row.scores
            if score.metric == metric
        ),
        None,
    )


def _iteration(
    iteration: Iteration, iterations: Sequence[Iteration], comparisons: Mapping[str, Comparison]
) -> Iterator[str]:
    job, parent, status = iteration.job, iteration.parent, iteration.job.status
    origin = f", from {escape(parent.metadata.name)}" if parent else ""
    if parent is None and job.parent is not None:
        origin = f", from {escape(job.parent)}, which is gone"
    yield f"## {escape(job.metadata.name)}{origin}"
    created = job.metadata.creation_timestamp
    yield " · ".join([*([f"{created:%Y-%m-%d %H:%M} UTC"] if created else []), status.state if status else "Pending"])
    lineage = job.spec.lineage
    for title, text in (("Hypothesis", lineage and lineage.hypothesis), ("Rationale", lineage and lineage.rationale)):
        if text:
            yield f"**{title}**: {escape(' '.join(text.split()))}"
    if parent is not None:
        yield _changes(spec_changes(job, parent))
        before = next(each for each in iterations if each.name == parent.metadata.name)
        yield _data(source_digests(iteration), source_digests(before))
        yield _reuse(iteration, parent)
        yield _effect(iteration, before, comparisons.get(before.name))
    if status and status.evaluation and status.evaluation.verdict:
        yield f"Its own report: {escape(status.evaluation.verdict)}"


def _changes(changes: Sequence[Difference]) -> str:
    if not changes:
        return "Nothing changed in the spec."
    lines = [f"- `{change.path}`: {_value(change.theirs)} → {_value(change.ours)}" for change in changes]
    return "\n".join(["Changed in the spec:", "", *lines])


def _value(value: Any) -> str:
    if value is None:
        return "–"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return escape(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


def _data(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    if not ours or not theirs:
        return "Data: not known; of one of the two, what prepare read is not recorded."
    changes = [
        f"- {escape(name)}: {_short(theirs.get(name))} → {_short(ours.get(name))}"
        for name in dict.fromkeys([*theirs, *ours])
        if theirs.get(name) != ours.get(name)
    ]
    if changes:
        return "\n".join(["Changed in the data (sha256):", "", *changes])
    return f"Data: the same files ({', '.join(f'{escape(name)} {_short(digest)}' for name, digest in ours.items())})."


def _short(digest: str | None) -> str:
    return "–" if digest is None else f"`{digest[:_DIGEST]}`"


def _reuse(iteration: Iteration, parent: FineTuneJob) -> str:
    stages = iteration.job.status.stages if iteration.job.status else []
    reused = [str(stage.name) for stage in stages if stage.reused_from is not None]
    comparison = compare(iteration.job, parent)
    anew = [
        f"{stage.name} ({escape(comparison.reason)})" if stage.name == comparison.anew else str(stage.name)
        for stage in stages
        if stage.reused_from is None and stage.state == "Succeeded"
    ]
    taken = f"Reused from {escape(parent.metadata.name)}: {', '.join(reused) or 'nothing'}."
    return f"{taken} Made anew: {', '.join(anew) or 'nothing yet'}."


def _effect(iteration: Iteration, before: Iteration, comparison: Comparison | None) -> str:
    missing = [each for each in (before, iteration) if not each.has_report]
    if missing or comparison is None:
        states = (f"{escape(each.name)} has no report" for each in missing)
        return f"Effect on scores: not known; {' and '.join(states)}."
    header = ["Test", "Metric", before.name, iteration.name, "Difference (95 %)", "p", ""]
    rows = [row for test in comparison.tests for row in _effect_rows(test, before.name, iteration.name)]
    alone = [
        f"Not compared, {escape(test.name)} {shots_name(test.shots)}: {escape(row.not_comparable)}."
        for test in comparison.tests
        for row in test.rows
        if row.run == iteration.name and row.not_comparable
    ]
    return "\n\n".join([markdown_table(header, rows), *alone])


def _effect_rows(test: ComparedTest, before: str, after: str) -> Iterator[list[str]]:
    by_run = {row.run: {score.metric: score for score in row.scores} for row in test.rows}
    ours, theirs = by_run.get(after, {}), by_run.get(before, {})
    for metric in dict.fromkeys([*theirs, *ours]):
        scores = [_figure(side[metric].score, metric) if metric in side else "–" for side in (theirs, ours)]
        yield [f"{test.name} {shots_name(test.shots)}", metric, *scores, *_difference(ours.get(metric))]


def _difference(score: ComparedScore | None) -> tuple[str, str, str]:
    if score is None or score.delta is None or score.p_adjusted is None:
        return "–", "–", ""
    difference = interval_text(score.metric, score.delta, score.delta_low, score.delta_high)
    return difference, p_number(score.p_adjusted), _WORDS[score.verdict] if score.verdict else ""


def _figure(score: float, metric: str) -> str:
    return f"{score:.{digits_of(metric)}f}"
