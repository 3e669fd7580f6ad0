"""`OSSVectorRehydrator`: hits that carry only ids become whole Documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from langchain_core.documents import Document

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import MissingKeysError
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.langchain.connection import STRICT
from oss_vector_retriever.langchain.documents import document_from
from oss_vector_retriever.langchain.fetching import Fetching, FetchReport
from oss_vector_retriever.langchain.hits import Hit, hits_of
from oss_vector_retriever.records import DecodePolicy
from oss_vector_retriever.records.lookup import Lookup


class OSSVectorRehydrator(Fetching[Sequence[Any]]):
    """Turn ids, Documents without text, or hits with scores into whole Documents, in one fetch.

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
        on_missing: "omit" leaves out what does not exist, "keep" passes it on as it came, without
            text, "raise" raises `MissingKeysError`.
        on_decode_error: for records that cannot be read: "raise", "skip" (left out, with a warning
            in the log) or "raw" (their metadata as they are stored).
    """

    model_config = STRICT

    text_key: str | None = None
    score_key: str | None = "score"
    refresh: bool = False
    on_missing: Literal["omit", "keep", "raise"] = "omit"
    on_decode_error: DecodePolicy = "raise"

    def _start(self, asked: Sequence[Any], **_: Any) -> Callable[[Context], Flow[FetchReport]]:
        return lambda context: self._rehydrated(context, asked)

    def _rehydrated(self, context: Context, items: Sequence[Any]) -> Flow[FetchReport]:
        hits = hits_of(items)
        keys = list(
            dict.fromkeys(hit.id for hit in hits if hit.id is not None and self._lacks(hit))
        )
        lookup = Lookup(
            index=self.index, text_key=self.text_key, on_decode_error=self.on_decode_error
        )
        found = yield from lookup.of(keys, document_from)(context)
        if found.missing and self.on_missing == "raise":
            raise MissingKeysError(found.missing)
        whole = {document.id: document for document in found.made}
        there = tuple(key for key in keys if key not in found.missing)
        return FetchReport(list(self._filled(hits, whole)), there, found.missing)

    def _lacks(self, hit: Hit) -> bool:
        return hit.document is None or self.refresh or not hit.document.page_content

    def _filled(self, hits: Sequence[Hit], whole: dict[str | None, Document]) -> Iterator[Document]:
        for hit in hits:
            stored = whole.get(hit.id) if self._lacks(hit) else hit.document
            if stored is None and self.on_missing != "omit":
                stored = hit.document or Document(id=hit.id, page_content="")
            if stored is not None:
                yield self._copied(stored, hit)

    def _copied(self, stored: Document, hit: Hit) -> Document:
        came = hit.document.metadata if hit.document is not None else {}
        metadata = {**stored.metadata, **came}
        if hit.score is not None and self.score_key is not None:
            metadata[self.score_key] = hit.score
        return stored.model_copy(update={"metadata": metadata}, deep=True)
