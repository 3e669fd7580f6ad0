"""The operations of one turn of an event loop, done together.

A graph's nodes, and tools that run at once, each await an operation of their own. Those that come
in one turn share calls; each caller gets what is due to it, its own objects and its own error.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from langgraph.store.base import PutOp, Result

from ..client.errors import InvalidRequestError, PartialWriteError, own_copy
from .items import name_of
from .operations import OpKey, Outcome, Reading, ReadOp, copy_result, key_of

Plan = Callable[[dict[OpKey, ReadOp]], Iterable[Reading]]
Read = Callable[[Reading], Awaitable[dict[OpKey, Outcome]]]
RunPuts = Callable[[Sequence[PutOp], dict[str, Any]], Awaitable[object]]


class _Tasks:
    """The tasks that work for others' callers, kept alive until they end."""

    def __init__(self) -> None:
        # a loop holds tasks weakly: one that nobody else holds may vanish before it has run
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Any) -> None:
        """Run a coroutine of its own: the cancellation of a caller is not that of the others."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


@dataclass(eq=False)
class _Turn:
    """The distinct reads of one turn, and what comes of each."""

    ops: dict[OpKey, ReadOp] = field(default_factory=dict)
    outcomes: dict[OpKey, asyncio.Future[Outcome]] = field(default_factory=dict)
    callers: dict[OpKey, int] = field(default_factory=dict)
    shared: set[OpKey] = field(default_factory=set)  # with several callers

    def add(self, key: OpKey, op: ReadOp, loop: asyncio.AbstractEventLoop) -> None:
        """Add a read, unless an equal one is there."""
        if key not in self.ops:
            self.ops[key], self.outcomes[key] = op, loop.create_future()
        else:
            self.shared.add(key)
        self.callers[key] = self.callers.get(key, 0) + 1

    async def take(self, key: OpKey) -> Result:
        """Wait for the outcome of a read, and return what nobody else has."""
        # not the future itself: a caller that is cancelled would cancel it for the others
        outcome = await asyncio.shield(self.outcomes[key])
        # copies of what no caller has: the first may have changed its own before the next has one
        is_shared = key in self.shared
        if isinstance(outcome, Exception):
            raise own_copy(outcome) if is_shared else outcome
        return copy_result(outcome) if is_shared else outcome

    def settle(self, outcomes: Mapping[OpKey, Outcome]) -> None:
        """Give the callers of some reads their outcomes."""
        for key, outcome in outcomes.items():
            if not self.outcomes[key].done():
                self.outcomes[key].set_result(outcome)


class ReadMerger:
    """The reads of one turn: equal ones are one, and gets share calls.

    Args:
        plan: returns distinct reads in groups that are answered together.
        read: answers a group.
    """

    def __init__(self, plan: Plan, read: Read) -> None:
        self._plan = plan
        self._read = read
        # by loop: a store outlives the loops that it serves
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turn] = WeakKeyDictionary()
        self._tasks = _Tasks()

    async def read(self, ops: Sequence[ReadOp]) -> list[Result]:
        """Return the results of reads, in order; the first error is raised."""
        keys = list(map(key_of, ops))  # what is wrong with one is said before any is made
        if not keys:
            return []
        loop = asyncio.get_running_loop()
        if (turn := self._turns.get(loop)) is None:
            turn = self._turns[loop] = _Turn()
            self._tasks.start(self._flush(loop))
        for key, op in zip(keys, ops, strict=True):
            turn.add(key, op, loop)
        try:
            return [await turn.take(key) for key in keys]
        finally:
            for key in keys:
                turn.callers[key] -= 1

    async def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        turn = self._turns.pop(loop)
        # what every caller of has been cancelled is not read at all
        wanted = {key: op for key, op in turn.ops.items() if turn.callers[key]}
        for reading in self._plan(wanted):
            self._tasks.start(self._answer(turn, reading))

    async def _answer(self, turn: _Turn, reading: Reading) -> None:
        try:
            outcomes = await self._read(reading)
        except Exception as error:  # noqa: BLE001 - it is raised where the reads are waited for
            outcomes = dict.fromkeys(reading.ops, error)
        except BaseException:  # the loop is about to end, and with it all that wait
            for key in reading.ops:
                turn.outcomes[key].cancel()
            raise
        turn.settle(outcomes)


@dataclass(eq=False)
class _Puts:
    """The puts of one caller, which waits for `done`."""

    ops: Sequence[PutOp]
    names: set[str]
    done: asyncio.Future[None]


@dataclass(eq=False)
class _Queue:
    """The puts that wait on one loop, and the names of items that are being written."""

    waiting: list[_Puts] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)
    is_scheduled: bool = False

    def take_ready(self) -> list[_Puts]:
        """Return those that need not wait for others, which are written before them."""
        ready, blocked, left = [], set(self.busy), []
        for puts in self.waiting:
            if puts.done.done():  # its caller was cancelled before it began: it is not done at all
                continue
            if puts.names.isdisjoint(blocked):
                ready.append(puts)
            else:
                blocked |= puts.names
                left.append(puts)
        self.waiting = left
        return ready


class PutMerger:
    """The puts of one turn of an event loop, done together.

    Each caller gets the error of its own puts alone. A caller that is cancelled before they begin
    puts nothing. Puts to an item that is being written wait here, and of those that wait the last
    counts: however many there are, none is held up until its time is over.
    """

    def __init__(self, run_puts: RunPuts) -> None:
        self._run_puts = run_puts
        # by loop: a store outlives the loops that it serves
        self._queues: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue] = WeakKeyDictionary()
        self._tasks = _Tasks()

    async def put(self, ops: Sequence[PutOp]) -> None:
        """Do puts, together with those of other callers on this event loop."""
        if not ops:
            return
        loop = asyncio.get_running_loop()
        queue = self._queues.setdefault(loop, _Queue())
        puts = _Puts(ops, {name_of(op.namespace, op.key) for op in ops}, loop.create_future())
        queue.waiting.append(puts)
        self._schedule(queue)
        await puts.done

    def _schedule(self, queue: _Queue) -> None:
        if queue.waiting and not queue.is_scheduled:
            queue.is_scheduled = True
            self._tasks.start(self._flush(queue))

    async def _flush(self, queue: _Queue) -> None:
        queue.is_scheduled = False
        ready = queue.take_ready()
        if not ready:  # they are all behind others, whose end schedules them
            return
        names = {name for puts in ready for name in puts.names}
        queue.busy |= names
        try:
            await self._put_together(ready, {})
        finally:
            queue.busy -= names
            self._schedule(queue)

    async def _put_together(self, waiting: list[_Puts], embedded: dict[str, Any]) -> None:
        try:
            await self._run_puts([op for puts in waiting for op in puts.ops], embedded)
        except InvalidRequestError as error:  # nothing was written, because of one of them
            if len(waiting) == 1:
                return _end(waiting[0].done, error)
            middle = len(waiting) // 2  # halves: 100 callers with one wrong put are 15 batches
            await self._put_together(waiting[:middle], embedded)
            await self._put_together(waiting[middle:], embedded)
        except BaseException as error:  # noqa: BLE001 - it is raised where the puts are waited for
            failed = set(error.report.failed) if isinstance(error, PartialWriteError) else None
            for number, puts in enumerate(waiting):
                own = error if number == 0 or not isinstance(error, Exception) else own_copy(error)
                is_hit = failed is None or not puts.names.isdisjoint(failed)
                _end(puts.done, own if is_hit else None)
        else:
            for puts in waiting:
                _end(puts.done, None)


def _end(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():  # its caller was cancelled meanwhile
        return
    if isinstance(error, asyncio.CancelledError):
        done.cancel()
    elif error is not None:
        done.set_exception(error)
    else:
        done.set_result(None)
