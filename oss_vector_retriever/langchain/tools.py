"""`OSSVectorToolkit`: search and fetch, with the same client, tenancy and budget."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.documents import Document
from langchain_core.tools import BaseTool
from langchain_core.tools.base import ArgsSchema, BaseToolkit
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import from_json

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import VectorIndexParameterInvalidError
from oss_vector_retriever.client.models.results import QueryVectorsResult
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations.vectors import query_vectors
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.embeddings import rescore, stored_embeddings
from oss_vector_retriever.langchain.connection import STRICT, Connected
from oss_vector_retriever.langchain.documents import document_from
from oss_vector_retriever.langchain.embedder import QueryEmbedding, aquery_vector, query_vector
from oss_vector_retriever.records import DecodePolicy, Record, decode
from oss_vector_retriever.records.filters import explicit_filter
from oss_vector_retriever.records.keys import Access, is_key, near_misses
from oss_vector_retriever.records.lookup import Lookup
from oss_vector_retriever.records.store import IndexKeeper, StoreSettings, is_row

_LEAST = 200  # characters; less of a document than this helps nobody


@dataclass(frozen=True, slots=True)
class Budget:
    """Bound an answer, in characters; a token is about four of English, one or two of Chinese.

    Attributes:
        in_all: of text in one answer.
        per_document: of text of one document.
    """

    in_all: int
    per_document: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what an answer is made of.

    Attributes:
        documents: what was found, in order; an id that stands twice is written once.
        distances: how far each is from what was looked for, by id; smaller is closer.
        missing: ids that do not exist, with the ids that they may have been meant for.
        refused: ids that may not be asked for.
        start: characters of each document that were read before.
        nothing: what to say where there is nothing to show.
        fetch: the tool that reads on after a cut, by its name; None where the agent has none.
    """

    documents: Sequence[Document]
    distances: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, Sequence[str]] = field(default_factory=dict)
    refused: Sequence[str] = ()
    start: int = 0
    nothing: str = "No documents."
    fetch: str | None = None

    def written(self, budget: Budget) -> str:
        """Return the answer as text."""
        parts = [*self._shown(budget), *self._absent()]
        if self.refused:
            parts.append(f"Not available to you: {_listed(self.refused)}")
        return "\n\n".join(parts) or self.nothing

    def _shown(self, budget: Budget) -> list[str]:
        parts: list[str] = []
        unread: list[str] = []
        left = budget.in_all
        once = {document.id: document for document in self.documents}
        for key, document in once.items():
            most = min(budget.per_document, left)
            text = document.page_content[self.start : self.start + most]
            whole = self.start + len(text) >= len(document.page_content)
            if left < min(_LEAST, len(document.page_content) - self.start):
                unread.append(str(key))
                continue
            left -= len(text)
            parts.append(self._one(document, text, whole=whole))
        if unread:
            hint = f"; next call {self.fetch} for" if self.fetch else ""
            parts.append(f"Found, but not shown for want of room{hint}: {_listed(unread)}")
        return parts

    def _one(self, document: Document, text: str, *, whole: bool) -> str:
        key = str(document.id)
        far = f" distance={self.distances[key]:.3f}" if key in self.distances else ""
        part = f"[id: {key}]{far}\n{text}"
        total = len(document.page_content)
        if self.start and self.start >= total:
            return f"{part}[nothing more: the document has {total} characters]"
        if whole:
            return part
        end = self.start + len(text)
        ids = json.dumps([key], ensure_ascii=False)
        more = f"; for more call {self.fetch} with ids={ids}, start={end}" if self.fetch else ""
        return f"{part}\n[cut: characters {self.start} to {end} of {total}{more}]"

    def _absent(self) -> list[str]:
        return [
            f"No document has the id {key}."
            + (f" Did you mean {' or '.join(near)}?" if near else "")
            for key, near in self.missing.items()
        ]


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys)


Reply = tuple[str, list[Document]]


class DocumentTool(Connected, BaseTool):
    """Show an agent documents with their ids; the Documents themselves are the artifact.

    Attributes:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured
            by the fields `bucket`, `account_id`, `region`, ..., and by the environment.
        index: another index than the client's own.
        text_key: the metadata field in which another program keeps the text of its records, where
            that is none of `text`, `content` and `page_content`.
        allowed_keys: the only keys that may be asked for or shown; None for any.
        key_prefix: what each key that may be asked for or shown begins with.
        max_characters: of document text in one answer; a token is about four of English.
        max_characters_per_document: of one document's text in one answer.
        on_decode_error: for records that cannot be read: "raise", "skip" (left out, with a warning
            in the log) or "raw" (their metadata as they are stored).
    """

    model_config = STRICT

    text_key: str | None = None
    allowed_keys: frozenset[str] | None = Field(default=None, repr=False)
    key_prefix: str = ""
    max_characters: int = Field(default=20_000, gt=0)
    max_characters_per_document: int = Field(default=4_000, gt=0)
    on_decode_error: DecodePolicy = "skip"
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"

    @property
    def _access(self) -> Access:
        return Access(self.allowed_keys, self.key_prefix)

    def _reply(self, answer: Answer) -> Reply:
        budget = Budget(self.max_characters, self.max_characters_per_document)
        return answer.written(budget), list(answer.documents)

    def _document(self, record: Record) -> Document:
        return document_from(record)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


