"""What the pages show, as plain rows: shared by HTML and Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_api.figures import duration, percent, shots_name, signed
from finetune_api.registries import DIAGNOSTICS, METRICS
from finetune_api.report import EvaluationReport, ModelDescription, TaskReport
from finetune_trainer.metrics import create_metric
from finetune_trainer.reporting.figures import (
    UNUSABLE_MARK,
    VERDICT_MARKS,
    VERDICT_WORDS,
    WARNING_MARK,
    difference_cell,
    number,
    p_cell,
    score_cell,
)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text; the first column names the row."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


_MOST_ITEMS = 8
MOST_CLASSES = 25
"""Rows of a table on a page."""
_TESTS = {
    "PairedBootstrap": "paired bootstrap (Koehn 2004)",
    "ApproximateRandomisation": "approximate randomisation (Riezler and Maxwell 2005)",
}


def tone(report: EvaluationReport) -> str:
    """How the first box looks: as bad as the worse of outcome and gate."""
    failed = report.gate is not None and not report.gate.passed
    if failed or report.outcome in ("Worse", "NotUsable"):
        return "Failed"
    return "Passed" if report.outcome == "Better" else ""


def finding_lines(report: EvaluationReport) -> list[str]:
    """What stands in the first box below the verdict: a mark and the text."""
    return [f"{UNUSABLE_MARK if f.unusable else WARNING_MARK} {f.text}" for f in report.findings]


def significance_test(report: EvaluationReport) -> str:
    """How the p-values came about."""
    count = sum(len(task.p_values) for task in report.tasks)
    method = report.spec.get("evaluate", {}).get("significance", {}).get("method", "PairedBootstrap")
    return f"p: {_TESTS[method]}, two-sided, corrected for {count} comparisons (Holm 1979)"


def rivals_table(tasks: Sequence[TaskReport]) -> Table | None:
    """What the model gains over each rival in each of some tests; None where there are no rivals."""
    rows = [
        [
            rival.name,
            shots_name(task.shots),
            score.metric,
            score_cell(score.score, score.metric),
            f"{score_cell(score.low, score.metric)} to {score_cell(score.high, score.metric)}",
            score_cell(own.score, score.metric),
            f"{VERDICT_MARKS[score.verdict]} {VERDICT_WORDS[score.verdict]}" if score.verdict else "–",
            difference_cell(score),
            p_cell(score.p_adjusted),
        ]
        for name in dict.fromkeys(rival.name for task in tasks for rival in task.rivals)
        for task in tasks
        for rival in task.rivals
        if rival.name == name
        for own, score in zip(task.scores, rival.scores, strict=True)
    ]
    header = ["Rival", "Prompt", "Metric", "Rival's score", "95 % interval", "Model", "Model is", "Difference", "p"]
    return Table(header, rows) if rows else None


def robustness_table(tasks: Sequence[TaskReport]) -> Table | None:
    """What noise in the sources costs in each of some tests; None where nobody asked."""
    noised = [(task, task.scores[0], score) for task in tasks for score in task.robustness]
    if not noised:
        return None
    compared = any(score.baseline is not None for _, _, score in noised)
    metric = noised[0][2].metric
    baselines = ["Baseline, noised", "Its difference"] if compared else []
    header = ["Noise", "Prompt", "Sources changed", *baselines, f"{metric}, clean", "Noised", "Difference"]
    rows = []
    for task, clean, score in noised:
        before = [score_cell(score.baseline, metric), signed(score.baseline_delta, METRICS[metric].digits)]
        rows.append(
            [
                score.noise,
                shots_name(task.shots),
                percent(score.changed),
                *(before if compared else []),
                score_cell(clean.score, metric),
                score_cell(score.score, metric),
                difference_cell(score),
            ]
        )
    return Table(header, rows)


def bias_table(report: EvaluationReport) -> Table | None:
    """What systems made of the sentences of each bias probe; None where nobody asked."""
    if not report.bias:
        return None
    groups = list(dict.fromkeys(name for each in report.bias for name in each.shares))
    rows = []
    for each in report.bias:
        systems = [("Baseline", each.baseline_shares, each.baseline_gap), ("Model", each.shares, each.gap)]
        rows += [
            [
                f"{each.probe}, {each.direction}, {each.sentences:,} sentences",
                name,
                *(percent(shares.get(group, 0.0)) for group in groups),
                "–" if gap is None else percent(gap),
            ]
            for name, shares, gap in systems
            if shares is not None
        ]
    return Table(["Probe", "System", *(group.capitalize() for group in groups), "Gap"], rows)


def memorisation_table(report: EvaluationReport) -> Table | None:
    """How much of the training targets systems repeat; None where nobody asked."""
    found = report.memorisation
    if found is None:
        return None
    measured = [
        (f"{found.training_segments:,} training targets, continued", found.baseline_continued, found.continued),
        (
            f"{found.held_out_segments:,} held-out targets, continued",
            found.baseline_held_out_continued,
            found.held_out_continued,
        ),
        ("Gap", found.baseline_gap, found.gap),
    ]
    measured += [
        (f"{c.task}, {shots_name(c.shots)}: outputs that are a training target", c.baseline_share, c.share)
        for c in found.copied
    ]
    compared = report.baseline is not None
    rows = [[name, *([_share(before)] if compared else []), _share(own)] for name, before, own in measured]
    return Table(["", *(["Baseline"] if compared else []), "Model"], rows)


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def draws_table(tasks: Sequence[TaskReport]) -> Table | None:
    """What scores vary by when examples are drawn anew; None where no examples are."""
    drawn = [(task, task.draws) for task in tasks if task.draws is not None]
    if not drawn:
        return None
    compared = any(draws.baseline_mean is not None for _, draws in drawn)
    header = ["Prompt", "Draws", "Metric", *(["Baseline"] if compared else []), "Model", "Model, draw by draw"]
    rows = [
        [
            shots_name(task.shots),
            str(len(draws.scores)),
            draws.metric,
            *([_spread(draws.baseline_mean, draws.baseline_deviation, draws.metric)] if compared else []),
            _spread(draws.mean, draws.deviation, draws.metric),
            ", ".join(score_cell(score, draws.metric) for score in draws.scores),
        ]
        for task, draws in drawn
    ]
    return Table(header, rows)


def _spread(mean: float | None, deviation: float | None, metric: str) -> str:
    return "–" if mean is None else f"{score_cell(mean, metric)} ± {score_cell(deviation, metric)}"


def rival_lines(report: EvaluationReport) -> list[str]:
    """What each rival is: `paste: the target of the most similar training pair`."""
    return [f"{rival.name}: {_rival(rival)}" for rival in report.rivals]


def _rival(rival: ModelDescription) -> str:
    if rival.type == "FuzzyMatch":
        return "the target of the most similar training pair, unchanged"
    size = f", {rival.parameters:,} parameters" if rival.parameters else ""
    return f"{'hypotheses of ' if rival.type == 'Hypotheses' else ''}{rival.path}{size}"


def diagnostics_table(task: TaskReport) -> Table:
    """One row per way to fail."""
    rivals = [(rival.name, rival.diagnostics) for rival in task.rivals]
    systems = [("Baseline", task.baseline_diagnostics), *rivals, ("Model", task.diagnostics)]
    shown = [(name, values) for name, values in systems if values is not None]
    rows = [
        [
            DIAGNOSTICS[name].title,
            *(_diagnostic(name, values) for _, values in shown),
            f"{DIAGNOSTICS[name].meaning}; expected {DIAGNOSTICS[name].expectation}",
        ]
        for name in task.diagnostics
    ]
    return Table(["Failure", *(name for name, _ in shown), "Meaning"], rows)


def _diagnostic(name: str, values: Mapping[str, float]) -> str:
    if name not in values:
        return "–"
    row, value = DIAGNOSTICS[name], values[name]
    mark = "" if row.is_expected(value) else f" {WARNING_MARK}" if row.is_usable(value) else f" {UNUSABLE_MARK}"
    return f"{row.show(value)}{mark}"


def class_tables(task: TaskReport) -> list[tuple[str, Table]]:
    """Title and rows of figures by class, and of which label is taken for which."""
    if not task.classes:
        return []
    rows = [
        [
            c.name,
            f"{c.support:,}",
            f"{c.predicted:,}",
            *(f"{100 * value:.1f}" for value in (c.precision, c.recall, c.f1)),
        ]
        for c in task.classes[:MOST_CLASSES]
    ]
    left = len(task.classes) - len(rows)
    rows += [[f"{left} more in report.json", *[""] * 5]] if left else []
    tables = [("By class", Table(["Class", "In the test", "Said", "Precision", "Recall", "F1"], rows))]
    matrix = task.confusion
    if matrix is not None and len(matrix.labels) <= MOST_CLASSES:
        counts = [[label, *map(str, row)] for label, row in zip(matrix.labels, matrix.counts, strict=True)]
        tables.append(("Confusion: rows are what texts are, columns what is said", Table(["", *matrix.labels], counts)))
    return tables


def bucket_tables(task: TaskReport) -> list[tuple[str, Table]]:
    """Title and rows by kind of bucket."""
    titles = {
        "length": "By length of the source",
        "similarity": "By similarity of the example in the prompt",
        "context": "By length of the context",
        "answerable": "By whether the context answers",
    }
    compared = task.baseline_diagnostics is not None
    metric = task.scores[0].metric if task.scores else "Score"
    header = ["", "Segments", *(["Baseline"] if compared else []), metric]
    tables = []
    for kind, buckets in task.buckets.items():
        rows = [
            [b.name, f"{b.segments:,}", *([_score(b.baseline)] if compared else []), _score(b.score)] for b in buckets
        ]
        tables.append((titles.get(kind, f"By {kind}"), Table(header, rows)))
    return tables


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def cost_table(cost: Mapping[str, float]) -> Table:
    """One row per stage, one column per figure, from keys such as `pretrain.seconds`."""
    stages = list(dict.fromkeys(key.partition(".")[0] for key in cost))
    figures = list(dict.fromkeys(key.partition(".")[2] for key in cost))
    rows = [[stage, *(_cost(figure, cost.get(f"{stage}.{figure}")) for figure in figures)] for stage in stages]
    return Table(["Stage", *(_words(figure) for figure in figures)], rows)


def _cost(figure: str, value: float | None) -> str:
    if value is None:
        return "–"
    return duration(value) if figure.lower().endswith("seconds") else number(value)


def data_tables(data: Mapping[str, Any]) -> list[tuple[str, Table]]:
    """The prepare stage's report: lists of objects become tables, everything else one table of facts."""
    tables = []
    facts = {}
    for key, value in data.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            tables.append((_words(key), _records([_facts(item) for item in value])))
        else:
            facts.update(_facts({key: value}))
    if facts:
        tables.append(("Summary", Table(["Figure", "Value"], [[_words(k), _cell(v)] for k, v in facts.items()])))
    return tables


