"""The reads of LangGraph's memory, as flows on a `RecordStore`.

Equal reads are one. Each `Reading` is what one caller of the service answers: up to 100 gets are
one, and so are all searches for one text, which is embedded once.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Any, Final

from langgraph.store import base
from langgraph.store.base import GetOp, Item, ListNamespacesOp, SearchItem, SearchOp

from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError
from ..client.models import Float32Array, Vector
from ..client.operations.checks import check_data, check_key
from ..client.steps import Call
from ..records.decode import DecodeError
from ..records.listing import Pages
from ..records.search import Hit, Restriction, find_nearest
from ..records.settings import ROW_FIELD
from ..records.store import RecordStore
from . import items
from .expiry import Expiry
from .filters import matches, read_filter
from .items import Head, Mention, Namespace, head_of, heads_of, mention_of, path_of
from .slots import Slots, run_in_lanes

Result = base.Result
Outcome = Result | Exception
ReadOp = GetOp | SearchOp | ListNamespacesOp
OpKey = tuple[Any, ...]
Ranked = list[tuple[Head, float | None]]  # items with their scores, the best first
Ends = dict[str, datetime]  # when items expire, by their names
EmbedQuery = Callable[[str], Any]  # a model's method, of either kind
_WIDER: Final = 4  # times as many are searched for, where several are of one item


def key_of(op: ReadOp) -> OpKey:
    """Return what two reads have in common that are one.

    Raises:
        InvalidRequestError: the operation is none that is known, or a name in it is not legal.
    """
    if isinstance(op, GetOp):
        return (GetOp, items.name_of(op.namespace, op.key), op.refresh_ttl)
    if isinstance(op, SearchOp):
        read_filter(op.filter)  # what is wrong with it is said to its caller alone
        path, wanted = path_of(op.namespace_prefix), _freeze(op.filter)
        return (SearchOp, path, wanted, op.limit, op.offset, op.query or "", op.refresh_ttl)
    if isinstance(op, ListNamespacesOp):
        return (ListNamespacesOp, _freeze(op.match_conditions), op.max_depth, op.limit, op.offset)
    raise InvalidRequestError(f"unknown operation {type(op).__name__}.")


def _freeze(value: Any) -> Any:
    """Return what can be compared in place of a value that JSON has, type by type."""
    if isinstance(value, Mapping):
        return ("{}", *((str(name), _freeze(one)) for name, one in value.items()))
    if isinstance(value, list | tuple):
        return ("[]", *map(_freeze, value))
    try:
        hash(value)
    except TypeError:
        return ("id", id(value))
    return (type(value), value)


@dataclass(slots=True)
class Reading:
    """Reads that are answered together.

    Attributes:
        ops: by what they have in common; the answers go to all that are equal.
        query: the text that all of them search for.
    """

    ops: dict[OpKey, ReadOp] = field(default_factory=dict)
    query: str = ""


def plan_readings(
    ops: Mapping[OpKey, ReadOp], keys_per_get: int, *, can_embed: bool
) -> list[Reading]:
    """Return reads in groups: gets as many as one call takes, and searches by their text."""
    gets, others, queries = list[Reading](), list[Reading](), dict[str, Reading]()
    for key, op in ops.items():
        if isinstance(op, GetOp):
            if not gets or len(gets[-1].ops) >= keys_per_get:
                gets.append(Reading())
            gets[-1].ops[key] = op
        elif isinstance(op, SearchOp) and op.query and can_embed:
            queries.setdefault(op.query, Reading(query=op.query)).ops[key] = op
        else:
            others.append(Reading({key: op}))
    return [*gets, *queries.values(), *others]


def copy_result(result: Result) -> Result:
    """Return a result for one more of those who asked for it: it shares nothing that can change."""
    if isinstance(result, list):
        return [copy_result(one) for one in result]  # type: ignore[arg-type,return-value]  # of one kind
    if isinstance(result, SearchItem):
        return _search_item(result, result.score, deepcopy(result.value))
    if isinstance(result, Item):
        value = deepcopy(result.value)
        return Item(**{**{name: getattr(result, name) for name in Item.__slots__}, "value": value})
    return result


@dataclass(frozen=True)
class Memory:
    """The items of memory as they are read.

    Attributes:
        records: where the items are.
        expiry: when they end.
        slots: of the calls in progress.
    """

    records: RecordStore
    expiry: Expiry
    slots: Slots

    def read_each(
        self, context: Context, readings: Sequence[Reading], embed: EmbedQuery
    ) -> Flow[dict[OpKey, Outcome]]:
        """Return what each of some readings gives, together."""
        # not in slots: each takes those that it needs
        found = yield from run_in_lanes(
            context, [self.read(context, reading, embed) for reading in readings]
        )
        return {key: outcome for outcomes in found for key, outcome in outcomes.items()}

    def read(
        self, context: Context, reading: Reading, embed: EmbedQuery
    ) -> Flow[dict[OpKey, Outcome]]:
        """Return what the reads of one reading give, or the error of each."""
        try:
            if reading.query:
                return (yield from self._search_each(context, reading, embed))
            if gets := {key: op for key, op in reading.ops.items() if isinstance(op, GetOp)}:
                return (yield from self.slots.run(context, self._get(context, gets)))
            return (yield from self.slots.run(context, self._read_one(context, reading.ops)))
        except Exception as error:  # noqa: BLE001 - it is raised where the reads are waited for
            return dict.fromkeys(reading.ops, error)

    def _get(self, context: Context, ops: Mapping[OpKey, GetOp]) -> Flow[dict[OpKey, Outcome]]:
        outcomes: dict[OpKey, Outcome] = dict.fromkeys(ops)
        names: dict[OpKey, str] = {}
        for key, op in ops.items():
            try:
                names[key] = check_key(items.name_of(op.namespace, op.key), context.config.limits)
            except InvalidRequestError as error:  # of one caller alone
                outcomes[key] = error
        found = (yield from self.records.fetch(context, list(names.values()))).by_key
        heads: dict[OpKey, Head] = {}
        for key, name in names.items():
            try:
                head = head_of(self.records, found.get(name))
            except DecodeError as error:
                outcomes[key] = error
            else:
                heads |= {} if head is None else {key: head}
        refreshed = [head for key, head in heads.items() if ops[key].refresh_ttl]
        ends = yield from self.expiry.find_living(
            context, list(heads.values()), refreshes=bool(refreshed)
        )
        yield from self.expiry.put_off(
            context, [one for one in refreshed if one.name in ends], ends
        )
        return outcomes | {key: one.item for key, one in heads.items() if one.name in ends}

    def _read_one(
        self, context: Context, ops: Mapping[OpKey, ReadOp]
    ) -> Flow[dict[OpKey, Outcome]]:
        [(key, op)] = ops.items()
        if isinstance(op, SearchOp):
            return {key: (yield from self._search(context, op, None))}
        if isinstance(op, ListNamespacesOp):
            return {key: (yield from self._list_namespaces(context, op))}
        raise TypeError(type(op).__name__)  # `plan_readings` has taken it for another

    def _search_each(
        self, context: Context, reading: Reading, embed: EmbedQuery
    ) -> Flow[dict[OpKey, Outcome]]:
        made = yield from self.slots.run(context, _call(lambda: embed(reading.query)))
        query = check_data("query", made, "the embedding of the query")
        searches = {key: op for key, op in reading.ops.items() if isinstance(op, SearchOp)}
        flows = [self._search_or_error(context, op, query) for op in searches.values()]
        found = yield from self.slots.run_each(context, flows)
        return dict(zip(searches, found, strict=True))

    def _search_or_error(
        self, context: Context, op: SearchOp, query: Float32Array
    ) -> Flow[Outcome]:
        try:
            return (yield from self._search(context, op, query))
        except Exception as error:  # noqa: BLE001 - it is raised where the search is waited for
            return error

    def _search(
        self, context: Context, op: SearchOp, query: Float32Array | None
    ) -> Flow[list[SearchItem]]:
        if op.offset + op.limit < 1:
            return []
        if query is None:
            found, ends = yield from self._scan(context, op)
        else:
            found, ends = yield from self._find_nearest(context, op, query)
        found = found[op.offset : op.offset + op.limit]
        if op.refresh_ttl:
            yield from self.expiry.put_off(context, [one for one, _ in found], ends)
        return [_search_item(one.item, score) for one, score in found]

    def _find_nearest(
        self, context: Context, op: SearchOp, query: Float32Array
    ) -> Flow[tuple[Ranked, Ends]]:
        def restrict() -> Restriction[Mention]:
            embedded = {items.EMBEDDED_FIELD: {"$eq": "yes"}}
            return Restriction(
                lambda vector: self._wanted_mention(vector, op),
                self._filter(context, op, embedded, kinds=(items.KIND, items.TEXT_KIND)),
                is_whole=not op.filter,
                needs_distances=False,
            )

        wanted = size = op.offset + op.limit
        current: dict[str, Head | None] = {}  # the heads that were read by key
        while True:
            found = yield from find_nearest(context, self.records, query, size, restrict)
            ranked, ends = yield from self._rank(context, op, found.hits, current)
            if len(ranked) >= wanted or len(found.hits) < size:
                return ranked, ends
            size *= _WIDER  # some were of one item, or of none that is there

    def _wanted_mention(self, vector: Vector, op: SearchOp) -> Mention | None:
        # not every vector that is read here has come through the service's filter
        mention = mention_of(self.records, vector) if items.is_embedded(vector) else None
        if mention is None or (mention.head is not None and not _is_wanted(mention.head, op)):
            return None
        return mention

    def _rank(
        self,
        context: Context,
        op: SearchOp,
        hits: Sequence[Hit[Mention]],
        current: dict[str, Head | None],
    ) -> Flow[tuple[Ranked, Ends]]:
        """Return items, each once and with the best of its scores, and their ends.

        What a hit says counts if it is of the version that the head has now: the service's search
        lags behind, and GetVectors does not. `current` has the heads that were read so far. Items
        of earlier releases, which tell no version, are taken as they come.
        """
        names = dict.fromkeys(hit.record.name for hit in hits if hit.record.version)
        unread = [name for name in names if name not in current]
        fetched = (yield from self.records.fetch(context, unread)).by_key if unread else {}
        current |= {name: head_of(self.records, fetched.get(name)) for name in unread}
        best: dict[str, tuple[Head, float | None]] = {}
        for hit in hits:
            said = hit.record
            head = current.get(said.name, said.head)
            if head is None or head.version != said.version or not _is_wanted(head, op):
                continue
            # to LangGraph an item without a score is one that was not ranked
            score = None if math.isnan(hit.distance) else 1.0 - hit.distance
            best.setdefault(said.name, (head, score))
        heads = [head for head, _ in best.values()]
        ends = yield from self.expiry.find_living(context, heads, refreshes=op.refresh_ttl)
        return [one for name, one in best.items() if name in ends], ends

    def _scan(self, context: Context, op: SearchOp) -> Flow[tuple[Ranked, Ends]]:
        found, ends = list[tuple[Head, float | None]](), dict[str, datetime]()
        pages = Pages(self.records, self._filter(context, op), segments=1)
        # the service has no order of its own, so the first so many are as good as any
        while not pages.is_done and len(found) < op.offset + op.limit:
            page = yield from pages.read(context)
            heads = [one for one in heads_of(self.records, page) if _is_wanted(one, op)]
            living = yield from self.expiry.find_living(context, heads, refreshes=op.refresh_ttl)
            found += [(one, None) for one in heads if one.name in living]
            ends |= living
        return found, ends

    def _list_namespaces(self, context: Context, op: ListNamespacesOp) -> Flow[list[Namespace]]:
        found: set[Namespace] = set()
        pages = Pages(self.records, _all_of(prefix_tests(op)), segments=1)
        while not pages.is_done:
            page = yield from pages.read(context)
            heads = list(heads_of(self.records, page))
            living = yield from self.expiry.find_living(context, heads)
            found |= {one.item.namespace for one in heads if one.name in living}
        return _select_namespaces(found, op)

    def _filter(
        self,
        context: Context,
        op: SearchOp,
        *also: Mapping[str, Any],
        kinds: Sequence[str] = (items.KIND,),
    ) -> dict[str, Any]:
        path = path_of(op.namespace_prefix)
        within = [{items.WITHIN_FIELD: {"$in": [path]}}] if path else []
        pushed = self.records.push(context, read_filter(op.filter)).filter
        tests = pushed.get("$and", [pushed]) if pushed else []
        return _all_of([*also, *within, *tests], kinds)


def _all_of(
    tests: Sequence[Mapping[str, Any]], kinds: Sequence[str] = (items.KIND,)
) -> dict[str, Any]:
    of_kind = {"$eq": kinds[0]} if len(kinds) == 1 else {"$in": list(kinds)}
    of_memory = {ROW_FIELD: of_kind}
    return {"$and": [of_memory, *tests]} if tests else of_memory


def _call(function: Callable[[], Any]) -> Flow[Any]:
    return (yield Call(function))


def _is_wanted(head: Head, op: SearchOp) -> bool:
    # looked at again, for a service that would ignore a filter
    item, depth = head.item, len(op.namespace_prefix)
    return item.namespace[:depth] == tuple(op.namespace_prefix) and matches(item.value, op.filter)


def _search_item(
    item: Item, score: float | None, value: dict[str, Any] | None = None
) -> SearchItem:
    value = item.value if value is None else value
    return SearchItem(item.namespace, item.key, value, item.created_at, item.updated_at, score)


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
