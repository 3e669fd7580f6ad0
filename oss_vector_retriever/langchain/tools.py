"""`OSSVectorToolkit`: search and fetch for agents, with the same client, tenancy and budget."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from langchain_core.documents import Document
from langchain_core.tools.base import ArgsSchema, BaseTool, BaseToolkit
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import from_json

from ..client.context import Context, Flow
from ..client.errors import IncompleteSearchWarning
from ..client.operations.checks import check_data
from ..embeddings.stored import pick_similar, stored_embeddings
from ..records import DecodePolicy, Record
from ..records.answers import Access, Answer, Budget, Passage, Tokenizer, suggest, write_answer
from ..records.conditions import can_pass
from ..records.filters import read_filter
from ..records.lookup import Lookup, fetch_records
from ..records.search import Restriction, find_nearest, restriction_of
from ..records.settings import Exhaustive, IncompletePolicy, StoreSettings
from ..records.store import RecordStore
from .connection import STRICT, Connected
from .documents import document_from
from .embedder import QueryEmbedding, aquery_vector, query_vector
from .retriever import areport_incomplete, report_incomplete

_IDS_PER_CALL = 100  # one call of the service
_HITS_PER_CALL = 100
_OF_SEARCH = ("embedding", "filter", "k", "exhaustive", "scan_limit", "on_incomplete")
_MAY_LACK = "Not all documents could be searched: others may match as well."

Reply = tuple[str, list[Document]]
Hits = list[tuple[Document, float | None]]
Incomplete = IncompleteSearchWarning | None


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
        tokenizer: splits a text into tokens, such as `model.get_token_ids`.
        on_decode_error: of unreadable records: "raise", "skip" (a warning) or "raw" (as stored).
    """

    model_config = STRICT

    text_key: str | None = None
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

    def _lookup(self) -> Lookup:
        return Lookup(
            index=self.index, text_key=self.text_key, on_decode_error=self.on_decode_error
        )


class OSSVectorToolkit(_AgentSettings, BaseToolkit):
    """The tools for an agent: fetch documents by id and, with `embedding`, search.

    Attributes:
        embedding: an `Embeddings`, or a function from a query to its embedding; None leaves out
            the search.
        filter: `{"field": value}` or the service's full grammar; always in force when searching.
        k: how many documents a search shows where the model does not say.
        exhaustive, scan_limit, on_incomplete: of searches, as of `OSSVectorStore`.
        scan: how many keys to list, at most, to suggest near misses.
    """

    model_config = STRICT

    embedding: QueryEmbedding | None = Field(default=None, exclude=True, repr=False)
    filter: Mapping[str, Any] | None = None
    k: int = Field(default=5, gt=0, le=_HITS_PER_CALL)
    exhaustive: Exhaustive = "auto"
    scan_limit: int = Field(default=20_000, gt=0)
    on_incomplete: IncompletePolicy = "warn"
    scan: int = Field(default=0, ge=0)

    def get_tools(self) -> list[BaseTool]:
        """Return the tools: search first, where there is an embedding, then fetch."""
        # The tools take everything under the toolkit's names, so that a limit that is added to one
        # cannot be forgotten in the other.
        shared = {name: getattr(self, name) for name in type(self).model_fields}
        shared["client"] = self._source  # what came back from another process
        of_fetch = {"scan": shared.pop("scan")}
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
        if not isinstance(value, str):
            return value
        # some models write the list as text
        with suppress(ValueError):
            if isinstance(ids := from_json(value), list):
                return ids
        return [value]


