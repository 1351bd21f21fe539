"""`spec.data`: where the text comes from and what happens to it before training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.base import ApiModel, CelRule, OneOf, each
from finetune_api.common import URI_RULES, LanguageCode, Name, Ratio, Uri
from finetune_api.registries import SOURCE_FORMATS

SourceType = Literal["Parallel", "Text", "Instruction", "QuestionAnswering", "Labelled", "CoNLL"]
SourceFormat = Annotated[str, OneOf(SOURCE_FORMATS)]
Role = Literal["Train", "Validation", "Test"]


class Columns(ApiModel):
    """Which column or key of a tabular source holds which language, or text and labels."""

    cel_rules = (
        CelRule(
            rule="!has(self.label) || !has(self.labels)",
            message="give label where each text has one, or labels where it may have several",
            field_path=".labels",
        ),
    )

    text: str | None = Field(default=None, max_length=128)
    """Column of the text, of a Text or Labelled source; default text."""
    pair: str | None = Field(default=None, max_length=128)
    """Column of a second text of a Labelled source, which belongs to the first; default: there is none."""
    label: str | None = Field(default=None, max_length=128)
    """Column of the label of a Labelled source; default label."""
    labels: str | None = Field(default=None, max_length=128)
    """Column of the labels of a Labelled source whose texts have any number of them: a list, or a text with | between
    labels."""
    languages: dict[str, str] = Field(default_factory=dict, max_length=16)
    """Column by language code, for a Parallel source: {en: src, es: tgt}."""
    domain: str | None = Field(default=None, min_length=1, max_length=128)
    """Of a Parallel source: column that says what a row is about, such as a field or a document; reports score each
    domain of a test by itself."""


class DataSource(ApiModel):
    """One corpus."""

    cel_rules = (
        *URI_RULES,
        CelRule(
            rule="self.type != 'Parallel' || self.languages.size() == 2",
            message="a Parallel source has exactly two languages",
            field_path=".languages",
        ),
        CelRule(
            rule="self.type == 'Parallel' || self.languages.size() == 1",
            message="a source that is not Parallel has exactly one language",
            field_path=".languages",
        ),
    )

    name: Name
    """Name by which stages refer to this source."""
    type: SourceType
    """Parallel, Text, Instruction (conversations: `messages` of role and content, or `instruction`, `input` and
    `output`), QuestionAnswering (`id`, `context`, `question` and `answers`, or SQuAD's files), Labelled (texts with a
    label, or with labels) or CoNLL (a word with its tag a line, sentences parted by an empty line)."""
    languages: list[LanguageCode] = Field(min_length=1, max_length=2)
    """ISO 639 codes; for Parallel in the order of the columns."""
    uri: Uri
    """File, folder, archive or data set. For moses pairs `{lang}` stands for the language: news.{lang}.gz"""
    format: SourceFormat | None = None
    """Default: told by the file name's ending."""
    columns: Columns | None = None
    """For csv, tsv with a header, jsonl, parquet and huggingface; default: keys named by language code, or 'text', and
    of Labelled sources 'label'."""
    split: str | None = Field(default=None, max_length=64)
    """Split of a Hugging Face data set; default train."""
    subset: str | None = Field(default=None, max_length=128)
    """Configuration name of a Hugging Face data set."""
    role: Role = "Train"
    """Train sources are split; Validation and Test sources are used as they are and never trained on."""
    license: str | None = Field(default=None, max_length=256)
    """SPDX identifier; carried into the report."""
    max_rows: int | None = Field(default=None, ge=1, le=10_000_000_000)
    """Read no more rows than this."""

    @property
    def has_label_sets(self) -> bool:
        """Whether a text of a Labelled source has any number of labels, not just one."""
        return self.columns is not None and self.columns.labels is not None


class Clean(ApiModel):
    """Cleaning rules; each dropped row is counted by rule.

    Conversations and questions are normalised, and dropped where a message, a question or its context is empty; their
    markup, line breaks and lengths are left alone. Texts of Labelled sources are cleaned and stay whole, whatever their
    length; words of CoNLL sources are normalised.
    """

    normalise: Literal["None", "NFC", "NFKC"] = "NFC"
    """Unicode normal form."""
    remove_html: bool = True
    """Replace HTML tags and entities by their text; `<name>` and `&copy=` are neither, and stay."""
    max_length_ratio: float = Field(default=1.5, ge=1.0, le=100.0)
    """Drop a pair whose character lengths differ by more than this factor from what is usual, either way (pairs over 20
    characters). Usual is the median ratio of the source's first 20,000 pairs; equal length, where that is near."""
    min_words: int = Field(default=1, ge=1, le=1000)
    """Drop shorter rows. Where no blanks are written, two characters of Chinese or four letters of Thai are a word."""
    max_words: int = Field(default=70, ge=1, le=1_000_000)
    """Drop longer pairs; texts are cut into pieces of this many words at sentence ends where they can be."""
    drop_copies: bool = True
    """Drop a pair whose two sides are equal, but for letter case and marks that cannot be seen."""
    language_id: bool = False
    """Drop rows that are not in their language."""
    redact_personal_data: bool = False
    """Replace e-mail addresses, telephone numbers and the like."""
    on_malformed: Literal["Fail", "Drop"] = "Fail"
    """What a malformed row does: wrong column count, invalid UTF-8, invalid JSON."""


class NearDuplicates(ApiModel):
    """MinHash near-duplicate removal."""

    threshold: Ratio = 0.8
    """Jaccard similarity from which rows count as duplicates."""


class Deduplicate(ApiModel):
    """Duplicate removal over all training sources."""

    exact: bool = True
    """Drop rows that are equal but for letter case, white space and marks that cannot be seen."""
    near: NearDuplicates | None = None
    """Also drop near-duplicates."""


class Split(ApiModel):
    """How Train sources are split; by content, so that equal text never lands in two splits."""

    cel_rules = (
        CelRule(
            rule="self.validation + self.test < 0.9",
            message="validation and test together must leave at least a tenth for training",
        ),
    )

    validation: Ratio = 0.02
    """Share for validation."""
    test: Ratio = 0.02
    """Share for test."""
    folds: int = Field(default=0, ge=0, le=20)
    """k-fold cross-validation; 0 = off."""
    seed: int = Field(default=17, ge=0, le=2**31 - 1)
    """Seed of the content hash."""


class Data(ApiModel):
    """Corpora and their preparation."""

    cel_rules = (
        each(
            ".sources",
            "self.sources.exists_one(t, t.name == x.name)",
            "names of sources must be unique",
            field=".name",
        ),
    )

    sources: list[DataSource] = Field(min_length=1, max_length=64)
    """The corpora."""
    clean: Clean = Clean()
    """Cleaning rules."""
    deduplicate: Deduplicate = Deduplicate()
    """Duplicate removal."""
    decontaminate: bool = True
    """Remove from training what occurs in any Test or Validation source, on either side."""
    split: Split = Split()
    """Train, validation and test shares."""
