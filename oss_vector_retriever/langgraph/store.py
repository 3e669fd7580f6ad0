"""`OSSVectorGraphStore`: LangGraph's long-term memory in an index."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from weakref import WeakKeyDictionary

from langgraph.store.base import (
    BaseStore,
    IndexConfig,
    Op,
    PutOp,
    Result,
    SearchOp,
    ensure_embeddings,
    get_text_at_path,
    tokenize_path,
)

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import (
    ConfigurationError,
    InvalidRequestError,
    PartialWriteError,
)
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS
from oss_vector_retriever.client.operations.checks import check_field_names, check_whole
from oss_vector_retriever.client.pair import Client, ClientPair, limits_of
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.langchain.connection import SharesClient
from oss_vector_retriever.langgraph.items import MOST_COPIES, copy_of, name_of, place_of
from oss_vector_retriever.langgraph.operations import Memory
from oss_vector_retriever.records.store import RecordStore, StoreSettings

_WHOLE = "$"


class OSSVectorGraphStore(SharesClient, BaseStore):
    """Keep LangGraph's memory in an index: items by namespace and key, searched by meaning.

    Gets of one batch, and `aget`s at the same time, share calls: 250 are 3. So do puts: up to 100
    items are one get (an item keeps the moment of its making) and one put, whether they come as a
    batch or as `aput`s at the same time. Reads of a batch come before its writes. The index is made
    on the first write. An item has one embedding, of its texts together. A search with a `query`
    and a `filter` looks through the 500 nearest of those that the service can tell to match; one
    without a `query`, and `list_namespaces`, list what the namespace or the prefix holds. There is
    no TTL: asking for one raises.

    Args:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`, or None for one that is configured
            by the environment.
        index: LangGraph's own configuration of searches: `dims`, `embed` (an `Embeddings`, a
            function, or a name such as `openai:text-embedding-3-small`) and `fields`. Without it
            there is no search by meaning.
        index_name: another index of the service than the client's own.
        create_index: make the index on the first write.
        filterable: top-level fields of values, at most 7, in which the service itself looks for
            what a `filter` says is equal; all else is compared here. A value that was put before
            its field was named here is not found by that field until it is put again.

    Raises:
        ConfigurationError: `client` is of another type, or `index` lacks `dims`.
        InvalidRequestError: a setting is impossible.
    """

    supports_ttl = False

    def __init__(
        self,
        client: Client | None = None,
        *,
        index: IndexConfig | None = None,
        index_name: str | None = None,
        create_index: bool = True,
        filterable: Sequence[str] = (),
    ) -> None:
        settings = StoreSettings(
            index=index_name,
            create_index=create_index,
            filterable=[copy_of(field) for field in _few(filterable)],
            limits=limits_of(client),
        )
        self.embeddings = ensure_embeddings(index.get("embed")) if index else None
        fields = (index.get("fields") if index else None) or [_WHOLE]
        self._fields = [tokenize_path(field) for field in fields]
        self._clients = ClientPair(client)
        self._memory = Memory(RecordStore(settings), _dimension(index), tuple(filterable))
        self._merged = MergedPuts(self._done_together)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do operations together; reads come before writes."""
        asked = list(ops)
        texts, queries = self._to_embed(asked)
        known: dict[str, Sequence[float]] = {}
        searched: dict[str, Sequence[float]] = {}
        if self.embeddings is not None:
            vectors = self.embeddings.embed_documents(texts) if texts else []
            known = dict(zip(texts, vectors, strict=True))
            searched = {query: self.embeddings.embed_query(query) for query in queries}
        return self._clients.run(self._start(asked, known, searched))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do operations together; reads come before writes."""
        asked = list(ops)
        puts = [op for op in asked if isinstance(op, PutOp)]
        if not puts or len(puts) < len(asked):
            return await self._done_together(asked)
        await self._merged.put(puts)
        return [None] * len(puts)

    async def _done_together(self, asked: Sequence[Op]) -> list[Result]:
        texts, queries = self._to_embed(asked)
        known: dict[str, Sequence[float]] = {}
        searched: dict[str, Sequence[float]] = {}
        if self.embeddings is not None:
            vectors = await self.embeddings.aembed_documents(texts) if texts else []
            known = dict(zip(texts, vectors, strict=True))
            made = await asyncio.gather(*map(self.embeddings.aembed_query, queries))
            searched = dict(zip(queries, made, strict=True))
        return await self._clients.arun(self._start(asked, known, searched))

    def _start(
        self,
        ops: Sequence[Op],
        known: dict[str, Sequence[float]],
        searched: dict[str, Sequence[float]],
    ) -> Callable[[Context], Flow[list[Result]]]:
        return lambda context: self._memory.done(context, ops, self._text_of, known, searched)

    def _to_embed(self, ops: Sequence[Op]) -> tuple[list[str], list[str]]:
        """Return the distinct texts of items and of queries, in order, where there is a model."""
        if self.embeddings is None:
            return [], []
        puts = {place_of(op): op for op in ops if isinstance(op, PutOp)}
        texts = [text for op in puts.values() if (text := self._text_of(op))]
        queries = [op.query for op in ops if isinstance(op, SearchOp) and op.query]
        return list(dict.fromkeys(texts)), list(dict.fromkeys(queries))

    def _text_of(self, op: PutOp) -> str:
        """Return the text of an item that is embedded; empty for one that is not to be found."""
        if op.value is None or op.index is False or self.embeddings is None:
            return ""
        fields = self._fields if op.index is None else [tokenize_path(path) for path in op.index]
        found = (get_text_at_path(op.value, field) for field in fields)
        return "\n".join(text for texts in found for text in texts)


def _dimension(index: IndexConfig | None) -> int:
    if index is None:
        return 1
    if (dims := index.get("dims")) is None:
        raise ConfigurationError(
            'index needs "dims", how many numbers an embedding has: the index is made with it.'
        )
    return check_whole("dims", dims, 1, DEFAULT_LIMITS.dimension)


def _few(fields: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(check_field_names("filterable", fields, DEFAULT_LIMITS)))
    if len(names) > MOST_COPIES:
        raise InvalidRequestError(
            f"filterable names {len(names)} fields; at most {MOST_COPIES} are possible."
        )
    return names


Waiting = list[tuple[Sequence[PutOp], asyncio.Future[None]]]


class MergedPuts:
    """Gather the puts of one turn of an event loop, and do them together.

    Each caller gets the error of its own puts alone. A caller that is cancelled before the turn
    ends puts nothing.

    Args:
        put: does a batch of puts.
    """

    def __init__(self, put: Callable[[Sequence[PutOp]], Awaitable[object]]) -> None:
        self._put = put
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, Waiting] = WeakKeyDictionary()
        self._running: set[asyncio.Task[None]] = set()

    async def put(self, ops: Sequence[PutOp]) -> None:
        """Do puts, together with those of other callers on this event loop."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting.setdefault(loop, [])
        done: asyncio.Future[None] = loop.create_future()
        waiting.append((ops, done))
        if len(waiting) == 1:
            # a task of its own: the cancellation of the first caller is not that of the others
            task = loop.create_task(self._flush(loop))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        await done

    async def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        await self._do([(ops, done) for ops, done in self._waiting.pop(loop) if not done.done()])

    async def _do(self, waiting: Waiting) -> None:
        try:
            await self._put([op for ops, _ in waiting for op in ops])
        except InvalidRequestError as error:  # nothing was written, because of one of them
            await self._halved(waiting, error)
        except BaseException as error:  # noqa: BLE001 - it is raised where the puts are waited for
            for ops, done in waiting:
                _end(done, error if _concerns(error, ops) else None)
        else:
            for _, done in waiting:
                _end(done, None)

    async def _halved(self, waiting: Waiting, error: InvalidRequestError) -> None:
        if len(waiting) == 1:
            _end(waiting[0][1], error)
            return
        middle = len(waiting) // 2
        await self._do(waiting[:middle])
        await self._do(waiting[middle:])


def _end(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():  # its caller was cancelled meanwhile
        return
    if isinstance(error, asyncio.CancelledError):
        done.cancel()
    elif error is not None:
        done.set_exception(error)
    else:
        done.set_result(None)


def _concerns(error: BaseException, ops: Sequence[PutOp]) -> bool:
    if not isinstance(error, PartialWriteError):
        return True
    return any(name_of(op.namespace, op.key) in error.report.failed for op in ops)
