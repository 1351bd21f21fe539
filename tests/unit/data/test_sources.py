"""Every format, read from files as people have them, and every way in which a file can be bad."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polib
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finetune_api.data import DataSource
from finetune_trainer.data.rows import Malformed
from finetune_trainer.data.sources import read_source
from finetune_trainer.errors import BadConfiguration, BadData

PAIRS = [("the file", "el archivo"), ("save the page", "guarda la página")]


def source(path: Path | str, **changes: Any) -> DataSource:
    return DataSource(
        **{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": f"file://{path}"} | changes
    )


def texts(data: DataSource) -> list[tuple[str, ...]]:
    rows = list(read_source(data))
    assert not any(isinstance(row, Malformed) for row in rows), rows
    return [row.texts for row in rows if not isinstance(row, Malformed)]


def write_tsv(folder: Path) -> DataSource:
    path = folder / "ui.tsv"
    path.write_bytes("".join(f"{en}\t{es}\n" for en, es in PAIRS).encode())
    return source(path)


def write_tsv_with_mark_and_windows_ends(folder: Path) -> DataSource:
    path = folder / "ui.tsv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + "".join(f"{en}\t{es}\r\n" for en, es in PAIRS).encode()))
    return source(path)


def write_tsv_with_header(folder: Path) -> DataSource:
    path = folder / "ui.tsv"
    path.write_text("id\ttarget\tsrc\n" + "".join(f"7\t{es}\t{en}\n" for en, es in PAIRS), encoding="utf-8")
    return source(path, columns={"languages": {"en": "src", "es": "target"}})


def write_csv(folder: Path) -> DataSource:
    path = folder / "ui.csv"
    path.write_text('en,es\n"the file",el archivo\nsave the page,"guarda la página"\n', encoding="utf-8")
    return source(path)


def write_jsonl(folder: Path) -> DataSource:
    path = folder / "ui.jsonl"
    path.write_text(
        '{"en": "the file", "es": "el archivo"}\n\n'
        '{"translation": {"en": "save the page", "es": "guarda la página"}}\n',
        encoding="utf-8",
    )
    return source(path)


def write_parquet(folder: Path) -> DataSource:
    path = folder / "ui.parquet"
    pq.write_table(pa.table({"es": [p[1] for p in PAIRS], "en": [p[0] for p in PAIRS], "n": [1, 2]}), path)
    return source(path)


def write_moses(folder: Path) -> DataSource:
    for language, side in (("en", 0), ("es", 1)):
        content = "".join(f"{pair[side]}\n" for pair in PAIRS).encode()
        (folder / f"ui.{language}.gz").write_bytes(gzip.compress(content))
    return source(folder / "ui.{lang}.gz")


def write_tmx(folder: Path) -> DataSource:
    units = "".join(
        f'<tu><tuv xml:lang="ES-es"><seg>{es}</seg></tuv><tuv xml:lang="en"><seg><bpt i="1"/>{en}</seg></tuv></tu>'
        for en, es in PAIRS
    )
    foreign = '<tu><tuv xml:lang="en"><seg>x</seg></tuv><tuv xml:lang="fr"><seg>y</seg></tuv></tu>'
    path = folder / "ui.tmx"
    path.write_text(f'<tmx version="1.4"><header/><body>{units}{foreign}</body></tmx>', encoding="utf-8")
    return source(path)


def zipped(name: str, content: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


GZIP_HEADER = 10
ZIP_HEADER = 30 + len("es.po")
"""Bytes in front of the compressed data."""


def with_damage(content: bytes, start: int) -> bytes:
    """The same file with the first bytes of its compressed data overwritten: no valid block begins so."""
    return content[:start] + b"\xff" * 12 + content[start + 12 :]


def catalog() -> polib.POFile:
    po = polib.POFile()
    po.metadata = {"Content-Type": "text/plain; charset=UTF-8"}
    po.extend(polib.POEntry(msgid=en, msgstr=es) for en, es in PAIRS)
    po.append(polib.POEntry(msgid="doubtful", msgstr="dudoso", flags=["fuzzy"]))
    po.append(polib.POEntry(msgid="untranslated", msgstr=""))
    return po


def write_po(folder: Path) -> DataSource:
    place = folder / "locale" / "es" / "LC_MESSAGES"
    place.mkdir(parents=True)
    (place / "ui.po").write_text(str(catalog()), encoding="utf-8")
    (place / "ui.mo").write_bytes(catalog().to_binary())
    (folder / "locale" / "fr" / "LC_MESSAGES").mkdir(parents=True)
    (folder / "locale" / "fr" / "LC_MESSAGES" / "ui.po").write_text('msgid "a"\nmsgstr "b"\n')
    return source(folder / "locale", format="gettext")


def write_mo(folder: Path) -> DataSource:
    (folder / "es.mo").write_bytes(catalog().to_binary())
    return source(folder / "es.mo")


def write_wheel(folder: Path) -> DataSource:
    with zipfile.ZipFile(folder / "ui-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("ui/locale/es/LC_MESSAGES/django.po", str(catalog()))
        archive.writestr("ui/locale/es_MX/LC_MESSAGES/django.po", 'msgid "a"\nmsgstr "b"\n')
    return source(folder, format="gettext")


def write_tar(folder: Path) -> DataSource:
    with tarfile.open(folder / "ui.tar.gz", "w:gz") as archive:
        content = catalog().to_binary()
        member = tarfile.TarInfo("ui/es/LC_MESSAGES/ui.mo")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return source(folder / "ui.tar.gz", format="gettext")


def write_huggingface(folder: Path) -> DataSource:
    import datasets

    datasets.disable_progress_bars()
    rows = [{"translation": {"en": en, "es": es}} for en, es in PAIRS]
    datasets.DatasetDict({"train": datasets.Dataset.from_list(rows)}).save_to_disk(str(folder / "ui"))
    return source(folder / "ui", format="huggingface")


@pytest.mark.parametrize(
    "write",
    [
        write_tsv, write_tsv_with_mark_and_windows_ends, write_tsv_with_header, write_csv, write_jsonl, write_parquet,
        write_moses, write_tmx, write_po, write_mo, write_wheel, write_tar, write_huggingface,
    ],
)  # fmt: skip
def test_every_format_gives_the_same_pairs(write: Callable[[Path], DataSource], tmp_path: Path) -> None:
    assert sorted(texts(write(tmp_path))) == sorted(PAIRS)


def test_text_is_one_row_a_line_over_all_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"three"))
    assert texts(source(tmp_path, type="Text", languages=["en"], format="text")) == [("one",), ("two",), ("three",)]


def test_max_rows_ends_the_reading(tmp_path: Path) -> None:
    data = write_tsv(tmp_path)
    assert texts(data.model_copy(update={"max_rows": 1})) == PAIRS[:1]


@pytest.mark.parametrize(
    ("name", "content", "line", "reason"),
    [
        ("ui.tsv", b"a\tb\na\tb\tc\n", 2, "has 3 columns, 2 were expected"),
        ("ui.tsv", b"a\tb\nalone\n", 2, "has 1 column, 2 were expected"),
        ("ui.tsv", b"a\tb\n\xff\tb\n", 2, "is not UTF-8 (byte 1)"),
        ("ui.tsv", b"a\tb\nPK\x03\x04\x00\tb\n", 2, "has a NUL byte: this is not a text file"),
        ("ui.tsv", b"a\tb\n" + b"x" * 1_100_000 + b"\na\tb\n", 2, "has more than 1,048,576 bytes"),
        ("ui.jsonl", b'{"en": "a", "es": "b"}\n{"en": "a"\n', 2, "is not JSON"),
        ("ui.jsonl", b'{"en": "a", "es": "b"}\n[1]\n', 2, "is not a JSON object"),
        ("ui.jsonl", b'{"en": "a", "es": "b"}\n{"en": "a", "es": "\\ud800"}\n', 2, "has half a character"),
        ("ui.jsonl", b'{"en": "a", "es": "b"}\n{"en": "a", "fr": "b"}\n', 2, "its keys: en, fr"),
        ("ui.tsv", "a\tb".encode("utf-16"), 1, "is UTF-16"),
        ("ui.jsonl", b'{"en": "a", "es": "b"}\n{"en": "a"}\n', 2, "has no key 'es'"),
        ("ui.jsonl", b'{"en": "a", "es": "b"}\n{"en": "a", "es": 3}\n', 2, "has no text in key 'es'"),
        ("ui.csv", b"en,es\na,b,c\n", 2, "has 3 columns, 2 were expected"),
        ("ui.csv", b'en,es\n"a" x,b\n', 2, "is not CSV"),
    ],
)
def test_a_malformed_row_is_told_with_its_line_and_the_others_are_read(
    name: str, content: bytes, line: int, reason: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    rows = list(read_source(source(tmp_path / name)))
    bad = [row for row in rows if isinstance(row, Malformed)]
    assert [(row.file, row.line) for row in bad] == [(str(tmp_path / name), line)]
    assert reason in bad[0].reason


@pytest.mark.parametrize(
    ("name", "content", "reason", "told"),
    [
        ("ui.tsv.gz", gzip.compress(b"a\tb\n" * 5000, mtime=0)[:-20], "SourceNotReadable", "cannot be read"),
        ("ui.tsv.gz", b"not gzip", "SourceNotReadable", "cannot be read"),
        ("ui.parquet", b"PAR1 no", "SourceNotReadable", "is not whole Parquet"),
        ("ui.tmx", b"<tmx><body><tu>", "SourceNotReadable", "is not whole TMX"),
        ("ui.tmx", b'<!DOCTYPE t [<!ENTITY e "x">]><tmx>&e;</tmx>', "SourceNotReadable", "is not whole TMX"),
        ("ui.whl", b"PK no", "SourceNotReadable", "no whole archive"),
        ("es.mo", b"no catalog", "SourceNotReadable", "no whole gettext catalog"),
        ("es.mo", catalog().to_binary()[:40], "SourceNotReadable", "no whole gettext catalog"),
        ("es.po", b"\xff\xfe", "SourceNotReadable", "no whole gettext catalog"),
        (
            "ui.po",
            b'"Content-Type: text/plain; charset=klingon\\n"\n',
            "SourceNotReadable",
            "unknown encoding: klingon",
        ),
        ("ui.zip", with_damage(zipped("es.po", str(catalog())), ZIP_HEADER), "SourceNotReadable", "no whole archive"),
        (
            "ui.tmx.gz",
            with_damage(gzip.compress(b"<tmx>" * 99, mtime=0), GZIP_HEADER),
            "SourceNotReadable",
            "is not whole TMX",
        ),
        (
            "ui.tsv.gz",
            with_damage(gzip.compress(b"a\tb\n" * 99, mtime=0), GZIP_HEADER),
            "SourceNotReadable",
            "cannot be read",
        ),
        ("ui.csv", b"english,spanish\na,b\n", "ColumnNotFound", "it has english, spanish"),
        ("ui.data", b"", "UnknownFormat", "does not tell the format"),
    ],
)
def test_a_broken_file_is_refused_in_one_sentence(
    name: str, content: bytes, reason: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises((BadData, BadConfiguration)) as caught:
        list(read_source(source(tmp_path / name)))
    assert caught.value.reason == reason
    assert told in caught.value.message
    assert "\n" not in caught.value.message


def test_files_of_a_pair_must_be_equally_long(tmp_path: Path) -> None:
    (tmp_path / "ui.en").write_text("a\nb\nc\n")
    (tmp_path / "ui.es").write_text("a\nb\n")
    with pytest.raises(BadData, match=r"ui\.es ends before line 3 of"):
        list(read_source(source(tmp_path / "ui.{lang}")))


def test_gettext_needs_english(tmp_path: Path) -> None:
    (tmp_path / "es.po").write_text(str(catalog()))
    with pytest.raises(BadConfiguration, match="translate from English"):
        list(read_source(source(tmp_path / "es.po", languages=["de", "es"])))


def test_a_hub_data_set_that_cannot_be_had_is_refused_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(BadData, match="cannot be had"):
        list(read_source(source("", uri="hf://nobody/nothing")))


def test_a_parquet_page_that_is_damaged_is_refused(tmp_path: Path) -> None:
    rows = [f"row {i}" for i in range(5000)]
    pq.write_table(pa.table({"en": rows, "es": rows}), tmp_path / "ui.parquet")
    content = bytearray((tmp_path / "ui.parquet").read_bytes())
    content[500:2500] = b"\xff" * 2000
    (tmp_path / "ui.parquet").write_bytes(content)
    with pytest.raises(BadData, match="is not whole Parquet after 0 rows"):
        list(read_source(source(tmp_path / "ui.parquet")))


def test_a_folder_where_a_file_was_expected(tmp_path: Path) -> None:
    for name in ("tsv", "csv", "jsonl"):
        with pytest.raises(BadData, match="is a folder, a file was expected"):
            list(read_source(source(tmp_path, format=name)))
    with pytest.raises(BadData, match="Is a directory"):
        list(read_source(source(tmp_path, format="tmx")))


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("ui.txt", {}, "format text holds texts, but type is Parallel"),
        ("ui.po", {"type": "Text", "languages": ["en"]}, "format gettext holds pairs, but type is Text"),
        ("ui.{lang}", {"type": "Text", "languages": ["en"]}, "format moses holds pairs, but type is Text"),
        ("ui.{lang}", {"format": "tsv"}, "but format is tsv"),
    ],
)
def test_a_format_that_does_not_fit_the_type_is_refused(
    name: str, changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(BadConfiguration) as caught:
        list(read_source(source(tmp_path / name, **changes)))
    assert told in caught.value.message


@pytest.mark.parametrize("write", [write_wheel, write_po, write_tmx])
def test_languages_that_do_not_occur_are_told_with_those_that_do(
    write: Callable[[Path], DataSource], tmp_path: Path
) -> None:
    wanted = write(tmp_path).model_copy(update={"languages": ["en", "tlh"]})
    with pytest.raises(BadConfiguration, match=r"tlh; it has .*es") as caught:
        list(read_source(wanted))
    assert caught.value.reason == "LanguageNotFound"


@pytest.mark.parametrize("ending", ["tsv", "csv"])
def test_a_header_that_cannot_be_read_is_never_skipped(ending: str, tmp_path: Path) -> None:
    (tmp_path / f"ui.{ending}").write_bytes(b"en\xff\n" + b"a\tb\n" * 3)
    columns = {"languages": {"en": "src", "es": "tgt"}}
    with pytest.raises(BadData, match="and it is the header"):
        list(read_source(source(tmp_path / f"ui.{ending}", columns=columns)))


def test_a_catalog_in_its_own_charset(tmp_path: Path) -> None:
    content = str(catalog()).replace("UTF-8", "ISO-8859-1").encode("latin-1")
    (tmp_path / "es.po").write_bytes(content)
    assert sorted(texts(source(tmp_path / "es.po"))) == sorted(PAIRS)


def test_plurals_and_contexts_of_catalogs_read_the_same_from_both_kinds(tmp_path: Path) -> None:
    po = catalog()
    po.append(
        polib.POEntry(msgid="%d file", msgid_plural="%d files", msgstr_plural={0: "%d fichero", 1: "%d ficheros"})
    )
    po.append(polib.POEntry(msgctxt="menu", msgid="open", msgstr="abrir"))
    po.append(polib.POEntry(msgid="old", msgstr="viejo", obsolete=True))
    (tmp_path / "a.po").write_text(str(po), encoding="utf-8")
    (tmp_path / "a.mo").write_bytes(po.to_binary())
    expected = sorted([*PAIRS, ("%d file", "%d fichero"), ("open", "abrir")])
    assert sorted(texts(source(tmp_path / "a.po"))) == expected
    assert sorted(texts(source(tmp_path / "a.mo"))) == expected


def test_of_both_kinds_of_a_catalog_one_is_read_in_whatever_order_an_archive_has_them(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "ui.tgz", "w:gz") as archive:
        for name, content in (("po", str(catalog()).encode()), ("txt", b"-"), ("mo", catalog().to_binary())):
            member = tarfile.TarInfo(f"es/LC_MESSAGES/ui.{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert sorted(texts(source(tmp_path / "ui.tgz"))) == sorted(PAIRS)


def test_another_script_of_a_language_is_another_language(tmp_path: Path) -> None:
    for folder in ("sr", "sr@latin"):
        place = tmp_path / folder / "LC_MESSAGES"
        place.mkdir(parents=True)
        (place / "ui.po").write_text(f'msgid "the page"\nmsgstr "{folder}"\n', encoding="utf-8")
    assert texts(source(tmp_path, format="gettext", languages=["en", "sr"])) == [("the page", "sr")]


def test_tmx_with_a_document_type_and_inline_codes(tmp_path: Path) -> None:
    (tmp_path / "ui.tmx").write_text(
        '<?xml version="1.0"?><!DOCTYPE tmx SYSTEM "tmx14.dtd"><tmx version="1.4"><header/><body><tu>'
        '<tuv xml:lang="en"><seg>the <bpt i="1">&lt;b&gt;</bpt><hi>big</hi><ept i="1">&lt;/b&gt;</ept> file</seg></tuv>'
        '<tuv xml:lang="es-MX"><seg>otro</seg></tuv><tuv xml:lang="es"><seg>el archivo</seg></tuv>'
        "</tu></body></tmx>",
        encoding="utf-8",
    )
    assert texts(source(tmp_path / "ui.tmx")) == [("the big file", "el archivo")]


def test_a_parquet_column_may_be_called_translation(tmp_path: Path) -> None:
    pq.write_table(pa.table({"source": ["the file"], "translation": ["el archivo"]}), tmp_path / "ui.parquet")
    columns = {"languages": {"en": "source", "es": "translation"}}
    assert texts(source(tmp_path / "ui.parquet", columns=columns)) == [PAIRS[0]]


def test_a_tmx_is_read_by_whatever_code_means_the_language(tmp_path: Path) -> None:
    (tmp_path / "ui.tmx").write_text(
        '<tmx version="1.4"><header/><body>'
        '<tu><tuv xml:lang="en_US"><seg>the file</seg></tuv><tuv xml:lang="por"><seg>x</seg></tuv>'
        '<tuv xml:lang="pt-pt"><seg>o ficheiro</seg></tuv><tuv xml:lang="PT-BR"><seg>o arquivo</seg></tuv></tu>'
        '<tu><tuv xml:lang="en"><seg>the page</seg></tuv><tuv xml:lang="pt-PT"><seg>a página</seg></tuv></tu>'
        "</body></tmx>",
        encoding="utf-8",
    )
    file = tmp_path / "ui.tmx"
    assert texts(source(file, languages=["eng_Latn", "pt-BR"])) == [("the file", "o arquivo")]
    assert texts(source(file, languages=["eng", "por_Latn"])) == [("the file", "x"), ("the page", "a página")]


@pytest.mark.parametrize(
    ("folder", "languages"),
    [
        ("sr@latin", ["eng_Latn", "srp_Latn"]),
        ("sr_Latn", ["en", "sr-Latn"]),
        ("ca@valencia", ["en", "ca-valencia"]),
        ("zh_CN", ["en-US", "zh-Hans-CN"]),
        ("spa", ["en", "es"]),
    ],
)
def test_a_catalog_is_found_by_whatever_code_means_the_language(
    folder: str, languages: list[str], tmp_path: Path
) -> None:
    for name in (folder, "sr", "ca", "zh_TW", "es_MX", "en_GB"):
        place = tmp_path / name / "LC_MESSAGES"
        place.mkdir(parents=True)
        (place / "ui.po").write_text(f'msgid "the page"\nmsgstr "{name}"\n', encoding="utf-8")
    assert texts(source(tmp_path, format="gettext", languages=languages)) == [("the page", folder)]
    backwards = source(tmp_path, format="gettext", languages=languages[::-1])
    assert texts(backwards) == [(folder, "the page")]


def test_british_english_is_translated_from_english(tmp_path: Path) -> None:
    place = tmp_path / "en_GB" / "LC_MESSAGES"
    place.mkdir(parents=True)
    (place / "ui.po").write_text('msgid "color"\nmsgstr "colour"\n', encoding="utf-8")
    assert texts(source(tmp_path, format="gettext", languages=["en-GB", "en"])) == [("colour", "color")]


@pytest.mark.parametrize("write", [write_csv, write_jsonl, write_parquet, write_huggingface])
def test_a_column_is_found_by_whatever_code_means_the_language(
    write: Callable[[Path], DataSource], tmp_path: Path
) -> None:
    assert texts(write(tmp_path).model_copy(update={"languages": ["eng_Latn", "spa"]})) == PAIRS


def test_a_column_of_its_own_comes_before_one_of_another_code(tmp_path: Path) -> None:
    (tmp_path / "ui.csv").write_text("en,spa,es\nthe file,no,el archivo\n", encoding="utf-8")
    assert texts(source(tmp_path / "ui.csv")) == PAIRS[:1]
    columns = {"languages": {"en": "en", "spa_Latn": "es"}}
    assert texts(source(tmp_path / "ui.csv", languages=["eng", "spa"], columns=columns)) == PAIRS[:1]


def test_the_files_of_a_pair_are_named_as_the_languages_are_written(tmp_path: Path) -> None:
    for language, text in (("eng_Latn", "the file"), ("spa_Latn", "el archivo")):
        (tmp_path / f"ui.{language}").write_text(f"{text}\n", encoding="utf-8")
    assert texts(source(tmp_path / "ui.{lang}", languages=["eng_Latn", "spa_Latn"])) == PAIRS[:1]
