"""The experiment of adaptive translation: `python manifests/experiments/adaptive_mt.py DATA GENERAL [--only NAME ...]`.

Runs job.yaml, its variants, and one evaluation of all of them side by side, and writes their figures into
docs/results/adaptive-mt.md. What has run already is not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from finetune_api.evaluate import Significance
from finetune_api.figures import percent
from finetune_trainer.evaluation.scores import score_systems
from finetune_trainer.metrics import create_metric

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent / "adaptive-mt"
MANIFESTS = ROOT / "build/experiments/adaptive-mt"
RUNS = ROOT / "runs/adaptive-mt"
PAGE = ROOT / "docs/results/adaptive-mt.md"
BEGIN, END = "<!-- Written by manifests/experiments/adaptive_mt.py. -->\n", "<!-- End of what is written. -->\n"
TABLE = "adaptive-mt-table"
LEAD, TASK = "chrF++", "es-en"
SAMPLES = 10_000


def patched(base: Any, patch: Any) -> Any:
    """JSON Merge Patch (RFC 7386), but that nothing is removed."""
    if not isinstance(base, Mapping) or not isinstance(patch, Mapping):
        return patch
    return {**base, **{key: patched(base.get(key), value) for key, value in patch.items()}}


def manifests(data: Path, general: Path, only: set[str] | None) -> Iterator[dict[str, Any]]:
    """The job, its variants without evaluation, then the job again, evaluated beside its variants.

    Args:
        data: folder with train and test, `.es.gz` and `.en.gz`.
        general: English text, a sentence a line, that has nothing to do with the adaptation.
        only: names of variants; None for all.
    """
    job = yaml.safe_load((FOLDER / "job.yaml").read_text(encoding="utf-8"))
    spec = job["spec"]
    spec["model"]["from"]["uri"] = str((FOLDER / spec["model"]["from"]["uri"]).resolve())
    for source in spec["data"]["sources"]:
        name = Path(source["uri"]).name
        source["uri"] = str(general if source["name"] == "general" else data / name)
    yield job
    variants = yaml.safe_load((FOLDER / "variants.yaml").read_text(encoding="utf-8"))
    chosen = {name: variant for name, variant in variants.items() if only is None or name in only}
    trained = {key: value for key, value in spec.items() if key != "evaluate"}
    for name, variant in chosen.items():
        lineage = {"parent": job["metadata"]["name"], "hypothesis": variant["hypothesis"]}
        adapt = patched(spec["adapt"], variant["adapt"])
        yield job | {"metadata": {"name": name}, "spec": trained | {"lineage": lineage, "adapt": adapt}}
    rivals = [{"name": name, "model": {"uri": str(RUNS / "jobs" / name / "models/adapt")}} for name in chosen]
    evaluate = {key: value for key, value in spec["evaluate"].items() if key != "gate"} | {"rivals": rivals}
    lineage = {"parent": job["metadata"]["name"], "hypothesis": "which settings matter"}
    yield job | {"metadata": {"name": TABLE}, "spec": spec | {"lineage": lineage, "evaluate": evaluate}}


def run(manifest: Mapping[str, Any]) -> None:
    """Run one job to its end; exits where it fails."""
    path = MANIFESTS / f"{manifest['metadata']['name']}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(manifest), sort_keys=False), encoding="utf-8")
    code = subprocess.run(
        [sys.executable, "-m", "finetune_cli.main", "run", str(path)], cwd=ROOT, check=False
    ).returncode
    if code != 0:
        raise SystemExit(code)


def read_report(folder: Path) -> dict[str, Any]:
    """report.json of a run."""
    report: dict[str, Any] = json.loads((folder / "reports/report.json").read_text(encoding="utf-8"))
    return report


def shots_table(reports: Path) -> str:
    """One-shot against zero-shot of the same system, over the same segments: the paired bootstrap of chrF++."""
    tables = [_columns(reports / f"{TASK}.{shots}shot.tsv") for shots in (0, 1)]
    metric = create_metric(LEAD, "en")
    rows = []
    for column, title in (("baseline", "base"), ("hypothesis", "tuned")):
        zero, one = (
            {LEAD: metric.statistics(table[column], [(right,) for right in table["reference"]])} for table in tables
        )
        (score,), _ = score_systems(one, zero, {}, "en", Significance(samples=SAMPLES))
        told = score.to_json_object() | {"pAdjusted": score.p_value}  # of a single comparison
        rows.append((title, _figure(told, "baseline"), _figure(told, "score"), *_gain(told)))
    return table_of(("system", f"zero-shot {LEAD}", f"one-shot {LEAD}", "difference (95 %)", "p"), rows)


def _columns(tsv: Path) -> dict[str, list[str]]:
    with tsv.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return {name: [row[i] for row in rows[1:]] for i, name in enumerate(rows[0])}


def scores_table(report: Mapping[str, Any]) -> str:
    """Base and tuned model, each test and metric."""
    rows = [
        (_title(task), score["metric"], *(_figure(score, which) for which in ("baseline", "score")), *_gain(score))
        for task in report["tasks"]
        for score in task["scores"]
    ]
    return table_of(("test", "metric", "base", "tuned", "difference (95 %)", "p"), rows)


def buckets_table(report: Mapping[str, Any]) -> str:
    """One-shot chrF++ by the similarity of the fuzzy match."""
    rows = [
        (part["name"], str(part["segments"]), f"{part['baseline']:.1f}", f"{part['score']:.1f}")
        for task in report["tasks"]
        for part in (task["buckets"] or {}).get("similarity", ())
    ]
    return table_of(("similarity", "segments", "base", "tuned"), rows)


def variants_table(report: Mapping[str, Any]) -> str:
    """What the model of job.yaml gains over each variant; p is corrected for all comparisons of the report."""
    rows = [
        (rival["name"], _title(task), score["metric"], _figure(score, "score"), *_gain(score))
        for rival in report["rivals"]
        for task in report["tasks"]
        for row in task["rivals"]
        if row["name"] == rival["name"]
        for score in row["scores"]
        if score["metric"] != "TER"
    ]
    return table_of(("variant", "test", "metric", "score", "job.yaml is better by (95 %)", "p"), rows)


def table_of(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, ["---"] * len(header), *rows))


def _figure(score: Mapping[str, Any], which: str) -> str:
    return f"{score[which]:.{_digits(score)}f}"


def _gain(score: Mapping[str, Any]) -> tuple[str, str]:
    delta, low, high = (f"{score[key]:+.{_digits(score)}f}" for key in ("delta", "deltaLow", "deltaHigh"))
    return f"{delta} ({low} to {high})", f"{score['pAdjusted']:.2g}"


def _digits(score: Mapping[str, Any]) -> int:
    return 3 if score["metric"] == "BitsPerByte" else 1


def _title(task: Mapping[str, Any]) -> str:
    if task["type"] == "LanguageModelling":
        return str(task["name"])
    return f"{task['name']} {'one' if task['shots'] else 'zero'}-shot"


def section(report: Mapping[str, Any], table: Mapping[str, Any] | None, reports: Path) -> str:
    """The text between the markers of the page."""
    lost = {
        task["shots"]: tuple(percent(task[which]["numbersLost"]) for which in ("baselineDiagnostics", "diagnostics"))
        for task in report["tasks"]
        if task["name"] == TASK
    }
    parts = [
        "### Before and after",
        scores_table(report),
        f"Numbers lost: {'; '.join(f'{shots}-shot {before} → {after}' for shots, (before, after) in lost.items())}.",
        "### One-shot against zero-shot",
        shots_table(reports),
        "### By similarity of the fuzzy match, one-shot chrF++",
        buckets_table(report),
    ]
    if table is not None:
        parts += ["### Ablations", variants_table(table)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def write_page() -> None:
    """Put the figures of what has run into the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    beside = RUNS / "jobs" / TABLE
    table = read_report(beside) if (beside / "reports/report.json").exists() else None
    text = section(read_report(RUNS), table, RUNS / "reports")
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Run what has not run yet, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("general", type=Path)
    parser.add_argument("--only", nargs="*")
    asked = parser.parse_args()
    wanted = [asked.data / f"{split}.{language}.gz" for split in ("train", "test") for language in ("es", "en")]
    missing = [str(path) for path in (*wanted, asked.general) if not path.is_file()]
    if missing:
        parser.error(f"not there: {', '.join(missing)}. docs/results/adaptive-mt.md says where the texts come from.")
    for manifest in manifests(asked.data.resolve(), asked.general.resolve(), asked.only and set(asked.only)):
        run(manifest)
    write_page()


if __name__ == "__main__":
    main()
