"""The writing half of `OSSVectorStore`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.langchain.additions import Additions, Embedding
from oss_vector_retriever.langchain.store_base import StoreBase, refuse_unknown
from oss_vector_retriever.records.patching import update_metadata
from oss_vector_retriever.records.removing import delete, delete_all
from oss_vector_retriever.records.storing import Start


class StoreWriting(StoreBase):
    """Add, change and delete."""

    def add_documents(
        self,
        documents: list[Document],
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        **unknown: Any,
    ) -> list[str]:
        """Add Documents, or replace those with the same ids; return the ids in order.

        Everything is checked, and every embedding made, before anything is written. The Documents
        are left as they are.

        Args:
            documents: what to add.
            ids: an id or None for each; it wins over `Document.id`, and one is made up where there
                is neither.
            embeddings: one for each, in place of the model's.
            batch_size: texts for each call of the embedding model; all at once by default.
            unknown: refused.

        Raises:
            InvalidRequestError: an id twice, or something that the index cannot hold; nothing was
                written.
            PartialWriteError: calls failed; its `report` says what was written and what not.
        """
        refuse_unknown(unknown)
        new = Additions.of_documents(self._records, documents, ids, self._filled)
        return self._add(new, embeddings, batch_size)

    async def aadd_documents(
        self,
        documents: list[Document],
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        **unknown: Any,
    ) -> list[str]:
        """Do as `add_documents` does."""
        refuse_unknown(unknown)
        new = Additions.of_documents(self._records, documents, ids, self._filled)
        return await self._aadd(new, embeddings, batch_size)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        **unknown: Any,
    ) -> list[str]:
        """Add texts with their metadata, as `add_documents` adds Documents; return the ids."""
        refuse_unknown(unknown)
        new = Additions(self._records, texts, metadatas, ids, self._filled)
        return self._add(new, embeddings, batch_size)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        **unknown: Any,
    ) -> list[str]:
        """Do as `add_texts` does."""
        refuse_unknown(unknown)
        new = Additions(self._records, texts, metadatas, ids, self._filled)
        return await self._aadd(new, embeddings, batch_size)

    def delete(
        self, ids: Sequence[str] | None = None, *, delete_all: bool = False, **unknown: Any
    ) -> bool:
        """Delete by id; an id that does not exist is no error. The index itself always stays.

        Args:
            ids: what to delete.
            delete_all: delete every vector of the index; then there are no `ids`.
            unknown: refused.

        Raises:
            InvalidRequestError: neither `ids` nor `delete_all`, or both.
            PartialWriteError: calls failed; its `report` says what is gone.
        """
        refuse_unknown(unknown)
        self.run(self._deletion(ids, delete_all))
        return True

    async def adelete(
        self, ids: Sequence[str] | None = None, *, delete_all: bool = False, **unknown: Any
    ) -> bool:
        """Do as `delete` does."""
        refuse_unknown(unknown)
        await self.arun(self._deletion(ids, delete_all))
        return True

    def update_metadata(
        self, ids: Iterable[str], patch: Mapping[str, Any], *, remove: Collection[str] = ()
    ) -> list[str]:
        """Merge a patch into the metadata of stored Documents; no embedding call.

        Args:
            ids: which; those that do not exist are passed over.
            patch: fields and their new values; the other fields stay.
            remove: fields to take away.

        Returns:
            The ids that were there, in order.

        Raises:
            InvalidRequestError: a record would pass a limit; nothing was written.
            PartialWriteError: calls failed; its `report` says which records are changed.
        """
        return list(self.run(update_metadata(self._records, ids, patch, remove=remove)))

    async def aupdate_metadata(
        self, ids: Iterable[str], patch: Mapping[str, Any], *, remove: Collection[str] = ()
    ) -> list[str]:
        """Do as `update_metadata` does."""
        return list(await self.arun(update_metadata(self._records, ids, patch, remove=remove)))

    def _add(
        self, new: Additions, embeddings: Iterable[Embedding] | None, batch_size: int | None
    ) -> list[str]:
        if embeddings is None:
            embeddings = self._embedder.documents(new.texts, batch_size)
        self.run(self._records.write(new.vectors(embeddings)))
        return new.ids

    async def _aadd(
        self, new: Additions, embeddings: Iterable[Embedding] | None, batch_size: int | None
    ) -> list[str]:
        if embeddings is None:
            embeddings = await self._embedder.adocuments(new.texts, batch_size)
        await self.arun(self._records.write(new.vectors(embeddings)))
        return new.ids

    def _deletion(self, ids: Sequence[str] | None, everything: bool) -> Start[object]:
        if (ids is None) is not everything:
            raise InvalidRequestError(
                "delete takes ids, or delete_all=True for every vector of the index; not both."
            )
        return delete_all(self._records) if ids is None else delete(self._records, ids)
