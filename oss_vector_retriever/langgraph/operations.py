"""The operations of LangGraph's memory, as flows on a `RecordStore`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from langgraph.store import base
from langgraph.store.base import GetOp, ListNamespacesOp, PutOp, SearchOp

from ..client.context import Context, Flow
from ..client.errors import BatchReport, InvalidRequestError, PartialWriteError, WriteReport, quote
from ..client.holds import Hold, run_with
from ..client.models import Vector
from ..client.operations.checks import check_data
from ..client.steps import run_all
from ..records import DecodeError
from ..records.listing import Pages
from ..records.search import Restriction, find_nearest
from ..records.settings import ROW_FIELD
from ..records.store import RecordStore
from . import items
from .filters import matches, read_filter
from .items import Address, Namespace, address_of, is_embedded, item_of, items_of, name_of, path_of

Embedded = Mapping[Address, Sequence[float]]
Queries = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Memory:
    """The operations of LangGraph's memory: of a batch the reads together, then the writes.

    Attributes:
        records: where the items are.
        dimension: of the index that a first write makes, and of each embedding.
        filterable: fields of values that are copied where the service's filters see them; None for
            all that fit.
    """

    records: RecordStore
    dimension: int
    filterable: Sequence[str] | None = None

    def run_batch(
        self, context: Context, ops: Sequence[base.Op], embedded: Embedded, queries: Queries
    ) -> Flow[list[base.Result]]:
        """Return the result of each operation, in order.

        Args:
            context: the client's.
            ops: the operations.
            embedded: the embeddings of the items put that have one.
            queries: the embeddings of the queries searched for.
        """
        results: list[base.Result] = [None] * len(ops)
        reads: list[Flow[None]] = []
        if gets := [(index, op) for index, op in enumerate(ops) if isinstance(op, GetOp)]:
            reads.append(self._get(context, gets, results))  # one fetch for all of them
        for index, op in enumerate(ops):
            if isinstance(op, SearchOp):
                reads.append(_set_result(results, index, self._search(context, op, queries)))
            elif isinstance(op, ListNamespacesOp):
                reads.append(_set_result(results, index, self._list_namespaces(context, op)))
            elif not isinstance(op, GetOp | PutOp):
                raise InvalidRequestError(f"unknown operation {type(op).__name__}.")
        if reads:  # at the same time; writes wait, so that a batch reads what was there before it
            yield from run_all(reads)
        puts = {address_of(op): op for op in ops if isinstance(op, PutOp)}  # the last one counts
        yield from self._write(context, puts, embedded)
        return results

    def _get(
        self, context: Context, gets: Sequence[tuple[int, GetOp]], results: list[base.Result]
    ) -> Flow[None]:
        names = [name_of(op.namespace, op.key) for _, op in gets]
        found = yield from self.records.fetch(context, names)
        for (index, _), name in zip(gets, names, strict=True):
            results[index] = item_of(self.records, found.by_key.get(name))

    def _write(
        self, context: Context, puts: Mapping[Address, PutOp], embedded: Embedded
    ) -> Flow[None]:
        gone = [name_of(*address) for address, op in puts.items() if op.value is None]
        kept = {name_of(*address): op for address, op in puts.items() if op.value is not None}
        if puts:
            hold = self.records.hold(context, [*kept, *gone])
            writing = self._write_with(context, hold, kept, gone, embedded)
            yield from run_with(hold, writing, context.deadline())

    def _write_with(
        self,
        context: Context,
        hold: Hold,
        kept: Mapping[str, PutOp],
        gone: Sequence[str],
        embedded: Embedded,
    ) -> Flow[None]:
        batches: list[BatchReport] = []
        if kept:
            # an item keeps the moment of its making, which only the stored one knows
            earlier = yield from self.records.fetch(context, list(kept))
            found = yield from self.records.describe(context)
            dimension = (found.dimension if found else 0) or self.dimension
            vectors = []
            for name, op in kept.items():
                address, stored = address_of(op), self._readable(earlier.by_key.get(name))
                item = items.new_item(address, _check_value(op), stored)
                data = self._check_dimension(op, embedded.get(address))
                vectors.append(
                    items.vector_of(self.records, item, data, dimension, self.filterable)
                )
            batches += (yield from _report(self.records.write(context, vectors, hold=hold))).batches
        if gone:
            deletion = self.records.delete(context, gone, hold=hold)
            batches += (yield from _report(deletion)).batches
        if not (report := WriteReport(tuple(batches))).ok:
            raise PartialWriteError(report)

    def _readable(self, vector: Vector | None) -> base.Item | None:
        try:
            return item_of(self.records, vector)
        except DecodeError:  # whoever replaces it need not be able to read it
            return None

    def _check_dimension(
        self, op: PutOp, embedding: Sequence[float] | None
    ) -> Sequence[float] | None:
        if embedding is not None and len(embedding) != self.dimension:
            raise InvalidRequestError(
                f"the embedding of {quote(op.key)} has {len(embedding)} numbers, and the store was "
                f'made for {self.dimension}: "dims" of its index. Nothing was written.'
            )
        return embedding

    def _search(
        self, context: Context, op: SearchOp, queries: Queries
    ) -> Flow[list[base.SearchItem]]:
        if op.query and op.query in queries:
            found = yield from self._find_nearest(context, op, queries[op.query])
        else:
            found = yield from self._scan(context, op)
        return found[op.offset : op.offset + op.limit]

    def _find_nearest(
        self, context: Context, op: SearchOp, query: Sequence[float]
    ) -> Flow[list[base.SearchItem]]:
        if (wanted := op.offset + op.limit) < 1:
            return []

        def restrict() -> Restriction[base.Item]:
            embedded = {items.EMBEDDED_FIELD: {"$eq": "yes"}}
            return Restriction(
                # not every vector that is read here has come through the service's filter
                lambda vector: self._wanted_item(vector, op) if is_embedded(vector) else None,
                self._filter(context, op, embedded),
                is_whole=not op.filter,
                needs_distances=False,
            )

        vector = check_data("query", query, "the embedding of the query")
        found = yield from find_nearest(context, self.records, vector, wanted, restrict)
        # to LangGraph an item without a score is one that was not ranked
        return [
            _search_item(hit.record, None if math.isnan(hit.distance) else 1.0 - hit.distance)
            for hit in found.hits
        ]

    def _wanted_item(self, vector: Vector, op: SearchOp) -> base.Item | None:
        item = item_of(self.records, vector)
        return item if item is not None and _is_wanted(item, op) else None

    def _scan(self, context: Context, op: SearchOp) -> Flow[list[base.SearchItem]]:
        found: list[base.SearchItem] = []
        pages = Pages(self.records, self._filter(context, op), segments=1)
        while not pages.is_done:
            page = yield from pages.read(context)
            listed = (self._wanted_item(vector, op) for vector in page)
            found += [_search_item(item, None) for item in listed if item is not None]
            # the service has no order of its own, so the first so many are as good as any
            if len(found) >= op.offset + op.limit:
                break
        return found

    def _list_namespaces(self, context: Context, op: ListNamespacesOp) -> Flow[list[Namespace]]:
        found: set[Namespace] = set()
        pages = Pages(self.records, _all_of(prefix_tests(op)), segments=1)
        while not pages.is_done:
            page = yield from pages.read(context)
            found |= {item.namespace for item in items_of(self.records, page)}
        return _select_namespaces(found, op)

    def _filter(self, context: Context, op: SearchOp, *also: Mapping[str, Any]) -> dict[str, Any]:
        path = path_of(op.namespace_prefix)
        within = [{items.WITHIN_FIELD: {"$in": [path]}}] if path else []
        pushed = self.records.push(context, read_filter(op.filter)).filter
        tests = pushed.get("$and", [pushed]) if pushed else []
        return _all_of([*also, *within, *tests])


def _all_of(tests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    of_memory = {ROW_FIELD: {"$eq": items.KIND}}
    return {"$and": [of_memory, *tests]} if tests else of_memory


def _set_result(results: list[base.Result], index: int, flow: Flow[Any]) -> Flow[None]:
    results[index] = yield from flow


def _report(flow: Flow[WriteReport]) -> Flow[WriteReport]:
    try:
        return (yield from flow)
    except PartialWriteError as error:
        return error.report


def _check_value(op: PutOp) -> dict[str, Any]:
    if not isinstance(op.value, Mapping):
        raise InvalidRequestError(
            f"the value of {quote(op.key)} must be a dict, not a {type(op.value).__name__}. "
            "Nothing was written."
        )
    return dict(op.value)


def _is_wanted(item: base.Item, op: SearchOp) -> bool:
    depth = len(op.namespace_prefix)  # looked at again, for a service that would ignore a filter
    return item.namespace[:depth] == tuple(op.namespace_prefix) and matches(item.value, op.filter)


def _search_item(item: base.Item, score: float | None) -> base.SearchItem:
    return base.SearchItem(
        item.namespace, item.key, item.value, item.created_at, item.updated_at, score
    )


def prefix_tests(op: ListNamespacesOp) -> list[dict[str, Any]]:
    """Return what the service itself can test of the prefixes wanted: those without wildcards."""
    wanted = [c.path for c in op.match_conditions or () if c.match_type == "prefix"]
    known = [list(takewhile(items.is_label, path)) for path in wanted]
    return [{items.WITHIN_FIELD: {"$in": [path_of(labels)]}} for labels in known if labels]


def _select_namespaces(namespaces: Iterable[Namespace], op: ListNamespacesOp) -> list[Namespace]:
    """Return the namespaces that an operation asks for, sorted, cut to its depth, each once."""
    conditions = op.match_conditions or ()
    kept = {
        namespace[: op.max_depth]
        for namespace in namespaces
        if all(_meets(namespace, condition) for condition in conditions)
    }
    return sorted(kept)[op.offset : op.offset + op.limit]


def _meets(namespace: Namespace, condition: base.MatchCondition) -> bool:
    path = condition.path
    if len(namespace) < len(path):
        return False
    start = len(namespace) - len(path) if condition.match_type == "suffix" else 0
    part = namespace[start : start + len(path)]
    return all(wanted in ("*", label) for label, wanted in zip(part, path, strict=True))
