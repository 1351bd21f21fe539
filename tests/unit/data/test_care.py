"""What files of people hold besides plain text: odd line ends, charsets, encodings, compressions, damage."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finetune_api.data import DataSource
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.sources import read_source
from finetune_trainer.errors import BadConfiguration, BadData

LINE_ENDS = ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"]
"""What Python's `splitlines` takes for an end of line, besides the two that are."""


def source(path: Path | str, **changes: Any) -> DataSource:
    return DataSource(
        **{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": f"file://{path}"} | changes
    )


def read(path: Path | str, **changes: Any) -> tuple[list[tuple[str, ...]], list[tuple[int, str]]]:
    """Texts of the rows; line and reason of the malformed ones."""
    rows = list(read_source(source(path, **changes)))
    texts = [row.texts for row in rows if isinstance(row, Row)]
    return texts, [(row.line, row.reason) for row in rows if isinstance(row, Malformed)]


def refusal(path: Path | str, **changes: Any) -> str:
    with pytest.raises((BadData, BadConfiguration)) as caught:
        read(path, **changes)
    assert str(path) in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("end", LINE_ENDS)
def test_only_a_line_feed_ends_a_line(end: str, tmp_path: Path) -> None:
    english, spanish = f"one{end}two{end}", f"{end}uno{end}dos"
    expected: tuple[list[tuple[str, ...]], list[tuple[int, str]]] = ([(english, spanish), ("the end", "el fin")], [])
    files = {
        "ui.tsv": f"{english}\t{spanish}\nthe end\tel fin\n",
        "ui.csv": f'en,es\n"{english}",{spanish}\nthe end,el fin\n',
        "es.po": f'msgid "{english}"\nmsgstr "{spanish}"\n\nmsgid "the end"\nmsgstr "el fin"\n',
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8", newline="")
        assert read(tmp_path / name) == expected, name
    for language, side in (("en", english), ("es", spanish)):
        (tmp_path / f"ui.{language}").write_text(f"{side}\nthe end\n", encoding="utf-8", newline="")
    assert read(tmp_path / "ui.{lang}")[0][0] == (english, spanish)


def po(header: str, charset: str = "utf-8", text: str = "año nuevo") -> bytes:
    return f'msgid ""\nmsgstr {header}\n\nmsgid "new year"\nmsgstr "{text}"\n'.encode(charset)


@pytest.mark.parametrize(
    "header",
    [
        '""\n"Content-Type: text/plain; charset=ISO-8859-1\\n"\n"Language: es\\n"',
        '""\n"Language: es\\n"\n"CONTENT-TYPE: text/plain; CHARSET=iso-8859-1\\n"',
        '"Language: es\\nContent-Type: text/plain; charset=latin1\\n"',
        '""\n"Content-Type: text/plain; "\n"charset=ISO-8859-1\\n"',
        '""\n"' + "X-Comment: long\\n" * 900 + 'Content-Type: text/plain; charset = \\"ISO-8859-1\\"\\n"',
    ],
)
def test_the_charset_of_a_catalog_is_found_wherever_its_header_has_it(header: str, tmp_path: Path) -> None:
    (tmp_path / "es.po").write_bytes(b"# A comment.\n#, fuzzy\n" + po(header, "latin-1"))
    assert read(tmp_path / "es.po") == ([("new year", "año nuevo")], [])


def test_a_header_may_be_the_last_entry(tmp_path: Path) -> None:
    content = 'msgid "new year"\nmsgstr "año nuevo"\n\nmsgid ""\nmsgstr "Content-Type: text/plain; charset=cp1252\\n"\n'
    (tmp_path / "es.po").write_bytes(content.encode("cp1252"))
    assert read(tmp_path / "es.po") == ([("new year", "año nuevo")], [])


def test_an_entry_that_cannot_be_read_is_malformed_and_those_after_it_are_read(tmp_path: Path) -> None:
    entries = [
        'msgid "one"\nmsgstr "uno"',
        'msgid "two"\nmsgstr "d"os"',
        'msgid "three"\nmsgstr "tres',
        'msgid "four"\nmsgstr "cuatro"',
        'msgid "five"',
        'msgid "six"\nmsgstr "s\xffis"',
        'msgctxt "menu"\nmsgid "seven"\nmsgstr ""\n"sie"\n"te"\n#~ msgid "old"\n#~ msgstr "viejo"',
        "nonsense",
        '# note\n#, c-format\n#| msgid "eigt"\nmsgid "eight\\t\\"8\\"\\\\n\\x41\\101"\nmsgstr[0] "ocho"\nmsgstr[1] "x"',
    ]
    (tmp_path / "es.po").write_bytes("\n\n".join(entries).encode("latin-1"))
    texts, bad = read(tmp_path / "es.po")
    assert texts == [("one", "uno"), ("four", "cuatro"), ("seven", "siete"), ('eight\t"8"\\nAA', "ocho")]
    assert bad == [
        (5, "has a string that is not closed"),
        (8, "has a string that is not closed"),
        (13, "begins an entry without msgstr"),
        (16, "is not UTF-8"),
        (26, "is no line of a catalog"),
    ]


ARABIC = "nplurals=6; plural=n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5;"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (ARABIC, "one"),
        ("nplurals=2; plural=(n != 1);", "zero"),
        ("nplurals=1; plural=0;", "zero"),
        ("nplurals=3; plural=n%10==1 && n%100!=11 ? 2 : 0;", "two"),
        ("nplurals=2; plural=n/(n-1);", "zero"),
        ("nplurals=2; plural=import os;", "zero"),
        ("nplurals=9; plural=8;", "zero"),
    ],
)
def test_a_plural_is_read_in_its_form_for_one_thing(rule: str, expected: str, tmp_path: Path) -> None:
    import polib

    catalog = polib.POFile()
    catalog.metadata = {"Content-Type": "text/plain; charset=UTF-8", "Plural-Forms": rule}
    forms = dict(enumerate(["zero", "one", "two"]))
    catalog.append(polib.POEntry(msgid="%d file", msgid_plural="%d files", msgstr_plural=forms))
    (tmp_path / "ar.po").write_text(str(catalog), encoding="utf-8")
    (tmp_path / "ar.mo").write_bytes(catalog.to_binary())
    for name in ("ar.po", "ar.mo"):
        assert read(tmp_path / name, languages=["en", "ar"]) == ([("%d file", expected)], [])


