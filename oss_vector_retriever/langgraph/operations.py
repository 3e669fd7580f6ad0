"""The operations of LangGraph's memory, as flows on a `RecordStore`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from langgraph.store.base import (
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
)

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import (
    BatchReport,
    InvalidRequestError,
    PartialWriteError,
    WriteReport,
    shown,
)
from oss_vector_retriever.client.models.results import ListVectorsResult, QueryVectorsResult
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations.vectors import list_vectors, query_vectors
from oss_vector_retriever.client.steps import Flow, run_all
from oss_vector_retriever.langgraph.items import (
    EMBEDDED_FIELD,
    KIND,
    WITHIN_FIELD,
    Namespace,
    Place,
    copy_of,
    is_label,
    item_of,
    items_of,
    name_of,
    new_item,
    path_of,
    place_of,
    vector_of,
)
from oss_vector_retriever.records import filterable_value
from oss_vector_retriever.records.store import ROW_FIELD, RecordStore, delete

Embedded = Mapping[str, Sequence[float]]


class Memory:
    """Do the operations of a batch: reads together, then writes.

    Args:
        records: where the items are.
        dimension: of the index that a first write makes, and of each embedding.
        filterable: fields of values that the service's filters see.
    """

    def __init__(
        self, records: RecordStore, dimension: int, filterable: Sequence[str] = ()
    ) -> None:
        self._records = records
        self._dimension = dimension
        self._filterable = filterable

    def done(
        self,
        context: Context,
        ops: Sequence[Op],
        text_of: Callable[[PutOp], str],
        known: Embedded,
        searched: Embedded,
    ) -> Flow[list[Result]]:
        """Return the result of each operation, in order."""
        results: list[Result] = [None] * len(ops)
        reads: list[Flow[None]] = []
        gets = [(place, op) for place, op in enumerate(ops) if isinstance(op, GetOp)]
        if gets:
            reads.append(self._get(context, gets, results))
        for place, op in enumerate(ops):
            if isinstance(op, SearchOp):
                reads.append(_into(results, place, self._search(context, op, searched)))
            elif isinstance(op, ListNamespacesOp):
                reads.append(_into(results, place, self._namespaces(context, op)))
            elif not isinstance(op, GetOp | PutOp):
                raise InvalidRequestError(f"unknown operation {type(op).__name__}.")
        if reads:
            yield from run_all(reads)
        puts = {place_of(op): op for op in ops if isinstance(op, PutOp)}
        yield from self._write(context, puts, text_of, known)
        return results

    def _get(
        self, context: Context, gets: Sequence[tuple[int, GetOp]], results: list[Result]
    ) -> Flow[None]:
        names = [name_of(op.namespace, op.key) for _, op in gets]
        found = yield from self._records.fetch(names)(context)
        for (place, _), name in zip(gets, names, strict=True):
            results[place] = item_of(self._records, found.by_key.get(name))

    def _write(
        self,
        context: Context,
        puts: Mapping[Place, PutOp],
        text_of: Callable[[PutOp], str],
        known: Embedded,
    ) -> Flow[None]:
        batches: list[BatchReport] = []
        gone = [name_of(*place) for place, op in puts.items() if op.value is None]
        kept = {name_of(*place): op for place, op in puts.items() if op.value is not None}
        if kept:
            earlier = yield from self._records.fetch(list(kept))(context)
            dimension = yield from self._dimension_of(context)
            vectors = []
            for name, op in kept.items():
                before = item_of(self._records, earlier.by_key.get(name))
                item = new_item(place_of(op), _checked(op), before)
                embedding = self._fitting(op, known.get(text_of(op)))
                vectors.append(
                    vector_of(self._records, item, embedding, dimension, self._filterable)
                )
            batches += (yield from _reported(self._records.write(vectors)(context))).batches
        if gone:
            batches += (yield from _reported(delete(self._records, gone)(context))).batches
        if not (report := WriteReport(tuple(batches))).ok:
            raise PartialWriteError(report)

    def _fitting(self, op: PutOp, embedding: Sequence[float] | None) -> Sequence[float] | None:
        if embedding is not None and len(embedding) != self._dimension:
            raise InvalidRequestError(
                f"the embedding of {shown(op.key)} has {len(embedding)} numbers, and the store was "
                f'made for {self._dimension}: "dims" of its index. Nothing was written.'
            )
        return embedding

    def _dimension_of(self, context: Context) -> Flow[int]:
        found = yield from self._records.description()(context)
        return (found.dimension if found else 0) or self._dimension

    def _search(self, context: Context, op: SearchOp, searched: Embedded) -> Flow[list[SearchItem]]:
        if op.query and op.query in searched:
            found = yield from self._nearest(context, op, searched[op.query])
        else:
            found = yield from self._scanned(context, op)
        return found[op.offset : op.offset + op.limit]

    def _nearest(
        self, context: Context, op: SearchOp, query: Sequence[float]
    ) -> Flow[list[SearchItem]]:
        most = context.config.limits.top_k
        wanted = most if op.filter else min(op.offset + op.limit, most)
        hits = yield from self._records.or_empty(
            query_vectors(
                context,
                query,
                top_k=wanted,
                index=self._records.settings.index,
                filter=self._filter(op, {EMBEDDED_FIELD: {"$eq": "yes"}}),
                return_metadata=True,
            ),
            lambda: QueryVectorsResult(()),
        )
        found = []
        for hit in hits:
            item = item_of(self._records, Vector(hit.key, None, hit.metadata))
            if item is not None and _wanted(item, op):
                score = None if hit.distance is None else 1.0 - hit.distance
                found.append(_search_item(item, score))
        return found

    def _scanned(self, context: Context, op: SearchOp) -> Flow[list[SearchItem]]:
        found: list[SearchItem] = []
        token: str | None = None
        while True:
            page = yield from self._page(context, self._filter(op), token)
            items = items_of(self._records, page)
            found += [_search_item(item, None) for item in items if _wanted(item, op)]
            token = page.next_token
            if token is None or len(found) >= op.offset + op.limit:
                return found

    def _namespaces(self, context: Context, op: ListNamespacesOp) -> Flow[list[tuple[str, ...]]]:
        found: dict[tuple[str, ...], None] = {}
        token: str | None = None
        while True:
            page = yield from self._page(context, _all_of(pushed_prefixes(op)), token)
            found |= {item.namespace: None for item in items_of(self._records, page)}
            token = page.next_token
            if token is None:
                return listed(found, op)

    def _filter(self, op: SearchOp, *also: Mapping[str, Any]) -> dict[str, Any]:
        path = path_of(op.namespace_prefix)
        within = [{WITHIN_FIELD: {"$in": [path]}}] if path else []
        return _all_of([*also, *within, *pushed(op.filter, self._filterable)])

    def _page(
        self, context: Context, wanted: Mapping[str, Any], token: str | None
    ) -> Flow[ListVectorsResult]:
        return self._records.or_empty(
            list_vectors(
                context,
                index=self._records.settings.index,
                max_results=context.config.limits.list_page,
                next_token=token,
                return_metadata=True,
                filter=wanted,
            ),
            lambda: ListVectorsResult(()),
        )


def _all_of(tests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    of_memory = {ROW_FIELD: {"$eq": KIND}}
    return {"$and": [of_memory, *tests]} if tests else of_memory


def _into(results: list[Result], place: int, flow: Flow[Any]) -> Flow[None]:
    results[place] = yield from flow


def _reported(flow: Flow[WriteReport]) -> Flow[WriteReport]:
    try:
        return (yield from flow)
    except PartialWriteError as error:
        return error.report


def _checked(op: PutOp) -> dict[str, Any]:
    if not isinstance(op.value, Mapping):
        raise InvalidRequestError(
            f"the value of {shown(op.key)} must be a dict, not a {type(op.value).__name__}. "
            "Nothing was written."
        )
    return dict(op.value)


def _wanted(item: Item, op: SearchOp) -> bool:
    depth = len(op.namespace_prefix)  # looked at again, for a service that would ignore a filter
    return item.namespace[:depth] == tuple(op.namespace_prefix) and matches(item.value, op.filter)


def _search_item(item: Item, score: float | None) -> SearchItem:
    return SearchItem(item.namespace, item.key, item.value, item.created_at, item.updated_at, score)


_LONGEST = 500  # characters of an operand; a filter has its limit
_EXACT_INTEGERS = 2**53
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def matches(value: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> bool:
    """Tell whether a value passes a filter: fields equal, or compared by `$eq` to `$lte`.

    Raises:
        InvalidRequestError: an operator is unknown; it is never ignored.
    """
    return all(_passes(value.get(name), test) for name, test in (wanted or {}).items())


def pushed(wanted: Mapping[str, Any] | None, filterable: Collection[str]) -> list[dict[str, Any]]:
    """Return what the service itself can test, in its grammar: equality, in filterable fields.

    It lets through all that `matches` does, and perhaps more: copies are text, so that 1 and "1"
    are the same there.
    """
    return [
        {copy_of(name): {"$in": forms}}
        for name, test in (wanted or {}).items()
        if name in filterable
        and (forms := _forms(test.get("$eq") if isinstance(test, Mapping) else test))
    ]


def pushed_prefixes(op: ListNamespacesOp) -> list[dict[str, Any]]:
    """Return what the service itself can test of the prefixes wanted: those without wildcards."""
    wanted = [c.path for c in op.match_conditions or () if c.match_type == "prefix"]
    known = [list(takewhile(is_label, path)) for path in wanted]
    return [{WITHIN_FIELD: {"$in": [path_of(labels)]}} for labels in known if labels]


def _forms(operand: Any) -> list[object]:
    """Return the copies that values equal to an operand have; none where that is not certain."""
    if isinstance(operand, str):
        return [operand] if len(operand) <= _LONGEST else []
    if not isinstance(operand, int | float) or not abs(operand) < _EXACT_INTEGERS:
        return []
    alike = [same for same in (operand, bool(operand), int(operand)) if same == operand]
    return list(dict.fromkeys(filterable_value(same) for same in alike))


def _passes(found: Any, test: Any) -> bool:
    if isinstance(test, list | tuple):  # a tuple is stored as a list
        return (
            isinstance(found, list) and len(found) == len(test) and all(map(_passes, found, test))
        )
    if not isinstance(test, Mapping):
        return bool(found == test)
    named = [name for name in test if isinstance(name, str) and name.startswith("$")]
    if not named:
        return isinstance(found, Mapping) and matches(found, test)
    return all(_compared(name, found, test[name]) for name in test)


def _compared(name: str, found: Any, operand: Any) -> bool:
    if name not in _OPERATORS:
        raise InvalidRequestError(
            f"unknown operator {shown(name)} in a filter; known are {', '.join(_OPERATORS)}."
        )
    try:
        return bool(_OPERATORS[name](found, operand))
    except TypeError:  # of different kinds: neither is greater
        return False


def listed(namespaces: Iterable[Namespace], op: ListNamespacesOp) -> list[Namespace]:
    """Return the namespaces that an operation asks for, sorted, cut to its depth, each once."""
    conditions = op.match_conditions or ()
    kept = {
        namespace[: op.max_depth]
        for namespace in namespaces
        if all(_meets(namespace, condition) for condition in conditions)
    }
    return sorted(kept)[op.offset : op.offset + op.limit]


def _meets(namespace: Namespace, condition: MatchCondition) -> bool:
    path = condition.path
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)]
    if condition.match_type == "suffix":
        part = namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for label, wanted in zip(part, path, strict=True))
