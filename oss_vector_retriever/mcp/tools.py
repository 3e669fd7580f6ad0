"""The tools of the server: how an answer comes about, as JSON for a program and text for a model.

Nothing here knows of the protocol's library, whose releases differ. Each answer is a flow on the
client; `search` and `fetch` keep to the contract of `documents`, the others say more.
"""

import asyncio
import inspect
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from ..client.context import Context, Flow
from ..client.errors import OSSVectorError, escape_controls
from ..client.pair import ClientPair
from ..embeddings.mathematics import rescore
from ..records import Record
from ..records.agent_ids import Access, Fetched, fetch_meant, suggest
from ..records.agent_search import find_permitted
from ..records.answers import (
    MAY_LACK,
    NOTHING_FOUND,
    Answer,
    Budget,
    Passage,
    describe_failure,
    show_metadata,
    to_line,
)
from ..records.conditions import Condition, Group
from ..records.filters import read_filter
from ..records.listing import Walk
from ..records.search import Hit
from ..records.settings import StoreSettings
from ..records.store import RecordStore
from .definitions import (
    ARGUMENTS,
    Arguments,
    FetchArguments,
    FetchManyArguments,
    NeighborsArguments,
    SearchArguments,
    define_tools,
)
from .documents import Object, Presentation, take_fitting, to_json

if TYPE_CHECKING:
    from ..langchain.embedder import QueryEmbedding

NOTE: Final = "oss-vectors/note"  # in `_meta` of an answer whose form has no place for it

