"""`OSSVectorGraphStore`: LangGraph's long-term memory in an index."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

from langgraph.store import base
from langgraph.store.base import Op, PutOp, Result, tokenize_path

from ..client.errors import ConfigurationError, InvalidRequestError, PartialWriteError
from ..client.models.limits import DEFAULT_LIMITS
from ..client.operations.checks import check_field_names, check_whole
from ..client.pair import context_of, limits_of
from ..langchain.connection import ConnectedComponent
from ..records.settings import Exhaustive, IncompletePolicy, StoreSettings
from ..records.store import RecordStore
from .items import MAX_COPIES, Address, address_of, name_of
from .operations import Memory


@dataclass(kw_only=True, eq=False, repr=False)
class OSSVectorGraphStore(ConnectedComponent, base.BaseStore):
    """LangGraph's memory in an index: items by namespace and key, searched by meaning.

    Gets of one batch, and `aget`s at the same time, share calls: 250 are 3. So do puts: up to 100
    items are one get (an item keeps the moment of its making) and one put, whether they come as a
    batch or as `aput`s at the same time. Reads of a batch come before its writes. The index is made
    on the first write. An item has one embedding, of its texts together. A search finds
    all that match, however far they are: what the service's own search passes over is listed and
    ranked here. One without a `query`, and `list_namespaces`, list what the namespace or the prefix
    holds. There is
    no TTL: asking for one raises.

    Args:
        client: a client of either kind; by default one of `bucket`, ... and the environment.
        index: LangGraph's own configuration of searches: `dims`, `embed` (an `Embeddings`, a
            function, or a name such as `openai:text-embedding-3-small`) and `fields`. Without it
            there is no search by meaning.
        index_name: another index of the service than the client's own.
        create_index: make the index on the first write.
        filterable: top-level fields of values, at most 6, to copy where the service's filters see
            them; an item whose copies do not fit is refused. None: all texts, numbers, booleans and
            lists of texts that fit, 4 of them. What has no copy can be filtered by all the same.
        exhaustive: where the service's own search finds too few, list the index and rank here what
            matches: "auto", as far as `scan_limit`; True, to its end; False, never.
        scan_limit: list so many records at most, under "auto".
        on_incomplete: where an answer may lack items: "warn" (`IncompleteSearchWarning`), "raise"
            or "ignore".
        filters_first: whether the service filters before it ranks; None finds out.
        read_your_writes: have searches find what this process has just written, and no longer
            what it has deleted, though the service shows it some seconds late. True: writes of the
            last 10 seconds count, of 30 in an index that this process has made; a number: of so
            many seconds; False: none do. Each search then gets by key what may be near enough.

    Raises:
        ConfigurationError: `client` is of another type, or `index` lacks `dims`.
        InvalidRequestError: a setting is impossible.
    """

    supports_ttl = False

    index: base.IndexConfig | None = None
    index_name: str | None = None
    create_index: bool = True
    filterable: Sequence[str] | None = None
    exhaustive: Exhaustive = "auto"
    scan_limit: int = 20_000
    on_incomplete: IncompletePolicy = "warn"
    filters_first: bool | None = None
    read_your_writes: bool | float = True

    def __post_init__(self) -> None:
        """Check what was given; nothing is called yet."""
        settings = StoreSettings(
            index=self.index_name,
            create_index=self.create_index,
            # what is named is a field of the value, not of the record
            filterable=None if _check_filterable(self.filterable) is None else (),
            list_fields="exact",  # as LangGraph's own stores compare them
            limits=limits_of(self.client),
            exhaustive=self.exhaustive,
            scan_limit=self.scan_limit,
            on_incomplete=self.on_incomplete,
            filters_first=self.filters_first,
            read_your_writes=self.read_your_writes,
        )
        super().__post_init__()
        self.embeddings = base.ensure_embeddings(self.index.get("embed")) if self.index else None
        fields = (self.index.get("fields") if self.index else None) or [_WHOLE]
        self._fields = [_read_path(field) for field in fields]
        records = RecordStore(settings, context_of(self.client, self.index_name))
        dimension = _dimension(self.index)
        self._memory = Memory(records, dimension, _check_filterable(self.filterable))
        self._merger = PutMerger()

    @property
    def index_config(self) -> base.IndexConfig | None:
        """Return `index`, by the name that it has in LangGraph's own stores."""
        return self.index

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do operations together; reads come before writes."""
        listed, model = list(ops), self.embeddings
        if model is None:
            return self._clients.run(self._memory.run_batch, listed, {}, {})
        texts, queries = self._item_texts(listed), _queries(listed)
        vectors = model.embed_documents(_unique(texts.values())) if texts else []
        embedded = _by_address(texts, vectors)
        asked = {query: model.embed_query(query) for query in queries}  # models have no batch
        return self._clients.run(self._memory.run_batch, listed, embedded, asked)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do operations together; reads come before writes."""
        listed = list(ops)
        puts = [op for op in listed if isinstance(op, PutOp)]
        if not puts or len(puts) < len(listed):  # a batch with reads has an order to keep
            return await self._run_batch(listed)
        await self._merger.put(self._run_batch, puts)
        return [None] * len(puts)

    async def _run_batch(self, ops: Sequence[Op]) -> list[Result]:
        model = self.embeddings
        if model is None:
            return await self._clients.arun(self._memory.run_batch, ops, {}, {})
        texts, queries = self._item_texts(ops), _queries(ops)
        vectors = await model.aembed_documents(_unique(texts.values())) if texts else []
        embedded = _by_address(texts, vectors)
        found = await asyncio.gather(*map(model.aembed_query, queries))
        asked = dict(zip(queries, found, strict=True))
        return await self._clients.arun(self._memory.run_batch, ops, embedded, asked)

    def _item_texts(self, ops: Sequence[Op]) -> dict[Address, str]:
        """Return the text of each item that is to be embedded."""
        puts = {address_of(op): op for op in ops if isinstance(op, PutOp)}  # the last one counts
        return {address: text for address, op in puts.items() if (text := self._text_of(op))}

    def _text_of(self, op: PutOp) -> str:
        """Return the text of an item that is embedded; empty for one that is not to be found."""
        if op.value is None or op.index is False:
            return ""
        fields = self._fields if op.index is None else [_read_path(path) for path in op.index]
        found = (base.get_text_at_path(op.value, field) for field in fields)
        return "\n".join(text for texts in found for text in texts)


