"""`VerifyingRecordManager`: trust only what the index holds."""

from collections.abc import Sequence
from typing import Any

from langchain_core.indexing import RecordManager

from ..client.context import Context, Flow
from ..client.models.results import FetchResult
from .store import OSSVectorStore


class VerifyingRecordManager(RecordManager):
    """Another record manager, save that a key exists only if the index holds it too.

    A record manager and a store drift apart, and `index()` then counts lost documents as skipped.
    With this one it puts them again, for a keys-only fetch: one call for each 100 keys.

    `index()` tells its record manager of a document after it has put it. A put that was done,
    though its reply was lost, would leave a record behind that no manager knows. So `exists` notes
    the keys that the inner manager does not know, before they are put: they exist only when the
    index holds them too, and where they are not in use by then, the next cleanup with "full"
    deletes them. "incremental" and "scoped_full" do not, for what source they have is said only
    after the put.

    Args:
        inner: the record manager that keeps the times and groups.
        store: the store that `index()` writes to.

    Examples:
        >>> from langchain_core.documents import Document
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> from langchain_core.indexing import InMemoryRecordManager, index
        >>> model, client = DeterministicFakeEmbedding(size=2), OSSVectorClient.local()
        >>> store = OSSVectorStore(model, client=client)
        >>> records = VerifyingRecordManager(InMemoryRecordManager("notes"), store)
        >>> records.create_schema()
        >>> index([Document("Green tea.")], records, store, key_encoder="sha256")["num_added"]
        1
    """

    def __init__(self, inner: RecordManager, store: OSSVectorStore) -> None:
        super().__init__(namespace=inner.namespace)
        self.inner = inner
        self.store = store

    def exists(self, keys: Sequence[str]) -> list[bool]:
        """Tell of each key whether the inner manager knows it and the index holds it.

        What it did not know it knows from now on, as if it were put.
        """
        known = self.inner.exists(keys)
        if new := _new_keys(keys, known):
            self.inner.update(new)
        return _confirm(keys, known, self.store.run(self._fetch_known, keys, known))

    async def aexists(self, keys: Sequence[str]) -> list[bool]:
        """Do as `exists` does."""
        known = await self.inner.aexists(keys)
        if new := _new_keys(keys, known):
            await self.inner.aupdate(new)
        held = await self.store.arun(self._fetch_known, keys, known)
        return _confirm(keys, known, held)

    # The rest is the inner manager's, with whatever arguments its release of LangChain gives it.

    def create_schema(self) -> None:
        """Make the inner manager's schema."""
        self.inner.create_schema()

    async def acreate_schema(self) -> None:
        """Make the inner manager's schema."""
        await self.inner.acreate_schema()

    def get_time(self) -> float:
        """Return the inner manager's time."""
        return self.inner.get_time()  # the clock of its database, which dates what is cleaned up

    async def aget_time(self) -> float:
        """Return the inner manager's time."""
        return await self.inner.aget_time()

    def update(self, keys: Sequence[str], **options: Any) -> None:
        """Update the inner manager's records."""
        self.inner.update(keys, **options)

    async def aupdate(self, keys: Sequence[str], **options: Any) -> None:
        """Update the inner manager's records."""
        await self.inner.aupdate(keys, **options)

    def list_keys(self, **options: Any) -> list[str]:
        """List the inner manager's keys."""
        return self.inner.list_keys(**options)  # lost ones too, so that cleaning up removes them

    async def alist_keys(self, **options: Any) -> list[str]:
        """List the inner manager's keys."""
        return await self.inner.alist_keys(**options)

    def delete_keys(self, keys: Sequence[str]) -> None:
        """Delete the inner manager's records."""
        self.inner.delete_keys(keys)

    async def adelete_keys(self, keys: Sequence[str]) -> None:
        """Delete the inner manager's records."""
        await self.inner.adelete_keys(keys)

    def _fetch_known(
        self, context: Context, keys: Sequence[str], known: Sequence[bool]
    ) -> Flow[FetchResult]:
        # what the inner manager does not know is written anyway: only the others cost a call
        doubtful = [key for key, there in zip(keys, known, strict=True) if there]
        records = self.store._records  # noqa: SLF001 - of this package
        return records.fetch(context, doubtful, return_metadata=False)


def _new_keys(keys: Sequence[str], known: Sequence[bool]) -> list[str]:
    return [key for key, there in dict(zip(keys, known, strict=True)).items() if not there]


def _confirm(keys: Sequence[str], known: Sequence[bool], held: FetchResult) -> list[bool]:
    return [there and key in held.by_key for key, there in zip(keys, known, strict=True)]
