"""`finetune lint` and `finetune plan` of a job that starts from a model on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unit.cli.commands import finetune

JOB = """\
apiVersion: finetune-operator.io/v1alpha1
kind: FineTuneJob
metadata: {name: tiny}
spec:
  model: {from: {uri: MODEL}}
  data:
    sources:
    - {name: ui, type: Parallel, languages: [en, es], uri: ../data/ui.tsv}
  adapt:
    task: {source: ui, direction: en-es}
    batch: {globalTokens: 1024}
"""
CONFIG = {"model_type": "gpt2", "n_positions": 128, "n_embd": 64, "n_layer": 2, "n_head": 2, "vocab_size": 3}
TOKENIZER = {"model": {"vocab": {"a": 0, "b": 1, "c": 2}}, "added_tokens": []}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the manifest."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ui.tsv").write_text("a house\tuna casa\n" * 300)
    model = tmp_path / "jobs" / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps(CONFIG))
    (model / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    return tmp_path / "jobs"


def write(folder: Path, text: str = JOB, model: str = "model") -> None:
    (folder / "job.yaml").write_text(text.replace("MODEL", model))


def refused(folder: Path, command: str = "lint") -> list[str]:
    result = finetune(folder, command, "job.yaml")
    assert result.returncode == 2
    return [line.removeprefix("✖ ") for line in (result.stdout + result.stderr).splitlines()]


def test_what_is_not_given_follows_the_model_and_is_shown(folder: Path) -> None:
    write(folder)
    assert finetune(folder, "lint", "job.yaml").stdout == "✔ job.yaml\n"
    shown = finetune(folder, "plan", "job.yaml").stdout
    assert "LoRA updates c_attn, c_proj, c_fc\n" in shown
    assert "⚠ adapt, judged by the 300 rows of source ui: only 5 steps: lower adapt.batch.globalTokens" in shown
    assert "sizes are not estimated for this architecture (gpt2)" in shown
    planned = json.loads(finetune(folder, "plan", "job.yaml", "-o", "json").stdout)
    assert planned["job"]["spec"]["adapt"]["batch"]["sequenceLength"] == 128
    assert planned["estimate"]["lora_layers"] == ["c_attn", "c_proj", "c_fc"]


@pytest.mark.parametrize("command", ["lint", "plan", "run"])
def test_all_that_does_not_fit_is_refused_with_line_and_numbers(command: str, folder: Path) -> None:
    (folder / "model" / "config.json").write_text(json.dumps(CONFIG | {"vocab_size": 2}))
    write(
        folder,
        JOB.replace("1024}", "1024, sequenceLength: 256}")
        + "    lora:\n      targets:\n      - c_fc\n      - q_proj\n",
    )
    lines = refused(folder, command)
    assert lines[0].startswith(
        "job.yaml:5 spec.model.from.uri: the tokenizer has 3 tokens, the model 2 embeddings: c has none. Use the "
    )
    instead = "use all-linear, or some of c_attn, c_proj, c_fc"
    assert lines[1:] == [
        "job.yaml:11 spec.adapt.batch.sequenceLength: 256 exceeds the model's 128 positions: use at most 128",
        f"job.yaml:15 spec.adapt.lora.targets[1]: a gpt2 model has no linear layer named q_proj: {instead}",
    ]
    assert not (folder / "runs").exists()


def test_a_model_of_another_machine_is_not_guessed_at(folder: Path) -> None:
    write(folder, JOB.replace("{globalTokens: 1024}", "{sequenceLength: 2048}"), "file:///nowhere")
    assert finetune(folder, "lint", "job.yaml").returncode == 0
    shown = " ".join(finetune(folder, "plan", "job.yaml").stdout.split())
    assert "the model is not on this machine: its size, its context and the names of its layers are not known" in shown


def test_a_path_through_a_parent_folder_is_refused_for_a_cluster(folder: Path) -> None:
    write(folder, JOB.replace("spec:\n", "spec:\n  workspace: {claimName: data}\n", 1))
    words = "uri must not contain '..' on a cluster, nor after a scheme: name the file by its full path"
    assert refused(folder) == [f"job.yaml:9 spec.data.sources[0].uri: {words}"]
    write(folder, JOB.replace("uri: ../data/ui.tsv", "uri: 'file:///data/../ui.tsv'", 1))
    assert refused(folder) == [f"job.yaml:8 spec.data.sources[0].uri: {words}"]


@pytest.mark.parametrize("name", ["ui.tsv", "ui.tsv.gz"])
def test_steps_that_are_enough_or_not_known_are_no_warning(name: str, folder: Path) -> None:
    (folder.parent / "data" / "ui.tsv").rename(folder.parent / "data" / name)
    write(folder, JOB.replace("ui.tsv", name).replace("{globalTokens: 1024}", "{globalTokens: 128}"))
    shown = finetune(folder, "plan", "job.yaml").stdout
    assert "⚠" not in shown
    unknown = "adapt: how many steps it has is known after prepare: source ui is not a text file of this machine"
    assert (unknown in shown) is (name == "ui.tsv.gz")


def test_an_adapter_given_as_a_model_is_refused_with_its_base(folder: Path) -> None:
    write(folder)
    (folder / "model" / "config.json").rename(folder / "model" / "adapter_config.json")
    (folder / "model" / "adapter_config.json").write_text('{"base_model_name_or_path": "models/mistral"}')
    (line,) = refused(folder)
    assert "spec.model.from.uri: " in line
    assert "holds an adapter of models/mistral, and no model: give the folder of the merged model" in line


def test_what_a_model_has_not_got_is_told_at_once(folder: Path) -> None:
    adapt = "    prompts: {template: Chat}\n    method: TopLayers\n    topLayers: 3\n"
    write(folder, JOB.replace("    batch: {globalTokens: 1024}\n", adapt + "    batch: {globalTokens: 1024}\n"))
    (folder / "model" / "tokenizer_config.json").write_text('{"eos_token": "a"}')
    second, first = refused(folder)
    assert "spec.adapt.topLayers: 3 exceeds the 2 layers of the model" in first
    assert "spec.adapt.prompts.template: the tokenizer of the model has no chat template" in second


def test_a_dictionary_is_read_by_lint(folder: Path) -> None:
    (folder / "words.tsv").write_bytes("door\tTür\n".encode("latin-1"))
    prompts = "    prompts: {template: DiPMT, dictionary: {uri: words.tsv}}\n"
    write(folder, JOB.replace("    batch: {globalTokens: 1024}\n", prompts + "    batch: {globalTokens: 1024}\n"))
    (line,) = refused(folder)
    assert line.endswith("words.tsv:1: byte 7 is not UTF-8: save the file as UTF-8")
    (folder / "words.tsv").write_text("door\tTür\n", "utf-8")
    assert finetune(folder, "lint", "job.yaml").returncode == 0


def test_terms_of_a_test_are_read_by_lint(folder: Path) -> None:
    test = "{name: t, source: ui, direction: en-es, terms: {uri: terms.tsv}}"
    write(folder, f"{JOB}  evaluate: {{tasks: [{test}]}}\n")
    (line,) = refused(folder)
    assert "spec.evaluate.tasks[0].terms.uri: no such file or folder" in line
    (folder / "terms.tsv").write_bytes("door\tpuerta\nroof\n".encode("utf-16"))
    (line,) = refused(folder)
    assert "terms.tsv:1: byte 1 is not UTF-8" in line
    (folder / "terms.tsv").write_text("door\tpuerta\nroof\n", "utf-8")
    (line,) = refused(folder)
    assert line.endswith("terms.tsv:2: must be a word, a tab and its translation")
    (folder / "terms.tsv").write_text("", "utf-8")
    (line,) = refused(folder)
    assert line.endswith("terms.tsv holds no words")
    (folder / "terms.tsv").write_text("door\tpuerta\n", "utf-8")
    assert finetune(folder, "lint", "job.yaml").returncode == 0


def test_a_language_model_as_a_sentence_encoder_is_refused_by_lint(folder: Path) -> None:
    (folder / "encoder").mkdir()
    config = folder / "encoder" / "config.json"
    config.write_text('{"architectures": ["LlamaForCausalLM"]}', "utf-8")
    prompts = "    prompts: {retrieval: {encoder: {uri: encoder}}}\n"
    write(folder, JOB.replace("    batch: {globalTokens: 1024}\n", prompts + "    batch: {globalTokens: 1024}\n"))
    (line,) = refused(folder)
    assert "spec.adapt.prompts.retrieval.encoder.uri: " in line
    assert "is a language model (LlamaForCausalLM), not a sentence encoder" in line
    config.write_text('{"architectures": ["BertModel"]}', "utf-8")
    assert finetune(folder, "lint", "job.yaml").returncode == 0