_LONGEST_QUERY: Final = 10_000  # characters; whoever embeds it is paid by the token
_LONGEST_NEAR: Final = 1_000  # characters of each text among several that were not asked for
_LEAST_SHARE: Final = 200

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What a call of a tool gives: a text for the model, the same as an object, or an error."""

    text: str
    structured: Object | None = None
    note: str = ""

    @property
    def is_error(self) -> bool:
        """Tell whether the call failed."""
        return self.structured is None


class ToolError(Exception):
    """A failure that the model can do something about, in words for it."""


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """The limits of what a server shows, and of what it does for it.

    Attributes:
        k: how many documents a search shows.
        max_characters: of one answer.
        max_ids: taken of one question.
        snippet: characters of its text that a search shows with each result.
        scan: how many keys to list, at most, to look for a prefix or to suggest near misses.
        scan_limit: how many records to list, at most, to find those that pass a filter.
        description: what the documents are, for the model.
    """

    k: int = 10
    max_characters: int = 20_000
    max_ids: int = 50
    snippet: int = 0
    scan: int = 1_000
    scan_limit: int = 20_000
    description: str = ""


class AgentTools:
    """The tools over one index, for every agent that is connected.

    Args:
        clients: the client, on whatever event loop a call comes.
        presentation: how records are shown, and which may be.
        store: the records of the index.
        condition: always in force: what does not pass it does not exist for an agent.
        settings: limits.
        embedding: embeds a query; None where search looks up ids, prefixes and filters.
    """

    def __init__(
        self,
        clients: ClientPair,
        presentation: Presentation,
        store: StoreSettings,
        *,
        condition: Condition | None,
        settings: ToolSettings,
        embedding: "QueryEmbedding | None",
    ) -> None:
        self.clients = clients
        self.presentation = presentation
        self.settings = settings
        self._records = RecordStore(store)
        self._condition = condition
        self._embedding = embedding

    @property
    def _access(self) -> Access:
        return self.presentation.access

    def definitions(self) -> list[Object]:
        """Return the tools as the protocol lists them."""
        return define_tools(self.settings.description, by_meaning=self._embedding is not None)

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """Call a tool; whatever goes wrong is an answer that says so."""
        if name not in ARGUMENTS:
            shown = to_line(name[:_LEAST_SHARE])
            return ToolAnswer(f"Error: there is no tool {shown}; there are {', '.join(ARGUMENTS)}.")
        try:
            given = ARGUMENTS[name].model_validate(arguments)
            return await self._answer(given)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False, include_input=False)
            told = "; ".join(f"{_place(one['loc'])}: {one['msg']}" for one in wrong)
            # the name of an argument that is none is the model's own
            said = escape_controls(told[:_LONGEST_NEAR])
            return ToolAnswer(f"Error: nothing was read. {said}")
        except ToolError as failure:
            return ToolAnswer(f"Error: {failure}")
        except OSSVectorError as error:
            return ToolAnswer(describe_failure(error))
        except Exception as error:
            # a fault of ours, which the operator reads and no model
            logger.exception("the tool %s failed", name)
            return ToolAnswer(f"Error: nothing was read: the server failed ({_kind(error)}).")

    async def _answer(self, given: Arguments) -> ToolAnswer:
        run = self.clients.arun
        match given:
            case SearchArguments():
                return await self._search(given.query)
            case FetchArguments():
                return await run(self._fetch_one, given.id)
            case FetchManyArguments():
                return await run(self._fetch_many, given.ids, given.start)
            case NeighborsArguments():
                return await run(self._find_neighbors, given.id, given.k or self.settings.k)
        raise TypeError(type(given))

    async def _search(self, query: str) -> ToolAnswer:
        if len(query) > _LONGEST_QUERY:
            raise ToolError(f"the query is longer than {_LONGEST_QUERY:,} characters.")
        if not query.strip():
            return self._show_results([], "")
        if self._embedding is None:
            return await self.clients.arun(self._look_up, query.strip())
        vector = await _embed(self._embedding, query)
        return await self.clients.arun(self._search_by_vector, vector)

    def _search_by_vector(self, context: Context, vector: Sequence[float]) -> Flow[ToolAnswer]:
        hits, note = yield from self._find_nearest(context, vector, self.settings.k)
        return self._show_results([hit.record for hit in hits], note)

    def _find_nearest(
        self, context: Context, vector: Sequence[float], k: int
    ) -> Flow[tuple[list[Hit[Record]], str]]:
        found = yield from find_permitted(
            context,
            self._records,
            vector,
            k,
            access=self._access,
            conditions=[self._condition],
            rank=rescore,
        )
        return list(found.hits), MAY_LACK if found.incomplete else ""

    def _look_up(self, context: Context, query: str) -> Flow[ToolAnswer]:
        """Answer a query without an embedding: a filter, an id, or what ids begin with."""
        limits = self.settings
        condition = _read_condition(query)
        if condition is not None:
            both = tuple(one for one in (condition, self._condition) if one is not None)
            passing = Group("and", both)
            records, note = yield from self._list(context, passing, "", limits.scan_limit)
            return self._show_results(records, note)
        # no near misses: what ids begin with is listed next
        found = yield from self._fetch(context, [query], scan=0)
        if found.records:
            return self._show_results(list(found.records.values()), "")
        records, note = yield from self._list(context, self._condition, query, limits.scan)
        return self._show_results(records, note)

    def _list(
        self, context: Context, condition: Condition | None, prefix: str, scan: int
    ) -> Flow[tuple[list[Record], str]]:
        """Return records that pass a condition and whose keys begin so, and whether all is told."""
        k = self.settings.k
        if self._access.allowed_keys is not None:
            keys = [key for key in self._access.visible_keys if key.startswith(prefix)]
            found = yield from self._records.fetch_records(
                context, keys, lambda record: record, condition=condition
            )
            return found.made[:k], ""
        walk = Walk(self._records, condition, segments=1)
        records: list[Record] = []
        # the service can list, but not by prefix: an index may hold millions
        while len(records) < k and scan > 0 and not walk.is_done:
            size = min(scan, context.config.limits.list_page)
            page = yield from walk.read_on(context, size)
            scan -= size
            records += [
                one for one in page if self._access.permits(one.key) and one.key.startswith(prefix)
            ]
        return records[:k], MAY_LACK if len(records) < k and not walk.is_done else ""

    def _show_results(self, records: Sequence[Record], note: str) -> ToolAnswer:
        shown = [self.presentation.result(record, self.settings.snippet) for record in records]
        structured = {"results": take_fitting(shown, self.settings.max_characters)}
        return ToolAnswer(to_json(structured), structured, note)

    def _fetch_one(self, context: Context, asked: str) -> Flow[ToolAnswer]:
        found = yield from self._fetch(context, [asked])
        if not found.records:
            raise ToolError(found.describe_missing())
        url = self.presentation.split_url(asked)
        if asked in found.records or url is None:
            key, start = next(iter(found.records)), 0
        else:
            key, start = url if url[0] in found.records else (next(iter(found.records)), 0)
        if url is None and len(found.records) > 1:
            keys = to_line(list(found.records)[: self.settings.max_ids])
            raise ToolError(f"these are several ids; call fetch_many with ids={keys}.")
        room = self.settings.max_characters
        document = self.presentation.document(found.records[key], start, room)
        return ToolAnswer(to_json(document), document)

    def _fetch_many(self, context: Context, asked: list[str], start: int) -> Flow[ToolAnswer]:
        found = yield from self._fetch(context, asked)
        if not found.records:
            raise ToolError(found.describe_missing())
        room = self.settings.max_characters
        share = max(room // len(found.records), _LEAST_SHARE)
        documents = take_fitting(
            (self.presentation.document(one, start, share, 0) for one in found.records.values()),
            room,
        )
        structured: Object = {"documents": documents}
        others = {
            "missing": [
                {"id": key, **({"did_you_mean": near} if near else {})}
                for key, near in found.missing.items()
            ],
            "omitted": list(found.records)[len(documents) :],
            # the question's own words: long ones must not make the answer long
            "refused": take_fitting(found.refused, room),
            "refused_count": len(found.refused),
        }
        structured |= {name: value for name, value in others.items() if value}
        answer = Answer(
            [self._passage(record) for record in found.records.values()],
            missing=found.missing,
            refused=found.refused,
            start=start,
            fetch_tool="fetch_many",
        )
        budget = Budget(room, max_characters_per_document=share)
        return ToolAnswer(answer.text(budget), structured)

    def _find_neighbors(self, context: Context, asked: str, k: int) -> Flow[ToolAnswer]:
        found = yield from self._fetch(context, [asked])
        if not found.records:
            raise ToolError(found.describe_missing())
        key = next(iter(found.records))
        stored = yield from self._records.fetch(
            context, [key], return_data=True, return_metadata=False
        )
        vector = stored.by_key.get(key)
        if vector is None or vector.data is None:  # deleted a moment ago
            raise ToolError(found.describe_missing())
        hits, note = yield from self._find_nearest(context, vector.data, k + 1)
        near = [hit for hit in hits if hit.record.key != key][:k]
        room = self.settings.max_characters
        share = min(_LONGEST_NEAR, max(room // max(len(near), 1), _LEAST_SHARE))
        shown = [
            {**self.presentation.result(hit.record, share), "distance": round(hit.distance, 6)}
            for hit in near
        ]
        answer = Answer(
            [self._passage(hit.record, hit.distance) for hit in near],
            note=note,
            nothing=NOTHING_FOUND,
            fetch_tool="fetch_many",
        )
        text = answer.text(Budget(room, max_characters_per_document=share))
        return ToolAnswer(text, {"id": key, "neighbors": take_fitting(shown, room)}, note)

    def _passage(self, record: Record, distance: float | None = None) -> Passage:
        view = self.presentation
        cited = {"title": view.title(record), "url": view.url(record)}
        about = {**{name: record.metadata[name] for name in view.visible_fields(record)}, **cited}
        names = [*cited, *(view.metadata_fields or ())]
        return Passage(record.key, record.text, distance, show_metadata(about, names))

    def _fetch(
        self, context: Context, asked: Sequence[str], scan: int | None = None
    ) -> "Flow[_Found]":
        """Fetch what a model's ids mean: keys, and the URLs that answers name them by."""
        asked, refused = asked[: self.settings.max_ids], list(asked[self.settings.max_ids :])
        urls = {one: url[0] for one in asked if (url := self.presentation.split_url(one))}
        # an id that is also a URL is first of all itself
        wanted = list(dict.fromkeys(one for key in asked for one in (key, urls.get(key, key))))

        def fetch(context: Context, keys: list[str]) -> Flow[Fetched[Record]]:
            found = yield from self._records.fetch_records(
                context, keys, lambda record: record, condition=self._condition
            )
            there = {record.key: record for record in found.made}
            return there, [key for key in keys if key not in there]

        limit = max(self.settings.max_ids, len(wanted))
        meant = yield from fetch_meant(context, wanted, self._access, limit, fetch)
        decoded = {*urls.values()} - {*asked}
        missing = [
            key for key in meant.missing if key not in decoded and urls.get(key) not in meant.found
        ]
        listed = self.settings.scan if scan is None else scan
        near = yield from suggest(context, missing, self._access, self._records, listed)
        if self._condition is not None and any(near.values()):
            named = yield from fetch(context, list({key for keys in near.values() for key in keys}))
            near = {one: [key for key in keys if key in named[0]] for one, keys in near.items()}
        return _Found(meant.found, near, [*refused, *meant.refused])

    async def read(self, uri: str) -> str | None:
        """Return the text that a resource holds; None where there is none.

        Raises:
            OSSVectorError: it could not be read.
        """
        return await self.clients.arun(self._read, uri)

    def _read(self, context: Context, uri: str) -> Flow[str | None]:
        url = self.presentation.split_url(uri)
        keys = [] if url is None else self._access.fetchable(context, [url[0]])
        if url is None or not keys:
            return None
        found = yield from self._records.fetch_records(
            context, keys, lambda record: record, condition=self._condition
        )
        if not found.made:
            return None
        [record], (key, start) = found.made, url
        end = start + self.settings.max_characters
        text = record.text[start:end]
        if end >= len(record.text):
            return text
        rest = f"{self.presentation.own_url(key)}#char={end}"
        return f"{text}\n[cut: characters {start} to {end} of {len(record.text)}; the rest: {rest}]"


