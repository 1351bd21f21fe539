"""Tables of fuzzy matches beside prepared data: found once by prepare, read by every rank of the stages after it.

A table belongs to one split of one artifact of data and to one way of retrieval. It serves every request that asks for
no more segments and no more matches of each than it has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from finetune_api.adapt import Retrieval
from finetune_api.job import FineTuneJobSpec
from finetune_trainer.data.match_requests import MatchRequest, match_requests, retrieval_of
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.workspace.artifacts import find_artifact
from finetune_trainer.workspace.files import sha256_file
from finetune_trainer.workspace.storage import local_path

TABLE = "matches.arrow"
WAY = 1
"""Of finding matches by the same settings; another one makes tables anew."""
Rows = NDArray[np.int64]
Similarity = NDArray[np.float32]
Batch = tuple[Rows, Rows, Similarity]
"""(n,) rows of the split; (n, count) training pairs of each, the most similar first, -1 for none; their cosines."""


@dataclass(frozen=True, slots=True)
class MatchTable:
    """The matches of some segments of a split."""

    rows: Rows
    """(segments,), ascending."""
    matches: Rows
    """(segments, count): rows of the training split, the most similar first; -1 where there is none."""
    similarity: Similarity
    """(segments, count): cosines; 0 where there is no match."""

    def covers(self, rows: Rows, count: int) -> bool:
        """Whether it has so many matches of each of `rows`."""
        return self.matches.shape[1] >= count and bool(np.isin(rows, self.rows).all())

    def of(self, rows: Rows, count: int) -> tuple[Rows, Similarity]:
        """The first `count` matches of each of `rows`, and their similarity: (rows, count) each."""
        places = np.searchsorted(self.rows, rows)
        return self.matches[places, :count], self.similarity[places, :count]


def table_fingerprint(data: PreparedData, request: MatchRequest, retrieval: Retrieval) -> str:
    """Digest of all that determines a table but its size, and the content of an encoder's files."""
    document = {
        "way": WAY,
        "data": data.digest,
        "split": [request.source, request.split, request.compared],
        "pool": [request.pool, request.pool_compared],
        "retrieval": retrieval.to_json_object() | {"side": None},  # the compared language says it
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def encoder_digests(retrieval: Retrieval) -> dict[str, str]:
    """sha256 by file of the sentence encoder; empty without one, or where it is not."""
    if retrieval.encoder is None:
        return {}
    folder = local_path(retrieval.encoder.uri, "spec.adapt.prompts.retrieval.encoder.uri")
    return {path.name: sha256_file(path) for path in sorted(folder.glob("*")) if path.is_file()}


def missing_requests(spec: FineTuneJobSpec, data: PreparedData) -> list[list[MatchRequest]]:
    """What the spec asks for and no table serves, or one of another encoder's files; in groups that share a table."""
    retrieval = retrieval_of(spec)
    encoder = encoder_digests(retrieval)
    groups: dict[str, list[MatchRequest]] = {}
    for request in match_requests(spec, data):
        groups.setdefault(table_fingerprint(data, request, retrieval), []).append(request)
    return [g for g in groups.values() if any(_find(request, data, retrieval, encoder) is None for request in g)]


def open_table(request: MatchRequest, data: PreparedData, retrieval: Retrieval) -> MatchTable:
    """The table that serves a request.

    Raises:
        BadConfiguration: if prepare has not left one.
    """
    found = _find(request, data, retrieval, None)
    if found is None:
        raise BadConfiguration(
            "MatchesMissing",
            f"{request.field}: the fuzzy matches of the {request.split} split of '{request.source}' are not beside the "
            f"prepared data in {data.path}",
            "Run the job anew: its prepare stage finds them.",
        )
    return found.table


def table_digests(spec: FineTuneJobSpec, data: PreparedData, *, of_tests: bool) -> dict[str, str]:
    """Digest of each table that tests, or else adaptation, read; those that are missing are left out."""
    retrieval = retrieval_of(spec)
    digests = {}
    for request in match_requests(spec, data):
        found = _find(request, data, retrieval, None) if (request.split == "test") is of_tests else None
        if found is not None:
            digests[f"matches.{request.source}.{request.split}.{request.compared}"] = found.digest
    return digests


@dataclass(frozen=True, slots=True)
class _Found:
    table: MatchTable
    digest: str
    """Of its files."""


def _find(
    request: MatchRequest, data: PreparedData, retrieval: Retrieval, encoder: dict[str, str] | None
) -> _Found | None:
    """A whole table that serves a request; with `encoder`, made by just these files."""
    fingerprint = table_fingerprint(data, request, retrieval)
    for folder in data.match_folders:
        manifest = find_artifact(folder, fingerprint[:16], fingerprint)
        if manifest is not None and encoder in (None, manifest.inputs):
            table = read_table(folder / fingerprint[:16])
            if table.covers(request.rows(data), request.count):
                return _Found(table, manifest.digest)
    return None


def write_table(folder: Path, count: int, batches: Iterable[Batch]) -> Iterator[int]:
    """Write a table batch by batch, so that its memory is that of one; yields the segments of each."""
    schema = pa.schema(
        [("row", pa.int64()), ("match", pa.list_(pa.int32(), count)), ("similarity", pa.list_(pa.float32(), count))]
    )
    with pa.OSFile(str(folder / TABLE), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for rows, matches, similarity in batches:
            columns = [
                pa.array(rows),
                pa.FixedSizeListArray.from_arrays(pa.array(matches.ravel().astype(np.int32)), count),
                pa.FixedSizeListArray.from_arrays(pa.array(similarity.ravel()), count),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            yield len(rows)


def read_table(folder: Path) -> MatchTable:
    """Open a table; matches and similarities are copied, eight bytes each."""
    with pa.memory_map(str(folder / TABLE)) as file:
        table = pa.ipc.open_file(file).read_all()
    count = table.schema.field("match").type.list_size

    def matrix(name: str) -> NDArray[np.generic]:
        flat = [chunk.flatten().to_numpy() for chunk in table[name].chunks]
        return np.concatenate(flat).reshape(-1, count) if flat else np.zeros((0, count), np.float32)

    return MatchTable(
        table["row"].to_numpy(), matrix("match").astype(np.int64), matrix("similarity").astype(np.float32)
    )