_MOST_IDS = 100  # one call of the service


class FetchArguments(BaseModel):
    """Say which documents to read."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    ids: list[str] = Field(
        description="The ids of the documents to read, exactly as they were shown.",
        min_length=1,
        max_length=_MOST_IDS,
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
        with suppress(ValueError):
            if isinstance(listed := from_json(value), list):
                return listed
        return [value]


class OSSVectorFetchTool(DocumentTool):
    """Read documents by id: text with ids, what is missing named, near misses suggested.

    Ids outside `allowed_keys` and `key_prefix` are refused without a call. All ids cross the
    network in one call.

    Attributes:
        scan: how many keys to list, at most, to suggest near misses of an id that does not exist;
            0 makes no call for it. Suggestions out of `allowed_keys` need none.
    """

    name: str = "fetch_documents"
    description: str = (
        "Read documents by their ids. Returns the text of each with its id, and names ids that do "
        "not exist. Long documents are cut, with a hint how to read on."
    )
    args_schema: ArgsSchema | None = FetchArguments
    scan: int = Field(default=0, ge=0)

    def _run(self, ids: Sequence[str], start: int = 0, **_: Any) -> Reply:
        return self._reply(self._both().run(self._answer(ids, start)))

    async def _arun(self, ids: Sequence[str], start: int = 0, **_: Any) -> Reply:
        return self._reply(await self._both().arun(self._answer(ids, start)))

    def _answer(self, ids: Sequence[str], start: int) -> Callable[[Context], Flow[Answer]]:
        return lambda context: self._fetched(context, list(dict.fromkeys(ids)), start)

    def _fetched(self, context: Context, ids: Sequence[str], start: int) -> Flow[Answer]:
        permitted = [key for key in ids if self._access.permits(key)]
        legal = [key for key in permitted if is_key(key, context.config.limits)]
        lookup = Lookup(
            index=self.index, text_key=self.text_key, on_decode_error=self.on_decode_error
        )
        found = yield from lookup.of(legal, self._document)(context)
        absent = [key for key in permitted if key not in legal or key in found.missing]
        known = (yield from self._access.known(context, self.index, self.scan)) if absent else ()
        return Answer(
            _in_order(ids, found.made),
            missing={key: near_misses(key, known) for key in absent},
            refused=[key for key in ids if key not in permitted],
            start=start,
            fetch=self.name,
        )


def _in_order(ids: Sequence[str], documents: Sequence[Document]) -> list[Document]:
    by_id = {document.id: document for document in documents}
    return list(_present(ids, by_id))


def _present(ids: Sequence[str], by_id: dict[str | None, Document]) -> Iterator[Document]:
    for key in ids:
        if key in by_id:
            yield by_id[key]


MOST_HITS = 100


class SearchArguments(BaseModel):
    """Say what to look for."""

    query: str = Field(description="What to look for, in plain words.", min_length=1)
    k: int | None = Field(
        default=None, gt=0, le=MOST_HITS, description="How many documents, at most."
    )


class OSSVectorSearchTool(DocumentTool):
    """Find documents by meaning: the nearest first, each with its id and its distance.

    Of `allowed_keys` the stored embeddings are fetched and compared by cosine, so nothing else is
    ever touched. The service cannot filter by key: under `key_prefix`, or `allowed_keys` with a
    `filter`, it is asked for the most hits it gives, and those outside are dropped unseen; a
    tenant's field in `filter` keeps them from being looked at.

    Attributes:
        query_embedding: an `Embeddings`, or a function from the query to its embedding.
        k: how many to show where the model does not say.
        filter: a filter on metadata, `{"field": value}` or the service's full grammar, always in
            force.
        native_scalars: say in the filter numbers and booleans as they are, for records written so.
        fetch_tool: the name of the tool that reads documents by id, to which cut texts then point.
    """

    name: str = "search_documents"
    description: str = (
        "Find documents by meaning. Returns the best matches with their ids and the beginning of "
        "their text."
    )
    args_schema: ArgsSchema | None = SearchArguments
    query_embedding: QueryEmbedding = Field(exclude=True, repr=False)
    k: int = Field(default=5, gt=0, le=MOST_HITS)
    filter: Mapping[str, Any] | None = None
    native_scalars: bool = False
    fetch_tool: str | None = None
    max_characters_per_document: int = Field(default=1_000, gt=0)

    def _run(self, query: str, k: int | None = None, **_: Any) -> Reply:
        vector = query_vector(self.query_embedding, query)
        return self._reply(self._both().run(self._answer(vector, k or self.k)))

    async def _arun(self, query: str, k: int | None = None, **_: Any) -> Reply:
        vector = await aquery_vector(self.query_embedding, query)
        return self._reply(await self._both().arun(self._answer(vector, k or self.k)))

    def _answer(self, vector: Any, k: int) -> Callable[[Context], Flow[Answer]]:
        exact = self.allowed_keys is not None and self.filter is None
        found = self._nearest_allowed if exact else self._nearest

        def run(context: Context) -> Flow[Answer]:
            hits = yield from found(context, vector, k)
            return Answer(
                [self._document(record) for record, _ in hits],
                distances={record.key: far for record, far in hits if far is not None},
                nothing="Nothing was found.",
                fetch=self.fetch_tool,
            )

        return run

    def _nearest(
        self, context: Context, vector: Any, k: int
    ) -> Flow[list[tuple[Record, float | None]]]:
        most = context.config.limits.top_k if self._access.restricted else k
        hits = yield from self._query(context, vector, most)
        permitted = [
            hit for hit in hits if self._access.permits(hit.key) and not is_row(hit.metadata)
        ]
        decoded = [
            (self._decoded(Vector(hit.key, None, hit.metadata)), hit.distance)
            for hit in permitted[:k]
        ]
        return [(record, distance) for record, distance in decoded if record is not None]

    def _query(self, context: Context, vector: Any, most: int) -> Flow[QueryVectorsResult]:
        wanted = explicit_filter(
            self.filter, native_scalars=self.native_scalars, limits=context.config.limits
        )
        try:
            return (
                yield from query_vectors(
                    context,
                    vector,
                    top_k=most,
                    index=self.index,
                    filter=wanted,
                    return_metadata=True,
                )
            )
        except VectorIndexParameterInvalidError:  # perhaps of another model than the index
            keeper = IndexKeeper(StoreSettings(index=self.index))
            yield from keeper.check_query(context, len(vector))
            raise

    def _nearest_allowed(
        self, context: Context, vector: Any, k: int
    ) -> Flow[list[tuple[Record, float | None]]]:
        keys = self._access.visible()
        stored = yield from stored_embeddings(context, keys, index=self.index, on_missing="drop")
        ranked = rescore(vector, stored.matrix, k=k) if stored.positions else []
        far = {keys[stored.positions[row]]: 1.0 - score for row, score in ranked}
        lookup = Lookup(
            index=self.index, text_key=self.text_key, on_decode_error=self.on_decode_error
        )
        found = yield from lookup.of(list(far), lambda record: record)(context)
        return [(record, far[record.key]) for record in found.made]

    def _decoded(self, vector: Vector) -> Record | None:
        return decode(vector, text_key=self.text_key, on_decode_error=self.on_decode_error)


_OWN = {"query_embedding", "filter", "native_scalars", "k", "scan"}


class OSSVectorToolkit(Connected, BaseToolkit):
    """Give an agent the tools to fetch documents by id and, with `query_embedding`, to search.

    Attributes:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured
            by the fields `bucket`, `account_id`, `region`, ..., and by the environment.
        index: another index than the client's own.
        query_embedding: an `Embeddings`, or a function from a query to its embedding; None leaves
            out the search.
        text_key: the metadata field in which another program keeps the text of its records, where
            that is none of `text`, `content` and `page_content`.
        allowed_keys: the only keys that may be asked for or shown; None for any.
        key_prefix: what each key that may be asked for or shown begins with.
        filter: a filter on metadata, `{"field": value}` or the service's full grammar, always in
            force when searching.
        native_scalars: say in the filter numbers and booleans as they are, for records written so.
        k: how many documents a search shows where the model does not say.
        scan: how many keys to list, at most, to suggest near misses.
        max_characters: of document text in one answer; a token is about four of English.
    """

    model_config = STRICT

    query_embedding: QueryEmbedding | None = Field(default=None, exclude=True, repr=False)
    text_key: str | None = None
    allowed_keys: frozenset[str] | None = Field(default=None, repr=False)
    key_prefix: str = ""
    filter: Mapping[str, Any] | None = None
    native_scalars: bool = False
    k: int = Field(default=5, gt=0, le=MOST_HITS)
    scan: int = Field(default=0, ge=0)
    max_characters: int = Field(default=20_000, gt=0)

    def get_tools(self) -> list[BaseTool]:
        """Return the tools: search first, where there is an embedding, then fetch."""
        shared = {name: getattr(self, name) for name in type(self).model_fields if name not in _OWN}
        fetch = OSSVectorFetchTool(**shared, scan=self.scan)
        if self.query_embedding is None:
            return [fetch]
        search = OSSVectorSearchTool(
            **shared,
            query_embedding=self.query_embedding,
            filter=self.filter,
            native_scalars=self.native_scalars,
            k=self.k,
            fetch_tool=fetch.name,
        )
        search.description += f" Read more of one by passing its id to {fetch.name}."
        return [search, fetch]
