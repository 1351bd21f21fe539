"""Checks that objectives share."""

from __future__ import annotations

from finetune_api.data import DataSource
from finetune_trainer.errors import BadConfiguration


def require_language(language: str, source: DataSource, field: str) -> None:
    """Refuse a language that the source does not have.

    Raises:
        BadConfiguration: LanguageNotInSource.
    """
    if language not in source.languages:
        raise BadConfiguration(
            "LanguageNotInSource",
            f"{field}: source {source.name} has no {language}",
            f"It has {' and '.join(source.languages)}.",
        )
