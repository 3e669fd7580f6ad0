"""`OSSVectorDocumentIndex`: a retriever that is written to, over an `OSSVectorStore`."""

import logging
from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.indexing.base import DeleteResponse, DocumentIndex, UpsertResponse
from langchain_core.retrievers import LangSmithRetrieverParams
from pydantic import Field

from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, PartialWriteError
from ..records.store import Deleted
from .connection import PROVIDER, STRICT
from .retriever import reporting_to
from .store import OSSVectorStore, refuse_unknown

_log = logging.getLogger(__name__)


class OSSVectorDocumentIndex(DocumentIndex):
    """A retriever whose Documents are upserted, fetched and deleted; every async method is native.

    Attributes:
        store: holds the Documents, and the embedding model that writing and searching use.
        k: how many Documents a search returns.

    Examples:
        >>> from langchain_core.documents import Document
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> model, client = DeterministicFakeEmbedding(size=2), OSSVectorClient.local()
        >>> store = OSSVectorStore(model, client=client)
        >>> index = OSSVectorDocumentIndex(store=store)
        >>> index.upsert([Document("Green tea.", id="tea")])
        {'succeeded': ['tea'], 'failed': []}
        >>> index.get(["tea"])[0].page_content
        'Green tea.'
    """

    model_config = STRICT

    # a store is no pydantic model: dumps leave it out, pickles hold it with its settings
    store: OSSVectorStore = Field(exclude=True, repr=False)
    k: int = Field(default=4, gt=0, strict=True)

    def upsert(self, items: Sequence[Document], /, **unknown: Any) -> UpsertResponse:
        """Write Documents; ids are made up where they have none. Say which succeeded and failed.

        Raises:
            InvalidRequestError: something that the index cannot hold; nothing was written.
        """
        refuse_unknown(unknown)  # LangChain's own would take a misspelt option for its own
        try:
            succeeded = self.store.add_documents(list(items))
        except PartialWriteError as error:
            return _partial_response(error)
        return UpsertResponse(succeeded=succeeded, failed=list(succeeded.report.keys))

    async def aupsert(self, items: Sequence[Document], /, **unknown: Any) -> UpsertResponse:
        """Do as `upsert` does."""
        refuse_unknown(unknown)
        try:
            succeeded = await self.store.aadd_documents(list(items))
        except PartialWriteError as error:
            return _partial_response(error)
        return UpsertResponse(succeeded=succeeded, failed=list(succeeded.report.keys))

    def delete(self, ids: list[str] | None = None, **unknown: Any) -> DeleteResponse:
        """Delete by id, and count only what was there.

        Raises:
            InvalidRequestError: no ids were given.
            PartialWriteError: calls failed; its `report` says what is gone.
        """
        refuse_unknown(unknown)
        return _delete_response(self.store.run(self._delete, ids))

    async def adelete(self, ids: list[str] | None = None, **unknown: Any) -> DeleteResponse:
        """Do as `delete` does."""
        refuse_unknown(unknown)
        return _delete_response(await self.store.arun(self._delete, ids))

    def get(self, ids: Sequence[str], /, **unknown: Any) -> list[Document]:
        """Return Documents by id, in the order asked; those that do not exist are left out."""
        refuse_unknown(unknown)
        return self.store.get_by_ids(ids)

    async def aget(self, ids: Sequence[str], /, **unknown: Any) -> list[Document]:
        """Do as `get` does."""
        refuse_unknown(unknown)
        return await self.store.aget_by_ids(ids)

    def _get_relevant_documents(
        self, query: str, *, run_manager: Any, k: int | None = None
    ) -> list[Document]:
        with reporting_to(run_manager):
            return self.store.similarity_search(query, self.k if k is None else k)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: Any, k: int | None = None
    ) -> list[Document]:
        with reporting_to(run_manager):
            return await self.store.asimilarity_search(query, self.k if k is None else k)

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = PROVIDER
        if self.store.embeddings is not None:
            params["ls_embedding_provider"] = type(self.store.embeddings).__name__
        return params

    def _delete(self, context: Context, ids: list[str] | None) -> Flow[Deleted]:
        if ids is None:
            raise InvalidRequestError(
                "delete needs ids; store.delete(delete_all=True) is what empties the index."
            )
        return self.store._records.delete_counted(context, ids)  # noqa: SLF001 - of this package


def _partial_response(error: PartialWriteError) -> UpsertResponse:
    # LangChain's response has room for what failed, but none for why
    _log.warning("upsert: %s", error)
    return UpsertResponse(succeeded=list(error.report.written), failed=list(error.report.failed))


def _delete_response(result: Deleted) -> DeleteResponse:
    return DeleteResponse(
        succeeded=list(result.deleted), num_deleted=len(result.deleted), failed=[], num_failed=0
    )
