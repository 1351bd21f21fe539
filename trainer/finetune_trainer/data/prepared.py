"""What the prepare stage left behind, opened by the stages after it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from finetune_trainer.data.columns import TextColumn, TokenColumn
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.workspace.artifacts import read_manifest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
INDEX = "index.json"
REPORT = "report.json"
ROWS = "rows.arrow"
NUMBER = "rowNumber"
DOMAIN = "rowDomain"
"""Columns of `rows.arrow`; no language code is so long."""
TOKENIZER = "tokenizer"
MATCHES = "matches"
"""Folder of a job with tables of fuzzy matches (`data.match_tables`)."""


class _Split:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with pa.memory_map(str(folder / ROWS)) as file:
            self._table = pa.ipc.open_file(file).read_all()

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        """Content hash of each row."""
        keys: NDArray[np.uint64] = self._table["key"].to_numpy()
        return keys

    @cached_property
    def numbers(self) -> NDArray[np.int64] | None:
        """Number of each row within its source, from 1; None of a source that is not tested on as a whole."""
        if NUMBER not in self._table.column_names:
            return None
        numbers: NDArray[np.int64] = self._table[NUMBER].to_numpy()
        return numbers


class PairSplit(_Split):
    """One split of a Parallel source."""

    def text(self, language: str) -> TextColumn:
        """All texts of one side."""
        return TextColumn(self._table[language])

    def tokens(self, language: str) -> TokenColumn:
        """All encodings of one side: of a blank and the text, without special tokens."""
        return TokenColumn.open(self._folder, language)

    @cached_property
    def domains(self) -> TextColumn | None:
        """What each row is about; None if the source does not say."""
        return TextColumn(self._table[DOMAIN]) if DOMAIN in self._table.column_names else None


class TextSplit(_Split):
    """One split of monolingual text, or one side of a Parallel source."""

    def __init__(self, folder: Path, language: str) -> None:
        """`language` selects the side."""
        super().__init__(folder)
        self._language = language

    @property
    def text(self) -> TextColumn:
        """All texts."""
        return TextColumn(self._table[self._language])

    @property
    def tokens(self) -> TokenColumn:
        """All encodings: of a blank and the text, without special tokens."""
        return TokenColumn.open(self._folder, self._language)


@dataclass(frozen=True)
class PreparedData:
    """The artifact of the prepare stage."""

    path: Path
    index: dict[str, Any]
    match_folders: tuple[Path, ...] = ()
    """Where tables of fuzzy matches may be: those of the job, then those of the job that made the data."""

    @classmethod
    def open(cls, workspace: Path, artifact: str, folder: str | None = None) -> PreparedData:
        """Open an artifact by its path within the workspace; `folder` is the job's (`Plan.folder`).

        Raises:
            BadConfiguration: if it is not there.
        """
        path = workspace / artifact
        try:
            index = json.loads((path / INDEX).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise BadConfiguration(
                "PreparedDataMissing", f"{path} holds no prepared data", "Run the prepare stage again."
            ) from None
        own, of_maker = workspace / (folder or "") / MATCHES, path.parent.parent / MATCHES
        return cls(path, index, tuple(dict.fromkeys((own, of_maker))))

    @cached_property
    def digest(self) -> str:
        """Of all files, as the artifact's manifest has it; empty while the artifact is being written."""
        manifest = read_manifest(self.path)
        return "" if manifest is None else manifest.digest

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer that encoded the columns."""
        from transformers import AutoTokenizer

        return cast("PreTrainedTokenizerFast", AutoTokenizer.from_pretrained(self.path / TOKENIZER))

    @property
    def bos_id(self) -> int:
        """Token that begins a text."""
        return int(self.index["bosId"])

    @property
    def eos_id(self) -> int:
        """Token that ends a text."""
        return int(self.index["eosId"])

    @property
    def pad_id(self) -> int:
        """Token that fills up."""
        return int(self.index["padId"])

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens, special ones included."""
        return int(self.index["vocabularySize"])

    @property
    def source_names(self) -> tuple[str, ...]:
        """All sources."""
        return tuple(self.index["sources"])

    def languages(self, source: str) -> tuple[str, ...]:
        """Languages of a source, in the order of its columns."""
        return tuple(self.index["sources"][source]["languages"])

    def labels(self, source: str, split: SplitName = "train") -> tuple[str, ...]:
        """Labels of a split of a source whose rows have some, in their order."""
        return tuple(sorted(self.index["sources"][source]["labels"][split]))

    def has_label_sets(self, source: str) -> bool:
        """Whether a row of a source has any number of labels, not just one."""
        return bool(self.index["sources"][source].get("hasLabelSets"))

    def rows_read(self, source: str) -> int | None:
        """Rows of a source before cleaning; None of data that was prepared before they were noted."""
        rows: int | None = self.index["sources"][source].get("rowsRead")
        return rows

    def rows(self, source: str, split: SplitName) -> int:
        """Rows of a split."""
        return int(self.index["sources"][source]["splits"][split])

    def pairs(self, source: str, split: SplitName) -> PairSplit:
        """One split of a Parallel source; empty if the source has none."""
        return PairSplit(self._folder(source, split))

    def texts(self, source: str, split: SplitName, language: str) -> TextSplit:
        """One split of a Text source, or of one side of a Parallel source."""
        if language not in self.languages(source):
            raise BadConfiguration(
                "LanguageNotFound", f"source {source} has no {language}; it has {', '.join(self.languages(source))}"
            )
        return TextSplit(self._folder(source, split), language)

    def report(self) -> dict[str, Any]:
        """Counts by rule and source, provenance, licences."""
        report: dict[str, Any] = json.loads((self.path / REPORT).read_text(encoding="utf-8"))
        return report

    def _folder(self, source: str, split: SplitName) -> Path:
        return self.path / "sources" / source / split
