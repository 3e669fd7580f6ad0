"""What runs in Ray's workers: a client for each process, and batches that are fetched or written.

The functions are Ray tasks, not actors: Ray keeps its worker processes between tasks, and so the
client with its connections is kept, and a worker that dies costs the tasks that it had, which Ray
runs again.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from ..client.clients import OSSVectorClient
from ..client.context import Flow
from ..client.errors import OSSVectorError, WriteReport
from ..client.known_indexes import describe
from ..client.models import Vector
from ..client.settings import ClientSettings
from ..client.steps import Call
from ..client.writes import OnError, find_refused
from ..lazy import load_optional
from .columns import check_free, join_found, keys_of, outcome_table, read_vectors
from .pacing import Lease, LeasedRate, SlotTimeline

NAMESPACE = "oss_vector_retriever"
_MOST_CLIENTS = 4  # of one process; each has connections


def load_ray(module: str = "ray") -> Any:
    """Return Ray, or a module of it.

    Raises:
        ImportError: it is not installed; the text says what to install.
    """
    return load_optional(module, "oss_vector_retriever.ray", "ray")


@dataclass(frozen=True)
class WorkerSpec:
    """What a worker needs to make its client; it travels, and holds no credentials.

    Attributes:
        settings: where the client points.
        index: the index to use.
        credentials: a function that gives them, `"chain"`, or None: as the settings say.
        rate: requests a second of all workers together, or None.
        token: what tells the clients of one process apart.
    """

    settings: ClientSettings
    index: str
    credentials: Callable[[], object] | str | None
    rate: float | None
    token: str

    def client(self) -> OSSVectorClient:
        """Return this process's client."""
        with _lock:
            client = _clients.get(self.token)
            if client is None:
                client = _clients[self.token] = self._make_client()
                while len(_clients) > _MOST_CLIENTS:
                    _clients.popitem(last=False)[1].close()
            return client

    def _make_client(self) -> OSSVectorClient:
        # the rate of the settings is one client's; here it is that of all
        settings = replace(self.settings, rate_limit=None, index=self.index)
        credentials: Any = self.credentials
        client = OSSVectorClient.from_settings(settings, credentials)
        if self.rate is not None:
            context = client._context  # noqa: SLF001
            slots = open_budget(self.settings, self.rate)
            limiters = _SharedRateLimiters(context.rate_limiters, slots)
            object.__setattr__(context, "rate_limiters", limiters)
        return client


_keepers: dict[str, Any] = {}
_clients: OrderedDict[str, OSSVectorClient] = OrderedDict()
_lock = threading.Lock()


class _SharedRateLimiters(dict[str, "_SharedRateLimiter"]):
    """The limiter of each operation, which all wait for slots of one rate."""

    def __init__(self, own: Any, slots: LeasedRate) -> None:
        super().__init__()
        self._own = own
        self._slots = slots

    def __missing__(self, operation: str) -> _SharedRateLimiter:
        return self.setdefault(operation, _SharedRateLimiter(self._own[operation], self._slots))


class _SharedRateLimiter:
    """The limit on the sends of one worker's client, which waits for slots of the shared rate.

    What the client has found of the service, and what it was asked to wait, comes first: a slot
    would go by meanwhile.
    """

    is_open = False  # each attempt takes a slot

    def __init__(self, own: Any, slots: LeasedRate) -> None:
        self._own = own
        self._slots = slots

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def wait_for_turn(self, key_count: int, until: float, *, again: bool = False) -> Flow[bool]:
        """Wait until a request may go; False where that is not before a moment."""
        own = self._own
        if not (own.is_open or (yield from own.wait_for_turn(key_count, until, again=again))):
            return False
        return bool((yield Call(lambda: self._slots.acquire_within(until - time.monotonic()))))


class Budget:
    """The keeper of a service's timeline, an actor of Ray's with a name."""

    def __init__(self) -> None:
        self._timeline = SlotTimeline(time.monotonic())

    def lease(self, count: int, rate: float) -> tuple[float, float]:
        """Lease the next slots."""
        first, interval = self._timeline.lease(count, rate, time.monotonic())
        return first, interval  # not our class: the keeper may be of another version


