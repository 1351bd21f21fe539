"""Small valid corpora in every format, and thousands of broken ones made of them, the same in every run."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import shutil
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polib
import pyarrow as pa
import pyarrow.parquet as pq

from finetune_api.data import Clean, DataSource
from finetune_trainer.data.clean import clean_pair, clean_pieces
from finetune_trainer.data.rows import Row
from finetune_trainer.data.sources import read_source
from finetune_trainer.errors import BadConfiguration, BadData

PAIRS = [(f"Row {i}: the “café”, again.", f"Línea {i}: el «té» – otra vez.") for i in range(12)]
SINGLE_CHANGES = 40
"""Of each kind that has a place: flips, cuts, doubles, gaps, zeros."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A source, and the file of it that is broken."""

    name: str
    content: bytes
    uri: str = ""
    """Default: the file itself."""
    settings: dict[str, Any] = field(default_factory=dict)

    def source(self, folder: Path) -> DataSource:
        fields = {
            "name": "x",
            "type": "Parallel",
            "languages": ["en", "es"],
            "uri": f"file://{folder}/{self.uri or self.name}",
        }
        return DataSource(**fields | self.settings)


@dataclass(slots=True)
class Counts:
    """What reading many broken files came to."""

    tried: int = 0
    rows: int = 0
    """Files that gave rows, or rows told as malformed, to their end."""
    refused: int = 0
    crashes: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


def corpora(folder: Path) -> dict[str, Corpus]:
    """By name of the format; `folder` gets the files beside the broken ones."""
    tsv = "".join(f"{en}\t{es}\n" for en, es in PAIRS).encode()
    (folder / "ui.es").write_bytes("".join(f"{es}\n" for _, es in PAIRS).encode())
    english = "".join(f"{en}\n" for en, _ in PAIRS).encode()
    po, mo = _catalogs()
    saved = _saved(folder / "saved")
    table = pa.table({"en": [en for en, _ in PAIRS], "es": [es for _, es in PAIRS]})
    return {
        "tsv": Corpus("ui.tsv", tsv),
        "tsv, header": Corpus("ui.tsv", b"en\tes\n" + tsv, settings={"columns": {"languages": {"en": "en"}}}),
        "csv": Corpus("ui.csv", b"en,es\n" + "".join(f'"{en}","{es}"\n' for en, es in PAIRS).encode()),
        "jsonl": Corpus("ui.jsonl", "".join(f'{{"en": "{en}", "es": "{es}"}}\n' for en, es in PAIRS).encode()),
        "text": Corpus("ui.txt", english, settings={"type": "Text", "languages": ["en"]}),
        "moses": Corpus("ui.en", english, uri="ui.{lang}"),
        "parquet": Corpus("ui.parquet", _parquet(table, "none")),
        "parquet, snappy": Corpus("ui.parquet", _parquet(table, "snappy")),
        "tmx": Corpus("ui.tmx", _tmx().encode()),
        "tmx, gb18030": Corpus("ui.tmx", _tmx("gb18030").encode("gb18030")),
        "po": Corpus("es.po", po),
        "mo": Corpus("es.mo", mo),
        "wheel": Corpus("ui.whl", _zipped(po)),
        "tar": Corpus("ui.tar", _tarred(po)),
        "tar.gz": Corpus("ui.tgz", gzip.compress(_tarred(po), mtime=0)),
        "huggingface": Corpus(
            "saved/data-00000-of-00001.arrow", saved["data-00000-of-00001.arrow"], "saved", {"format": "huggingface"}
        ),
        "huggingface, state": Corpus("saved/state.json", saved["state.json"], "saved", {"format": "huggingface"}),
        "huggingface, info": Corpus(
            "saved/dataset_info.json", saved["dataset_info.json"], "saved", {"format": "huggingface"}
        ),
        "tsv.gz": Corpus("ui.tsv.gz", gzip.compress(tsv, mtime=0)),
        "tsv.xz": Corpus("ui.tsv.xz", lzma.compress(tsv)),
        "tsv.bz2": Corpus("ui.tsv.bz2", bz2.compress(tsv)),
        "tsv.zst": Corpus("ui.tsv.zst", _zstandard(tsv)),
    }