TMX = """<?xml version="1.0"{encoding}?>
<tmx version="1.4"{space}><header/><body><tu><tuv xml:lang="en"><seg>the <hi>tea</hi></seg></tuv>
<tuv xml:lang="{language}"><seg>{text}</seg></tuv></tu></body></tmx>"""


@pytest.mark.parametrize(
    ("declared", "written", "text"),
    [
        ("gb2312", "gb2312", "茶壶在炉子上"),
        ("GBK", "gbk", "茶壺在爐子上"),
        ("big5", "big5", "茶壺在爐子上"),
        ("Shift_JIS", "cp932", "お茶①"),
        ("EUC-JP", "euc_jp", "お茶"),
        ("windows-1251", "cp1251", "чайник"),
        ("koi8-r", "koi8_r", "чайник"),
        ("UTF-16", "utf-16", "té"),
        ("utf-16", "utf-16-le", "té"),
        ("utf-16", "utf-16-be", "té"),
        ("UTF-16", "utf-8", "té"),
        ("utf-8", "utf-8-sig", "té"),
        ("", "utf-8", "té"),
        ("UTF-32", "utf-32", "té"),
    ],
)
def test_tmx_in_the_encoding_that_it_declares(declared: str, written: str, text: str, tmp_path: Path) -> None:
    encoding = f' encoding="{declared}"' if declared else ""
    for space in ("", ' xmlns="http://www.lisa.org/tmx14"'):
        content = TMX.format(encoding=encoding, space=space, language="zh-CN", text=text).encode(written)
        (tmp_path / "a.tmx").write_bytes(content)
        assert read(tmp_path / "a.tmx", languages=["en", "zh"]) == ([("the tea", text)], [])


def test_tmx_whose_codes_are_written_another_way(tmp_path: Path) -> None:
    for code in ("zho", "cmn", "ZH_cn", "zho-Hans"):
        content = TMX.format(encoding="", space="", language=code, text="茶")
        (tmp_path / "a.tmx").write_text(content, encoding="utf-8")
        assert read(tmp_path / "a.tmx", languages=["eng", "zh"]) == ([("the tea", "茶")], [])


def test_a_unit_with_bytes_that_are_none_is_malformed_and_the_others_are_read(tmp_path: Path) -> None:
    unit = '<tu><tuv xml:lang="en"><seg>{}</seg></tuv><tuv xml:lang="es"><seg>té</seg></tuv></tu>'
    content = f"<tmx><body>{unit.format('one')}{unit.format('tXo')}{unit.format('three')}</body></tmx>"
    (tmp_path / "a.tmx").write_bytes(content.encode().replace(b"X", b"\xff\xfe"))
    texts, bad = read(tmp_path / "a.tmx")
    assert texts == [("one", "té"), ("three", "té")]
    assert bad == [(2, "has bytes that the encoding of the file does not have")]


