"""An agent's search: what a model passes to it, typed, and what may be found.

`filter_fields` of a tool names metadata fields by which the model may restrict its search. Each
becomes an argument of its type; of numbers and dates the least and the most are arguments too:

    {"team": (str, "The team that wrote it."), "year": int}   ->   team, year, year_min, year_max

What the model passes is joined to the tool's own filter, which it cannot widen.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model

from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, quote
from ..client.models import Float32Array
from ..client.operations.checks import check_data
from ..client.steps import Call
from .agent_ids import Access
from .conditions import Condition, Group, can_pass
from .filters import read_filter
from .record import Record
from .search import Hit, Restriction, SearchResult, find_nearest, restriction_of
from .store import RecordStore

FilterFields = Mapping[str, Any]  # name: type, or name: (type, description)
# `rank(query, embeddings, k=k)` returns the positions of the most similar with their similarity
Rank = Callable[..., Sequence[tuple[int, float]]]

MOST_HITS: Final = 100
_SCALARS: Final = (str, int, float, bool, date, datetime)
_ORDERED: Final = (int, float, date, datetime)
_ENDS: Final = {"_min": ("$gte", "at least"), "_max": ("$lte", "at most")}
_NO_RESTRICTION: Final[tuple[object, ...]] = (None, "", [])  # models fill in what they leave open
_PAIR: Final = 2


class SearchArguments(BaseModel):
    """What a model passes to search."""

    # Under another name it would restrict nothing, and the model would not know.
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())

    query: str = Field(description="What to look for, in plain words.", min_length=1)
    k: int | None = Field(
        default=None, gt=0, le=MOST_HITS, description="How many documents, at most."
    )


def search_arguments(fields: FilterFields | None) -> type[SearchArguments]:
    """Return the class of what a model passes to a search that it may restrict by fields.

    Raises:
        InvalidRequestError: a field cannot be an argument, by its name or its type.
    """
    made: dict[str, Any] = {
        name: (one.kind | None, Field(None, description=one.description))
        for name, one in _arguments(fields).items()
    }
    if not made:
        return SearchArguments
    return create_model("SearchArguments", __base__=SearchArguments, **made)


def read_arguments(fields: FilterFields | None, given: Mapping[str, Any]) -> Condition | None:
    """Return what a model passed for the fields as a condition; None where it restricts nothing.

    Raises:
        InvalidRequestError: a name is no argument, or a value none that can be compared with.
    """
    arguments = _arguments(fields)
    tests: list[dict[str, Any]] = []
    for name, value in given.items():
        if value in _NO_RESTRICTION:
            continue
        if name not in arguments:
            raise InvalidRequestError(
                "there is no argument {value}.", argument="filter", value=name
            )
        one = arguments[name]
        plain = [_plain(each) for each in value] if isinstance(value, list) else _plain(value)
        tests.append({one.field: {one.operator: plain}})
    return read_filter({"$and": tests}) if tests else None


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


@dataclass(frozen=True, slots=True)
class _Argument:
    field: str
    operator: str
    kind: Any
    description: str


def _arguments(fields: FilterFields | None) -> dict[str, _Argument]:
    """Return the arguments that fields become, by their names."""
    arguments: dict[str, _Argument] = {}
    for name, given in (fields or {}).items():
        for argument, one in _arguments_of_field(name, given):
            if argument in arguments or argument in SearchArguments.model_fields:
                raise _wrong_field(name, f"there is an argument {quote(argument)} already")
            arguments[argument] = one
    return arguments


def _arguments_of_field(name: str, given: object) -> Iterator[tuple[str, _Argument]]:
    kind, description = given if isinstance(given, tuple) and len(given) == _PAIR else (given, "")
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        raise _wrong_field(name, "an argument's name is letters, digits and _, a letter first")
    if name == "self" or hasattr(BaseModel, name):
        raise _wrong_field(name, "that name is taken by every tool's arguments")
    many = get_origin(kind) is list
    if not isinstance(description, str) or not _is_known(get_args(kind)[0] if many else kind):
        raise _wrong_field(
            name,
            "name its type, or (type, description): str, int, float, bool, date, datetime, an "
            "Enum, a Literal, or a list of one of them",
        )
    which = "one of these" if many else "this"
    told = description or f"Only documents whose {name} is {which}."
    yield name, _Argument(name, "$in" if many else "$eq", kind, told)
    for end, (operator, bound) in _ENDS.items() if kind in _ORDERED else ():
        told = f"{description} Only documents where it is {bound} this.".lstrip()
        yield name + end, _Argument(name, operator, kind, told)


def _is_known(kind: object) -> bool:
    if get_origin(kind) is Literal:
        return all(type(value) in _SCALARS for value in get_args(kind))
    return kind in _SCALARS or (isinstance(kind, type) and issubclass(kind, Enum))


def _wrong_field(name: object, reason: str) -> InvalidRequestError:
    return InvalidRequestError(
        "{argument}: {value}: {reason}.",
        argument="filter_fields",
        value=name,
        fields={"reason": reason},
    )


def find_permitted(
    context: Context,
    store: RecordStore,
    vector: Any,
    k: int,
    *,
    access: Access,
    conditions: Sequence[Condition | None],
    rank: Rank,
) -> Flow[SearchResult[Record]]:
    """Find the `k` records nearest to a vector that an agent may see and that pass all conditions.

    Of a list of allowed keys the stored embeddings are fetched and compared by `rank`, off the
    event loop, so that nothing else is ever touched; where there are conditions as well, and under
    a prefix, the index is searched, and what is out of reach is dropped unseen.
    """
    restricting = tuple(one for one in conditions if one is not None)
    condition = Group("and", restricting) if restricting else None
    query = check_data("query_vector", vector, "the query vector")
    if (access.allowed_keys is not None and not access.visible_keys) or not can_pass(condition):
        return SearchResult([])
    if access.allowed_keys is not None and condition is None:
        return (yield from _rank_allowed(context, store, query, k, access=access, rank=rank))

    def restrict() -> Restriction[Record]:
        of_all = restriction_of(context, store, condition)
        if not access.restricted:
            return of_all
        # the service cannot filter by key
        return Restriction(
            lambda one: of_all.read(one) if access.permits(one.key) else None,
            of_all.pushed,
            is_whole=False,
        )

    return (yield from find_nearest(context, store, query, k, restrict))


def _rank_allowed(
    context: Context, store: RecordStore, query: Float32Array, k: int, *, access: Access, rank: Rank
) -> Flow[SearchResult[Record]]:
    stored = yield from store.fetch(
        context, access.visible_keys, return_data=True, return_metadata=False
    )
    there = [vector for vector in stored if vector.data is not None]
    rows = [vector.data for vector in there if vector.data is not None]
    picks: Sequence[tuple[int, float]] = []
    if rows:
        picks = yield Call(lambda: rank(query, rows, k=k))
    far = {there[position].key: 1.0 - similarity for position, similarity in picks}
    found = yield from store.fetch_records(context, list(far), lambda record: record)
    return SearchResult([Hit(record, far[record.key]) for record in found.made])