def mutations(content: bytes, seed: str) -> Iterator[bytes]:
    """The content in some hundreds of broken forms."""
    random_ = random.Random(seed)
    for encode in (_as("latin-1"), _as("utf-16"), _as("utf-16-le"), _as("utf-32"), _as("utf-8-sig")):
        yield encode(content)
    yield from (b"", b"\n", b"\0" * 64, content * 2, content[::-1], content.replace(b"\n", b"\r"), b"\n" + content)
    for _ in range(SINGLE_CHANGES):
        start = random_.randrange(len(content))
        end = min(len(content), start + random_.choice((1, 2, 4, 30, 200)))
        yield content[:start] + bytes([content[start] ^ 1 << random_.randrange(8)]) + content[start + 1 :]
        yield content[:start] + bytes([random_.randrange(256)]) + content[start + 1 :]
        yield content[:start]
        yield content[:end] + content[start:]
        yield content[:start] + content[end:]
        yield content[:start] + b"\0" * (end - start) + content[end:]
        yield content[:start] + random_.randbytes(end - start) + content[end:]


def read_mutations(name: str, corpus: Corpus, folder: Path) -> Counts:
    """Read every broken form of a corpus as the prepare stage does."""
    counts = Counts()
    path, source = folder / corpus.name, corpus.source(folder)
    for number, content in enumerate(mutations(corpus.content, name)):
        path.write_bytes(content)
        counts.tried += 1
        try:
            _read(source)
        except (BadData, BadConfiguration) as error:
            counts.refused += 1
            counts.errors[error.reason] += 1
            if str(folder) not in error.message or "\n" in error.message:
                counts.crashes.append(f"{name} {number}: told without its file: {error.message}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault of the reader
            counts.crashes.append(f"{name} {number}: {type(error).__name__}: {error}")
        else:
            counts.rows += 1
    path.write_bytes(corpus.content)
    return counts


def _read(source: DataSource) -> None:
    rules = Clean()
    for row in read_source(source):
        if not isinstance(row, Row):
            f"{row.file}:{row.line} {row.reason}".encode()  # can be written
        elif source.type == "Parallel":
            clean_pair(row.texts, rules)
            "".join(row.texts).encode()
        else:
            list(clean_pieces(row.texts[0], rules))
            row.texts[0].encode()


def _as(encoding: str) -> Callable[[bytes], bytes]:
    return lambda content: content.decode("utf-8", "replace").encode(encoding, "replace")


def _catalogs() -> tuple[bytes, bytes]:
    catalog = polib.POFile()
    catalog.metadata = {"Content-Type": "text/plain; charset=UTF-8", "Plural-Forms": "nplurals=2; plural=(n != 1);"}
    catalog.extend(polib.POEntry(msgid=en, msgstr=es) for en, es in PAIRS[2:])
    catalog.append(polib.POEntry(msgid="%d x", msgid_plural="%d y", msgstr_plural={0: "%d z", 1: "%d w"}))
    catalog.append(polib.POEntry(msgctxt="menu", msgid="open", msgstr="abrir", flags=["c-format"]))
    return str(catalog).encode(), catalog.to_binary()


def _tmx(encoding: str = "utf-8") -> str:
    units = "".join(
        f'<tu><tuv xml:lang="en"><seg>{en}</seg></tuv><tuv xml:lang="es"><seg><hi>{es}</hi></seg></tuv></tu>\n'
        for en, es in PAIRS
    )
    return f'<?xml version="1.0" encoding="{encoding}"?>\n<tmx version="1.4"><header/><body>{units}</body></tmx>\n'


def _parquet(table: pa.Table, compression: str) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression=compression)
    return buffer.getvalue()


def _zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("ui/es/LC_MESSAGES/ui.po"), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _tarred(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("ui/es/LC_MESSAGES/ui.po")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _saved(folder: Path) -> dict[str, bytes]:
    import datasets

    datasets.disable_progress_bars()
    shutil.rmtree(folder, ignore_errors=True)
    datasets.Dataset.from_list([{"en": en, "es": es} for en, es in PAIRS]).save_to_disk(str(folder))
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _zstandard(content: bytes) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, "zstd") as stream:
        stream.write(content)
    return bytes(buffer.getvalue())
