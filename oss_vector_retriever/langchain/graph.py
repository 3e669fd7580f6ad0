"""`OSSVectorAdapter`: an `OSSVectorStore` for the traversals of langchain-graph-retriever."""

# ruff: noqa: A002, SLF001 - `filter` is the graph retriever's own name; the store is of this package

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from ..client.concurrency import run_together
from ..client.context import Context, Flow
from ..client.errors import IncompleteSearchWarning
from ..client.models import Float32Array
from ..client.models.vector import Vector
from ..client.operations.checks import check_data
from ..records import Completion, Record
from ..records.conditions import Condition, Group, are_equal, can_pass
from ..records.filters import read_filter
from ..records.search import Restriction, find_nearest, restriction_of
from ..records.store import RecordStore
from .documents import document_from, embedding_of
from .retriever import areport_incomplete, report_incomplete
from .store import OSSVectorStore, SearchOptions

if TYPE_CHECKING:
    from graph_retriever import Content
    from graph_retriever.adapters import Adapter
    from graph_retriever.edges import Edge, IdEdge, MetadataEdge
    from graph_retriever.utils.top_k import top_k

    _absent: ModuleNotFoundError | None
else:
    try:
        from graph_retriever import Content
        from graph_retriever.adapters import Adapter
        from graph_retriever.edges import Edge, IdEdge, MetadataEdge
        from graph_retriever.utils.top_k import top_k

        _absent = None
    except ModuleNotFoundError as error:
        # The class is there all the same: `import *` and what reads signatures ask for each name.
        _absent, Adapter = error, object
        Content = Edge = IdEdge = MetadataEdge = top_k = Any

_Fields = Mapping[str, Any]
_Found = tuple[list[Content], IncompleteSearchWarning | None]
_ABSENT = object()


