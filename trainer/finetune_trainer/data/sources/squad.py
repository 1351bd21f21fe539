"""SQuAD's JSON: articles of paragraphs of questions."""

from __future__ import annotations

import json
from collections.abc import Iterator

from finetune_api.data import DataSource
from finetune_api.questions import BadQuestion, squad_records
from finetune_trainer.data.compression import BROKEN_FILE, open_text
from finetune_trainer.data.locate import source_files
from finetune_trainer.data.rows import Malformed, Row
from finetune_trainer.data.sources.fields import row_of_record, without_half_characters
from finetune_trainer.errors import BadData


def read_squad(source: DataSource) -> Iterator[Row | Malformed]:
    """Questions in the order of the file, numbered from 1; a Malformed one tells its place within the JSON.

    Raises:
        BadData: if the file cannot be read.
    """
    (path,) = source_files(source)
    file = str(path)
    try:
        with open_text(path) as stream:
            document = json.loads(stream.read().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        yield Malformed(file, 1, f"is not UTF-8 (byte {error.start + 1})")
        return
    except json.JSONDecodeError as error:
        yield Malformed(file, error.lineno, f"is not JSON: {error}")
        return
    except RecursionError:
        yield Malformed(file, 1, "is not JSON that can be read: it is nested too deeply")
        return
    except BROKEN_FILE as error:
        what = getattr(error, "strerror", None) or str(error)
        raise BadData(
            "SourceNotReadable", f"{file} cannot be read: {what}", "Replace the file by a whole one."
        ) from None
    for number, (place, record) in enumerate(squad_records(document), 1):
        row = (
            Malformed(file, number, str(record))
            if isinstance(record, BadQuestion)
            else without_half_characters(row_of_record(source, record, file, number))
        )
        yield Malformed(file, number, f"({place}) {row.reason}") if isinstance(row, Malformed) and place else row
