"""Small types used all over the spec."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from finetune_api.base import ApiModel, CelRule, form
from finetune_api.language_tags import MAX_TAG_LENGTH, TAG, spelling_of_direction, spelling_of_tag
from finetune_api.registries import STORES

LABEL = form(
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    "must be of small letters, digits and '-', with a letter or digit at both ends, as in my-job-1",
)
Name = Annotated[str, Field(min_length=1, max_length=63, pattern=LABEL)]
"""A DNS-1123 label."""
DnsName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=form(
            r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
            "must be of small letters, digits, '-' and '.', with a letter or digit at both ends",
        ),
    ),
]
"""A DNS-1123 subdomain: the name of most objects."""
LanguageCode = Annotated[
    str,
    Field(
        min_length=2,
        max_length=MAX_TAG_LENGTH,
        pattern=form(
            f"^{TAG}$",
            "must be a language code, as in en, deu, pt-BR, zh-Hans-CN, ca-valencia or eng_Latn",
            spelling_of_tag,
        ),
    ),
]
"""ISO 639 language code, with script, region and variants where needed: en, deu, pt-BR, zh-Hans-CN, ca-valencia."""
Direction = Annotated[
    str,
    Field(
        min_length=5,
        max_length=2 * MAX_TAG_LENGTH + 1,
        pattern=form(
            f"^{TAG}-{TAG}$",
            "must be two language codes, the source first, as in en-es or eng_Latn-spa_Latn",
            spelling_of_direction,
        ),
    ),
]
"""Translation direction, source language first: en-es, en-pt-BR, eng_Latn-spa_Latn."""
Uri = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        pattern=form(
            rf"""^(({"|".join(STORES)})://)?([^\s\p{{C}}\p{{Z}}$`;|<>\\]| )+$""",
            f"must be a path, or start with {', '.join(STORES)} and ://; it may not have $ ` ; | < > or \\ in it, "
            "nor line ends or invisible characters",
        ),
    ),
]
"""hf://, pvc://, file:// or s3://. In local mode a plain path is also allowed: relative to the manifest."""
Ratio = Annotated[float, Field(ge=0.0, le=1.0)]

REVISION = form(r"^[A-Za-z0-9][-A-Za-z0-9._/]*$", "must be a commit, tag or branch, as in main or v1.0")
URI_RULES = (
    CelRule(
        rule="!self.uri.matches('(^|/)[.][.](/|$)')",
        message="uri must not contain '..' on a cluster, nor after a scheme: name the file by its full path",
        field_path=".uri",
    ),
    CelRule(
        rule="!self.uri.startsWith('pvc://') || self.uri.matches('^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/.*)?$')",
        message="after pvc:// comes the name of a PersistentVolumeClaim, as in pvc://corpora/news.tsv",
        field_path=".uri",
    ),
)


class ModelReference(ApiModel):
    """Where a pretrained model is."""

    cel_rules = URI_RULES

    uri: Uri
    """hf:// pvc:// file:// s3://: a folder as transformers saves it, or one GGUF file (Llama, Qwen2, Qwen3)."""
    revision: str | None = Field(default=None, max_length=128, pattern=REVISION)
    """Commit of a hub model; pin it."""


class UriReference(ApiModel):
    """A file or folder that a block reads."""

    cel_rules = URI_RULES

    uri: Uri
    """hf:// pvc:// file:// s3://"""
