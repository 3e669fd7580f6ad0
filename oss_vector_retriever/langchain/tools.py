"""`OSSVectorToolkit`: search and fetch for agents, with the same client, tenancy and budget."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from langchain_core.documents import Document
from langchain_core.tools.base import ArgsSchema, BaseTool, BaseToolkit, ToolException
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..client.context import Context, Flow
from ..client.errors import (
    ConfigurationError,
    IncompleteSearchWarning,
    InvalidRequestError,
    OSSVectorError,
)
from ..embeddings.mathematics import rescore
from ..records import DecodePolicy
from ..records.agent_ids import Access, Fetched, fetch_meant, read_ids, suggest
from ..records.agent_search import (
    MOST_HITS,
    FilterFields,
    SearchArguments,
    find_permitted,
    read_arguments,
    search_arguments,
)
from ..records.answers import (
    MAY_LACK,
    NOTHING_FOUND,
    NOTHING_PASSED,
    Answer,
    Budget,
    Passage,
    Tokenizer,
    describe_failure,
    show_metadata,
    write_answer,
)
from ..records.conditions import Condition
from ..records.filters import read_filter
from ..records.settings import Exhaustive, IncompletePolicy, StoreSettings
from ..records.store import RecordStore
from .connection import STRICT, Connected
from .documents import document_from
from .embedder import QueryEmbedding, aquery_vector, query_vector
from .retriever import areport_incomplete, report_incomplete

_IDS_PER_CALL = 100  # one call of the service
_OF_FETCH = ("scan",)
_OF_SEARCH = (
    *("embedding", "filter", "filter_fields", "k"),
    *("exhaustive", "scan_limit", "on_incomplete"),
)

Reply = tuple[str, list[Document]]
Incomplete = IncompleteSearchWarning | None


@contextmanager
def _as_tool_exceptions() -> Iterator[None]:
    """Raise what LangChain lets `handle_tool_error` act on, with words for the model.

    What the programmer has to mend stays what it is: no model can.
    """
    try:
        yield
    except (ConfigurationError, InvalidRequestError):
        raise
    except OSSVectorError as error:
        raise ToolException(describe_failure(error)) from error


class _AgentSettings(Connected):
    """What the tools and their toolkit have in common: a client, tenancy and a budget.

    Attributes:
        client: a client of either kind; by default one of `bucket`, ... and the environment.
        index: another index than the client's own.
        text_key: where another program keeps text, if not in `text`, `content`, `page_content`.
        allowed_keys: the only keys that exist for the agent; None for any.
        key_prefix: what each key that exists for the agent begins with.
        max_characters: of one answer; a token is about four of English. None sets no bound.
        max_tokens: of one answer, counted by `tokenizer`; None sets no bound.
        tokenizer: counts the tokens of a text, or returns them, such as `model.get_num_tokens`.
        metadata_keys: fields of metadata that are shown with each document, such as `("title",
            "url", "page")`, so that a model can cite.
        on_decode_error: of unreadable records: "raise", "skip" (a warning) or "raw" (as stored).
    """

    model_config = STRICT

    text_key: str | None = None
    metadata_keys: tuple[str, ...] = ()
    allowed_keys: frozenset[str] | None = Field(default=None, repr=False)
    key_prefix: str = ""
    max_characters: int | None = Field(default=20_000, gt=0)
    max_tokens: int | None = Field(default=None, gt=0)
    tokenizer: Tokenizer | None = Field(default=None, exclude=True, repr=False)
    on_decode_error: DecodePolicy = "skip"

    def model_post_init(self, context: Any, /) -> None:
        """Refuse a budget in tokens that nothing counts."""
        super().model_post_init(context)
        self._budget()

    def _budget(self, max_characters_per_document: int | None = None) -> Budget:
        return Budget(
            self.max_characters, self.max_tokens, self.tokenizer, max_characters_per_document
        )

    def _access(self) -> Access:
        return Access(self.allowed_keys, self.key_prefix)

    def _passage(self, document: Document, distance: float | None = None) -> Passage:
        about = show_metadata(document.metadata, self.metadata_keys)
        return Passage(str(document.id), document.page_content, distance, about)

    def _records(self, **of_search: Any) -> RecordStore:
        return RecordStore(
            StoreSettings(
                index=self.index,
                text_key=self.text_key,
                on_decode_error=self.on_decode_error,
                **of_search,
            )
        )


class OSSVectorToolkit(_AgentSettings, BaseToolkit):
    """The tools for an agent: fetch documents by id and, with `embedding`, search.

    Attributes:
        embedding: an `Embeddings`, or a function from a query to its embedding; None leaves out
            the search.
        filter: `{"field": value}` or the service's full grammar; always in force when searching.
        filter_fields: fields by which the model may restrict a search, as of `OSSVectorSearchTool`.
        k: how many documents a search shows where the model does not say.
        exhaustive, scan_limit, on_incomplete: of searches, as of `OSSVectorStore`.
        scan: how many keys to list, at most, to suggest near misses.
        handle_tool_error: True has a failure of the service read by the model, which may go on;
            False, LangChain's own default, ends the run. Or as `BaseTool` has it.

    Examples:
        >>> kit = OSSVectorToolkit(client=OSSVectorClient.local(), embedding=lambda text: [1.0])
        >>> [tool.name for tool in kit.get_tools()]
        ['search_documents', 'fetch_documents']
    """

    model_config = STRICT

    embedding: QueryEmbedding | None = Field(default=None, exclude=True, repr=False)
    filter: Mapping[str, Any] | None = None
    filter_fields: FilterFields | None = Field(default=None, exclude=True, repr=False)
    k: int = Field(default=5, gt=0, le=MOST_HITS)
    exhaustive: Exhaustive = "auto"
    scan_limit: int = Field(default=20_000, gt=0)
    on_incomplete: IncompletePolicy = "warn"
    scan: int = Field(default=0, ge=0)
    handle_tool_error: bool | str | Callable[[ToolException], str] | None = Field(
        default=False, exclude=True, repr=False
    )

    def get_tools(self) -> list[BaseTool]:
        """Return the tools: search first, where there is an embedding, then fetch."""
        # The tools take everything under the toolkit's names, so that a limit that is added to one
        # cannot be forgotten in the other.
        shared = {name: getattr(self, name) for name in type(self).model_fields}
        shared["client"] = self._source  # what came back from another process
        of_fetch = {name: shared.pop(name) for name in _OF_FETCH}
        of_search = {name: shared.pop(name) for name in _OF_SEARCH}
        fetch = OSSVectorFetchTool(**shared, **of_fetch)
        self._lend_clients(fetch)  # so that closing the toolkit closes what its tools use
        if self.embedding is None:
            return [fetch]
        search = OSSVectorSearchTool(**shared, **of_search, fetch_tool=fetch.name)
        self._lend_clients(search)
        search.description += f" Read more of one by passing its id to {fetch.name}."
        return [search, fetch]


class FetchArguments(BaseModel):
    """What a model passes to read documents."""

    # models write ids that look like numbers as numbers
    model_config = ConfigDict(coerce_numbers_to_str=True)

    ids: list[str] = Field(
        description="The ids of the documents to read, exactly as they were shown.",
        min_length=1,
        max_length=_IDS_PER_CALL,
    )
    start: int = Field(
        default=0, ge=0, description="Skip so many characters of each, to read on after a cut."
    )

    @field_validator("ids", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        """Take what models write in place of a list: one id, or a list as JSON text."""
        return read_ids(value)


class OSSVectorFetchTool(_AgentSettings, BaseTool):
    """A tool that reads documents by id, names ids that do not exist and suggests near misses.

    Ids outside `allowed_keys` and `key_prefix` do not exist for the agent, and are not asked for.
    All ids cross the network in one call. Where an id does not exist and was written with what
    stands around ids in answers, or is several in one string, what was meant is read in a second.
    Answers name ids as JSON strings, and each text stands between marks of that answer, which no
    document can forge. An index that is not there has no documents; any other failure of the
    service is a `ToolException`.

    Attributes:
        scan: how many keys to list, at most, to suggest near misses of an id that does not exist;
            0 makes no call for it. Suggestions out of `allowed_keys` need none.
        max_characters_per_document: of one document's text in one answer.

    Examples:
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> _ = client.upsert([{"key": "tea", "data": [1, 0], "metadata": {"text": "Green tea."}}])
        >>> answer = OSSVectorFetchTool(client=client).invoke({"ids": ["tea", "coffee"]})
        >>> answer.splitlines()[0], "Green tea." in answer
        ('Not found: "coffee"', True)
    """

    model_config = STRICT

    name: str = "fetch_documents"
    description: str = (
        "Read documents by their ids. Returns the text of each with its id, and names ids that do "
        "not exist. Long documents are cut, with a hint how to read on."
    )
    args_schema: ArgsSchema | None = FetchArguments
    # the Documents are the artifact: chains read them, and the model only the text
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    max_characters_per_document: int | None = Field(default=4_000, gt=0)
    scan: int = Field(default=0, ge=0)

    def _run(self, ids: Sequence[str], start: int = 0, **_: Any) -> Reply:
        with _as_tool_exceptions():
            return self._clients.run(self._fetch, ids, start)

    async def _arun(self, ids: Sequence[str], start: int = 0, **_: Any) -> Reply:
        with _as_tool_exceptions():
            return await self._clients.arun(self._fetch, ids, start)

    def _fetch(self, context: Context, ids: Sequence[str], start: int) -> Flow[Reply]:
        access, records = self._access(), self._records()

        def fetch(context: Context, keys: list[str]) -> Flow[Fetched[Document]]:
            found = yield from records.fetch_records(context, keys, document_from)
            return {str(document.id): document for document in found.made}, found.missing

        meant = yield from fetch_meant(context, ids, access, _IDS_PER_CALL, fetch)
        documents = list(meant.found.values())
        answer = Answer(
            [self._passage(document) for document in documents],
            missing=(yield from suggest(context, meant.missing, access, records, self.scan)),
            refused=meant.refused,
            start=start,
            fetch_tool=self.name,
        )
        text = yield from write_answer(answer, self._budget(self.max_characters_per_document))
        return text, documents


class OSSVectorSearchTool(_AgentSettings, BaseTool):
    """A tool that finds documents by meaning: the nearest first, with their ids and distances.

    Of `allowed_keys` the stored embeddings are fetched and compared by cosine, so nothing else is
    ever touched. The service cannot filter by key: under `key_prefix`, or `allowed_keys` with a
    `filter`, more is asked for than is shown, and those outside are dropped unseen; a tenant's
    field in `filter` keeps them from being looked at.

    Attributes:
        embedding: an `Embeddings`, or a function from the query to its embedding.
        k: how many to show where the model does not say.
        filter: `{"field": value}` or the service's full grammar; always in force.
        filter_fields: fields by which the model may restrict its search, each with its type, or
            `(type, description)`: str, int, float, bool, date, datetime, an Enum, a Literal, or a
            list of one, any of which passes. Of numbers and dates there are `<name>_min` and
            `<name>_max` too. They become arguments of the tool; what it is not known to have is
            refused. They restrict what `filter` leaves, and never widen it.
        exhaustive, scan_limit, on_incomplete: as of `OSSVectorStore`; the model is told as well
            where others may match.
        fetch_tool: the name of the tool that reads documents by id, to which cut texts then point.
        max_characters_per_document: of one document's text in one answer.

    Examples:
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> _ = client.upsert([{"key": "tea", "data": [1, 0], "metadata": {"text": "Green tea."}}])
        >>> search = OSSVectorSearchTool(client=client, embedding=lambda query: [1.0, 0.0])
        >>> "Green tea." in search.invoke({"query": "something hot"})
        True
    """

    model_config = STRICT

    name: str = "search_documents"
    description: str = (
        "Find documents by meaning. Returns the best matches with their ids and the beginning of "
        "their text."
    )
    args_schema: ArgsSchema | None = SearchArguments
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    embedding: QueryEmbedding = Field(exclude=True, repr=False)
    k: int = Field(default=5, gt=0, le=MOST_HITS)
    filter: Mapping[str, Any] | None = None
    filter_fields: FilterFields | None = Field(default=None, exclude=True, repr=False)
    exhaustive: Exhaustive = "auto"
    scan_limit: int = Field(default=20_000, gt=0)
    on_incomplete: IncompletePolicy = "warn"
    fetch_tool: str | None = None
    max_characters_per_document: int | None = Field(default=1_000, gt=0)

    def model_post_init(self, context: Any, /) -> None:
        """Make arguments of the fields, where no others were given."""
        super().model_post_init(context)
        if self.args_schema is SearchArguments:
            self.args_schema = search_arguments(self.filter_fields)

    def _run(self, query: str, k: int | None = None, **given: Any) -> Reply:
        condition = self._read(given)
        vector = query_vector(self.embedding, query)
        with _as_tool_exceptions():
            reply, incomplete = self._clients.run(self._search, vector, k or self.k, condition)
        report_incomplete(incomplete)
        return reply

    async def _arun(self, query: str, k: int | None = None, **given: Any) -> Reply:
        condition = self._read(given)
        vector = await aquery_vector(self.embedding, query)
        with _as_tool_exceptions():
            reply, incomplete = await self._clients.arun(
                self._search, vector, k or self.k, condition
            )
        await areport_incomplete(incomplete)
        return reply

    def _read(self, given: Mapping[str, Any]) -> Condition | None:
        try:
            return read_arguments(self.filter_fields, given)
        except InvalidRequestError as error:  # the model's own, who can mend it
            raise ToolException(describe_failure(error)) from error

    def _search(
        self, context: Context, vector: Any, k: int, condition: Condition | None
    ) -> Flow[tuple[Reply, Incomplete]]:
        records = self._records(
            exhaustive=self.exhaustive, scan_limit=self.scan_limit, on_incomplete=self.on_incomplete
        )
        found = yield from find_permitted(
            context,
            records,
            vector,
            k,
            access=self._access(),
            conditions=[read_filter(self.filter), condition],
            rank=rescore,
        )
        hits = [(document_from(hit.record), hit.distance) for hit in found.hits]
        answer = Answer(
            [self._passage(document, far) for document, far in hits],
            note=MAY_LACK if found.incomplete else "",
            nothing=NOTHING_FOUND if condition is None else NOTHING_PASSED,
            fetch_tool=self.fetch_tool,
        )
        text = yield from write_answer(answer, self._budget(self.max_characters_per_document))
        return (text, [document for document, _ in hits]), found.incomplete

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        if self.args_schema is not None and self.filter_fields:
            # a class that was made of the fields, which another process makes of them again
            state["__dict__"] = {**state["__dict__"], "args_schema": SearchArguments}
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        if self.args_schema is SearchArguments:
            self.args_schema = search_arguments(self.filter_fields)
