"""`OSSVectorGraphStore`: LangGraph's long-term memory in an index."""

import concurrent.futures
import contextlib
import logging
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from langgraph.store import base
from langgraph.store.base import Op, PutOp, Result

from ..client import fork
from ..client.errors import ConfigurationError, InvalidRequestError
from ..client.models.limits import DEFAULT_LIMITS
from ..client.operations.checks import check_field_names, check_whole
from ..client.pair import context_of, limits_of
from ..langchain.connection import ConnectedComponent
from ..langchain.embedder import Embedder
from ..records.settings import Exhaustive, IncompletePolicy, SideIndexName, StoreSettings
from ..records.side import SideIndex
from ..records.store import RecordStore
from .expiry import Expiry, check_ttl
from .items import MAX_COPIES
from .operations import Memory, OpKey, Outcome, Reading, ReadOp, copy_result, key_of, plan_readings
from .slots import Slots
from .turns import PutMerger, ReadMerger
from .writing import Writer, check_paths

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False, repr=False)
class OSSVectorGraphStore(ConnectedComponent, base.BaseStore):
    """LangGraph's memory in an index: items by namespace and key, searched by meaning.

    Operations that come together, as a batch or in one turn of an event loop, share calls: 250 gets
    are 3, 100 puts are one get (an item keeps the moment of its making) and one put, and equal
    reads are one. Reads of a batch come before its writes. Of any number no more calls are in
    progress than the client sends at once, and the timeout of each counts from its own start.

    Each text that `fields` or `put(index=...)` names has an embedding of its own, and the nearest
    of an item's texts ranks it. What did not change since an item was put the last time is not
    embedded again, if the model is still of the same class and name. A search finds all that match,
    however far they are: what the service's own search passes over is listed and ranked here. One
    without a `query`, and `list_namespaces`, list what the namespace or the prefix holds. The index
    is made on the first write.

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
        side_index: the index beside this one for the parts of values over 36 KB and for the ends of
            items with a time to live, made by the first of them. None: its name is that of the
            index and "side". False: there is none, and both are refused.
        ttl: LangGraph's own configuration of times to live, in minutes: `default_ttl`,
            `refresh_on_read`, `sweep_interval_minutes` and `omit_expired`, which is on unless it is
            False. An item expires by this machine's clock; being read puts its end off, to within a
            hundredth of its time to live, and never writes the item itself.

    Raises:
        ConfigurationError: `client` is of another type, or `index` lacks `dims`.
        InvalidRequestError: a setting is impossible.

    Examples:
        >>> memory = OSSVectorGraphStore(client=OSSVectorClient.local(), index_name="memory")
        >>> memory.put(("users", "ada"), "likes", {"drink": "tea"})
        >>> memory.get(("users", "ada"), "likes").value
        {'drink': 'tea'}
    """

    supports_ttl = True

    index: base.IndexConfig | None = None
    index_name: str | None = None
    create_index: bool = True
    filterable: Sequence[str] | None = None
    exhaustive: Exhaustive = "auto"
    scan_limit: int = 20_000
    on_incomplete: IncompletePolicy = "warn"
    filters_first: bool | None = None
    read_your_writes: bool | float = True
    side_index: SideIndexName = None
    ttl: base.TTLConfig | None = None

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
            side_index=self.side_index,
        )
        super().__post_init__()
        self.ttl_config = _check_ttl_config(self.ttl)
        self.embeddings = base.ensure_embeddings(self.index.get("embed")) if self.index else None
        self._embedder = Embedder(self.embeddings)
        records, side = (
            RecordStore(settings, context_of(self.client, self.index_name)),
            SideIndex(settings),
        )
        omits = self.ttl_config is None or self.ttl_config.get("omit_expired", True)
        expiry, slots = Expiry(side, omits), Slots()
        self._memory = Memory(records, expiry, slots)
        self._writer = Writer(
            records,
            expiry,
            slots,
            _dimension(self.index),
            _check_filterable(self.filterable),
            _paths(self.index),
            _name_model(self.embeddings),
        )
        self._reads = ReadMerger(self._plan, self._read_apart)
        self._puts = PutMerger(self._put_together)
        self._sweeper = Sweeper()

    @property
    def index_config(self) -> base.IndexConfig | None:
        """Return `index`, by the name that it has in LangGraph's own stores."""
        return self.index

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do operations together; reads come before writes."""
        reads, puts = _split(ops)
        results: list[Result] = [None] * (len(reads) + len(puts))
        keys = {place: key_of(op) for place, op in reads.items()}
        if keys:
            plan = self._plan({keys[place]: op for place, op in reads.items()})
            found = self._clients.run(self._memory.read_each, plan, self._embedder.embed_query)
            taken: set[OpKey] = set()
            for place, key in keys.items():
                if isinstance(outcome := found[key], Exception):
                    raise outcome
                results[place] = copy_result(outcome) if key in taken else outcome
                taken.add(key)
        if puts:
            self._clients.run(self._writer.put, puts, self._embed_texts)
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do operations together, and with others of this turn; reads come before writes."""
        reads, puts = _split(ops)
        results: list[Result] = [None] * (len(reads) + len(puts))
        found = await self._reads.read(list(reads.values()))
        for place, result in zip(reads, found, strict=True):
            results[place] = result
        await self._puts.put(puts)
        return results

    def _plan(self, ops: Mapping[OpKey, ReadOp]) -> list[Reading]:
        size = self._memory.records.settings.limits.keys_per_get
        return plan_readings(ops, size, can_embed=self.embeddings is not None)

    async def _read_apart(self, reading: Reading) -> dict[OpKey, Outcome]:
        return await self._clients.arun(self._memory.read, reading, self._embedder.aembed_query)

    async def _put_together(self, puts: Sequence[PutOp], embedded: dict[str, Any]) -> None:
        await self._clients.arun(self._writer.put, puts, self._aembed_texts, embedded)

    def _embed_texts(self, texts: list[str]) -> list[list[float]]:
        return self._embedder.embed_documents(texts, None)

    async def _aembed_texts(self, texts: list[str]) -> list[list[float]]:
        return await self._embedder.aembed_documents(texts, None)

    def sweep(self, older_than: float = 3600.0) -> int:
        """Remove what stands beside items and no item names; return how many records there were.

        These are parts of large values and embeddings of further texts. A writer that was killed,
        or that another process has overtaken, leaves them; no read takes them for anything.

        Args:
            older_than: leave what was written within so many seconds, since its item may be
                written yet; 0 only where nobody writes.
        """
        return self._clients.run(self._writer.sweep, older_than)

    async def asweep(self, older_than: float = 3600.0) -> int:
        """Do as `sweep` does."""
        return await self._clients.arun(self._writer.sweep, older_than)

    def sweep_ttl(self) -> int:
        """Delete the items that have expired, and return how many there were.

        Each is read again before it goes. The service has no conditional deletion: what another
        process puts under the same key in that very moment may go with it.
        """
        return self._clients.run(self._writer.sweep_expired)

    async def asweep_ttl(self) -> int:
        """Do as `sweep_ttl` does."""
        return await self._clients.arun(self._writer.sweep_expired)

    def start_ttl_sweeper(
        self, sweep_interval_minutes: float | None = None
    ) -> concurrent.futures.Future[None]:
        """Delete what has expired from time to time, in a thread; return what is done when it ends.

        Args:
            sweep_interval_minutes: how often; by default as `ttl` says, else every 5 minutes.
                Without `ttl` there is nothing to sweep, and no thread.
        """
        if self.ttl_config is None:
            done: concurrent.futures.Future[None] = concurrent.futures.Future()
            done.set_result(None)
            return done
        given = sweep_interval_minutes or self.ttl_config.get("sweep_interval_minutes")
        minutes = check_ttl(given or _SWEEP_INTERVAL, "sweep_interval_minutes")
        return self._sweeper.start(self, (minutes or _SWEEP_INTERVAL) * 60.0)

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """End the thread that `start_ttl_sweeper` has begun; tell whether it ended in time."""
        return self._sweeper.stop(timeout)

    def close(self) -> None:
        """Do as all components do, and end the sweeper."""
        self.stop_ttl_sweeper(0)
        super().close()

    async def aclose(self) -> None:
        """Do as `close` does."""
        self.stop_ttl_sweeper(0)
        await super().aclose()


