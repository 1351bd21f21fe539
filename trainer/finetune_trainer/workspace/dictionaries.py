"""Dictionaries that a job names, read where the trainer sees them."""

from __future__ import annotations

from finetune_api.dictionary import DictionaryError, dictionaries, read_dictionary
from finetune_api.job import FineTuneJobSpec
from finetune_trainer.errors import BadConfiguration, BadData, StageFailure, raise_together
from finetune_trainer.workspace.storage import local_path


def open_dictionary(uri: str, field: str) -> dict[str, tuple[str, ...]]:
    """Translations by lower-cased source term, as `read_dictionary` gives them.

    Raises:
        BadConfiguration: if the file cannot be read, or its scheme has no store.
        BadData: if it is no dictionary, naming its lines.
    """
    path = local_path(uri, f"{field}.uri")
    try:
        return read_dictionary(path)
    except DictionaryError as error:
        raise BadData("BadDictionary", f"{field}: {error}", "Correct the file.") from error
    except OSError as error:
        raise BadConfiguration(
            "DictionaryNotReadable", f"{field}: {path} cannot be read: {error.strerror}", "Name a file that is there."
        ) from error


def check_dictionaries(spec: FineTuneJobSpec) -> None:
    """Read every dictionary of a job once: prepare asks, hours before they are used.

    Raises:
        BadConfiguration, BadData: with the problems of all of them at once.
    """
    problems: list[StageFailure] = []
    for field, reference in dictionaries(spec):
        try:
            open_dictionary(reference.uri, field)
        except StageFailure as error:
            problems.append(error)
    raise_together(problems)