def test_text_that_begins_like_another_kind_of_file_is_text(tmp_path: Path) -> None:
    for word in ("PAR1", "ARROW1", "BZh9", "PK"):
        (tmp_path / "ui.tsv").write_text(f"{word}\tuno\n")
        assert read(tmp_path / "ui.tsv") == ([(word, "uno")], [])


def test_an_encoding_that_nobody_knows_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.tmx").write_text('<?xml version="1.0" encoding="klingon"?><tmx/>')
    assert "unknown encoding: klingon" in refusal(tmp_path / "a.tmx")


def table(values: list[bytes]) -> pa.Table:
    """A table whose Spanish column is not what it says."""
    spanish = pa.array(values, pa.binary())
    buffers = spanish.buffers()
    return pa.table({"en": [f"row {i}" for i in range(len(values))], "es": pa.StringArray.from_buffers(
        len(values), buffers[1], buffers[2]
    )})  # fmt: skip


def test_rows_of_parquet_and_arrow_that_are_no_text_are_malformed_and_the_others_are_read(tmp_path: Path) -> None:
    import datasets

    wrong = table([b"uno", b"d\xffs", b"tr\xc3\xa9s"])
    expected = [("row 0", "uno"), ("row 2", "trés")], [(2, "is not UTF-8")]
    pq.write_table(wrong, tmp_path / "ui.parquet")
    assert read(tmp_path / "ui.parquet") == expected
    datasets.disable_progress_bars()
    datasets.Dataset(wrong).save_to_disk(str(tmp_path / "saved"))
    assert read(tmp_path / "saved", format="huggingface") == expected


CSV = 'en,es\n1,uno\n2,"dos\n3,tres\n\n"four, or ""4""",cuatro\n"five\nlines",cinco\n  \n6,seis\n'


def test_an_unclosed_quote_costs_its_own_line_only(tmp_path: Path) -> None:
    (tmp_path / "ui.csv").write_text(CSV)
    texts, bad = read(tmp_path / "ui.csv")
    assert texts == [("1", "uno"), ("3", "tres"), ('four, or "4"', "cuatro"), ("five\nlines", "cinco"), ("6", "seis")]
    assert bad == [(3, "has a quote that is not closed")]


@pytest.mark.parametrize(
    ("content", "rows", "line"),
    [
        ('en,es\n1,uno\n2,"dos\n', ["1"], 3),
        ('en,es\n"2,dos\n3,tres\n4,cuatro\n', ["3", "4"], 2),
        ('en,es\n"a\nb","c\n3,tres\n4,cuatro\n', ["3", "4"], 3),
        ('en,es\n"a ""b""\nc","d\n3,tres\n', ["3"], 3),
        ('en,es\n2,"dos\n3,"tres"\n4,"cuatro"\n', ["3", "4"], 2),
        ('en,es\n"2,dos\n3",tres,x\n4,cuatro\n', ["4"], 2),
        ('en,es\n2,"dos\n' + "long,largo\n" * 20_000, ["long"] * 20_000, 2),
    ],
)
def test_an_unclosed_quote_is_told_where_it_was_opened(
    content: str, rows: list[str], line: int, tmp_path: Path
) -> None:
    (tmp_path / "ui.csv").write_text(content)
    texts, bad = read(tmp_path / "ui.csv")
    assert [english for english, _ in texts] == rows
    assert bad[0][0] == line


def test_a_line_that_is_no_text_costs_the_record_that_it_is_in(tmp_path: Path) -> None:
    (tmp_path / "ui.csv").write_bytes(b'en,es\n1,"uno\n\xff\nzwei"\n4,cuatro\n')
    texts, bad = read(tmp_path / "ui.csv")
    assert texts == [("4", "cuatro")]
    assert bad == [(3, "is not UTF-8 (byte 1)")]


def test_a_header_with_an_unclosed_quote_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ui.csv").write_text('en,"es\n1,uno\n')
    assert "ui.csv:1 has a quote that is not closed, and it is the header" in refusal(tmp_path / "ui.csv")


def test_empty_lines_of_a_table_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "ui.tsv").write_text("one\tuno\n\ntwo\tdos\n\n")
    assert read(tmp_path / "ui.tsv") == ([("one", "uno"), ("two", "dos")], [])


def zstandard(content: bytes) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, "zstd") as stream:
        stream.write(content)
    return bytes(buffer.getvalue())


COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard,
    ".GZ": gzip.compress,
}


def parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"en": ["new year"], "es": ["año nuevo"]}), buffer)
    return buffer.getvalue()


