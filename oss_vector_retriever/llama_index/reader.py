"""`OSSVectorReader`: records by key as Documents, all at once or as a stream."""

from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable, Iterator
from itertools import islice
from typing import Any

from llama_index.core.readers.base import BasePydanticReader, ResourcesReaderMixin
from llama_index.core.schema import Document

from ..client.context import Context, Flow
from ..client.operations.checks import each_of
from ..client.operations.vectors import list_vectors
from ..records import Record
from ..records.lookup import MissingPolicy, fetch_records
from .component import _Fetching, report_missing
from .nodes import as_document

# keys fetched at once: few for who stops early, more for who goes on
_FIRST_BATCH, _LARGEST_BATCH = 100, 800


class OSSVectorReader(_Fetching, BasePydanticReader, ResourcesReaderMixin):
    """Records by key as Documents, with their stored embeddings, in the order of the keys.

    The keys are the reader's resources.

    Attributes:
        return_data: set `Document.embedding` from the stored float32 data.
        on_missing: "omit" leaves out keys that do not exist, and reports them as a
            `MissingKeysEvent`; "raise" raises `MissingKeysError`.

    Examples:
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> _ = client.upsert([{"key": "tea", "data": [1, 0], "metadata": {"text": "Green tea."}}])
        >>> OSSVectorReader(client=client).load_data(["tea"])[0].text
        'Green tea.'
    """

    is_remote: bool = True
    return_data: bool = True
    on_missing: MissingPolicy = "omit"

    def load_data(self, keys: Iterable[str]) -> list[Document]:
        """Load all at once."""
        return self._clients.run(self._load, keys)

    async def aload_data(self, keys: Iterable[str]) -> list[Document]:
        """Load all at once."""
        return await self._clients.arun(self._load, keys)

    def lazy_load_data(self, keys: Iterable[str]) -> Iterator[Document]:
        """Yield Documents as they come; of the keys no more are read than are fetched at once."""
        rest, size = each_of(keys), _FIRST_BATCH
        while batch := list(islice(rest, size)):
            yield from self.load_data(batch)
            size = min(size * 2, _LARGEST_BATCH)

    def alazy_load_data(self, keys: Iterable[str] | AsyncIterable[str]) -> "DocumentStream":  # type: ignore[override]  # awaitable, as core's
        """Return Documents as they come: `async for` streams, `await` gives a list."""
        # core's returns a list when awaited; async for over ours takes no more than it needs
        return DocumentStream(self._stream(keys))

    def list_resources(self) -> list[str]:
        """List every key of the index, page by page."""
        return self._clients.run(self._list_keys)

    async def alist_resources(self) -> list[str]:
        """List every key of the index, page by page."""
        return await self._clients.arun(self._list_keys)

    def get_resource_info(self, resource_id: str) -> dict[str, Any]:
        """Return the metadata and the format of a key's record; {} where there is none."""
        return self._clients.run(self._describe, [resource_id]).get(resource_id, {})

    async def aget_resource_info(self, resource_id: str) -> dict[str, Any]:
        """Do what `get_resource_info` does."""
        return (await self._clients.arun(self._describe, [resource_id])).get(resource_id, {})

    def list_resources_with_info(self) -> dict[str, dict[str, Any]]:
        """Return what is known of every key of the index."""
        return self._clients.run(self._describe, self.list_resources())

    async def alist_resources_with_info(self) -> dict[str, dict[str, Any]]:
        """Return what is known of every key of the index."""
        return await self._clients.arun(self._describe, await self.alist_resources())

    def load_resource(self, resource_id: str) -> list[Document]:
        """Load the record of one key."""
        return self.load_data([resource_id])

    async def aload_resource(self, resource_id: str) -> list[Document]:
        """Load the record of one key."""
        return await self.aload_data([resource_id])

    def load_resources(self, resource_ids: list[str]) -> list[Document]:
        """Load the records of several keys with one batched fetch, as a list."""
        return self.load_data(resource_ids)

    async def aload_resources(self, resource_ids: list[str]) -> dict[str, list[Document]]:
        """Load the records of several keys with one batched fetch, by key, as core's does."""
        # core's blocking method returns a list, its awaited one a dict
        found = {document.id_: [document] for document in await self.aload_data(resource_ids)}
        return {key: found.get(key, []) for key in resource_ids}

    async def aget_permission_info(self, resource_id: str) -> dict[str, Any]:
        """Refuse, as `get_permission_info` does: permissions are the bucket's."""
        return self.get_permission_info(resource_id)

    async def _stream(self, keys: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[Document]:
        batch: list[str] = []
        size = _FIRST_BATCH
        async for key in _each(keys):
            batch.append(key)
            if len(batch) == size:
                for document in await self.aload_data(batch):
                    yield document
                batch, size = [], min(size * 2, _LARGEST_BATCH)
        for document in await self.aload_data(batch):
            yield document

    def _load(self, context: Context, keys: Iterable[str]) -> Flow[list[Document]]:
        lookup = self._lookup(return_data=self.return_data, on_missing=self.on_missing)
        found = yield from fetch_records(context, lookup, keys, lookup.node)
        report_missing(context, self.index, found.missing)
        return [as_document(node) for node in found.made]

    def _list_keys(self, context: Context) -> Flow[list[str]]:
        keys: list[str] = []
        token: str | None = None
        # as large as the service makes a page: by default it sends half of that
        page_size = context.config.limits.list_page
        while True:
            page = yield from list_vectors(
                context, index=self.index, max_results=page_size, next_token=token
            )
            keys += [vector.key for vector in page]
            if (token := page.next_token) is None:
                return keys

    def _describe(self, context: Context, keys: list[str]) -> Flow[dict[str, dict[str, Any]]]:
        found = yield from fetch_records(context, self._lookup(), keys, _info)
        return dict(found.made)


class DocumentStream:
    """Documents as they come: `async for` takes them one by one, `await` all as a list."""

    def __init__(self, documents: AsyncIterator[Document]) -> None:
        self._documents = documents

    def __aiter__(self) -> AsyncIterator[Document]:
        return self._documents

    def __await__(self) -> Generator[Any, None, list[Document]]:
        return self._all().__await__()

    async def _all(self) -> list[Document]:
        return [document async for document in self._documents]


def _info(record: Record) -> tuple[str, dict[str, Any]]:
    # no text: a listing of a large index would bring all of it into memory
    about = {"key": record.key, "format": record.source, "characters": len(record.text)}
    return record.key, {**about, "metadata": record.metadata}


async def _each(keys: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[str]:
    if isinstance(keys, AsyncIterable):
        async for key in keys:
            yield key
    else:
        for key in each_of(keys):
            yield key
