"""What each view of the page shows, as plain data for its template; the client's calls all read.

A view is a method that takes a request's parameters and returns a template's name and values. What
the service or a check refuses becomes a sentence in the view; nothing of it is decided in a
template.
"""

import asyncio
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from ..client.clients import AsyncOSSVectorClient
from ..client.context import Context, Flow
from ..client.endpoint import check_bucket, check_index
from ..client.errors import (
    InvalidRequestError,
    MissingKeysError,
    OSSVectorError,
    Reference,
    ResponseError,
    ServiceError,
    TransportError,
    quote,
)
from ..client.models import Float32Array, ListVectorsResult, VectorBucket, VectorIndex
from ..client.operations.checks import check_whole
from ..client.operations.vectors import list_vectors
from ..client.wire import parse_json
from ..records import Record, decode, parse_keys
from ..records.decode import is_head
from ..records.explanation import Explanation, describe_readable, explain_keys, find_neighbors
from .frameworks import make_document, make_node
from .snippets import fetch_snippets, list_snippets, neighbor_snippets, place_of

PAGE_SIZES: Final = (25, 50, 100)
_BUCKETS_OPENED: Final = 10  # of a listing of buckets: so many show their indexes at once
_POINTS: Final = 160  # of a sparkline: more than its pixels say no more
_MOST_NEIGHBORS: Final = 100
_SPARK_WIDTH, _SPARK_HEIGHT = 320, 48

Query = Mapping[str, str]

# What each rung of the ladder says to a reader who never heard of it.
RUNGS: Final[Mapping[str, str]] = {
    "envelope": "this package's envelope",
    "llama_index": "a node that LlamaIndex wrote",
    "embed_cli": "a record of oss-vectors-embed",
    "langchain": "LangChain's page content",
    "text_key": "the field that was named for text",
    "text": "a plain field",
    "content": "a plain field",
    "empty": "no text",
    "raw": "as it is stored",
}


class Shown(NamedTuple):
    """A template and its values."""

    template: str
    values: dict[str, Any]


class BadInputError(Exception):
    """A field of a form that cannot be used: its name, and why, in words."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(problem)
        self.name = name


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A vector drawn small: the points of a line in a box, and numbers beside it."""

    points: str
    width: int
    height: int
    zero: float | None
    dimension: int
    low: float
    high: float
    norm: float