_SWEEP_INTERVAL: Final = 5  # minutes, as of LangGraph's own stores
_EXIT_SECONDS: Final = 2.0  # an interpreter that ends waits no longer for a sweep
_MODEL_NAMES: Final = ("model", "model_name", "model_id", "deployment", "dimensions")


def _split(ops: Iterable[Op]) -> tuple[dict[int, ReadOp], list[PutOp]]:
    """Return the reads of a batch by their places, and its puts."""
    reads, puts = dict[int, ReadOp](), list[PutOp]()
    for place, op in enumerate(ops):
        if isinstance(op, PutOp):
            puts.append(op)
        else:
            reads[place] = op
    return reads, puts


def _name_model(model: Any) -> str:
    """Return what tells one embedding model from another, "" for none: class, name, dimensions."""
    if model is None:
        return ""
    # of a function that LangGraph has wrapped, the function
    function = getattr(model, "func", None) or getattr(model, "afunc", None)
    kind = function if callable(function) and hasattr(function, "__qualname__") else type(model)
    given = (getattr(model, name, None) for name in _MODEL_NAMES)
    said = [str(value) for value in given if isinstance(value, str | int)]
    return " ".join([kind.__module__, kind.__qualname__, *said])


def _check_ttl_config(config: base.TTLConfig | None) -> base.TTLConfig | None:
    """Return a configuration of times to live.

    Raises:
        InvalidRequestError: a name in it is unknown, or a number impossible.
    """
    if config is None:
        return None
    # earlier releases of LangGraph know nothing of `omit_expired`; here it means the same there
    known = dict.fromkeys([*base.TTLConfig.__annotations__, "omit_expired"])
    if unknown := [name for name in config if name not in known]:
        raise InvalidRequestError(
            f"ttl has no {unknown[0]!r}; it takes {', '.join(known)}, as LangGraph's TTLConfig."
        )
    check_ttl(config.get("default_ttl"), "default_ttl")
    check_ttl(config.get("sweep_interval_minutes"), "sweep_interval_minutes")
    return config


