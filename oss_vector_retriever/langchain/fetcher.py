"""`OSSVectorFetcher`: a list of keys in, Documents out, with a report where one is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.documents import Document

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.fetch import fetch
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.langchain.connection import STRICT
from oss_vector_retriever.langchain.documents import document_from
from oss_vector_retriever.langchain.fetching import Fetching, FetchReport
from oss_vector_retriever.records import DecodePolicy, Record, decode_all
from oss_vector_retriever.records.lookup import MissingPolicy

Pair = tuple[Document, list[float]]


class OSSVectorFetcher(Fetching[Sequence[str]]):
    """Fetch Documents by a list of keys, in the order asked, a repeated key answered each time.

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

    @property
    def InputType(self) -> Any:  # noqa: N802 - LangChain's own name
        """Return the type of what `invoke` takes."""
        return list[str]

    @property
    def OutputType(self) -> Any:  # noqa: N802 - LangChain's own name
        """Return the type of what `invoke` returns."""
        return list[Pair] if self.return_data else list[Document]

    def report(self, keys: Sequence[str]) -> FetchReport:
        """Fetch keys and say what was found, what was missing and how many calls it took."""
        return self._both().run(self._start(keys))

    async def areport(self, keys: Sequence[str]) -> FetchReport:
        """Fetch keys and say what was found, what was missing and how many calls it took."""
        return await self._both().arun(self._start(keys))

    def _start(self, asked: Sequence[str], **_: Any) -> Callable[[Context], Flow[FetchReport]]:
        return lambda context: self._fetched(context, asked)

    def _fetched(self, context: Context, keys: Sequence[str]) -> Flow[FetchReport]:
        result = yield from fetch(
            context,
            keys,
            index=self.index,
            return_data=self.return_data or self.embedding_key is not None,
            on_missing=self.on_missing,
        )
        records = decode_all(result, text_key=self.text_key, on_decode_error=self.on_decode_error)
        found = tuple(key for key in dict.fromkeys(result.keys) if key in result.by_key)
        made = [self._made_of(record) for record in records]
        return FetchReport(made, found, result.missing, result.calls)

    def _made_of(self, record: Record) -> Document | Pair:
        document = document_from(record, self.embedding_key)
        if not self.return_data:
            return document
        return document, [] if record.embedding is None else record.embedding.tolist()