@dataclass(frozen=True, slots=True)
class _Found:
    """What came of a model's ids; `missing` with what may have been meant."""

    records: Mapping[str, Record]
    missing: Mapping[str, Sequence[str]]
    refused: list[str]

    def describe_missing(self) -> str:
        """Return what there is to say where nothing was found."""
        said = Answer([], missing=self.missing, refused=self.refused, nothing="no id was given.")
        return f"{said.text(Budget())}\nCopy ids exactly as search shows them."


async def _embed(embedding: "QueryEmbedding", query: str) -> Any:
    try:
        if not callable(embedding):
            return await embedding.aembed_query(query)
        # it may compute, or call a model over the network: never on the event loop
        made = await asyncio.to_thread(embedding, query)
        return await made if inspect.isawaitable(made) else made
    except Exception as error:  # noqa: BLE001 - a provider's, of any kind
        # not its text, which may quote a part of the key
        logger.warning("the query could not be embedded: %s", _kind(error))
        raise ToolError(
            f"the query could not be embedded ({_kind(error)}), so nothing was searched. It may "
            "succeed later; fetch and neighbors work without."
        ) from None


def _read_condition(query: str) -> Condition | None:
    """Return the filter that a query is; None for one that is none.

    Raises:
        InvalidRequestError: it is one that cannot be read.
    """
    if not query.startswith("{"):
        return None
    try:
        given = json.loads(query)
    except (ValueError, RecursionError):
        return None  # an id may begin so
    return read_filter(given) if isinstance(given, dict) else None


def _place(location: Sequence[object]) -> str:
    return ".".join(map(str, location)) or "arguments"


def _kind(error: Exception) -> str:
    return type(error).__name__
