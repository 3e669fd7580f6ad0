"""What reading commands do beyond one call: neighbours of a key, and Documents of records."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from .rendering import Document, Entry, vector_entry

# the catalogue names these functions, and `--help` loads it: what is heavy is imported in them
if TYPE_CHECKING:
    from ..client.clients import OSSVectorClient
    from ..client.models.results import QueryVectorsResult
    from ..records.record import Record

_AT_ONCE = 100


def find_near(
    client: "OSSVectorClient", *, near: str | None = None, top_k: int, **arguments: Any
) -> "QueryVectorsResult":
    """Query by a vector, or by the vector of a stored key, which is not among its neighbours.

    Raises:
        InvalidRequestError: there is no vector under the key.
    """
    from ..client.errors import InvalidRequestError  # noqa: PLC0415 - not for `--help`
    from ..client.models.limits import DEFAULT_LIMITS  # noqa: PLC0415 - the same
    from ..client.models.results import QueryVectorsResult  # noqa: PLC0415 - the same

    if near is None:
        return client.query_vectors(top_k=top_k, **arguments)
    [stored] = client.fetch([near], index=arguments.get("index")).aligned()
    if stored is None or stored.data is None:
        raise InvalidRequestError("there is no vector {value}.", argument="near", value=near)
    # one more, for the key itself; a number that cannot be is left for the client to refuse
    more = 1 <= top_k < DEFAULT_LIMITS.top_k
    found = client.query_vectors(stored.data, top_k=top_k + 1 if more else top_k, **arguments)
    others = [hit for hit in found if hit.key != near]
    return QueryVectorsResult(tuple(others[:top_k]), request_id=found.request_id)


class Reading(NamedTuple):
    """One stored vector, and the record that the decode ladder made of it.

    Attributes:
        vector: a vector or a hit.
        record: what was made of it.
        problem: what of the record cannot be read; then `record` has the plain fields.
    """

    vector: Any
    record: "Record"
    problem: str = ""


def read_records(
    client: "OSSVectorClient", index: str | None, vectors: Iterable[Any], *, with_data: bool
) -> Iterator[Reading]:
    """Yield vectors or hits with their records; values that were cut are read whole."""
    from ..client.models.vector import Vector  # noqa: PLC0415 - not for `--help`
    from ..records.decode import DecodeError, decode, read  # noqa: PLC0415 - the same
    from ..records.parts import restore  # noqa: PLC0415 - the same

    waiting = iter(vectors)
    while items := list(islice(waiting, _AT_ONCE)):
        stored = [Vector(item.key, getattr(item, "data", None), item.metadata) for item in items]
        whole = client.run(restore, index, stored, return_data=with_data)
        by_key = {vector.key: vector for vector in whole}
        for item in items:
            # a value that is being overwritten may be gone by the time that its parts are read
            vector = by_key.get(item.key)
            if vector is None:
                continue
            try:
                yield Reading(item, read(vector))
            except DecodeError as error:
                problem = f"{error.field} cannot be read: {error.reason}"
                yield Reading(item, decode(vector, on_decode_error="raw"), problem)


def document_entry(reading: Reading) -> Entry:
    """Return a record as LangChain names the members of a Document, with what the query said."""
    from ..records.settings import ROW_FIELD, ROW_ID_FIELD  # noqa: PLC0415 - not for `--help`
    from ..records.typed import json_form  # noqa: PLC0415 - the same

    vector, record = reading.vector, reading.record
    # dates and the like as their texts; and without what a key-value store notes for itself
    metadata = json_form(record.metadata)
    if metadata.pop(ROW_FIELD, None) is not None:
        metadata.pop(ROW_ID_FIELD, None)
    measured = {n: v for n, v in vector_entry(vector).items() if n in ("distance", "score", "data")}
    members = {"id": record.key, "page_content": record.text, "metadata": metadata}
    problem = {"error": reading.problem} if reading.problem else {}
    return {**members, **measured, **problem}


def show_documents(result: Any, entries: Iterable[Entry]) -> Document:
    """Return what is printed of Documents; of a fetch with what was missing."""
    listed = list(entries)
    members: Entry = {"documents": listed}
    notes: dict[str, str] = {}
    if (missing := getattr(result, "missing", None)) is not None:
        members["missing"] = list(missing)
        notes = {"missing": ", ".join(missing)} if missing else {}
    if token := getattr(result, "next_token", None):
        members["nextToken"] = token
        notes = {"more": f"--next-token {token}, or --all"}
    return Document(members, listed, notes, columns=_COLUMNS)


_COLUMNS = {
    "id": "id",
    "distance": "distance",
    "page_content": "text",
    "metadata": "metadata",
    "data": "data",
    "error": "error",
}
