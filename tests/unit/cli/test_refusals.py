"""Bad manifests from the outside: every problem at once, plain words, exit code 2, nothing run."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from finetune_cli.commands.run import run
from unit.cli.commands import finetune

GOOD = """\
apiVersion: finetune-operator.io/v1alpha1
kind: FineTuneJob
metadata: {name: tiny}
spec:
  parallelism: {nodes: 2}
  model:
    scratch: {layers: 2, hidden: 64, heads: 4, kvHeads: 2, contextLength: 64}
    tokenizer: {train: {vocabularySize: 512}}
  data:
    sources:
    - {name: ui, type: Parallel, languages: [en, es], uri: ui.tsv}
  pretrain:
    budget: {tokens: 4096}
    objectives:
    - {name: mt, type: Translation, source: ui, directions: [en-es]}
    batch: {globalTokens: 1024, sequenceLength: 64}
"""


EN_ES = "tasks: [{name: t, source: ui, direction: en-es}]"
RUNTIME = """\
apiVersion: finetune-operator.io/v1alpha1
kind: ClusterFineTuneRuntime
metadata: {name: cpu}
spec: {image: a/b:1}
"""


def write(folder: Path, text: str) -> Path:
    (folder / "ui.tsv").write_text("a\tb\n", encoding="utf-8")
    path = folder / "job.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_manifest_passes_and_is_planned(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert finetune(tmp_path, "lint", "job.yaml").returncode == 0
    plan = finetune(tmp_path, "plan", "job.yaml")
    assert plan.returncode == 0, plan.stderr
    assert "memory per rank" in plan.stdout
    assert "spec.pretrain.optimizer.learningRate" in plan.stdout


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("nodes: 2", "nodes: 2, colour: red", ["job.yaml:5", "spec.parallelism.colour", "unknown field"]),
        ("layers: 2", "layers: two", ["job.yaml:7", "spec.model.scratch.layers", "'two'"]),
        ("globalTokens: 1024", "globalTokens: 1000", ["globalTokens must be a multiple"]),
        ("source: ui", "source: news", ["must be one of data.sources"]),
        ("languages: [en, es]", "languages: [en]", ["exactly two languages"]),
        ("languages: [en, es]", "languages: [english, es]", ["spec.data.sources[0].languages[0]"]),
        ("directions: [en-es]", "directions: [en-de]", ["must name the two languages of its source"]),
        ("uri: ui.tsv", "uri: gone.tsv", ["no such file or folder"]),
        ("  pretrain:", "  export: {}\n  pretrain:", ["not supported yet"]),
        (
            "  pretrain:",
            f"  evaluate: {{{EN_ES}, baseline: {{jobRef: {{name: gone}}}}}}\n  pretrain:",
            ["spec.evaluate.baseline.jobRef", "a job as baseline is not supported yet: use baseline.model"],
        ),
        (
            "  pretrain:",
            f"  evaluate: {{{EN_ES}, baseline: {{model: {{uri: gone}}}}}}\n  pretrain:",
            ["spec.evaluate.baseline.model.uri: no such file or folder"],
        ),
        (
            "  pretrain:",
            f"  evaluate: {{{EN_ES.replace('en-es', 'es-en')}, bias: {{probes: [GenderAmbiguous]}}}}\n  pretrain:",
            ["spec.evaluate.bias.probes[0]: GenderAmbiguous knows translations from en to es, fr, de"],
        ),
        ("kind: FineTuneJob", "kind: Pod", ["kind"]),
        ("metadata: {name: tiny}", "metadata: {name: Tiny_Job}", ["metadata.name"]),
        ("  parallelism: {nodes: 2}", "  parallelism: {nodes: 2", ["job.yaml:"]),
        ("  model:", "  parallelism: {nodes: 1}\n  model:", ["job.yaml:6", "parallelism"]),
    ],
)
def test_each_bad_manifest_is_refused_with_place_and_reason(
    old: str, new: str, expected: list[str], tmp_path: Path
) -> None:
    assert old in GOOD
    write(tmp_path, GOOD.replace(old, new, 1))
    result = finetune(tmp_path, "run", "job.yaml")
    assert result.returncode == 2, result.stdout + result.stderr
    for text in expected:
        assert text in result.stderr
    assert not (tmp_path / "runs").exists()


def test_an_installation_without_the_trainer_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, GOOD)
    found = metadata.distribution

    def without_torch(name: str) -> metadata.Distribution:
        if name in ("torch", "numpy"):
            raise metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(metadata, "distribution", without_torch)
    with pytest.raises(SystemExit) as ended:
        run(path, workspace=tmp_path / "ws")
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "✖ this installation cannot train: it has no numpy, torch",
        "✖ Install the extra `trainer`: make install in a checkout, pip install 'FILE.whl[trainer]' of a wheel",
    ]
    assert not (tmp_path / "ws").exists()


def test_all_problems_of_a_manifest_come_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("nodes: 2", "nodes: 0").replace("hidden: 64", "hidden: 63").replace("[en, es]", "[en, es, fr]")
    write(tmp_path, text)
    result = finetune(tmp_path, "lint", "job.yaml")
    assert result.returncode == 2
    for field in ("spec.parallelism.nodes", "spec.model.scratch", "spec.data.sources[0].languages"):
        assert field in result.stdout


def test_folders_runtimes_several_documents_and_standard_input_are_linted(tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    write(folder, GOOD + "---\n" + RUNTIME)
    (folder / "bad.yml").write_text(RUNTIME.replace("image: a/b:1", "image: 3"), encoding="utf-8")
    (folder / "values.yaml").write_text("replicas: 3\n", encoding="utf-8")
    (folder / "template.yaml").write_text("a: {{ .Values.a }}\n", encoding="utf-8")
    result = finetune(tmp_path, "lint", folder.name)
    assert result.returncode == 2
    assert result.stdout.splitlines()[1:] == [f"✔ {folder.name}/job.yaml"]
    assert result.stdout.startswith(f"✖ {folder.name}/bad.yml:4 spec.image: must be text: write")

    typed = finetune(folder, "lint", "-", stdin=GOOD)
    assert typed.stdout == "✔ standard input\n"
    nothing = finetune(folder, "lint", "values.yaml")
    assert nothing.returncode == 2
    assert "no FineTuneJob" in nothing.stdout


def test_files_that_are_missing_are_found_by_lint_with_all_other_problems(tmp_path: Path) -> None:
    write(tmp_path, GOOD.replace("uri: ui.tsv", "uri: gone.tsv").replace("nodes: 2", "nodes: 0"))
    result = finetune(tmp_path, "lint", "job.yaml")
    assert "spec.parallelism.nodes: must be at least 1, not 0" in result.stdout
    assert "no such file or folder" in result.stdout


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00garbage", b"a: &a [*a, *a]\n", b"- 1\n- 2\n", b"x" * 2_000_000])
def test_files_that_are_no_manifest(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_bytes(content)
    result = finetune(tmp_path, "run", "job.yaml")
    assert result.returncode == 2
    assert "job.yaml" in result.stderr


def test_a_missing_manifest_and_wrong_usage(tmp_path: Path) -> None:
    missing = finetune(tmp_path, "run", "gone.yaml")
    assert missing.returncode == 2
    assert "gone.yaml" in missing.stderr
    assert finetune(tmp_path, "run").returncode == 2
    assert finetune(tmp_path, "fly").returncode == 2


def test_status_logs_and_report_without_a_run(tmp_path: Path) -> None:
    for command in ("status", "logs", "report"):
        result = finetune(tmp_path, command)
        assert result.returncode == 2
        assert "no run" in result.stderr