FILES = {
    "ui.tsv": "new year\taño nuevo\n".encode(),
    "ui.csv": "en,es\nnew year,año nuevo\n".encode(),
    "ui.jsonl": '{"en": "new year", "es": "año nuevo"}\n'.encode(),
    "es.po": po('""\n"Content-Type: text/plain; charset=UTF-8\\n"'),
    "ui.tmx": TMX.format(encoding="", space="", language="es", text="año nuevo").replace("the <hi>tea</hi>", "new year")
    .encode(),
    "ui.parquet": parquet(),
}  # fmt: skip


@pytest.mark.parametrize("ending", COMPRESSED)
def test_every_format_is_read_through_every_compression(ending: str, tmp_path: Path) -> None:
    expected: tuple[list[tuple[str, ...]], list[tuple[int, str]]] = ([("new year", "año nuevo")], [])
    compress = COMPRESSED[ending]
    for name, content in FILES.items():
        (tmp_path / f"{name}{ending}").write_bytes(compress(content))
        assert read(tmp_path / f"{name}{ending}") == expected, name
        (tmp_path / f"{name}{ending}").write_bytes(compress(content)[:-6])
        assert "ui" in refusal(tmp_path / f"{name}{ending}")
        (tmp_path / f"{name}{ending}").unlink()
    for language, side in (("en", "new year"), ("es", "año nuevo")):
        (tmp_path / f"news.{language}{ending}").write_bytes(compress(side.encode()))
    assert read(f"{tmp_path}/news.{{lang}}{ending}") == expected


@pytest.mark.parametrize("ending", COMPRESSED)
def test_folders_and_archives_hold_compressed_files_too(ending: str, tmp_path: Path) -> None:
    compress = COMPRESSED[ending]
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / f"a.txt{ending}").write_bytes(compress(b"one\n"))
    assert read(tmp_path / "texts", format="text", type="Text", languages=["en"]) == ([("one",)], [])
    catalogs = tmp_path / "catalogs" / "es" / "LC_MESSAGES"
    catalogs.mkdir(parents=True)
    (catalogs / f"ui.po{ending}").write_bytes(compress(FILES["es.po"]))
    assert read(tmp_path / "catalogs", format="gettext")[0] == [("new year", "año nuevo")]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(f"es.po{ending}", compress(FILES["es.po"]))
    assert read(tmp_path / "a.zip")[0] == [("new year", "año nuevo")]
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        member = tarfile.TarInfo("es.po")
        member.size = len(FILES["es.po"])
        tar.addfile(member, io.BytesIO(FILES["es.po"]))
    (tmp_path / f"a.tar{ending}").write_bytes(compress(whole.getvalue()))
    assert read(tmp_path / f"a.tar{ending}")[0] == [("new year", "año nuevo")]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "ui.tsv",
            gzip.compress(b"a\tb\n", mtime=0),
            "its content is gzip, but its name does not end in .gz: rename it",
        ),
        ("ui.jsonl", lzma.compress(b"{}"), "its content is xz, but its name does not end in .xz"),
        ("ui.tmx", bz2.compress(b"<tmx/>"), "its content is bzip2"),
        ("ui.parquet", zstandard(b"PAR1\x15"), "its content is Zstandard"),
        ("ui.csv.gz", b"en,es\n", "its content is not gzip, its name says gzip"),
        ("ui.tsv.xz", gzip.compress(b"a\tb\n", mtime=0), "its content is gzip, its name says xz"),
        ("ui.tsv.zst", b"", "its content is empty, not Zstandard, its name says Zstandard"),
        ("ui.tsv", parquet(), "its content is Parquet, not text"),
        ("ui.csv.gz", gzip.compress(parquet(), mtime=0), "its content is Parquet, not text"),
        ("ui.jsonl", b"PK\x03\x04....", "its content is a zip archive, not text"),
        ("es.po", b"\xde\x12\x04\x95....", "its content is a .mo"),
        ("es.po", "msgid".encode("utf-16"), "its content is UTF-16"),
        ("ui.tar", b"PK\x03\x04" + b"x" * 600, "is no whole archive: file could not be opened successfully"),
        ("ui.tar", b"PK\x03\x04" + b"x" * 600, "(its content is a zip archive)"),
        ("ui.whl", gzip.compress(b"x", mtime=0), "(its content is gzip)"),
        ("es.mo", b'msgid "a"\n', "does not begin as a .mo does"),
        ("es.po.gz", b'msgid "a"\n', "its content is not gzip"),
        ("es.po", b'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-16\\n"', "cannot be in charset utf-16"),
        ("es.po", b'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-7\\n"', "cannot be in charset utf-7"),
        ("es.po", b'msgid ""\nmsgstr "Content-Type: text/plain; charset=hex\\n"', "'hex' is not a text encoding"),
    ],
)
def test_a_content_that_is_not_what_the_name_says_is_told(name: str, content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert told in refusal(tmp_path / name)