class OSSVectorAdapter(Adapter):
    """A store as `GraphRetriever(store=OSSVectorAdapter(store), edges=[...])` traverses it.

    Filters are those of the store's searches; in them the value of a field may be a dict as well,
    and a name with dots looks into nested metadata. What edges lead to is found by one search,
    whatever the number of edges, and one more for each whose value is a dict or whose name has
    dots; ids are fetched at the same time. `store_kwargs` are the options of a search.

    Args:
        vector_store: the store, with its embedding model.

    Raises:
        ImportError: langchain-graph-retriever is not installed.

    Examples:
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> from graph_retriever.edges import Id
        >>> from langchain_graph_retriever import GraphRetriever
        >>> model, client = DeterministicFakeEmbedding(size=2), OSSVectorClient.local()
        >>> store = OSSVectorStore(model, client=client)
        >>> _ = store.add_texts(["Tea.", "Cup."], [{"of": "cup"}, {}], ids=["tea", "cup"])
        >>> graph = GraphRetriever(store=OSSVectorAdapter(store), edges=[("of", Id())], k=2)
        >>> sorted(found.id for found in graph.invoke("Tea.", initial_roots=["tea"]))
        ['cup', 'tea']
    """

    def __init__(self, vector_store: OSSVectorStore) -> None:
        if _absent is not None:
            raise ImportError(
                f"OSSVectorAdapter needs {_absent.name}: pip install langchain-graph-retriever",
                name=_absent.name,
            ) from _absent
        super().__init__()
        self.vector_store = vector_store

    def search_with_embedding(  # type: ignore[override]  # the base class takes any option
        self,
        query: str,
        k: int = 4,
        filter: dict[str, Any] | None = None,
        **options: Unpack[SearchOptions],
    ) -> tuple[list[float], list[Content]]:
        """Return the embedding of a text, and the contents closest to it."""
        embedding = self.vector_store._embedder.embed_query(query)
        return embedding, self.search(embedding, k, filter, **options)

    async def asearch_with_embedding(  # type: ignore[override]  # as above
        self,
        query: str,
        k: int = 4,
        filter: dict[str, Any] | None = None,
        **options: Unpack[SearchOptions],
    ) -> tuple[list[float], list[Content]]:
        """Do as `search_with_embedding` does."""
        embedding = await self.vector_store._embedder.aembed_query(query)
        return embedding, await self.asearch(embedding, k, filter, **options)

    def search(  # type: ignore[override]  # as above
        self,
        embedding: list[float],
        k: int = 4,
        filter: dict[str, Any] | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Content]:
        """Return the contents closest to a vector, closest first."""
        wanted = _Wanted.of(filter)
        return self._find([wanted] if k else [], embedding, k, options)

    async def asearch(  # type: ignore[override]  # as above
        self,
        embedding: list[float],
        k: int = 4,
        filter: dict[str, Any] | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Content]:
        """Do as `search` does."""
        wanted = _Wanted.of(filter)
        return await self._afind([wanted] if k else [], embedding, k, options)

    def get(  # type: ignore[override]  # as above
        self,
        ids: Sequence[str],
        filter: dict[str, Any] | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Content]:
        """Return the contents with these ids that pass, each once; missing ones are left out."""
        return self._find([_Wanted.of(filter, ids=ids)], [], 0, options)

    async def aget(  # type: ignore[override]  # as above
        self,
        ids: Sequence[str],
        filter: dict[str, Any] | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Content]:
        """Do as `get` does."""
        return await self._afind([_Wanted.of(filter, ids=ids)], [], 0, options)

    def adjacent(  # type: ignore[override]  # as above
        self,
        edges: set[Edge],
        query_embedding: list[float],
        k: int,
        filter: dict[str, Any] | None,
        **options: Unpack[SearchOptions],
    ) -> Iterable[Content]:
        """Return the `k` contents closest to a vector that an edge leads to."""
        wanted = self._wanted_by(edges, filter) if k else []
        contents = self._find(wanted, query_embedding, k, options)
        return top_k(contents, embedding=query_embedding, k=k)

    async def aadjacent(  # type: ignore[override]  # as above
        self,
        edges: set[Edge],
        query_embedding: list[float],
        k: int,
        filter: dict[str, Any] | None,
        **options: Unpack[SearchOptions],
    ) -> Iterable[Content]:
        """Do as `adjacent` does."""
        wanted = self._wanted_by(edges, filter) if k else []
        contents = await self._afind(wanted, query_embedding, k, options)
        return top_k(contents, embedding=query_embedding, k=k)

    def _wanted_by(self, edges: Iterable[Edge], filter: _Fields | None) -> list["_Wanted"]:
        """Return what edges lead to, in as few calls as find it.

        Raises:
            ValueError: an edge is of another kind.
        """
        # an edge leads to a list that holds its value, whatever the store's own filters mean
        exact = self.vector_store.list_fields == "exact"
        ids: list[str] = []
        plain: list[MetadataEdge] = []
        wanted: list[_Wanted] = []
        for edge in edges:
            if isinstance(edge, IdEdge):
                ids.append(edge.id)
            elif not isinstance(edge, MetadataEdge):
                raise ValueError(f"Unsupported edge: {edge}")  # noqa: TRY004 - as its base class
            elif exact or _is_nested(edge.incoming_field, edge.value):
                wanted.append(_Wanted.of(filter, nested=edge))
            else:
                plain.append(edge)
        if plain:
            wanted.append(_Wanted.of(filter, plain))
        return [*wanted, _Wanted.of(filter, ids=ids)] if ids else wanted

    def _find(
        self, wanted: Sequence["_Wanted"], embedding: list[float], k: int, options: SearchOptions
    ) -> list[Content]:
        how = self.vector_store._completion(options)
        found = self.vector_store.run(
            _find_all, wanted, store=self.vector_store, embedding=embedding, k=k, how=how
        )
        for _, incomplete in found:
            report_incomplete(incomplete)
        return [content for contents, _ in found for content in contents]

    async def _afind(
        self, wanted: Sequence["_Wanted"], embedding: list[float], k: int, options: SearchOptions
    ) -> list[Content]:
        how = self.vector_store._completion(options)
        store = self.vector_store
        found = await store.arun(_find_all, wanted, store=store, embedding=embedding, k=k, how=how)
        for _, incomplete in found:
            await areport_incomplete(incomplete)
        return [content for contents, _ in found for content in contents]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What one call is to find.

    Attributes:
        condition: what the store's own filters can say.
        nested: what is checked here: fields, or names with dots, and what they are to be or hold.
        ids: fetch these in place of a search.
    """

    condition: Condition | None = None
    nested: Sequence[tuple[str, Any]] = ()
    ids: Sequence[str] | None = None

    @classmethod
    def of(
        cls,
        filter: _Fields | None,
        edges: Sequence[MetadataEdge] = (),
        ids: Sequence[str] | None = None,
        nested: MetadataEdge | None = None,
    ) -> "_Wanted":
        """Return what passes a filter, and has one of the edges that the store's filters know."""
        checked = [] if nested is None else [(nested.incoming_field, nested.value)]
        given: dict[str, Any] = {}
        for name, value in (filter or {}).items():
            if _is_nested(name, value):
                checked.append((name, value))
            else:
                given[name] = value
        values: dict[str, list[Any]] = {}
        for edge in edges:
            values.setdefault(edge.incoming_field, []).append(edge.value)
        any_edge = [{name: {"$in": several}} for name, several in values.items()]
        parts = [read_filter(given), read_filter({"$or": any_edge} if any_edge else None)]
        restricting = tuple(part for part in parts if part is not None)
        return cls(Group("and", restricting) if restricting else None, checked, ids)

    def passes(self, metadata: _Fields) -> bool:
        """Tell whether nested fields are, or hold, what they are to."""
        return all(
            _is_or_holds(_value_at(metadata, name), dict(value) if _is_dict(value) else value)
            for name, value in self.nested
        )