def _paths(index: base.IndexConfig | None) -> list[str]:
    fields = index.get("fields") if index else None
    return (None if fields is None else check_paths('"fields" of index', fields)) or ["$"]


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


class Sweeper:
    """The thread that deletes what has expired, while its store is in use."""

    def __init__(self) -> None:
        self._at_exit: weakref.finalize[..., Sweeper] | None = None
        self.renew_after_fork()
        fork.renew_in_children(self)

    def renew_after_fork(self) -> None:
        """Have no thread: that of the parent is not copied."""
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._done: concurrent.futures.Future[None] | None = None

    def start(self, store: OSSVectorGraphStore, seconds: float) -> concurrent.futures.Future[None]:
        """Sweep after each so many seconds; where a thread does already, it goes on as it is."""
        with self._lock:
            if self._done is not None and not self._done.done():
                return self._done
            self._stop, self._done = threading.Event(), concurrent.futures.Future()
            arguments = (weakref.ref(store), seconds, self._stop, self._done)
            # who cancels what was returned ends the thread, as of LangGraph's own stores
            stop = self._stop
            self._done.add_done_callback(lambda _: stop.set())
            if self._at_exit is None:
                # a client's own, which closes an embedded service, is older, and comes after this
                self._at_exit = weakref.finalize(self, _stop_at_exit, weakref.ref(self))
            threading.Thread(
                target=_sweep_regularly, args=arguments, name="oss-vectors-ttl", daemon=True
            ).start()
            return self._done

    def stop(self, timeout: float | None) -> bool:
        """Have the thread end, and tell whether it has ended within so many seconds."""
        with self._lock:
            self._stop.set()
            done = self._done
        if done is None:
            return True
        return not concurrent.futures.wait([done], timeout).not_done


def _stop_at_exit(sweeper: "weakref.ref[Sweeper]") -> None:
    # None: it is no exit, but memory that is freed, wherever that may be; nothing can wait there
    if (alive := sweeper()) is not None:
        alive.stop(_EXIT_SECONDS)


def _sweep_regularly(
    store: "weakref.ref[OSSVectorGraphStore]",
    seconds: float,
    stop: threading.Event,
    done: concurrent.futures.Future[None],
) -> None:
    try:
        while not stop.wait(seconds):
            if (alive := store()) is None:  # nobody uses it any more
                break
            try:
                alive.sweep_ttl()
            except Exception as error:  # noqa: BLE001 - the next one may succeed
                _log.warning("expired items are left to the next sweep: %s", type(error).__name__)
            del alive
    finally:
        with contextlib.suppress(concurrent.futures.InvalidStateError):  # it was cancelled
            done.set_result(None)
