"""`OSSVectorFetcher` and `OSSVectorRehydrator`: lists in, Documents out, and a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
    adispatch_custom_event,
    dispatch_custom_event,
)
from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig, RunnableSerializable

from ..client.concurrency import limit_concurrency
from ..client.context import Context
from ..client.errors import MissingKeysError
from ..client.fetch import fetch
from ..client.steps import Flow
from ..records import DecodePolicy, Record, decode_all
from ..records.grouping import HydrationPolicy, pair_with_stored
from ..records.lookup import Lookup, MissingPolicy, fetch_records
from .connection import STRICT
from .documents import Hit, document_from, hits_of
from .retriever import MISSING_EVENT, _Batched, max_concurrency_of, result_or_raise

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


class _Fetching(_Batched, RunnableSerializable[Asked, list[Document]], Generic[Asked]):
    """A runnable whose flow ends in a `FetchReport`; what is missing becomes a custom event."""

    def invoke(
        self,
        input: Asked,  # noqa: A002 - LangChain's own name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Any]:
        """Answer one list."""
        return self._call_with_config(self._answer, input, config, **kwargs)

    async def ainvoke(
        self,
        input: Asked,  # noqa: A002 - LangChain's own name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Any]:
        """Answer one list."""
        return await self._acall_with_config(self._aanswer, input, config, **kwargs)

    def report(self, keys: Asked) -> FetchReport:
        """Fetch, and say what was found, what was missing and how many calls it took."""
        return cast("FetchReport", self._clients.run(self._look_up, keys))

    async def areport(self, keys: Asked) -> FetchReport:
        """Fetch, and say what was found, what was missing and how many calls it took."""
        return cast("FetchReport", await self._clients.arun(self._look_up, keys))

    def _answer(
        self,
        asked: Asked,
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        outcome: FetchReport | Exception | None = None,
    ) -> list[Any]:
        if outcome is None:
            limit = max_concurrency_of(config)
            outcome = self._clients.run(limit_concurrency, limit, self._look_up, asked)
        report: FetchReport = result_or_raise(outcome)
        if report.missing:
            child: Any = {"callbacks": run_manager.get_child()}
            dispatch_custom_event(MISSING_EVENT, self._event(report), config=child)
        return report.documents

    async def _aanswer(
        self,
        asked: Asked,
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        outcome: FetchReport | Exception | None = None,
    ) -> list[Any]:
        if outcome is None:
            limit = max_concurrency_of(config)
            outcome = await self._clients.arun(limit_concurrency, limit, self._look_up, asked)
        report: FetchReport = result_or_raise(outcome)
        if report.missing:
            child: Any = {"callbacks": run_manager.get_child()}
            await adispatch_custom_event(MISSING_EVENT, self._event(report), config=child)
        return report.documents

    def _event(self, report: FetchReport) -> dict[str, Any]:
        return {"index": self._index_name(), "missing": list(report.missing)}


Pair = tuple[Document, list[float]]


class OSSVectorFetcher(_Fetching[Sequence[str]]):
    """Documents by a list of keys, in the order asked, a repeated key answered each time.

    Missing keys are left out and reported to callbacks as the custom event
    `oss_vectors_missing_keys`. A batch is fetched as one: its distinct keys in calls of 100, at
    most `max_concurrency` of the run's configuration at a time.

    Attributes:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured
            by the fields `bucket`, `account_id`, `region`, ..., and by the environment.
        index: another index than the client's own.
        return_data: return pairs of a Document and its stored embedding, a list of floats.
        text_key: the metadata field in which another program keeps the text of its records, where
            that is none of `text`, `content` and `page_content`.
        embedding_key: the metadata field that receives the stored embedding, as a list of floats.
        on_missing: "omit" or "raise".
        on_decode_error: for records that cannot be read: "raise", "skip" (left out, with a warning
            in the log) or "raw" (their metadata as they are stored).
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
        result = yield from fetch(
            context,
            asked,
            index=self.index,
            return_data=self.return_data or self.embedding_key is not None,
            on_missing=self.on_missing,
        )
        records = decode_all(result, text_key=self.text_key, on_decode_error=self.on_decode_error)
        found = tuple(key for key in dict.fromkeys(result.keys) if key in result.by_key)
        documents = [self._document(record) for record in records]
        return FetchReport(documents, found, result.missing, result.calls)

    def _document(self, record: Record) -> Document | Pair:
        document = document_from(record, self.embedding_key)
        if not self.return_data:
            return document
        return document, [] if record.embedding is None else record.embedding.tolist()


class OSSVectorRehydrator(_Fetching[Sequence[Any]]):
    """Whole Documents from ids, Documents without text, or hits with scores, in one fetch.

    Order and scores stay. A Document that has text is passed on without a fetch. Nothing that is
    given is changed. What does not exist is reported to callbacks as the custom event
    `oss_vectors_missing_keys`.

    Attributes:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured
            by the fields `bucket`, `account_id`, `region`, ..., and by the environment.
        index: another index than the client's own.
        text_key: the metadata field in which another program keeps the text of its records, where
            that is none of `text`, `content` and `page_content`.
        score_key: the metadata field that receives a hit's score; None leaves scores out.
        refresh: fetch Documents that have text too.
        on_missing: "keep" passes on what does not exist as it came, without text; "omit" leaves it
            out; "raise" raises `MissingKeysError`.
        on_decode_error: for records that cannot be read: "raise", "skip" (left out, with a warning
            in the log) or "raw" (their metadata as they are stored).
    """

    model_config = STRICT

    text_key: str | None = None
    score_key: str | None = "score"
    refresh: bool = False
    on_missing: HydrationPolicy = "keep"
    on_decode_error: DecodePolicy = "raise"

    def _look_up(self, context: Context, asked: Sequence[Any], /, **_: Any) -> Flow[FetchReport]:
        hits = hits_of(asked)
        keys = [(hit.id or "") if self._lacks_text(hit) else None for hit in hits]
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

    def _lacks_text(self, hit: Hit) -> bool:
        return hit.document is None or self.refresh or not hit.document.page_content

    def _copy(self, stored: Document, hit: Hit) -> Document:
        came = hit.document.metadata if hit.document is not None else {}
        metadata = {**stored.metadata, **came}  # a reranker's marks win over what is stored
        if hit.score is not None and self.score_key is not None:
            metadata[self.score_key] = hit.score
        return stored.model_copy(update={"metadata": metadata}, deep=True)
