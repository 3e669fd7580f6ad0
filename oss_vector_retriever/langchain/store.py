"""`OSSVectorStore`: LangChain's vector store on OSS Vectors."""

# ruff: noqa: A002 - `filter` and `id` are LangChain's own names

from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Final, Self, TypedDict, TypeVar, Unpack

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever

from ..client.context import Context, Flow
from ..client.errors import ConfigurationError, IncompleteSearchWarning, InvalidRequestError
from ..client.pair import context_of
from ..embeddings import maximal_marginal_relevance
from ..records import (
    BadRecordPolicy,
    BadRecordsReport,
    DecodePolicy,
    DistanceMetric,
    Record,
    WrittenIds,
)
from ..records.conditions import Condition
from ..records.filters import Filter, read_filter
from ..records.listing import Walk, cut_out, delete_passing, delete_those_passing, list_passing
from ..records.search import Hit, SearchResult, mmr_search, relevance, search, search_by_key
from ..records.settings import (
    Completion,
    Exhaustive,
    IncompletePolicy,
    ListFields,
    Scalars,
    SideIndexName,
)
from ..records.store import RecordStore
from .connection import ConnectedComponent
from .documents import document_from, embedding_of
from .embedder import Embedder
from .pending_writes import Embedding, PendingWrites
from .retriever import areport_incomplete, report_incomplete, reporting_to

T = TypeVar("T")
Find = Callable[..., Flow[SearchResult[Record]]]
FoundDocument = tuple[Document, Hit[Record]]
ScoredDocument = tuple[Document, float]
EmbeddedDocument = tuple[Document, list[float]]


class SearchOptions(TypedDict, total=False):
    """Options of one search, in place of the store's settings of the same names.

    Attributes:
        exhaustive: list the index and rank here what matches, where the search found too few:
            "auto", True or False.
        scan_limit: list so many records at most, under "auto".
        on_incomplete: where the answer may lack records: "warn", "raise" or "ignore".
    """

    exhaustive: Exhaustive
    scan_limit: int
    on_incomplete: IncompletePolicy


