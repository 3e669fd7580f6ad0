"""`OSSVectorToolSpec`: records by id and by meaning, for an agent."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final, Unpack

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.tools import FunctionTool, ToolMetadata, ToolOutput
from llama_index.core.tools.tool_spec.base import SPEC_FUNCTION_TYPE, BaseToolSpec
from llama_index.core.utils import get_tokenizer
from llama_index.core.vector_stores.types import MetadataFilters
from pydantic import ValidationError

from ..client.context import Context, Flow
from ..client.errors import ConfigurationError, InvalidRequestError, OSSVectorError
from ..client.operations.checks import check_whole, each_of
from ..client.pair import Client
from ..embeddings.mathematics import check_count, rescore
from ..records import DecodeError, DecodePolicy, Record, answers
from ..records.agent_ids import Access, Fetched, Meant, fetch_meant, read_ids, suggest
from ..records.agent_search import (
    MOST_HITS,
    FilterFields,
    find_permitted,
    read_arguments,
    search_arguments,
)
from ..records.answers import Answer, Budget, Passage, Tokenizer, show_metadata, to_line
from ..records.conditions import Condition
from ..records.lookup import Found
from ..records.settings import Exhaustive, IncompletePolicy, StoreSettings
from ..records.store import RecordStore
from .component import ConnectionOptions, NodeLookup, _Connected, report_incomplete
from .filters import read_filters
from .nodes import classes_by_name, kept_metadata
from .postprocessors import neighbours

_SEARCH: Final = "search"
_SEARCH_DESCRIPTION: Final = (
    "Find stored texts by meaning. Returns the best matches with their ids and the beginning of "
    "their text; read more of one by passing its id to fetch_by_ids."
)


class _Failure(str):
    """An answer that tells of a failure; the output of a tool is marked by it."""

    __slots__ = ()


class _Tool(FunctionTool):
    """A tool whose output says whether it tells of a failure, as the agents of core look for it."""

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Call the function."""
        return _mark(super().call(*args, **kwargs))

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Await the function."""
        return _mark(await super().acall(*args, **kwargs))


def _mark(output: ToolOutput) -> ToolOutput:
    output.is_error = output.is_error or isinstance(output.raw_output, _Failure)
    return output


class OSSVectorToolSpec(_Connected, BaseToolSpec):
    """Tools for an agent: stored text by id, metadata, existence, the texts before and after.

    With an `embed_model` the agent can search, too. Answers are text that names each id, those not
    found, and what was cut to stay within the budget; no embeddings are shown. Ids are JSON
    strings, and each stored text stands between marks that it cannot forge. Where an id does not
    exist and was written with what stands around ids in answers, or is several in one string, what
    was meant is read. An index that is not there has no documents; any other failure of the service
    is an answer too, and the output of the tool has `is_error`.

    Args:
        client: either client; by default one that is configured by the environment.
        index: the vector index to use, if not the client's own.
        key_prefix: the agent sees only ids that begin with this; all others do not exist for it,
            and are not asked for.
        allowed_keys: the only ids that exist for the agent; None for any.
        scan: how many ids to list, at most, to suggest some for one that does not exist; 0 makes no
            call for it. Suggestions out of `allowed_keys` need none.
        max_tokens: of one answer, at most, counted by `tokenizer`; None sets no bound.
        max_characters: of one answer, at most; None sets no bound.
        max_characters_per_document: of one document's text in one answer.
        max_ids: taken of one question; the rest is refused in the answer.
        tokenizer: counts the tokens of a text, or returns them; by default LlamaIndex's own.
        metadata_keys: fields of metadata that are shown with each text, such as `("title", "url",
            "page")`, so that a model can cite.
        embed_model: embeds what the agent searches for; None leaves out the search.
        k: how many texts a search shows where the model does not say.
        filters: always in force when searching.
        filter_fields: fields by which the model may restrict its search, each with its type, or
            `(type, description)`: str, int, float, bool, date, datetime, an Enum, a Literal, or a
            list of one, any of which passes. Of numbers and dates there are `<name>_min` and
            `<name>_max` too. They restrict what `filters` leave, and never widen it.
        exhaustive: with `scan_limit` and `on_incomplete` as of `OSSVectorStore`, when searching.
        scan_limit: list so many records at most, under `exhaustive="auto"`.
        on_incomplete: where the answer may lack texts: "warn", "raise" or "ignore"; the model is
            told as well.
        text_key: a further metadata field to look for text in, of records that others wrote.
        on_decode_error: "raise", "skip" with a warning, or "raw": a TextNode of what is stored.
        node_classes: your own node classes, so that their nodes come back as what they were.
        connection: in place of `client`, the arguments of one: see `ConnectionOptions`.

    Raises:
        InvalidRequestError: a limit is no whole number above 0, or `key_prefix` no string.

    Examples:
        >>> spec = OSSVectorToolSpec(OSSVectorClient.local())
        >>> [tool.metadata.name for tool in spec.to_tool_list()]
        ['fetch_by_ids', 'get_metadata', 'check_exist', 'get_neighbors']
    """

    spec_functions: ClassVar[list[str | tuple[str, str]]] = [  # type: ignore[misc]  # core's has no ClassVar
        ("fetch_by_ids", "afetch_by_ids"),
        ("get_metadata", "aget_metadata"),
        ("check_exist", "acheck_exist"),
        ("get_neighbors", "aget_neighbors"),
    ]

    def __init__(
        self,
        client: Client | None = None,
        *,
        index: str | None = None,
        key_prefix: str = "",
        allowed_keys: Iterable[str] | None = None,
        scan: int = 0,
        max_tokens: int | None = 4000,
        max_characters: int | None = None,
        max_characters_per_document: int | None = None,
        max_ids: int = 50,
        tokenizer: Tokenizer | None = None,
        metadata_keys: Sequence[str] = (),
        embed_model: BaseEmbedding | None = None,
        k: int = 5,
        filters: MetadataFilters | None = None,
        filter_fields: FilterFields | None = None,
        exhaustive: Exhaustive = "auto",
        scan_limit: int = 20_000,
        on_incomplete: IncompletePolicy = "warn",
        text_key: str | None = None,
        on_decode_error: DecodePolicy = "raw",
        node_classes: Sequence[type[BaseNode]] = (),
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        if not isinstance(key_prefix, str):
            raise InvalidRequestError(
                "{argument} must be a string, not {value}.", argument="key_prefix", value=key_prefix
            )
        # an empty list means that nothing exists, None that anything may
        allowed = None if allowed_keys is None else frozenset(each_of(allowed_keys))
        self._access = Access(allowed, key_prefix)
        self._scan = check_whole("scan", scan, 0, sys.maxsize)
        self._max_ids = check_count("max_ids", max_ids)
        bounds = {
            "max_characters": max_characters,
            "max_tokens": max_tokens,
            "max_characters_per_document": max_characters_per_document,
        }
        set_bounds = {n: check_count(n, bound) for n, bound in bounds.items() if bound is not None}
        self._budget = Budget(tokenizer=tokenizer or _core_tokens, **set_bounds)
        self._metadata_keys = answers.check_names(metadata_keys)
        self._embed_model = embed_model
        self._k = check_whole("k", k, 1, MOST_HITS)
        self._condition = read_filters(filters)
        self._filter_fields = filter_fields
        self._arguments = search_arguments(filter_fields)
        self._connect(client, connection)
        classes = classes_by_name(node_classes)
        self._lookup = NodeLookup(
            index=index, text_key=text_key, on_decode_error=on_decode_error, classes=classes
        )
        settings = StoreSettings(
            index=index,
            text_key=text_key,
            on_decode_error=on_decode_error,
            exhaustive=exhaustive,
            scan_limit=scan_limit,
            on_incomplete=on_incomplete,
        )
        self._records = RecordStore(settings)

    def to_tool_list(
        self,
        spec_functions: list[SPEC_FUNCTION_TYPE] | None = None,
        func_to_metadata_mapping: dict[str, ToolMetadata] | None = None,
    ) -> list[FunctionTool]:
        """Return the tools; the search comes last, where there is a model that embeds for it."""
        own: list[SPEC_FUNCTION_TYPE] = [] if self._embed_model is None else [_SEARCH]
        # with the arguments that a model passes: those of the fields are no others of a method
        search = ToolMetadata(_SEARCH_DESCRIPTION, _SEARCH, self._arguments)
        metadata = {"_search": search, **(func_to_metadata_mapping or {})}
        functions: list[SPEC_FUNCTION_TYPE] = [
            ("_search", "_asearch") if one in (_SEARCH, (_SEARCH, f"a{_SEARCH}")) else one
            for one in spec_functions or [*self.spec_functions, *own]
        ]
        tools = super().to_tool_list(functions, metadata)
        return [_Tool(fn=tool.fn, async_fn=tool.async_fn, metadata=tool.metadata) for tool in tools]

    def fetch_by_ids(self, ids: list[str], start: int = 0) -> str:
        """Fetch stored texts by their ids.

        Args:
            ids: the ids of the texts, exactly as they were given to you.
            start: skip so many characters of each text, to read on after a cut.
        """
        return self._answer(self._fetch, ids, start)

    async def afetch_by_ids(self, ids: list[str], start: int = 0) -> str:
        """Do as `fetch_by_ids` does."""  # models read the blocking method's text alone
        return await self._aanswer(self._fetch, ids, start)

    def get_metadata(self, ids: list[str]) -> str:
        """Get the metadata of stored texts, such as title, source or date, without the texts.

        Args:
            ids: the ids of the texts, exactly as they were given to you.
        """
        return self._answer(self._describe, ids)

    async def aget_metadata(self, ids: list[str]) -> str:
        """Do as `get_metadata` does."""
        return await self._aanswer(self._describe, ids)

    def check_exist(self, ids: list[str]) -> str:
        """Tell which ids exist, without fetching anything else.

        Args:
            ids: the ids to look for.
        """
        return self._answer(self._check_existence, ids)

    async def acheck_exist(self, ids: list[str]) -> str:
        """Do as `check_exist` does."""
        return await self._aanswer(self._check_existence, ids)

    def get_neighbors(self, id: str, before: int = 1, after: int = 1) -> str:  # noqa: A002 - the agent's word
        """Fetch a stored text with the texts before and after it in its document.

        Args:
            id: the id of the text, exactly as it was given to you.
            before: how many texts before it.
            after: how many texts after it.
        """
        return self._answer(self._fetch_neighbors, id, before, after)

    async def aget_neighbors(self, id: str, before: int = 1, after: int = 1) -> str:  # noqa: A002 - the same
        """Do as `get_neighbors` does."""
        return await self._aanswer(self._fetch_neighbors, id, before, after)

    def search(
        self, query: str, k: int | None = None, restrictions: Mapping[str, Any] | None = None
    ) -> str:
        """Find stored texts by meaning.

        Args:
            query: what to look for, in plain words.
            k: how many texts, at most.
            restrictions: what to restrict it to: a value for each of the arguments that
                `filter_fields` make, which a tool has as arguments of its own.
        """
        return self._search(query, k, **(restrictions or {}))

    async def asearch(
        self, query: str, k: int | None = None, restrictions: Mapping[str, Any] | None = None
    ) -> str:
        """Do as `search` does."""
        return await self._asearch(query, k, **(restrictions or {}))

    def _search(self, query: str, k: int | None = None, **restrictions: Any) -> str:
        try:
            count, condition = self._read(query, k, restrictions)
        except (InvalidRequestError, ValidationError) as error:
            return _describe(error)
        vector = self._model.get_query_embedding(query)
        return self._answer(self._find, vector, count, condition)

    async def _asearch(self, query: str, k: int | None = None, **restrictions: Any) -> str:
        try:
            count, condition = self._read(query, k, restrictions)
        except (InvalidRequestError, ValidationError) as error:
            return _describe(error)
        vector = await self._model.aget_query_embedding(query)
        return await self._aanswer(self._find, vector, count, condition)

    def _answer(self, flow: Callable[..., Flow[str]], *arguments: object) -> str:
        # An error that ends the agent's run helps it less than one that it can read and act upon.
        try:
            return self._clients.run(flow, *arguments)
        except OSSVectorError as error:
            return _describe(error)

    async def _aanswer(self, flow: Callable[..., Flow[str]], *arguments: object) -> str:
        try:
            return await self._clients.arun(flow, *arguments)
        except OSSVectorError as error:
            return _describe(error)

    def _fetch(self, context: Context, ids: object, start: object) -> Flow[str]:
        skipped = _whole_number("start", start, sys.maxsize)
        meant = yield from self._nodes(context, _ids_from(ids))
        texts = [self._passage(node) for node in meant.found.values()]
        return (yield from self._report(context, meant, texts, skipped))

    def _describe(self, context: Context, ids: object) -> Flow[str]:
        meant = yield from self._nodes(context, _ids_from(ids))
        described = [
            Passage(node.node_id, to_line(_visible_metadata(node))) for node in meant.found.values()
        ]
        return (yield from self._report(context, meant, described))

    def _check_existence(self, context: Context, ids: object) -> Flow[str]:
        def fetch(context: Context, keys: list[str]) -> Flow[Fetched[object]]:
            result = yield from self._records.fetch(context, keys, return_metadata=False)
            return result.by_key, result.missing

        meant = yield from fetch_meant(context, _ids_from(ids), self._access, self._max_ids, fetch)
        there = [Passage(key, None) for key in meant.found]
        return (yield from self._report(context, meant, there))

    def _fetch_neighbors(
        self, context: Context, ids: object, before: object, after: object
    ) -> Flow[str]:
        limit = self._max_ids
        hops = (_whole_number("before", before, limit), _whole_number("after", after, limit))
        # models write a list of one, too
        meant = yield from self._nodes(context, _ids_from(ids)[:1])
        texts: list[Passage] = []
        for node in list(meant.found.values())[:1]:
            around = yield from neighbours(context, self._lookup, node, hops, self._access.permits)
            texts += map(self._passage, around)
        return (yield from self._report(context, meant, texts))

    def _nodes(self, context: Context, ids: list[str]) -> Flow[Meant[BaseNode]]:
        def fetch(context: Context, keys: list[str]) -> Flow[Fetched[BaseNode]]:
            found: Found[BaseNode] = yield from self._records.or_empty(
                context, self._lookup.fetch_distinct(context, keys), lambda: Found([], tuple(keys))
            )
            return {node.node_id: node for node in found.made}, found.missing

        return (yield from fetch_meant(context, ids, self._access, self._max_ids, fetch))

    def _report(
        self, context: Context, meant: Meant[Any], passages: list[Passage], start: int = 0
    ) -> Flow[str]:
        records = self._records
        answer = Answer(
            passages,
            missing=(yield from suggest(context, meant.missing, self._access, records, self._scan)),
            refused=meant.refused,
            start=start,
            nothing="No ids were given.",
            fetch_tool="fetch_by_ids",
        )
        return (yield from answers.write_answer(answer, self._budget))

    @property
    def _model(self) -> BaseEmbedding:
        if self._embed_model is None:
            raise ConfigurationError("a search needs {embed_model=}.", argument="embed_model")
        return self._embed_model

    def _read(
        self, query: object, k: object, restrictions: Mapping[str, Any]
    ) -> tuple[int, Condition | None]:
        """Return how many texts a model asked for, and what it restricts them to."""
        given = {name: value for name, value in (("k", k),) if value is not None}
        checked = self._arguments.model_validate({"query": query, **given, **restrictions})
        passed = {
            name: getattr(checked, name) for name in checked.model_fields_set & {*restrictions}
        }
        return checked.k or self._k, read_arguments(self._filter_fields, passed)

    def _find(
        self, context: Context, vector: list[float], k: int, condition: Condition | None
    ) -> Flow[str]:
        found = yield from find_permitted(
            context,
            self._records,
            vector,
            k,
            access=self._access,
            conditions=[self._condition, condition],
            rank=rescore,
        )
        report_incomplete(found.incomplete)
        nodes = [(self._node(hit.record), hit.distance) for hit in found.hits]
        answer = Answer(
            [self._passage(node, far) for node, far in nodes if node is not None],
            note=answers.MAY_LACK if found.incomplete else "",
            nothing=answers.NOTHING_FOUND if condition is None else answers.NOTHING_PASSED,
            fetch_tool="fetch_by_ids",
        )
        return (yield from answers.write_answer(answer, self._budget))

    def _node(self, record: Record) -> BaseNode | None:
        """Return a record as a node; under "skip" one that can be none is left out."""
        try:
            return self._lookup.node(record)
        except DecodeError:
            if self._lookup.on_decode_error == "raise":
                raise
            skips = self._lookup.on_decode_error == "skip"
            return None if skips else self._lookup.node(replace(record, node=None, source="raw"))

    def _passage(self, node: BaseNode, distance: float | None = None) -> Passage:
        about = show_metadata(_visible_metadata(node), self._metadata_keys)
        return Passage(node.node_id, node.get_content(MetadataMode.NONE), distance, about)


def _describe(error: OSSVectorError | ValidationError) -> _Failure:
    if isinstance(error, OSSVectorError):
        return _Failure(answers.describe_failure(error))
    wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return _Failure(f"Error: nothing was searched. {'; '.join(wrong)}")


def _ids_from(ids: object) -> list[str]:
    """Return the ids that a model meant: a list, one id, a JSON array."""
    given = read_ids(ids)
    if not isinstance(given, list | tuple):
        raise InvalidRequestError(
            "{argument} must be a list of strings, not {kind}", argument="ids", value=ids
        )
    return list(dict.fromkeys(str(one) for one in given if str(one)))


def _whole_number(name: str, count: Any, limit: int) -> int:
    try:
        # clamped and not refused: a model that asks for 1,000 neighbours takes what it gets
        return max(0, min(int(count), limit))
    except (TypeError, ValueError, OverflowError):
        raise InvalidRequestError(
            "{argument} must be a whole number, not {value}", argument=name, value=count
        ) from None


def _core_tokens(text: str) -> Sequence[Any]:
    # Asked for at each use: a program may set LlamaIndex's tokenizer after it makes its tools, and
    # the default one reads its vocabulary from a file.
    return get_tokenizer()(text)


def _visible_metadata(node: BaseNode) -> Mapping[str, Any]:
    # what a program hides from its model stays hidden, whichever way the model asks
    hidden = set(node.excluded_llm_metadata_keys)
    seen = {name: value for name, value in node.metadata.items() if name not in hidden}
    return kept_metadata(seen, "json")
