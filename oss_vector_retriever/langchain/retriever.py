"""`OSSVectorRetriever`: keys in, Documents out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
    adispatch_custom_event,
    dispatch_custom_event,
)
from langchain_core.documents import Document
from langchain_core.load.serializable import SerializedConstructor, SerializedNotImplemented
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from langchain_core.runnables import RunnableConfig
from pydantic import Field

from oss_vector_retriever.client.concurrency import limit_concurrency
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.langchain.batching import Batched, concurrency, or_raise
from oss_vector_retriever.langchain.connection import PROVIDER, STRICT, Serialised
from oss_vector_retriever.langchain.documents import document_from
from oss_vector_retriever.records import DecodePolicy, Record, parse_keys
from oss_vector_retriever.records.lookup import Found, Lookup, MissingPolicy

MISSING_EVENT = "oss_vectors_missing_keys"
_OWN = {"max_concurrency", "outcome"}  # what our methods pass to one another


class ServiceRetriever(Serialised, BaseRetriever):
    """Be a retriever whose `max_concurrency` of the run bounds its calls."""

    model_config = STRICT

    def invoke(
        self,
        input: str,  # noqa: A002 - LangChain's own name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Retrieve the Documents of a query; `k` may be given here too."""
        options = self._passed("_get_relevant_documents", config, kwargs)
        return BaseRetriever.invoke(self, input, config, **options)

    async def ainvoke(
        self,
        input: str,  # noqa: A002 - LangChain's own name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Retrieve the Documents of a query; `k` may be given here too."""
        options = self._passed("_aget_relevant_documents", config, kwargs)
        return await BaseRetriever.ainvoke(self, input, config, **options)

    def _passed(
        self, method: str, config: RunnableConfig | None, options: dict[str, Any]
    ) -> dict[str, Any]:
        most = concurrency(config)
        given = options if most is None else {"max_concurrency": most, **options}
        # a subclass with a signature of its own must not meet arguments that nobody passed
        known = _parameters(getattr(type(self), method))
        return {name: v for name, v in given.items() if name not in _OWN or name in known}

    def _tell(self, run_manager: CallbackManagerForRetrieverRun, missing: Sequence[str]) -> None:
        if missing:
            config: Any = {"callbacks": run_manager.get_child()}
            dispatch_custom_event(MISSING_EVENT, self._told(missing), config=config)

    async def _atell(
        self, run_manager: AsyncCallbackManagerForRetrieverRun, missing: Sequence[str]
    ) -> None:
        if missing:
            config: Any = {"callbacks": run_manager.get_child()}
            await adispatch_custom_event(MISSING_EVENT, self._told(missing), config=config)

    def _told(self, missing: Sequence[str]) -> dict[str, Any]:
        return {"index": self._index_name(), "missing": list(missing)}

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = PROVIDER
        return params


@cache
def _parameters(method: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(method).parameters)


Outcome = Found[Document] | Exception


class OSSVectorRetriever(Batched, ServiceRetriever):
    """Retrieve Documents by key; the query is a JSON array of keys, or one key a line.

    Documents come in the order of the keys, a repeated key answered each time with a Document of
    its own; `Document.id` is the key. Keys that do not exist are left out and reported to callbacks
    as the custom event `oss_vectors_missing_keys`, or raise `MissingKeysError`.

    A batch is fetched as one: its distinct keys in calls of 100, at most `max_concurrency` of the
    run's configuration at a time. With settings in place of `client` it can be serialised, and
    `load_retriever` brings it back.

    Attributes:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured
            by the fields `bucket`, `account_id`, `region`, ..., and by the environment.
        index: another index than the client's own.
        k: return at most so many Documents; also an argument of `invoke`.
        text_key: the metadata field in which another program keeps the text of its records, where
            that is none of `text`, `content` and `page_content`.
        embedding_key: the metadata field that receives the stored embedding, as a list of floats;
            None leaves embeddings where they are, and they are not fetched.
        on_missing: "omit" or "raise".
        on_decode_error: for records that cannot be read: "raise", "skip" (left out, with a warning
            in the log) or "raw" (their metadata as they are stored).
        key_parser: turns the query into keys, in place of the two forms above.
    """

    model_config = STRICT

    k: int | None = Field(default=None, gt=0, strict=True)
    text_key: str | None = None
    embedding_key: str | None = None
    on_missing: MissingPolicy = "omit"
    on_decode_error: DecodePolicy = "raise"
    key_parser: Callable[[str], list[str]] = Field(default=parse_keys, exclude=True, repr=False)

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """Return the serialised form; there is none for a client or a function that was given."""
        ours = self.key_parser is parse_keys
        return super().to_json() if ours else self.to_json_not_implemented()

    def _lookup(self, k: int | None) -> Lookup:
        return Lookup(
            index=self.index,
            text_key=self.text_key,
            return_data=self.embedding_key is not None,
            on_missing=self.on_missing,
            on_decode_error=self.on_decode_error,
            limit=self.k if k is None else k,
        )

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        max_concurrency: int | None = None,
        outcome: Outcome | None = None,
    ) -> list[Document]:
        if outcome is None:
            outcome = self._both().run(limit_concurrency, max_concurrency, self._start(query, k=k))
        found: Found[Document] = or_raise(outcome)
        self._tell(run_manager, found.missing)
        return found.made

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        max_concurrency: int | None = None,
        outcome: Outcome | None = None,
    ) -> list[Document]:
        if outcome is None:
            outcome = await self._both().arun(
                limit_concurrency, max_concurrency, self._start(query, k=k)
            )
        found: Found[Document] = or_raise(outcome)
        await self._atell(run_manager, found.missing)
        return found.made

    def _start(  # type: ignore[override]  # its options are known
        self,
        asked: str,
        *,
        k: int | None = None,
        max_concurrency: int | None = None,  # noqa: ARG002 - the batch sees to it
    ) -> Callable[[Context], Flow[Found[Document]]]:
        return self._lookup(k).of(self.key_parser(asked), self._document)

    def _document(self, record: Record) -> Document:
        return document_from(record, self.embedding_key)