class OSSVectorFetchTool(_AgentSettings, BaseTool):
    """A tool that reads documents by id, names ids that do not exist and suggests near misses.

    Ids outside `allowed_keys` and `key_prefix` do not exist for the agent, and are not asked for.
    All ids cross the network in one call. Answers name ids as JSON strings, and each text stands
    between marks of that answer, which no document can forge.

    Attributes:
        scan: how many keys to list, at most, to suggest near misses of an id that does not exist;
            0 makes no call for it. Suggestions out of `allowed_keys` need none.
        max_characters_per_document: of one document's text in one answer.
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
        return self._clients.run(self._fetch, ids, start)

    async def _arun(self, ids: Sequence[str], start: int = 0, **_: Any) -> Reply:
        return await self._clients.arun(self._fetch, ids, start)

    def _fetch(self, context: Context, ids: Sequence[str], start: int) -> Flow[Reply]:
        access = self._access()
        keys = access.fetchable(context, ids)
        found = yield from fetch_records(context, self._lookup(), keys, document_from)
        there = {*keys} - {*found.missing}  # skipped records too: no other id was meant
        missing = [key for key in dict.fromkeys(ids) if key not in there]
        answer = Answer(
            [Passage(str(document.id), document.page_content) for document in found.made],
            missing=(yield from suggest(context, missing, access, self.index, self.scan)),
            start=start,
            fetch_tool=self.name,
        )
        text = yield from write_answer(answer, self._budget(self.max_characters_per_document))
        return text, found.made


class SearchArguments(BaseModel):
    """What a model passes to search."""

    query: str = Field(description="What to look for, in plain words.", min_length=1)
    k: int | None = Field(
        default=None, gt=0, le=_HITS_PER_CALL, description="How many documents, at most."
    )


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
        exhaustive, scan_limit, on_incomplete: as of `OSSVectorStore`; the model is told as well
            where others may match.
        fetch_tool: the name of the tool that reads documents by id, to which cut texts then point.
        max_characters_per_document: of one document's text in one answer.
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
    k: int = Field(default=5, gt=0, le=_HITS_PER_CALL)
    filter: Mapping[str, Any] | None = None
    exhaustive: Exhaustive = "auto"
    scan_limit: int = Field(default=20_000, gt=0)
    on_incomplete: IncompletePolicy = "warn"
    fetch_tool: str | None = None
    max_characters_per_document: int | None = Field(default=1_000, gt=0)

    def _run(self, query: str, k: int | None = None, **_: Any) -> Reply:
        vector = query_vector(self.embedding, query)
        reply, incomplete = self._clients.run(self._search, vector, k or self.k)
        report_incomplete(incomplete)
        return reply

    async def _arun(self, query: str, k: int | None = None, **_: Any) -> Reply:
        vector = await aquery_vector(self.embedding, query)
        reply, incomplete = await self._clients.arun(self._search, vector, k or self.k)
        await areport_incomplete(incomplete)
        return reply

    def _search(self, context: Context, vector: Any, k: int) -> Flow[tuple[Reply, Incomplete]]:
        incomplete: Incomplete = None
        none_allowed = self.allowed_keys is not None and not self._access().visible_keys
        if none_allowed or not can_pass(read_filter(self.filter)):
            hits: Hits = []
        elif self.allowed_keys is not None and self.filter is None:
            hits = yield from self._nearest_allowed(context, vector, k)
        else:
            hits, incomplete = yield from self._nearest(context, vector, k)
        answer = Answer(
            [Passage(str(document.id), document.page_content, far) for document, far in hits],
            note=_MAY_LACK if incomplete else "",
            nothing="Nothing was found.",
            fetch_tool=self.fetch_tool,
        )
        text = yield from write_answer(answer, self._budget(self.max_characters_per_document))
        return (text, [document for document, _ in hits]), incomplete

    def _nearest(self, context: Context, vector: Any, k: int) -> Flow[tuple[Hits, Incomplete]]:
        access, records = self._access(), RecordStore(self._settings)
        condition = read_filter(self.filter)

        def restrict() -> Restriction[Record]:
            of_all = restriction_of(context, records, condition)
            if not access.restricted:
                return of_all
            # the service cannot filter by key
            return Restriction(
                lambda one: of_all.read(one) if access.permits(one.key) else None,
                of_all.pushed,
                is_whole=False,
            )

        query = check_data("query_vector", vector, "the query vector")
        found = yield from find_nearest(context, records, query, k, restrict)
        hits: Hits = [(document_from(hit.record), hit.distance) for hit in found.hits]
        return hits, found.incomplete

    @property
    def _settings(self) -> StoreSettings:
        # an index that is not there is an agent's to hear of
        return StoreSettings(
            index=self.index,
            create_index=False,
            text_key=self.text_key,
            on_decode_error=self.on_decode_error,
            exhaustive=self.exhaustive,
            scan_limit=self.scan_limit,
            on_incomplete=self.on_incomplete,
        )

    def _nearest_allowed(self, context: Context, vector: Any, k: int) -> Flow[Hits]:
        keys = self._access().visible_keys
        stored = yield from stored_embeddings(context, keys, index=self.index, on_missing="omit")
        picks = pick_similar(stored, vector, k=k)
        far = {keys[position]: 1.0 - (score or 0.0) for position, score in picks}
        found = yield from fetch_records(context, self._lookup(), list(far), document_from)
        return [(document, far[str(document.id)]) for document in found.made]