_WHOLE: Final = "$"  # of paths, as LangGraph has it


def _read_path(path: str) -> list[str]:
    """Return the parts of a path into a value; none for the whole of it."""
    return [] if path == _WHOLE else tokenize_path(path)  # which knows of no path to the whole


def _queries(ops: Sequence[Op]) -> list[str]:
    return _unique(op.query for op in ops if isinstance(op, base.SearchOp) and op.query)


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _by_address(
    texts: Mapping[Address, str], vectors: Sequence[Sequence[float]]
) -> dict[Address, Sequence[float]]:
    """Return the embedding of each item, from those of the distinct texts in order."""
    known = dict(zip(_unique(texts.values()), vectors, strict=True))
    return {address: known[text] for address, text in texts.items()}


def _dimension(index: base.IndexConfig | None) -> int:
    if index is None:
        return 1
    if (dims := index.get("dims")) is None:
        raise ConfigurationError(
            'index needs "dims", how many numbers an embedding has: the index is made with it.'
        )
    return check_whole("dims", dims, 1, DEFAULT_LIMITS.dimension)


def _check_filterable(fields: Sequence[str] | None) -> list[str] | None:
    if fields is None:
        return None
    names = list(dict.fromkeys(check_field_names("filterable", fields, DEFAULT_LIMITS)))
    if len(names) > MAX_COPIES:
        raise InvalidRequestError(
            f"filterable names {len(names)} fields; at most {MAX_COPIES} are possible."
        )
    return names


Waiting = list[tuple[Sequence[PutOp], asyncio.Future[None]]]
RunBatch = Callable[[Sequence[PutOp]], Awaitable[object]]


class PutMerger:
    """The puts of one turn of an event loop, done together.

    Each caller gets the error of its own puts alone. A caller that is cancelled before the turn
    ends puts nothing.
    """

    def __init__(self) -> None:
        # by loop: a store outlives the loops that it serves
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, Waiting] = WeakKeyDictionary()
        # a loop holds tasks weakly: one that nobody else holds may vanish before it has run
        self._running: set[asyncio.Task[None]] = set()

    async def put(self, run_batch: RunBatch, ops: Sequence[PutOp]) -> None:
        """Do puts, together with those of other callers on this event loop."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting.setdefault(loop, [])
        done: asyncio.Future[None] = loop.create_future()
        waiting.append((ops, done))
        if len(waiting) == 1:
            # a task of its own: the cancellation of the first caller is not that of the others
            task = loop.create_task(self._flush(run_batch, loop))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        await done

    async def _flush(self, run_batch: RunBatch, loop: asyncio.AbstractEventLoop) -> None:
        # puts whose caller was cancelled before the turn ended are not done at all
        waiting = [(ops, done) for ops, done in self._waiting.pop(loop) if not done.done()]
        await self._put_together(run_batch, waiting)

    async def _put_together(self, run_batch: RunBatch, waiting: Waiting) -> None:
        try:
            await run_batch([op for ops, _ in waiting for op in ops])
        except InvalidRequestError as error:  # nothing was written, because of one of them
            if len(waiting) == 1:
                return _end(waiting[0][1], error)
            middle = len(waiting) // 2  # halves: 100 callers with one wrong put are 15 batches
            await self._put_together(run_batch, waiting[:middle])
            await self._put_together(run_batch, waiting[middle:])
        except BaseException as error:  # noqa: BLE001 - it is raised where the puts are waited for
            for ops, done in waiting:
                _end(done, error if _concerns(error, ops) else None)
        else:
            for _, done in waiting:
                _end(done, None)


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
    return not isinstance(error, PartialWriteError) or any(
        name_of(op.namespace, op.key) in error.report.failed for op in ops
    )