@dataclass(eq=False, repr=False)
class OSSVectorStore(ConnectedComponent, VectorStore):
    """Documents with their embeddings: searched, fetched by id, written and deleted.

    Every async method is native: no call blocks the event loop. Text and typed metadata come back
    exactly as they were given; `Document.id` is the key.

    A search returns `k` at most. `filter` is `{"field": value}` or the service's full grammar, with
    `$not` and `$contains`, on any field of metadata; a list passes where any of its items does. A
    score is the distance: smaller is closer. What `score_key` puts into metadata is the relevance:
    from 0 to 1, larger is closer. Arguments that a method does not have are refused.

    Args:
        embedding: the embedding model; without one, give embeddings and search by vector or id.
        client: a client of either kind; by default one of `bucket`, ... and the environment.
        index: another index than the client's own.
        distance_metric: "cosine" or "euclidean", of the index that the first write makes; one that
            is there must have it. None takes what is there, and makes cosine.
        create_index: make the index on the first write, and read one that is not there as empty.
        filterable: metadata fields to copy where the service's filters, and other programs, see
            them: at most 9 with 2 KB together, or a record is refused. None: all that the service
            can hold (strings, numbers, booleans, lists of strings) and that fit, 7 of them. What
            has no copy can be filtered by all the same, more slowly.
        non_filterable: further fields that an index made here keeps out of its filters.
        text_key: where another program keeps text, if not in `text`, `content`, `page_content`.
        scalars: how numbers and booleans are copied: "native", as they are; "strings"; or "auto",
            as they are unless the service refuses them or turns them into strings.
        list_fields: whether a list passes a filter if "any" of its items does, or as a whole,
            "exact".
        embedding_key: the metadata field that receives the stored embedding, as a list of floats,
            in every Document read; when Documents are written the field is left out.
        score_key: the metadata field that receives the relevance, from 0 to 1, in every Document
            that a search finds; when Documents are written the field is left out.
        on_decode_error: of unreadable records: "raise", "skip" (a warning) or "raw" (as stored).
        on_bad_record: of records that cannot be stored, when several are written: "raise" names
            them all, and nothing is written; "skip" writes the others, with a warning in the log;
            "report" writes the others, and says it in `report` alone, an attribute of the ids that
            are returned. This is an argument of each writing method as well.
        skip_rows: leave out of searches the rows of key-value stores in the same index.
        exhaustive: where the service's own search finds too few, list the index and rank here what
            matches: "auto", as far as `scan_limit`; True, to its end; False, never. This, and the
            next two, are arguments of each search as well.
        scan_limit: list so many records at most, under "auto".
        on_incomplete: where an answer may lack records: "warn", an `IncompleteSearchWarning` and an
            event to callbacks; "raise" the same; or "ignore".
        filters_first: whether the service filters before it ranks; None finds out.
        read_your_writes: have searches find what this process has just written, and no longer
            what it has deleted, though the service shows it some seconds late. True: writes of the
            last 10 seconds count, of 30 in an index that this process has made; a number: of so
            many seconds; False: none do. Each search then gets by key what may be near enough.
        side_index: the index beside this one for the parts of values over 36 KB, made by the first
            of them. None: its name is that of the index and "side". False: there is none, and what
            is larger is refused.

    Raises:
        ConfigurationError: `embedding` or `client` is of another type.
        InvalidRequestError: a setting is impossible.

    Examples:
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> model, client = DeterministicFakeEmbedding(size=2), OSSVectorClient.local()
        >>> store = OSSVectorStore(model, client=client)
        >>> _ = store.add_texts(["Green tea.", "Coffee."], ids=["tea", "coffee"])
        >>> [found.page_content for found in store.get_by_ids(["coffee", "tea"])]
        ['Coffee.', 'Green tea.']
        >>> store.similarity_search("Coffee.", k=1)[0].id
        'coffee'
    """

    embedding: Embeddings | None = None
    _: KW_ONLY
    index: str | None = None
    distance_metric: DistanceMetric | None = "cosine"
    create_index: bool = True
    filterable: Sequence[str] | None = None
    non_filterable: Sequence[str] = ()
    text_key: str | None = None
    scalars: Scalars = "auto"
    list_fields: ListFields = "any"
    embedding_key: str | None = None
    score_key: str | None = None
    on_decode_error: DecodePolicy = "raise"
    on_bad_record: BadRecordPolicy = "raise"
    skip_rows: bool = False
    exhaustive: Exhaustive = "auto"
    scan_limit: int = 20_000
    on_incomplete: IncompletePolicy = "warn"
    filters_first: bool | None = None
    read_your_writes: bool | float = True
    side_index: SideIndexName = None

    def __post_init__(self) -> None:
        """Check what was given; nothing is called yet."""
        if self.embedding_key is not None and self.embedding_key == self.score_key:
            raise ConfigurationError(
                f"embedding_key and score_key are both {self.score_key!r}; name two fields of "
                "metadata."
            )
        self._embedder = Embedder(self.embedding)
        settings = self._store_settings()
        super().__post_init__()
        self._records = RecordStore(settings, context_of(self.client, self.index))
        self._bad_records = BadRecordsReport()

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        **options: Any,
    ) -> Self:
        """Return a store with these texts in it; `options` are those of the constructor."""
        store = cls(embedding, **options)
        store.add_texts(texts, metadatas, ids=ids, embeddings=embeddings, batch_size=batch_size)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        **options: Any,
    ) -> Self:
        """Do as `from_texts` does."""
        store = cls(embedding, **options)
        await store.aadd_texts(
            texts, metadatas, ids=ids, embeddings=embeddings, batch_size=batch_size
        )
        return store

    @property
    def embeddings(self) -> Embeddings | None:
        """Return the embedding model."""
        return self._embedder.model

    @property
    def bad_records(self) -> BadRecordsReport:
        """Return what the latest write through this object has left out, as after `from_texts`.

        Where threads or tasks share the store, look at the `report` of what each write returns.
        """
        return self._bad_records

    def run(self, flow: Callable[..., Flow[T]], /, *arguments: Any, **keywords: Any) -> T:
        """Run the flow `flow(context, *arguments, **keywords)` on the store's client, blocking."""
        return self._clients.run(flow, *arguments, **keywords)

    async def arun(self, flow: Callable[..., Flow[T]], /, *arguments: Any, **keywords: Any) -> T:
        """Run the flow `flow(context, *arguments, **keywords)` on the store's client."""
        return await self._clients.arun(flow, *arguments, **keywords)

    # not the model's own repr, which may show a key
    def __repr__(self) -> str:
        model = type(self.embeddings).__name__ if self.embeddings else None
        return f"{type(self).__name__}(index={self.index!r}, embedding={model})"

    # Fetching by id

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return Documents by id, in the order asked, a repeated id answered each time.

        Ids that do not exist are left out. No ids: no call.
        """
        return self._clients.run(self._fetch_documents, ids)

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Do as `get_by_ids` does."""
        return await self._clients.arun(self._fetch_documents, ids)

    def get_by_ids_with_embeddings(self, ids: Sequence[str], /) -> list[EmbeddedDocument]:
        """Return Documents by id, each with its stored embedding; as `get_by_ids` otherwise."""
        return self._clients.run(self._fetch_pairs, ids)

    async def aget_by_ids_with_embeddings(self, ids: Sequence[str], /) -> list[EmbeddedDocument]:
        """Do as `get_by_ids_with_embeddings` does."""
        return await self._clients.arun(self._fetch_pairs, ids)

    def _fetch_documents(
        self, context: Context, ids: Sequence[str], condition: Condition | None = None
    ) -> Flow[list[Document]]:
        return_data = self._returns_data
        # the plain function, where nothing is added: a call less for each record
        make = self._document if return_data else document_from
        found = yield from self._records.fetch_records(
            context, ids, make, return_data=return_data, condition=condition
        )
        return found.made

    def _fetch_pairs(self, context: Context, ids: Sequence[str]) -> Flow[list[EmbeddedDocument]]:
        found = yield from self._records.fetch_records(
            context, ids, lambda r: (self._document(r), embedding_of(r)), return_data=True
        )
        return found.made

    # Reading by filter, without a query

    def get(
        self,
        ids: Sequence[str] | None = None,
        *,
        filter: Filter | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Document]:
        """Return the Documents with these ids, or of the whole index, that pass a filter.

        Without `ids` the index is listed, and nothing is ranked: one call for each 1,000 Documents
        that pass, or for each 1,000 of the index where the service does not filter its listings.
        The order is the listing's, which has no meaning; it stays as long as nothing is written, so
        that `limit` and `offset` page through. `iter_documents` keeps less in memory.

        Args:
            ids: which, in the order asked; those that do not exist are left out.
            filter: as in a search.
            limit: return so many at most.
            offset: leave out so many at the beginning.
        """
        return self._clients.run(self._get, ids, filter, limit, offset)

    async def aget(
        self,
        ids: Sequence[str] | None = None,
        *,
        filter: Filter | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Document]:
        """Do as `get` does."""
        return await self._clients.arun(self._get, ids, filter, limit, offset)

    def iter_documents(self, filter: Filter | None = None) -> Iterator[Document]:
        """Walk through the Documents that pass a filter, all by default, in bounded memory.

        They come in no order. Four pages of 1,000 are in memory at most. What is there from
        beginning to end comes exactly once; what is written or deleted meanwhile may come or not.
        """
        return self._iterate(Walk(self._records, read_filter(filter), self._returns_data))

    def aiter_documents(self, filter: Filter | None = None) -> AsyncIterator[Document]:
        """Do as `iter_documents` does."""
        return self._aiterate(Walk(self._records, read_filter(filter), self._returns_data))

    def _iterate(self, walk: Walk) -> Iterator[Document]:
        while not walk.is_done:
            yield from map(self._document, self._clients.run(walk.read_on))

    async def _aiterate(self, walk: Walk) -> AsyncIterator[Document]:
        while not walk.is_done:
            for record in await self._clients.arun(walk.read_on):
                yield self._document(record)

    @property
    def _returns_data(self) -> bool:
        return self.embedding_key is not None

    def _get(
        self,
        context: Context,
        ids: Sequence[str] | None,
        filter: Filter | None,
        limit: int | None,
        offset: int,
    ) -> Flow[list[Document]]:
        condition = read_filter(filter)
        if ids is not None:
            found = yield from self._fetch_documents(context, ids, condition)
            return cut_out(found, limit, offset)
        records = yield from list_passing(
            context,
            self._records,
            condition,
            return_data=self._returns_data,
            limit=limit,
            offset=offset,
        )
        return [self._document(record) for record in records]

    # Searching by text, by vector and by stored id; `options` are those of `SearchOptions`

    def similarity_search(  # type: ignore[override]  # LangChain's takes any option
        self,
        query: str,
        k: int = 4,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Document]:
        """Return the Documents closest to a text, closest first."""
        how = self._completion(options)
        vector = self._embedder.embed_query(query)
        return _documents(self._find(search, vector, k, filter, how))

    async def asimilarity_search(  # type: ignore[override]  # LangChain's takes any option
        self,
        query: str,
        k: int = 4,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Document]:
        """Do as `similarity_search` does."""
        how = self._completion(options)
        vector = await self._embedder.aembed_query(query)
        return _documents(await self._afind(search, vector, k, filter, how))

    def similarity_search_by_vector(  # type: ignore[override]  # LangChain's takes any option
        self,
        embedding: Embedding,
        k: int = 4,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Document]:
        """Return the Documents closest to a vector, closest first."""
        return _documents(self._find(search, embedding, k, filter, self._completion(options)))

    async def asimilarity_search_by_vector(  # type: ignore[override]  # LangChain's takes any option
        self,
        embedding: Embedding,
        k: int = 4,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Document]:
        """Do as `similarity_search_by_vector` does."""
        how = self._completion(options)
        return _documents(await self._afind(search, embedding, k, filter, how))

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[ScoredDocument]:
        """Return the Documents closest to a text, each with its distance."""
        how = self._completion(options)
        vector = self._embedder.embed_query(query)
        return _with_distances(self._find(search, vector, k, filter, how))

    async def asimilarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[ScoredDocument]:
        """Do as `similarity_search_with_score` does."""
        how = self._completion(options)
        vector = await self._embedder.aembed_query(query)
        return _with_distances(await self._afind(search, vector, k, filter, how))

    def similarity_search_with_score_by_vector(
        self,
        embedding: Embedding,
        k: int = 4,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[ScoredDocument]:
        """Return the Documents closest to a vector, each with its distance."""
        return _with_distances(self._find(search, embedding, k, filter, self._completion(options)))

    async def asimilarity_search_with_score_by_vector(
        self,
        embedding: Embedding,
        k: int = 4,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[ScoredDocument]:
        """Do as `similarity_search_with_score_by_vector` does."""
        how = self._completion(options)
        return _with_distances(await self._afind(search, embedding, k, filter, how))

    def similarity_search_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None, **options: Unpack[SearchOptions]
    ) -> list[Document]:
        """Return the Documents closest to a stored one, itself left out; no embedding call.

        Raises:
            MissingKeysError: there is no such id.
        """
        return _documents(self._find(search_by_key, id, k, filter, self._completion(options)))

    async def asimilarity_search_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None, **options: Unpack[SearchOptions]
    ) -> list[Document]:
        """Do as `similarity_search_by_id` does."""
        how = self._completion(options)
        return _documents(await self._afind(search_by_key, id, k, filter, how))

    def similarity_search_with_score_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None, **options: Unpack[SearchOptions]
    ) -> list[ScoredDocument]:
        """Return the Documents closest to a stored one, each with its distance.

        Raises:
            MissingKeysError: there is no such id.
        """
        return _with_distances(self._find(search_by_key, id, k, filter, self._completion(options)))

    async def asimilarity_search_with_score_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None, **options: Unpack[SearchOptions]
    ) -> list[ScoredDocument]:
        """Do as `similarity_search_with_score_by_id` does."""
        how = self._completion(options)
        return _with_distances(await self._afind(search_by_key, id, k, filter, how))

    def similarity_search_with_embeddings(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[EmbeddedDocument]:
        """Return the Documents closest to a text, each with its stored embedding."""
        how = self._completion(options)
        vector = self._embedder.embed_query(query)
        found = self._find(search, vector, k, filter, how, return_data=True)
        return _with_embeddings(found)

    async def asimilarity_search_with_embeddings(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[EmbeddedDocument]:
        """Do as `similarity_search_with_embeddings` does."""
        how = self._completion(options)
        vector = await self._embedder.aembed_query(query)
        found = await self._afind(search, vector, k, filter, how, return_data=True)
        return _with_embeddings(found)

    def similarity_search_with_embedding_by_vector(
        self,
        embedding: Embedding,
        k: int = 4,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[EmbeddedDocument]:
        """Return the Documents closest to a vector, each with its stored embedding."""
        how = self._completion(options)
        found = self._find(search, embedding, k, filter, how, return_data=True)
        return _with_embeddings(found)

    async def asimilarity_search_with_embedding_by_vector(
        self,
        embedding: Embedding,
        k: int = 4,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[EmbeddedDocument]:
        """Do as `similarity_search_with_embedding_by_vector` does."""
        how = self._completion(options)
        found = await self._afind(search, embedding, k, filter, how, return_data=True)
        return _with_embeddings(found)

    def similarity_search_by_vector_with_relevance_scores(
        self,
        embedding: Embedding,
        k: int = 4,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[ScoredDocument]:
        """Return the Documents closest to a vector, each with its relevance: larger is closer."""
        how = self._completion(options)
        found = _with_distances(self._find(search, embedding, k, filter, how))
        return _with_relevance(found, self._clients.run(self._records.metric))

    async def asimilarity_search_by_vector_with_relevance_scores(
        self,
        embedding: Embedding,
        k: int = 4,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[ScoredDocument]:
        """Do as `similarity_search_by_vector_with_relevance_scores` does."""
        how = self._completion(options)
        found = _with_distances(await self._afind(search, embedding, k, filter, how))
        return _with_relevance(found, await self._clients.arun(self._records.metric))

    def as_retriever(self, **kwargs: Any) -> VectorStoreRetriever:
        """Return a retriever over the store, whose callbacks are told of incomplete searches."""
        tags = kwargs.pop("tags", None) or self._get_retriever_tags()
        return OSSVectorStoreRetriever(vectorstore=self, tags=[*tags], **kwargs)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        metric = self._clients.run(self._records.metric)
        return lambda distance: relevance(metric, distance)

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **options: Any
    ) -> list[ScoredDocument]:
        # LangChain's own would run the blocking twin in a thread
        scored = await self.asimilarity_search_with_score(query, k, **options)
        return _with_relevance(scored, await self._clients.arun(self._records.metric))

    def _completion(self, options: SearchOptions) -> Completion:
        """Return how far a search goes: as its options say, else as the store's settings do."""
        given: dict[str, Any] = {**options}
        refuse_unknown({n: v for n, v in given.items() if n not in SearchOptions.__annotations__})
        return replace(self._records.settings.completion, **given)

    def _find(self, find: Find, *arguments: Any, **keywords: Any) -> list[FoundDocument]:
        found, incomplete = self._clients.run(self._search, find, *arguments, **keywords)
        report_incomplete(incomplete)
        return found

    async def _afind(self, find: Find, *arguments: Any, **keywords: Any) -> list[FoundDocument]:
        found, incomplete = await self._clients.arun(self._search, find, *arguments, **keywords)
        await areport_incomplete(incomplete)
        return found

    def _search(  # noqa: PLR0917 - what every search is given, in one order
        self,
        context: Context,
        /,
        find: Find,
        query: Embedding | str,
        k: int,
        filter: Filter | None,
        completion: Completion,
        **options: Any,
    ) -> Flow[tuple[list[FoundDocument], IncompleteSearchWarning | None]]:
        # queries return no vectors: fetching them is a call more, made where somebody reads them
        if self.embedding_key is not None:
            options["return_data"] = True
        condition, records = read_filter(filter), self._records
        found = find(
            context, records, query, k, condition=condition, completion=completion, **options
        )
        result = yield from found
        return (yield from self._make_documents(context, result.hits)), result.incomplete

    # Searching for what is near a query and unlike the rest of the answer: `fetch_k` candidates are
    # found, up to the service's top_k limit, and `k` of them picked; `lambda_mult` goes from 0, all
    # diversity, to 1, all similarity.

    def max_marginal_relevance_search(  # type: ignore[override]  # LangChain's takes any option
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Document]:
        """Return Documents near a text and unlike one another."""
        how = self._completion(options)
        vector = self._embedder.embed_query(query)
        found = self._find(
            _search_diverse, vector, k, filter, how, fetch_k=fetch_k, lambda_mult=lambda_mult
        )
        return _documents(found)

    async def amax_marginal_relevance_search(  # type: ignore[override]  # as above
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Document]:
        """Do as `max_marginal_relevance_search` does."""
        how = self._completion(options)
        vector = await self._embedder.aembed_query(query)
        found = await self._afind(
            _search_diverse, vector, k, filter, how, fetch_k=fetch_k, lambda_mult=lambda_mult
        )
        return _documents(found)

    def max_marginal_relevance_search_by_vector(  # type: ignore[override]  # as above
        self,
        embedding: Embedding,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Document]:
        """Return Documents near a vector and unlike one another."""
        how = self._completion(options)
        found = self._find(
            _search_diverse, embedding, k, filter, how, fetch_k=fetch_k, lambda_mult=lambda_mult
        )
        return _documents(found)

    async def amax_marginal_relevance_search_by_vector(  # type: ignore[override]  # as above
        self,
        embedding: Embedding,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Document]:
        """Do as `max_marginal_relevance_search_by_vector` does."""
        how = self._completion(options)
        found = await self._afind(
            _search_diverse, embedding, k, filter, how, fetch_k=fetch_k, lambda_mult=lambda_mult
        )
        return _documents(found)

    # Writing

    def add_documents(
        self,
        documents: list[Document],
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        reuse_embeddings: bool = False,
        on_bad_record: BadRecordPolicy | None = None,
        **unknown: Any,
    ) -> WrittenIds:
        """Add Documents, or replace those with the same ids; return the ids in order.

        Everything is checked, and every embedding made, before anything is written. The Documents
        are left as they are.

        Args:
            documents: what to add.
            ids: an id or None for each; it wins over `Document.id`, and one is made up where there
                is neither.
            embeddings: one for each, in place of the model's.
            batch_size: texts for each call of the embedding model; all at once by default.
            reuse_embeddings: embed no text that is stored under its id already, and write nothing
                that is stored just so: a get for each 100 ids. Leave it off where the embedding
                model has changed.
            on_bad_record: in place of the store's own: "raise", "skip" or "report".
            unknown: refused.

        Raises:
            InvalidRequestError: an id twice, or something that the index cannot hold, of several
                records a `BadRecordsError` with all of them; nothing was written.
            PartialWriteError: calls failed; its `report` says what was written and what not.
        """
        refuse_unknown(unknown)
        writes = PendingWrites.of_documents(
            self._records, documents, ids, self._filled_fields, on_bad_record=on_bad_record
        )
        return self._add(writes, embeddings, batch_size, reuse=reuse_embeddings)

    async def aadd_documents(
        self,
        documents: list[Document],
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        reuse_embeddings: bool = False,
        on_bad_record: BadRecordPolicy | None = None,
        **unknown: Any,
    ) -> WrittenIds:
        """Do as `add_documents` does."""
        refuse_unknown(unknown)
        writes = PendingWrites.of_documents(
            self._records, documents, ids, self._filled_fields, on_bad_record=on_bad_record
        )
        return await self._aadd(writes, embeddings, batch_size, reuse=reuse_embeddings)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        reuse_embeddings: bool = False,
        on_bad_record: BadRecordPolicy | None = None,
        **unknown: Any,
    ) -> WrittenIds:
        """Add texts with their metadata, as `add_documents` adds Documents; return the ids."""
        refuse_unknown(unknown)
        writes = PendingWrites(
            self._records, texts, metadatas, ids, self._filled_fields, on_bad_record=on_bad_record
        )
        return self._add(writes, embeddings, batch_size, reuse=reuse_embeddings)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        reuse_embeddings: bool = False,
        on_bad_record: BadRecordPolicy | None = None,
        **unknown: Any,
    ) -> WrittenIds:
        """Do as `add_texts` does."""
        refuse_unknown(unknown)
        writes = PendingWrites(
            self._records, texts, metadatas, ids, self._filled_fields, on_bad_record=on_bad_record
        )
        return await self._aadd(writes, embeddings, batch_size, reuse=reuse_embeddings)

    def add_embeddings(
        self,
        texts: Iterable[str] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        ids: Sequence[str | None] | None = None,
    ) -> list[str]:
        """Add embeddings that were made elsewhere, with texts or without; return the ids.

        Other stores have this method; it is `add_texts` with `embeddings=`.
        """
        given, rows = _check_embeddings(texts, embeddings)
        return self.add_texts(given, metadatas, ids=ids, embeddings=rows)

    async def aadd_embeddings(
        self,
        texts: Iterable[str] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        ids: Sequence[str | None] | None = None,
    ) -> list[str]:
        """Do as `add_embeddings` does."""
        given, rows = _check_embeddings(texts, embeddings)
        return await self.aadd_texts(given, metadatas, ids=ids, embeddings=rows)

    def delete(
        self,
        ids: Sequence[str] | None = None,
        *,
        filter: Filter | None = None,
        delete_all: bool = False,
        **unknown: Any,
    ) -> bool:
        """Delete by id, by filter, or what both name; the index itself stays.

        An id that does not exist is no error. By filter the index is listed, and each record looked
        at here, whatever the service makes of the filter; only keys that pass are deleted.

        Args:
            ids: what to delete.
            filter: delete what passes it, of these ids or of the whole index. One that restricts
                nothing is refused.
            delete_all: delete every vector of the index; then there are no `ids` and no `filter`.
            unknown: refused.

        Raises:
            InvalidRequestError: none of the three, `delete_all` with another, or a filter that
                every record passes; nothing was deleted.
            PartialWriteError: calls failed; its `report` says what is gone.
        """
        refuse_unknown(unknown)
        self._clients.run(self._delete, ids, filter, delete_all)
        return True

    async def adelete(
        self,
        ids: Sequence[str] | None = None,
        *,
        filter: Filter | None = None,
        delete_all: bool = False,
        **unknown: Any,
    ) -> bool:
        """Do as `delete` does."""
        refuse_unknown(unknown)
        await self._clients.arun(self._delete, ids, filter, delete_all)
        return True

    def delete_collection(self) -> None:
        """Delete the index itself, with all that it holds, and its side index.

        The next write makes it anew. An index that is not there is no error. A side index that was
        named (`side_index`) stays, since other stores may use it. The right `oss:DeleteVectorIndex`
        is in none of the policies that `oss-vectors policy` writes.
        """
        self._clients.run(self._records.delete_index)

    async def adelete_collection(self) -> None:
        """Do as `delete_collection` does."""
        await self._clients.arun(self._records.delete_index)

    def sweep(self, older_than: float = 3600.0) -> int:
        """Remove parts of large values that no record names, and return how many there were.

        A writer that was killed, or that another process has overtaken, leaves such parts.

        Args:
            older_than: leave what was written within so many seconds, since its record may be
                written yet; 0 only where nobody writes.
        """
        return self._clients.run(self._records.sweep, older_than)

    async def asweep(self, older_than: float = 3600.0) -> int:
        """Do as `sweep` does."""
        return await self._clients.arun(self._records.sweep, older_than)

    def update_metadata(
        self,
        ids: Iterable[str] | Mapping[str, Mapping[str, Any]],
        patch: Mapping[str, Any] | None = None,
        *,
        remove: Collection[str] = (),
        verify: bool = False,
    ) -> list[str]:
        """Merge a patch into the metadata of stored Documents; no embedding call.

        Records are read, changed and written back. Within this process nothing is lost: other
        updates, writes and deletions of these ids wait, by whatever client. Across processes that
        cannot be promised, for the service has no conditional write: of two that update a record
        at the same moment, the later one overwrites the earlier.

        Args:
            ids: which; those that do not exist are passed over. Or a dict with a patch for each id,
                `{id: {field: value}}`: one get and one put for all of them.
            patch: fields and their new values, for all of a list of ids; the other fields stay.
            remove: fields to take away.
            verify: read the records again, right before and after they are written, and raise where
                another process has written them meanwhile; two calls more for each 100 ids. Not
                seen is what another writes between the second reading and the writing.

        Returns:
            The ids that were there, in order.

        Raises:
            InvalidRequestError: a record would pass a limit; nothing was written.
            ConflictError: with `verify`, an update that met another's; its `keys` say which.
            DeadlineExceededError: other writes of an id lasted longer than the client's `timeout`.
            PartialWriteError: calls failed; its `report` says which records are changed.
        """
        options: dict[str, Any] = {"remove": remove, "verify": verify}
        return list(self._clients.run(self._records.update_metadata, ids, patch, **options))

    async def aupdate_metadata(
        self,
        ids: Iterable[str] | Mapping[str, Mapping[str, Any]],
        patch: Mapping[str, Any] | None = None,
        *,
        remove: Collection[str] = (),
        verify: bool = False,
    ) -> list[str]:
        """Do as `update_metadata` does."""
        options: dict[str, Any] = {"remove": remove, "verify": verify}
        return list(await self._clients.arun(self._records.update_metadata, ids, patch, **options))

    def _add(
        self,
        writes: PendingWrites,
        embeddings: Iterable[Embedding] | None,
        batch_size: int | None,
        *,
        reuse: bool,
    ) -> WrittenIds:
        if _reuses(embeddings, reuse=reuse):
            self._clients.run(writes.take_stored)
        # all before the first write: a model that fails halfway has written nothing
        if embeddings is None:
            embeddings = self._embedder.embed_documents(writes.texts, batch_size)
        else:
            embeddings = writes.choose(embeddings)
        vectors = writes.vectors(embeddings)
        self._clients.run(self._records.write, vectors, fresh=writes.fresh)
        self._bad_records = writes.ids.report
        return writes.ids

    async def _aadd(
        self,
        writes: PendingWrites,
        embeddings: Iterable[Embedding] | None,
        batch_size: int | None,
        *,
        reuse: bool,
    ) -> WrittenIds:
        if _reuses(embeddings, reuse=reuse):
            await self._clients.arun(writes.take_stored)
        if embeddings is None:
            embeddings = await self._embedder.aembed_documents(writes.texts, batch_size)
        else:
            embeddings = writes.choose(embeddings)
        vectors = writes.vectors(embeddings)
        await self._clients.arun(self._records.write, vectors, fresh=writes.fresh)
        self._bad_records = writes.ids.report
        return writes.ids

    def _delete(
        self, context: Context, ids: Sequence[str] | None, filter: Filter | None, everything: bool
    ) -> Flow[object]:
        # elsewhere `delete(None)` empties or drops the index; here that takes a word of its own
        if (ids is None and filter is None) is not everything:
            raise InvalidRequestError(
                "delete takes ids, or delete_all=True for every vector of the index, or a filter; "
                "only ids and a filter go together."
            )
        condition = read_filter(filter)
        if ids is not None:
            return delete_those_passing(context, self._records, ids, condition)
        if everything:
            return self._records.delete_all(context)
        return delete_passing(context, self._records, condition, "delete_all=True")

    # From records to Documents

    @property
    def _filled_fields(self) -> set[str]:
        """Return the metadata fields that reading fills, so that writing leaves them out."""
        return {name for name in (self.embedding_key, self.score_key) if name is not None}

    def _make_documents(
        self, context: Context, hits: Sequence[Hit[Record]]
    ) -> Flow[list[FoundDocument]]:
        """Return the Document of each hit, with its relevance where a field is to receive it."""
        metric = ""  # asked for only where a score is wanted: the first time it is a call
        if hits and self.score_key is not None:
            metric = yield from self._records.metric(context)
        return [(self._document(hit.record, metric, hit.distance), hit) for hit in hits]

    def _document(self, record: Record, metric: str = "", distance: float = 0.0) -> Document:
        document = document_from(record, self.embedding_key)
        if metric and self.score_key is not None:
            document.metadata[self.score_key] = relevance(metric, distance)
        return document


class OSSVectorStoreRetriever(VectorStoreRetriever):
    """LangChain's retriever over a store, whose callbacks are told of incomplete searches.

    Examples:
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> model, client = DeterministicFakeEmbedding(size=2), OSSVectorClient.local()
        >>> store = OSSVectorStore(model, client=client)
        >>> _ = store.add_texts(["Green tea."], ids=["tea"])
        >>> store.as_retriever(search_kwargs={"k": 1}).invoke("tea?")[0].id
        'tea'
    """

    def _get_relevant_documents(
        self, query: str, *, run_manager: Any, **options: Any
    ) -> list[Document]:
        with reporting_to(run_manager):
            return super()._get_relevant_documents(query, run_manager=run_manager, **options)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: Any, **options: Any
    ) -> list[Document]:
        with reporting_to(run_manager):
            found = super()._aget_relevant_documents(query, run_manager=run_manager, **options)
            return await found


def refuse_unknown(options: Mapping[str, Any]) -> None:
    """Refuse arguments that a method does not have; LangChain's signatures let all of them in.

    Raises:
        TypeError: there is one.
    """
    for name in options:
        kind, ours = _OF_SEARCH_TYPES.get(name), _OURS.get(name)
        hint = f"; what others call {name}= is {ours}= here" if ours else ""
        if kind is not None:
            hint = (
                f'; a retriever takes it by as_retriever(search_type="{kind}", search_kwargs=...)'
            )
        raise TypeError(f"unexpected argument {name!r}{hint}")


# what a retriever's `search_kwargs` hold for other types of search than the usual one
_OF_SEARCH_TYPES: Final = {
    "score_threshold": "similarity_score_threshold",
    "fetch_k": "mmr",
    "lambda_mult": "mmr",
}
# what other stores' methods call an argument
_OURS: Final = {
    **dict.fromkeys(("where", "filters", "pre_filter", "search_filter", "expr"), "filter"),
    **dict.fromkeys(("n_results", "top_k"), "k"),
}


def _reuses(embeddings: Iterable[Embedding] | None, *, reuse: bool) -> bool:
    if reuse and embeddings is not None:
        raise InvalidRequestError("pass either embeddings= or reuse_embeddings=True, not both.")
    return reuse


def _check_embeddings(
    texts: Iterable[str] | None, embeddings: Iterable[Embedding] | None
) -> tuple[Iterable[str], list[Embedding]]:
    if embeddings is None or not hasattr(embeddings, "__iter__"):
        raise InvalidRequestError(
            "add_embeddings takes embeddings, a list with one for each text; add_texts makes them."
        )
    rows = list(embeddings)
    return [""] * len(rows) if texts is None else texts, rows


def _search_diverse(
    context: Context,
    store: RecordStore,
    query: Embedding,
    k: int,
    *,
    lambda_mult: float,
    return_data: bool = True,  # noqa: ARG001 - variety is told by embeddings, so that they come
    **options: Any,
) -> Flow[SearchResult[Record]]:
    return mmr_search(
        context,
        store,
        query,
        lambda vector, rows, count: maximal_marginal_relevance(vector, rows, count, lambda_mult),
        k=k,
        **options,
    )


def _documents(found: list[FoundDocument]) -> list[Document]:
    return [document for document, _ in found]


def _with_embeddings(found: list[FoundDocument]) -> list[EmbeddedDocument]:
    return [(document, embedding_of(hit.record)) for document, hit in found]


def _with_relevance(found: list[ScoredDocument], metric: str) -> list[ScoredDocument]:
    return [(document, relevance(metric, distance)) for document, distance in found]


def _with_distances(found: list[FoundDocument]) -> list[ScoredDocument]:
    return [(document, hit.distance) for document, hit in found]