def open_budget(settings: ClientSettings, rate: float) -> LeasedRate:
    """Return the shared rate of a service, whose keeper is begun by whoever asks first."""
    return LeasedRate(_BudgetLease(budget_name(settings), rate))


def budget_name(settings: ClientSettings) -> str:
    """Return the name of a service's keeper, the same for all that reach it with one account."""
    place = f"{settings.endpoint or settings.region} {settings.account_id}"
    return f"rate-{hashlib.sha256(place.encode()).hexdigest()[:16]}"


def begin_budget(name: str) -> Any:
    """Return the keeper of that name, begun anew where there is none."""
    # In a namespace: without one each job has names of its own. It ends with the process that began
    # it, so that none is left behind; a worker that finds it gone begins the next.
    options = {"name": name, "namespace": NAMESPACE, "get_if_exists": True, "num_cpus": 0}
    actor = load_ray().remote(Budget)
    keeper = actor.options(**options, max_restarts=-1, max_task_retries=-1).remote()
    _keepers[name] = keeper  # without a handle in the process that began it, it would end at once
    return keeper


class _BudgetLease:
    """The way to a service's keeper."""

    def __init__(self, name: str, rate: float) -> None:
        self._name = name
        self._rate = rate
        self._keeper: Any = None

    def __call__(self, count: int) -> Lease:
        ray = load_ray()
        while True:
            try:
                if self._keeper is None:
                    self._keeper = begin_budget(self._name)
                return Lease(*ray.get(self._keeper.lease.remote(count, self._rate)))
            except ray.exceptions.RayActorError:
                self._keeper = None
                time.sleep(0.05)  # its name may be taken for a moment yet


def fetch_batch(
    rows: pa.Table, spec: WorkerSpec, key_field: str, *, return_data: bool, return_metadata: bool
) -> Iterator[pa.Table]:
    """Yield rows with what was found for their keys, some hundred at a time."""
    names = ["found", *["data"] * return_data, *["metadata"] * return_metadata]
    check_free(rows, tuple(names))
    keys = keys_of(rows, key_field)
    client = spec.client()
    # known from the process's first look on
    dimension = client.run(describe, spec.index).dimension if return_data and keys else 0
    missing: set[str] = set()
    stream = client.stream(
        keys, return_data=return_data, return_metadata=return_metadata, on_missing=missing.add
    )
    start = 0
    for fetched in stream.to_arrow_batches():
        part = rows.slice(start, fetched.num_rows)
        start += fetched.num_rows
        yield join_found(part, fetched, missing, dimension).select([*rows.column_names, *names])


def upsert_batch(
    rows: pa.Table,
    spec: WorkerSpec,
    *,
    key_field: str,
    data_field: str,
    metadata_field: str,
    on_error: OnError,
) -> pa.Table:
    """Write the vectors of rows, and return what became of each."""
    client = spec.client()
    keys = rows.column(key_field).to_pylist() if key_field in rows.column_names else []
    read = list(read_vectors(rows, key_field, data_field, metadata_field, client.config.limits))
    refused: dict[int, OSSVectorError] = {
        number: each for number, each in enumerate(read) if isinstance(each, OSSVectorError)
    }
    vectors = {number: each for number, each in enumerate(read) if isinstance(each, Vector)}
    # of two rows with one key the later counts, as if written in turn
    last = {vector.key: number for number, vector in vectors.items()}

    def put(some: Sequence[Vector]) -> WriteReport:
        return client.upsert(some, on_error="report")

    found = find_refused(put, [vectors[number] for number in last.values()])
    refused |= {last[vector.key]: error for vector, error in found}
    if refused and on_error == "raise":
        raise next(iter(refused.values()))
    # a row that a later one with its key stood in for shares that one's fate
    fates = [last[each.key] if isinstance(each, Vector) else row for row, each in enumerate(read)]
    return outcome_table(keys, [str(refused[row]) if row in refused else None for row in fates])
