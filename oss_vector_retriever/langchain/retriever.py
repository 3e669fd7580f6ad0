"""`OSSVectorRetriever`: keys in, Documents out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
    adispatch_custom_event,
    dispatch_custom_event,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from pydantic import ConfigDict, Field, PrivateAttr

from oss_vector_retriever.client.both import BothClients, Client
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.langchain.documents import document_from
from oss_vector_retriever.records import DecodePolicy, Record, parse_keys
from oss_vector_retriever.records.lookup import Found, Lookup, MissingPolicy

MISSING_EVENT = "oss_vectors_missing_keys"
PROVIDER = "alibabacloud_oss_vectors"


class OSSVectorRetriever(BaseRetriever):
    """Retrieve Documents by key; the query is a JSON array of keys, or one key a line.

    Documents come in the order of the keys, a repeated key answered each time with a Document of
    its own; `Document.id` is the key. Keys that do not exist are left out and reported to callbacks
    as the custom event `oss_vectors_missing_keys`, or raise `MissingKeysError`.

    Attributes:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured
            by the environment.
        index: another index than the client's own.
        k: return at most so many Documents; also an argument of `invoke`.
        text_key: a further metadata field to look for text in.
        embedding_key: the metadata field that receives the stored embedding, as a list of floats;
            None leaves embeddings where they are, and they are not fetched.
        on_missing: "omit" or "raise".
        on_decode_error: "raise", "skip" or "raw", for records that cannot be read.
        key_parser: turns the query into keys, in place of the two forms above.
    """

    # a secret given under a wrong name must not come back in the error that says so
    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True
    )

    client: Client | None = Field(default=None, exclude=True, repr=False)
    index: str | None = None
    k: int | None = Field(default=None, gt=0, strict=True)
    text_key: str | None = None
    embedding_key: str | None = None
    on_missing: MissingPolicy = "omit"
    on_decode_error: DecodePolicy = "raise"
    key_parser: Callable[[str], list[str]] = Field(default=parse_keys, exclude=True, repr=False)

    _clients: BothClients = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Prepare the client for both kinds of call."""
        super().model_post_init(context)
        self._clients = BothClients(self.client)

    def _both(self) -> BothClients:
        if self._clients.given is not self.client:  # assigned, or changed in a copy
            self._clients = BothClients(self.client)
        return self._clients

    def _lookup(self, k: int | None) -> Lookup:
        return Lookup(
            index=self.index,
            text_key=self.text_key,
            return_data=self.embedding_key is not None,
            on_missing=self.on_missing,
            on_decode_error=self.on_decode_error,
            most=self.k if k is None else k,
        )

    def _flow_of(self, query: str, k: int | None) -> Callable[[Context], Flow[Found[Document]]]:
        return self._lookup(k).of(self.key_parser(query), self._document)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        found = self._both().run(self._flow_of(query, k))
        if found.missing:
            config = {"callbacks": run_manager.get_child()}
            dispatch_custom_event(MISSING_EVENT, self._report(found), config=config)  # type: ignore[arg-type]
        return found.made

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        found = await self._both().arun(self._flow_of(query, k))
        if found.missing:
            config = {"callbacks": run_manager.get_child()}
            await adispatch_custom_event(MISSING_EVENT, self._report(found), config=config)  # type: ignore[arg-type]
        return found.made

    def _document(self, record: Record) -> Document:
        return document_from(record, self.embedding_key)

    def _report(self, found: Found[Document]) -> dict[str, Any]:
        return {
            "index": self.index or self._both().config.index,
            "missing": list(found.missing),
        }

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = PROVIDER
        return params
