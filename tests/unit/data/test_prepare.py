"""The prepare stage as a whole: what it writes, what it counts, what it refuses."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finetune_api.data import DataSource
from finetune_api.job import FineTuneJobSpec
from finetune_api.plan import Plan, PlanJob
from finetune_trainer.context import StageContext
from finetune_trainer.data.alignment import find_alignments
from finetune_trainer.data.prepared import SPLITS, PreparedData
from finetune_trainer.data.writing import training_texts
from finetune_trainer.errors import BadConfiguration, BadData, Preempted
from finetune_trainer.models import load_tokenizer
from finetune_trainer.stages.prepare import run
from training.corpus import pairs, write_tsv


def plan(
    workspace: Path,
    sources: list[dict[str, Any]],
    model: dict[str, Any] | None = None,
    blocks: dict[str, Any] | None = None,
    **data: Any,
) -> Plan:
    spec = FineTuneJobSpec.from_json_object(
        {
            "model": {
                "scratch": {"layers": 1, "hidden": 16, "heads": 2, "contextLength": 64},
                "tokenizer": {"train": {"vocabularySize": 400}},
            },
            "data": {"sources": sources, "split": {"validation": 0.1, "test": 0.1}} | data,
        }
        | ({} if model is None else {"model": model})
        | (blocks or {})
    )
    job = PlanJob(name="tiny", namespace="default", uid="1")
    return Plan(job=job, stage="prepare", workspace=str(workspace), spec=spec, fingerprint="f" * 64)


def ui(path: Path, **changes: Any) -> dict[str, Any]:
    return {"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": f"file://{path}"} | changes


def prepare(workspace: Path, *sources: dict[str, Any], **data: Any) -> tuple[PreparedData, dict[str, float], str]:
    outcome = run(StageContext.single(plan(workspace, list(sources), **data)))
    assert outcome.artifact is not None
    return PreparedData.open(workspace, outcome.artifact), outcome.summary, outcome.message


def test_what_is_written_reads_back_as_the_corpus(tmp_path: Path) -> None:
    write_tsv(tmp_path / "ui.tsv", 300)
    data, summary, message = prepare(tmp_path, ui(tmp_path / "ui.tsv"))
    tokenizer = data.tokenizer()
    found = set()
    for name in SPLITS:
        split = data.pairs("ui", name)
        assert len(split) > 0
        for row in range(len(split)):
            pair = (split.text("en")[row], split.text("es")[row])
            found.add(pair)
            for language, text in zip(("en", "es"), pair, strict=True):
                assert tokenizer.decode(split.tokens(language)[row].tolist()) == f" {text}"
        assert split.tokens("es").lengths.tolist() == [len(split.tokens("es")[i]) for i in range(len(split))]
        assert data.texts("ui", name, "es").text[0] == split.text("es")[0]
    assert found <= set(pairs(300))
    assert summary["rowsKept"] == len(found)
    assert message.startswith(f"{len(found)} pairs kept of 300")
    assert len({data.bos_id, data.eos_id, data.pad_id}) == 3


def test_any_text_survives_the_tokenizer(tmp_path: Path) -> None:
    write_tsv(tmp_path / "ui.tsv", 200)
    tokenizer = prepare(tmp_path, ui(tmp_path / "ui.tsv"))[0].tokenizer()
    for text in ("ñandú — «¿qué?» 你好 🙂", " don't , stop .", "\ttab\nline"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_what_prompts_call_the_languages_is_one_token_each(tmp_path: Path) -> None:
    write_tsv(tmp_path / "ui.tsv", 200)
    tokenizer = prepare(tmp_path, ui(tmp_path / "ui.tsv"))[0].tokenizer()
    assert [tokenizer.tokenize(name) for name in ("English:", "Spanish:")] == [["English", ":"], ["Spanish", ":"]]


def test_the_texts_of_a_language_are_read_together_under_all_its_codes(tmp_path: Path) -> None:
    write_tsv(tmp_path / "ui.tsv", 40)
    (tmp_path / "news.txt").write_text("Nothing new today.\n", encoding="utf-8")
    news = ui(tmp_path / "news.txt", name="news", type="Text", languages=["eng_Latn"])
    sources = [ui(tmp_path / "ui.tsv"), news]
    data, _, _ = prepare(tmp_path, *sources)
    texts = training_texts(data.path, [DataSource.from_json_object(source) for source in sources])
    english = list(texts["en"]())
    assert list(texts) == ["en", "es"]
    assert len(english) == len(list(texts["es"]())) + 1
    assert "Nothing new today." in english


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    write_tsv(tmp_path / "ui.tsv", 200)
    digests = []
    for name in ("one", "two"):
        data, _, _ = prepare(tmp_path / name, ui(tmp_path / "ui.tsv"))
        files = json.loads((data.path / "manifest.json").read_text())["files"]
        digests.append({k: v for k, v in files.items() if k.startswith(("sources", "tokenizer"))})
    assert digests[0] == digests[1]


def test_the_report_counts_by_rule_with_provenance(tmp_path: Path) -> None:
    lines = [f"{en}\t{es}" for en, es in pairs(100)]
    lines += [*lines[:5], "same\tsame", "\tempty"]
    (tmp_path / "ui.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    data, summary, message = prepare(tmp_path, ui(tmp_path / "ui.tsv", license="CC0-1.0"))
    report = data.report()["sources"][0]
    assert report["license"] == "CC0-1.0"
    assert list(report["sha256"]) == [str(tmp_path / "ui.tsv")]
    assert report["dropped"]["duplicate"] == 5
    assert report["dropped"]["copy"] == 1
    assert report["dropped"]["empty"] == 1
    assert "same ||| same" in report["samples"]["copy"][0]
    assert summary["dropped.duplicate"] == 5
    assert "5 duplicate" in message


def test_test_text_inside_training_text_is_removed_and_counted(tmp_path: Path) -> None:
    write_tsv(tmp_path / "ui.tsv", 100)
    bench = pairs(100)[:10]
    (tmp_path / "bench.tsv").write_text("".join(f"{en.upper()}\t{es}\n" for en, es in bench), encoding="utf-8")
    data, summary, message = prepare(
        tmp_path, ui(tmp_path / "ui.tsv"), ui(tmp_path / "bench.tsv", name="bench", role="Test")
    )
    assert len(data.pairs("bench", "test")) == 10
    held_out = {text.casefold() for pair in bench for text in pair}
    for name in ("train", "validation"):
        split = data.pairs("ui", name)
        assert not held_out & {text.casefold() for text in [*split.text("en"), *split.text("es")]}
    assert summary["dropped.inTest"] >= 8
    assert "in test" in message


def test_monolingual_text_and_large_vocabularies_of_ids(tmp_path: Path) -> None:
    (tmp_path / "news.txt").write_text("\n".join(en for en, _ in pairs(100)), encoding="utf-8")
    data, _, message = prepare(
        tmp_path, {"name": "news", "type": "Text", "languages": ["en"], "uri": f"file://{tmp_path}/news.txt"}
    )
    split = data.texts("news", "train", "en")
    assert len(split) > 50
    assert split.tokens.ids.dtype == np.uint16
    assert "rows kept" in message
    with pytest.raises(BadConfiguration, match="has no es"):
        data.texts("news", "train", "es")


def test_problems_of_all_sources_come_together(tmp_path: Path) -> None:
    (tmp_path / "bad.tsv").write_text("a\tb\tc\n")
    (tmp_path / "empty.tsv").write_text("")
    with pytest.raises(BadData) as caught:
        prepare(tmp_path, ui(tmp_path / "bad.tsv"), ui(tmp_path / "empty.tsv", name="other"))
    assert f"{tmp_path}/bad.tsv:1 has 3 columns, 2 were expected" in caught.value.message
    assert "source 'other'" in caught.value.message
    assert "onMalformed: Drop" in caught.value.remedy
    assert not (tmp_path / "data").exists() or list((tmp_path / "data").iterdir()) == []


def test_missing_files_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(BadData) as caught:
        prepare(tmp_path, ui(tmp_path / "a.tsv"), ui(tmp_path / "b.tsv", name="other"))
    assert "a.tsv does not exist" in caught.value.message
    assert "b.tsv does not exist" in caught.value.message


def test_malformed_rows_can_be_dropped(tmp_path: Path) -> None:
    write_tsv(tmp_path / "ui.tsv", 100)
    with (tmp_path / "ui.tsv").open("a") as file:
        file.write("a\tb\tc\n")
    _, summary, _ = prepare(tmp_path, ui(tmp_path / "ui.tsv"), clean={"onMalformed": "Drop"})
    assert summary["dropped.malformed"] == 1


def test_nothing_left_is_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "ui.tsv").write_text("same\tsame\n")
    with pytest.raises(BadData, match=r"none of 1 rows is left after cleaning \(1 copy\)"):
        prepare(tmp_path, ui(tmp_path / "ui.tsv"))


def test_a_model_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    write_tsv(tmp_path / "ui.tsv", 50)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    wanted = plan(tmp_path, [ui(tmp_path / "ui.tsv")])
    spec = wanted.spec.to_json_object() | {"model": {"from": {"uri": f"file://{tmp_path}/model"}}}
    context = StageContext.single(wanted.model_copy(update={"spec": FineTuneJobSpec.from_json_object(spec)}))
    with pytest.raises(BadConfiguration, match="has no tokenizer"):
        run(context)


def pretrained(folder: Path, **adapt: Any) -> StageContext:
    """A job whose corpus is missing: what is wrong with its model is told all the same."""
    wanted = plan(folder, [ui(folder / "gone.tsv")])
    spec = wanted.spec.to_json_object() | {"model": {"from": {"uri": f"file://{folder}/base"}}}
    adapt["lora"] = {"rank": 8} | adapt.get("lora", {})
    spec |= {"adapt": {"task": {"source": "ui", "direction": "en-es"}} | adapt}
    return StageContext.single(wanted.model_copy(update={"spec": FineTuneJobSpec.from_json_object(spec)}))


@pytest.mark.parametrize(
    ("adapt", "message"),
    [
        ({"lora": {"targets": ["c_attn"]}}, r"targets\[0\]: a mistral model has no linear layer named c_attn"),
        ({"batch": {"sequenceLength": 256}}, "sequenceLength: 256 exceeds the model's 128 positions"),
    ],
)
def test_settings_that_do_not_fit_the_model_are_refused_before_anything_is_read(
    adapt: dict[str, Any], message: str, base: Path
) -> None:
    with pytest.raises(BadConfiguration, match=message):
        run(pretrained(base.parent, **adapt))


def test_layers_of_an_architecture_that_is_not_in_the_table_are_looked_at(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_api.pretrained.LAYERS", {})
    with pytest.raises(BadConfiguration, match="the model has no linear layer named c_attn") as caught:
        run(pretrained(base.parent, lora={"targets": ["c_attn"]}))
    assert "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj" in caught.value.remedy


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused_first(base: Path) -> None:
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"vocab_size": 258}))
    with pytest.raises(BadConfiguration, match="the tokenizer has 259 tokens, the model 258 embeddings: ") as caught:
        run(pretrained(base.parent))
    assert "model.resize_token_embeddings(259)" in caught.value.remedy


@pytest.mark.parametrize("content", [b"{", b"\xff\x00\x80", b'{"version": "1.0"}'])
def test_a_model_folder_with_a_broken_tokenizer_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "mistral"}')
    (tmp_path / "model" / "tokenizer.json").write_bytes(content)
    with pytest.raises(BadConfiguration, match="cannot be loaded"):
        load_tokenizer(tmp_path / "model", "spec.model.from")


def test_a_test_set_stays_whole(tmp_path: Path) -> None:
    write_tsv(tmp_path / "ui.tsv", 50)
    odd = ["same\tsame", "A sentence of some length here.\tcorta", "twice\tdos veces", "twice\tdos veces"]
    odd.append("word " * 100 + "\t" + "palabra " * 100)
    (tmp_path / "bench.tsv").write_text("\n".join(odd) + "\n", encoding="utf-8")
    for role, split in (("Test", "test"), ("Validation", "validation")):
        bench = ui(tmp_path / "bench.tsv", name="bench", role=role)
        data, _, _ = prepare(tmp_path / role, ui(tmp_path / "ui.tsv"), bench)
        assert len(data.pairs("bench", split)) == len(odd)  # type: ignore[arg-type]


def test_a_job_that_only_tests_needs_no_text_to_train_on(tmp_path: Path) -> None:
    """Rows of the test set know their line of the file: hypotheses from elsewhere are in its order."""
    known = pairs(60)
    lines = [f"{en}\t{es}\n" for en, es in known]
    (tmp_path / "bench.tsv").write_text("".join([*lines[:10], "\tsin fuente\n", *lines[10:]]), "utf-8")
    write_tsv(tmp_path / "ui.tsv", 200)
    base = tmp_path / "base"
    prepare(tmp_path / "train", ui(tmp_path / "ui.tsv"))[0].tokenizer().save_pretrained(base)
    (base / "config.json").write_text('{"model_type": "llama", "vocab_size": 400, "max_position_embeddings": 64}')
    data, summary, message = prepare(
        tmp_path, ui(tmp_path / "bench.tsv", role="Test"), model={"from": {"uri": f"file://{base}"}}
    )
    split = data.pairs("ui", "test")
    assert (len(data.pairs("ui", "train")), len(split), data.rows_read("ui")) == (0, 60, 61)
    assert split.numbers is not None
    assert split.numbers.tolist() == [*range(1, 11), *range(12, 62)]
    assert list(split.text("en")) == [en for en, _ in known]
    assert (summary["train"], message) == (0, "60 pairs kept of 61 (1 empty)")
    rows = np.array([3, 30])
    by_row, by_segment, by_sample = find_alignments(split, rows, "ui", data.rows_read("ui"))
    assert [a.lines for a in (by_row, by_segment, by_sample)] == [61, 60, 2]
    assert [a.places.tolist() for a in (by_row, by_segment, by_sample)] == [[3, 31], [3, 30], [0, 1]]


def test_hypotheses_that_do_not_fit_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    write_tsv(tmp_path / "ui.tsv", 200)
    (tmp_path / "bench.tsv").write_text("".join(f"{en}\t{es}\n" for en, es in pairs(30, seed=5)), "utf-8")
    (tmp_path / "agency.es").write_text("hola\n" * 29, "utf-8")
    (tmp_path / "other.es").write_bytes(b"\xe9\n" * 30)
    sources = [ui(tmp_path / "ui.tsv"), ui(tmp_path / "bench.tsv", name="bench", role="Test")]
    evaluate = {
        "tasks": [{"name": "en-es", "source": "bench", "direction": "en-es"}],
        "rivals": [
            {"name": name, "hypotheses": [{"task": "en-es", "uri": f"file://{tmp_path / name}.es"}]}
            for name in ("agency", "other")
        ],
    }
    given = plan(tmp_path, sources)
    spec = FineTuneJobSpec.from_json_object(given.spec.to_json_object() | {"evaluate": evaluate})
    with pytest.raises(BadData) as caught:
        run(StageContext.single(given.model_copy(update={"spec": spec})))
    for words in ("rivals[0].hypotheses[0].uri", "has 29 lines, task 'en-es' expects 30", "other.es:1 is not UTF-8"):
        assert words in caught.value.message
    assert not list(tmp_path.glob("data/*"))


def test_what_looks_like_a_special_token_in_a_corpus_is_text(tmp_path: Path) -> None:
    lines = [f"{en} </s> <pad>\t{es} </s> <pad>\n" for en, es in pairs(60)]
    (tmp_path / "ui.tsv").write_text("".join(lines), encoding="utf-8")
    data, _, _ = prepare(tmp_path, ui(tmp_path / "ui.tsv"), clean={"removeHtml": False})
    split = data.pairs("ui", "train")
    assert not np.isin(split.tokens("en").ids, [data.bos_id, data.eos_id, data.pad_id]).any()
    assert data.tokenizer().decode(split.tokens("en")[0].tolist()) == f" {split.text('en')[0]}"


def test_asked_to_stop_it_stops_and_leaves_nothing(tmp_path: Path) -> None:
    write_tsv(tmp_path / "ui.tsv", 50)
    context = StageContext.single(plan(tmp_path / "workspace", [ui(tmp_path / "ui.tsv")]))
    context.stop.request()
    with pytest.raises(Preempted):
        run(context)
    assert list((tmp_path / "workspace" / "data").iterdir()) == []


def test_the_artifact_holds_no_scratch_files(tmp_path: Path) -> None:
    write_tsv(tmp_path / "ui.tsv", 100)
    data, _, _ = prepare(tmp_path, ui(tmp_path / "ui.tsv"))
    assert not [p for p in (tmp_path / "data").rglob("*") if ".staging" in p.name]
    assert "staging" not in (data.path / "manifest.json").read_text()


def test_the_remedy_shows_the_line_with_a_command_that_works(tmp_path: Path) -> None:
    (tmp_path / "corpus.tsv.gz").write_bytes(gzip.compress(b"a\tb\nc\td\te\n"))
    with pytest.raises(BadData) as caught:
        prepare(tmp_path, ui(tmp_path / "corpus.tsv.gz"))
    command = caught.value.remedy.split("     ")[0].removeprefix("Show it: ")
    shown = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert shown.stdout == "c\td\te\n"


def test_a_line_of_a_catalog_is_shown_too_and_one_in_an_archive_is_not(tmp_path: Path) -> None:
    content = b'msgid "one"\nmsgstr "uno"\n\nmsgid "two"\nmsgstr "d"os"\n'
    (tmp_path / "es.po.xz").write_bytes(lzma.compress(content))
    with pytest.raises(BadData, match=r"es\.po\.xz:5 has a string that is not closed") as caught:
        prepare(tmp_path, ui(tmp_path / "es.po.xz"))
    assert caught.value.remedy.startswith(f"Show it: xzcat {tmp_path}/es.po.xz | sed -n 5p")
    with zipfile.ZipFile(tmp_path / "ui.zip", "w") as archive:
        archive.writestr("es.po", content)
    with pytest.raises(BadData, match=r"ui\.zip!es\.po:5 has a string that is not closed") as caught:
        prepare(tmp_path, ui(tmp_path / "ui.zip"))
    assert caught.value.remedy == "Skip such rows: data.clean.onMalformed: Drop"


def test_a_remedy_names_no_line_where_there_are_none(tmp_path: Path) -> None:
    pq.write_table(pa.table({"en": ["a", None], "es": ["b", "c"]}), tmp_path / "ui.parquet")
    with pytest.raises(BadData, match=r"ui\.parquet:2 has no text in key 'en'") as caught:
        prepare(tmp_path, ui(tmp_path / "ui.parquet"))
    assert caught.value.remedy == "Skip such rows: data.clean.onMalformed: Drop"


def test_two_remedies_of_two_problems_are_both_told(tmp_path: Path) -> None:
    (tmp_path / "bad.tsv").write_text("a\tb\tc\n")
    (tmp_path / "same.tsv").write_text("same\tsame\n")
    with pytest.raises(BadData) as caught:
        prepare(tmp_path, ui(tmp_path / "bad.tsv"), ui(tmp_path / "same.tsv", name="other"))
    assert "onMalformed: Drop" in caught.value.remedy
    assert "Loosen data.clean" in caught.value.remedy


def test_names_and_keys_that_are_no_text_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "t") + b"/\xff.txt"))
    odd.write_bytes("\n".join(en for en, _ in pairs(100)).encode() + b"\nx\xff\n")
    news = {"name": "news", "type": "Text", "languages": ["en"], "uri": f"file://{tmp_path}/t", "format": "text"}
    data, _, _ = prepare(tmp_path / "one", news, clean={"onMalformed": "Drop"})
    assert "\\udcff.txt:101" in data.report()["sources"][0]["samples"]["malformed"][0]
    with pytest.raises(BadData, match=r"udcff\.txt:101 is not UTF-8") as caught:
        prepare(tmp_path / "two", news)
    assert caught.value.remedy.encode()
    lines = [json.dumps({"en": en, "es": es}) for en, es in pairs(100)]
    (tmp_path / "ui.jsonl").write_text("\n".join([*lines, '{"en": "a", "\\ud800": "b"}']))
    data, _, _ = prepare(tmp_path / "three", ui(tmp_path / "ui.jsonl"), clean={"onMalformed": "Drop"})
    assert data.report()["sources"][0]["dropped"]["malformed"] == 1


def test_rows_keep_what_they_are_about(tmp_path: Path) -> None:
    lines = [f"{en}\t{es}\ttopic {len(en) % 3}" for en, es in pairs(200)]
    (tmp_path / "ui.tsv").write_text("\n".join(["en\tes\ttopic", *lines]) + "\n", encoding="utf-8")
    data, _, _ = prepare(tmp_path, ui(tmp_path / "ui.tsv", columns={"domain": "topic"}))
    for name in SPLITS:
        split = data.pairs("ui", name)
        assert split.domains is not None
        assert [*split.domains] == [f"topic {len(text) % 3}" for text in split.text("en")]
        assert len(split.tokens("es")) == len(split)


def test_a_test_without_references_is_refused_in_words(tmp_path: Path) -> None:
    write_tsv(tmp_path / "ui.tsv", 50)
    (tmp_path / "bench.tsv").write_text("Open the file.\t\nSave the page.\t \n", encoding="utf-8")
    bench = ui(tmp_path / "bench.tsv", name="bench", role="Test")
    with pytest.raises(BadData, match=r"source 'bench': none of 2 rows is left after cleaning \(2 empty\)"):
        prepare(tmp_path, ui(tmp_path / "ui.tsv"), bench)
    (tmp_path / "bench.tsv").write_text("Open the file.\n", encoding="utf-8")
    with pytest.raises(BadData, match=r"bench.tsv:1 has 1 column, 2 were expected"):
        prepare(tmp_path, ui(tmp_path / "ui.tsv"), bench)
