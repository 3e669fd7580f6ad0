"""QueryVectors: exact nearest neighbours; reference section 4.4."""

from __future__ import annotations

from typing import Any

from oss_vector_retriever.emulator.operations.call import Answer, Call
from oss_vector_retriever.emulator.operations.vectors import check_float32, read_float32, to_json
from oss_vector_retriever.emulator.storage import vectors as table
from oss_vector_retriever.emulator.storage.indexes import Index


def query_vectors(call: Call) -> Answer:
    """Return the `topK` vectors nearest to the query, the closest first."""
    wanted = call.parameters
    name = wanted.index_name()
    top_k = wanted.integer("topK", 1, call.limits.top_k)
    show_distance = wanted.boolean("returnDistance")
    show_metadata = wanted.boolean("returnMetadata")
    query = read_float32(wanted.get("queryVector"), "queryVector")
    chosen = call.filter()
    search = call.core.search()
    with call.database.read() as db:
        index = call.index(db, name)
        call.check_filterable(index, chosen)
        check_float32(query, index, "queryVector")
        hits = search.nearest(
            db,
            index,
            query,
            top_k,
            chosen=chosen,
            written_by=_seen_until(call),
            rank_first=call.behaviour.filter_after_ranking,
        )
        found = table.by_id(db, [hit.id for hit in hits], data=False, metadata=show_metadata)
    vectors: list[dict[str, Any]] = []
    for hit in hits:
        shown = to_json(call, found[hit.id], data=False, show_metadata=show_metadata)
        if show_distance:
            shown["distance"] = _distance(call, index, hit.distance)
        vectors.append(shown)
    return Answer({"vectors": vectors})


def _distance(call: Call, index: Index, distance: float) -> float:
    squared = call.behaviour.squared_euclidean and index.metric == "euclidean"
    return distance * distance if squared else distance


def _seen_until(call: Call) -> int | None:
    """Return until when, in milliseconds, a vector must have been written to be seen."""
    delay = call.behaviour.query_delay_seconds
    return call.milliseconds - int(delay * 1000) if delay else None