def _is_dict(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_nested(name: str, value: Any) -> bool:
    # `{"$gt": 5}` is the store's own
    is_value = _is_dict(value) and not any(str(key).startswith("$") for key in value)
    return not name.startswith("$") and ("." in name or is_value)


def _value_at(metadata: _Fields, path: str) -> object:
    """Return a field's value: of that very name, or along the dots of it."""
    if path in metadata:
        return metadata[path]
    value: Any = metadata
    for name in path.split("."):
        value = value.get(name, _ABSENT) if _is_dict(value) else _ABSENT
    return value


def _is_or_holds(found: object, value: object) -> bool:
    return are_equal(found, value) or (
        isinstance(found, list | tuple | set | frozenset)
        and any(are_equal(item, value) for item in found)
    )


def _find_all(
    context: Context,
    wanted: Sequence[_Wanted],
    *,
    store: OSSVectorStore,
    embedding: Sequence[float],
    k: int,
    how: Completion,
) -> Flow[list[_Found]]:
    records = store._records
    query = check_data("query_vector", embedding, "the query vector") if k and wanted else None
    outcomes = yield from run_together(
        context, _find_one, wanted, records=records, query=query, k=k, how=how
    )
    found: list[_Found] = []
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
        found.append(outcome)
    return found


def _find_one(
    context: Context,
    wanted: _Wanted,
    *,
    records: RecordStore,
    query: Float32Array | None,
    k: int,
    how: Completion,
) -> Flow[_Found]:
    if wanted.ids is not None:
        fetched = yield from records.fetch_records(
            context,
            list(dict.fromkeys(wanted.ids)),
            _content,
            return_data=True,
            condition=wanted.condition,
        )
        return [content for content in fetched.made if wanted.passes(content.metadata)], None
    if query is None or not can_pass(wanted.condition):
        return [], None

    def restrict() -> Restriction[Record]:
        of_all = restriction_of(context, records, wanted.condition)

        def read(vector: Vector) -> Record | None:
            record = of_all.read(vector)
            return record if record is not None and wanted.passes(record.metadata) else None

        # the service sees nothing of what is nested
        return Restriction(read, of_all.pushed, is_whole=False) if wanted.nested else of_all

    found = yield from find_nearest(
        context, records, query, k, restrict, return_data=True, completion=how
    )
    return [_content(hit.record) for hit in found.hits], found.incomplete


def _content(record: Record) -> Content:
    document = document_from(record)
    return Content(record.key, document.page_content, embedding_of(record), document.metadata)