@dataclass(frozen=True, slots=True)
class Row:
    """A record in a table: its key, a beginning of its text, and what it was decoded as."""

    key: str
    record: Record | None
    is_cut: bool = False
    distance: float | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """A record in full."""

    key: str
    explanation: Explanation

    @property
    def sparkline(self) -> Sparkline | None:
        """Return the vector drawn small; None where no data came."""
        # when it is shown: a hundred vectors of 4,096 values take a tenth of a second
        return _draw(self.explanation.vector.data)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A bucket with its indexes, or with why they cannot be listed."""

    name: str
    bucket: VectorBucket | None = None
    indexes: tuple[VectorIndex, ...] = ()
    next_token: str | None = None
    problem: str = ""
    is_open: bool = True


@dataclass(frozen=True, slots=True)
class Views:
    """The views over one client.

    Attributes:
        client: it is asked on the event loop that it belongs to.
        text_key: a further metadata field to look for text in.
        is_at_service: whether the page is shown by the service's own server.
        clients: those of other buckets, by name.
    """

    client: AsyncOSSVectorClient
    text_key: str | None = None
    is_at_service: bool = False
    clients: dict[str, AsyncOSSVectorClient] = field(default_factory=dict)

    async def show(
        self,
        query: Query,
        origin: str,
        bucket: str | None = None,
        index: str | None = None,
        view: str = "index",
    ) -> Shown:
        """Show what an address names, by its parts.

        Raises:
            BadInputError: a field of a form cannot be used.
            OSSVectorError: a check or the service refused.
        """
        if bucket is None:
            return await self.show_home(query)
        if index is None:
            return await self.show_bucket(query, bucket)
        if view not in _OF_AN_INDEX:
            raise BadInputError("view", f"There is no view {quote(view)}.")
        return await _OF_AN_INDEX[view](self, query, origin, bucket, index)

    async def show_home(self, query: Query) -> Shown:
        """Show the account's buckets with their indexes."""
        own, problem, marker = self.client.config.bucket, "", None
        try:
            page = await self.client.list_vector_buckets(marker=query.get("marker") or None)
            buckets, marker = list(page), page.next_marker
        except ServiceError as error:
            # a role may read one bucket and not list them all
            if own is None or error.status != HTTPStatus.FORBIDDEN:
                raise
            buckets, problem = (
                [],
                "This account's buckets may not be listed; here is the one named.",
            )
        named: dict[str, VectorBucket | None] = {bucket.name: bucket for bucket in buckets}
        if not named and own:
            named = {own: None}
        names = list(named)
        opened = await asyncio.gather(*(self._shelf(name) for name in names[:_BUCKETS_OPENED]))
        shelves = [
            Shelf(s.name, named[s.name], s.indexes, s.next_token, s.problem) for s in opened
        ] + [Shelf(name, named[name], is_open=False) for name in names[_BUCKETS_OPENED:]]
        values = {"shelves": shelves, "marker": marker, "problem": problem}
        return Shown("home.html", values)

    async def show_bucket(self, query: Query, bucket: str) -> Shown:
        """Show one bucket's indexes, a page of them."""
        shelf = await self._shelf(check_bucket(bucket), query.get("token"))
        return Shown("home.html", {"shelves": [shelf], "marker": None, "bucket": bucket})

    async def _shelf(self, name: str, token: str | None = None) -> Shelf:
        try:
            page = await self._client(name).list_vector_indexes(next_token=token or None)
        except OSSVectorError as error:
            return Shelf(name, problem=error.render(word))
        return Shelf(name, indexes=tuple(page), next_token=page.next_token)

    async def show_index(self, query: Query, origin: str, bucket: str, index: str) -> Shown:
        """Show a page of an index's records, or of those that pass a filter."""
        client, values = self._open(bucket, index)
        narrow = _read_filter(query)
        size = _read_whole(query, "size", PAGE_SIZES[0], 1, PAGE_SIZES[-1])
        page, described = await client.run(
            _list_page, index, size, query.get("token") or None, narrow
        )
        place = place_of(client.config, bucket, index, self._path, self._origin(origin))
        values |= {
            "described": described,
            "rows": [Row(one.key, self._decode(one), is_head(one)) for one in page],
            "next_token": page.next_token,
            "is_first": not query.get("token"),
            "filter": query.get("filter", ""),
            "size": size,
            "sizes": PAGE_SIZES,
            "snippets": list_snippets(place, narrow, self.text_key),
        }
        return Shown("index.html", values)

    async def show_keys(self, query: Query, origin: str, bucket: str, index: str) -> Shown:
        """Show records by key, many at once, each in full, and which keys are missing."""
        client, values = self._open(bucket, index)
        text = query.get("keys", "")
        keys = _read_keys(text)
        most = client.config.limits.keys_per_get
        if len(keys) > most:
            raise BadInputError("keys", f"These are {len(keys)} keys; {most} are shown at once.")
        values |= {"text": text, "keys": keys}
        if not keys:
            return Shown("keys.html", values | {"cards": [], "missing": ()})
        found = await client.run(explain_keys, keys, index, self.text_key)
        place = place_of(client.config, bucket, index, self._path, self._origin(origin))
        cards = [Card(key, one) for key, one in found.found.items()]
        values |= {
            "described": found.index,
            "cards": cards,
            "missing": found.missing,
            "rungs": RUNGS,
            "snippets": fetch_snippets(place, keys, self.text_key),
        }
        return Shown("keys.html", values)

    async def show_made(self, query: Query, _: str, bucket: str, index: str) -> Shown:
        """Show what the frameworks get of a record."""
        client, values = self._open(bucket, index)
        key = _read_key(query)
        found = await client.run(explain_keys, [key], index, self.text_key)
        if found.missing:
            raise BadInputError("key", f"There is no key {quote(key)}.")
        vector = found.found[key].whole
        # in threads: the first import of a framework takes seconds
        made = await asyncio.gather(
            *(asyncio.to_thread(make, vector, self.text_key) for make in (make_document, make_node))
        )
        return Shown("made.html", values | {"made": made})

    async def show_neighbors(self, query: Query, origin: str, bucket: str, index: str) -> Shown:
        """Show the neighbours of a stored record."""
        client, values = self._open(bucket, index)
        key, narrow = _read_key(query), _read_filter(query)
        most = min(_MOST_NEIGHBORS, client.config.limits.top_k)
        k = _read_whole(query, "k", 10, 1, most)
        values |= {"key": key, "k": k, "filter": query.get("filter", ""), "most": most}
        found = await client.run(
            find_neighbors, key, k, index, filter=narrow, text_key=self.text_key
        )
        place = place_of(client.config, bucket, index, self._path, self._origin(origin))
        farthest = max((one.distance or 0.0 for one in found.items), default=0.0)
        values |= {
            "found": found,
            "rows": [Row(one.key, one.record, distance=one.distance) for one in found.items],
            "farthest": farthest,
            "snippets": neighbor_snippets(
                place, key, k, found.looked_at, filter=narrow, text_key=self.text_key
            ),
        }
        return Shown("near.html", values)

    def _open(self, bucket: str, index: str) -> tuple[AsyncOSSVectorClient, dict[str, Any]]:
        client = self._client(check_bucket(bucket))
        return client, {"bucket": bucket, "index": check_index(index)}

    def _client(self, bucket: str) -> AsyncOSSVectorClient:
        if bucket not in self.clients:
            self.clients[bucket] = self.client.with_options(bucket=bucket)
        return self.clients[bucket]

    def _decode(self, vector: Any) -> Record:
        return decode(vector, text_key=self.text_key, on_decode_error="raw")

    @property
    def _path(self) -> str | None:
        local = self.client._local  # noqa: SLF001 - a step of the house's own
        return None if local is None or self.is_at_service else local.path

    def _origin(self, origin: str) -> str | None:
        return origin if self.is_at_service else None


