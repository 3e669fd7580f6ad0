"""`OSSVectorFetcher` and `OSSVectorRehydrator`: lists in, Documents out, and a report."""

# ruff: noqa: A002 - `input` is LangChain's own name

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig, RunnableSerializable

from ..client.context import Context, Flow
from ..client.errors import MissingKeysError, quote
from ..client.fetch import fetch
from ..records import DecodePolicy, decode_all
from ..records.grouping import HydrationPolicy, pair_with_stored
from ..records.lookup import Lookup, MissingPolicy, fetch_records
from ..records.parts import restore_fetched
from .connection import STRICT
from .documents import Hit, document_from, embedding_of, hits_of
from .retriever import _Batched, areport_missing, max_concurrency_of, report_missing

Asked = TypeVar("Asked", bound=Sequence[Any])


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What came of a list of keys.

    Attributes:
        documents: what was found, in the order asked; with `return_data=True` pairs of a Document
            and its embedding.
        found: the keys found, each once, in the order asked.
        missing: the keys that do not exist, each once, in the order asked.
        calls: how many API calls were made; 0 where that was not counted.
    """

    documents: list[Any]
    found: tuple[str, ...]
    missing: tuple[str, ...]
    calls: int = 0

    def _repr_html_(self) -> str:
        from ..client.models.notebook import show_rows  # noqa: PLC0415 - for notebooks alone

        pairs = (one if isinstance(one, tuple) else (one, None) for one in self.documents)
        rows = ((found.id, found.page_content, found.metadata, data) for found, data in pairs)
        missing = f" {quote(list(self.missing))}" if self.missing else ""
        caption = f"FetchReport({len(self.found)} found, {len(self.missing)} missing{missing})"
        names = ["id", "page_content", "metadata", "embedding"]
        return show_rows(caption, names, rows, len(self.documents))


Outcome = FetchReport | Exception | None


class _Fetching(_Batched, RunnableSerializable[Asked, list[Document]], Generic[Asked]):
    """A runnable whose flow ends in a `FetchReport`; what is missing becomes a custom event."""

    def invoke(
        self, input: Asked, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Any]:
        """Answer one list."""
        return self._call_with_config(self._answer, input, config, **kwargs)

    async def ainvoke(
        self, input: Asked, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Any]:
        """Answer one list."""
        return await self._acall_with_config(self._aanswer, input, config, **kwargs)

    def report(self, keys: Asked) -> FetchReport:
        """Fetch, and say what was found, what was missing and how many calls it took."""
        return cast("FetchReport", self._clients.run(self._look_up, keys))

    async def areport(self, keys: Asked) -> FetchReport:
        """Fetch, and say what was found, what was missing and how many calls it took."""
        return cast("FetchReport", await self._clients.arun(self._look_up, keys))

    # LangChain looks at these parameters' names, and passes a run and its configuration by them.
    def _answer(
        self, asked: Asked, run_manager: Any, config: RunnableConfig, outcome: Outcome = None
    ) -> list[Any]:
        report: FetchReport = self._result(asked, outcome, max_concurrency_of(config))
        report_missing(self, run_manager, report.missing)
        return report.documents

    async def _aanswer(
        self, asked: Asked, run_manager: Any, config: RunnableConfig, outcome: Outcome = None
    ) -> list[Any]:
        report: FetchReport = await self._aresult(asked, outcome, max_concurrency_of(config))
        await areport_missing(self, run_manager, report.missing)
        return report.documents


Pair = tuple[Document, list[float]]


class OSSVectorFetcher(_Fetching[Sequence[str]]):
    """Documents by a list of keys, in the order asked, a repeated key answered each time.

    Missing keys are left out and reported to callbacks as the custom event
    `oss_vectors_missing_keys`. A batch is fetched as one: its distinct keys in calls of 100, at
    most `max_concurrency` of the run's configuration at a time.

    Attributes:
        client: a client of either kind; by default one of `bucket`, ... and the environment.
        index: another index than the client's own.
        return_data: return pairs of a Document and its stored embedding, a list of floats.
        text_key: where another program keeps text, if not in `text`, `content`, `page_content`.
        embedding_key: the metadata field that receives the stored embedding, as a list of floats.
        on_missing: "omit" or "raise".
        on_decode_error: of unreadable records: "raise", "skip" (a warning) or "raw" (as stored).

    Examples:
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> _ = client.upsert([{"key": "tea", "data": [1, 0], "metadata": {"text": "Green tea."}}])
        >>> report = OSSVectorFetcher(client=client).report(["tea", "coffee"])
        >>> report.documents[0].page_content, report.missing
        ('Green tea.', ('coffee',))
    """

    model_config = STRICT

    return_data: bool = False
    text_key: str | None = None
    embedding_key: str | None = None
    on_missing: MissingPolicy = "omit"
    on_decode_error: DecodePolicy = "raise"

    # LangChain makes schemas and graphs of these two; of the generic base it would read `Any`.
    @property
    def InputType(self) -> Any:  # noqa: N802 - LangChain's own name
        """Return the type of what `invoke` takes."""
        return list[str]

    @property
    def OutputType(self) -> Any:  # noqa: N802 - LangChain's own name
        """Return the type of what `invoke` returns."""
        return list[Pair] if self.return_data else list[Document]

    def _look_up(self, context: Context, asked: Sequence[str], /, **_: Any) -> Flow[FetchReport]:
        data = self.return_data or self.embedding_key is not None
        fetching = fetch(
            context, asked, index=self.index, return_data=data, on_missing=self.on_missing
        )
        result = yield from restore_fetched(context, fetching, self.index, return_data=data)
        records = decode_all(result, text_key=self.text_key, on_decode_error=self.on_decode_error)
        found = tuple(key for key in dict.fromkeys(result.keys) if key in result.by_key)
        documents: list[Any] = [document_from(record, self.embedding_key) for record in records]
        if self.return_data:
            documents = list(zip(documents, map(embedding_of, records), strict=True))
        return FetchReport(documents, found, result.missing, result.calls)


class OSSVectorRehydrator(_Fetching[Sequence[Any]]):
    """Whole Documents from ids, Documents without text, or hits with scores, in one fetch.

    Order and scores stay. A Document that has text is passed on without a fetch. Nothing that is
    given is changed. What does not exist is reported to callbacks as the custom event
    `oss_vectors_missing_keys`.

    Attributes:
        client: a client of either kind; by default one of `bucket`, ... and the environment.
        index: another index than the client's own.
        text_key: where another program keeps text, if not in `text`, `content`, `page_content`.
        score_key: the metadata field that receives a hit's score; None leaves scores out.
        refresh: fetch Documents that have text too.
        on_missing: "keep" passes on what does not exist as it came, without text; "omit" leaves it
            out; "raise" raises `MissingKeysError`.
        on_decode_error: of unreadable records: "raise", "skip" (a warning) or "raw" (as stored).

    Examples:
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> _ = client.upsert([{"key": "tea", "data": [1, 0], "metadata": {"text": "Green tea."}}])
        >>> OSSVectorRehydrator(client=client, score_key="score").invoke([("tea", 0.9)])
        [Document(id='tea', metadata={'score': 0.9}, page_content='Green tea.')]
    """

    model_config = STRICT

    text_key: str | None = None
    score_key: str | None = "score"
    refresh: bool = False
    on_missing: HydrationPolicy = "keep"
    on_decode_error: DecodePolicy = "raise"

    def _look_up(self, context: Context, asked: Sequence[Any], /, **_: Any) -> Flow[FetchReport]:
        hits = hits_of(asked)
        # An empty key is that of a hit without an id: no record can have it.
        keys = [None if self._is_whole(hit) else hit.id or "" for hit in hits]
        wanted = [key for key in dict.fromkeys(keys) if key]
        lookup = Lookup(
            index=self.index, text_key=self.text_key, on_decode_error=self.on_decode_error
        )
        found = yield from fetch_records(context, lookup, wanted, document_from)
        if found.missing and self.on_missing == "raise":
            raise MissingKeysError(found.missing)
        # an empty key is that of a hit without an id, which no record can have
        missing = {*found.missing, ""}
        there = tuple(key for key in wanted if key not in missing)
        stored = {str(document.id): document for document in found.made}
        documents = [
            self._copy(whole or hit.document or Document(id=hit.id, page_content=""), hit)
            for hit, whole in pair_with_stored(hits, keys, stored, missing, self.on_missing)
        ]
        return FetchReport(documents, there, found.missing)

    def _is_whole(self, hit: Hit) -> bool:
        return hit.document is not None and bool(hit.document.page_content) and not self.refresh

    def _copy(self, stored: Document, hit: Hit) -> Document:
        came = hit.document.metadata if hit.document is not None else {}
        metadata = {**stored.metadata, **came}  # a reranker's marks win over what is stored
        if hit.score is not None and self.score_key is not None:
            metadata[self.score_key] = hit.score
        # two hits of one key must not share metadata, which chains write into
        return stored.model_copy(update={"metadata": metadata}, deep=True)