def dropped_samples(data: Mapping[str, Any]) -> list[tuple[str, str, Sequence[str]]]:
    """Source, rule, and a few of the rows that the rule dropped."""
    return [
        (str(source.get("name", "")), _words(rule), rows)
        for source in data.get("sources", [])
        for rule, rows in source.get("samples", {}).items()
    ]


def _facts(value: Mapping[str, Any]) -> dict[str, Any]:
    """Counts of counts as facts of their own (`dropped: copy`), names with texts as one; samples are shown apart."""
    facts: dict[str, Any] = {}
    for key, item in value.items():
        if key == "samples":
            continue
        if isinstance(item, dict) and all(isinstance(count, int | float) for count in item.values()):
            facts.update({f"{key}.{name}": count for name, count in item.items()})
        elif isinstance(item, dict):
            facts[key] = [f"{name.rpartition('/')[2]} {text}" for name, text in item.items()]
        else:
            facts[key] = item
    return facts


def _records(records: Sequence[Mapping[str, Any]]) -> Table:
    """Records as columns, since a source has many counts and there are few sources."""
    fields = list(dict.fromkeys(field for record in records for field in record))
    first, *others = fields
    rows = [[_words(field), *(_cell(record.get(field)) for record in records)] for field in others]
    return Table([_words(first), *(_cell(record.get(first)) for record in records)], rows)


def seeds(spec: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every field named seed, by its path."""
    found: dict[str, Any] = {}
    for key, item in spec.items():
        if isinstance(item, dict):
            found.update(seeds(item, f"{prefix}{key}."))
        elif key == "seed":
            found[f"{prefix}{key}"] = item
    return found


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list):
        return ", ".join(_cell(item) for item in value[:_MOST_ITEMS]) + (" …" if len(value) > _MOST_ITEMS else "")
    return str(value)


def _words(key: str) -> str:
    """`tokensPerSecond` as `Tokens per second`, `dropped.copy` as `Dropped: copy`."""
    spaced = "".join(f" {c.lower()}" if c.isupper() else c for c in key).replace("_", " ").replace(".", ": ")
    spaced = spaced.strip()
    return spaced[:1].upper() + spaced[1:]


def repeat_commands(report: EvaluationReport) -> list[str]:
    """Command lines that compute the first task's figures again, from the TSV and from the manifest."""
    commands = ["finetune run job.yaml   # spec below; the same seeds, data and number of ranks give the same report"]
    for task in report.tasks[:1]:
        for score in task.scores:
            command = create_metric(score.metric, "").command(task.hypotheses, score.signature)
            commands += [command] if command is not None else []
    return commands