_OF_AN_INDEX: Final = {
    "index": Views.show_index,
    "keys": Views.show_keys,
    "near": Views.show_neighbors,
    "made": Views.show_made,
}


def _list_page(
    context: Context, index: str, size: int, token: str | None, narrow: Mapping[str, Any] | None
) -> Flow[tuple[ListVectorsResult, VectorIndex | None]]:
    page = yield from list_vectors(context, index, size, token, return_metadata=True, filter=narrow)
    return page, (yield from describe_readable(context, index))


def _read_keys(text: str) -> list[str]:
    try:
        return list(dict.fromkeys(parse_keys(text)))
    except InvalidRequestError as error:
        raise BadInputError("keys", _sentence(error)) from None


def _read_key(query: Query) -> str:
    """Return the key of a link, which is written as a JSON array: a key may be any text."""
    keys = _read_keys(query.get("key", ""))
    if len(keys) != 1:
        raise BadInputError("key", "Name one key.")
    return keys[0]


def _read_filter(query: Query) -> dict[str, Any] | None:
    """Return the filter of a form, in the service's own grammar; None where it is empty."""
    text = query.get("filter", "").strip()
    if not text:
        return None
    example = 'such as {"year": {"$gte": "2024"}}'
    try:
        found = parse_json(text.encode(errors="surrogatepass"))
    except ValueError as error:
        problem = f"The filter is not JSON: {error}. It is an object, {example}."
        raise BadInputError("filter", problem) from None
    if not isinstance(found, dict):
        raise BadInputError("filter", f"The filter must be a JSON object, {example}.")
    return found or None


def _read_whole(query: Query, name: str, default: int, low: int, high: int) -> int:
    text = query.get(name, "").strip()
    if not text:
        return default
    try:
        return check_whole(name, int(text), low, high)
    except (ValueError, InvalidRequestError):
        problem = f"{name} must be a whole number from {low} to {high}, not {quote(text)}."
        raise BadInputError(name, problem) from None


def _draw(data: Float32Array | None) -> Sparkline | None:
    """Return a vector as the points of a line; of many values the mean of neighbouring ones."""
    if not data:
        return None
    values = data.tolist()
    low, high, count = min(values), max(values), min(len(values), _POINTS)
    edges = [len(values) * at // count for at in range(count + 1)]
    means = [
        math.fsum(values[start:end]) / (end - start) for start, end in itertools.pairwise(edges)
    ]
    bottom, top = min(means), max(means)
    span, step = (top - bottom) or 1.0, _SPARK_WIDTH / max(count - 1, 1)

    def height(value: float) -> float:
        return round((top - value) / span * (_SPARK_HEIGHT - 2) + 1, 1)

    points = " ".join(f"{at * step:.1f},{height(mean)}" for at, mean in enumerate(means))
    zero = height(0.0) if bottom <= 0 <= top else None
    norm = math.sqrt(math.fsum(value * value for value in values))
    return Sparkline(points, _SPARK_WIDTH, _SPARK_HEIGHT, zero, len(values), low, high, norm)


def word(reference: Reference) -> str:
    """Return the page's word for what an error names."""
    if reference.kind == "argument":
        return _FIELDS.get(reference.name, reference.name.replace("_", " "))
    return {"mapping": "an object"}.get(reference.name, reference.python)


_FIELDS: Final = {"top_k": "k", "index_name": "index"}


def _sentence(error: OSSVectorError) -> str:
    text = error.render(word)
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")


def describe_problem(error: Exception) -> dict[str, str]:
    """Return an error as the page shows it: a heading, a sentence, and the field that is wrong."""
    if isinstance(error, BadInputError):
        return {"heading": _NOT_ASKED, "problem": str(error), "field": error.name}
    kinds = {
        MissingKeysError: "This record is not there",
        ServiceError: "The service says no",
        TransportError: "The service does not answer",
        ResponseError: "The service answers with something else",
    }
    heading = next((text for kind, text in kinds.items() if isinstance(error, kind)), _NOT_ASKED)
    problem = _sentence(error) if isinstance(error, OSSVectorError) else str(error)
    return {"heading": heading, "problem": problem, "field": ""}


_NOT_ASKED: Final = "This cannot be asked"
