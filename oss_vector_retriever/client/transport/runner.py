"""The two runners: they do the steps of flows, by blocking or on an event loop."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

from .. import fork, steps
from ..errors import ConfigurationError, OSSVectorError, PartialWriteError
from ..models.messages import Reply, Request
from ..steps import Flow, Running, Step
from .coalescer import LoopCoalescer, ThreadCoalescer

T = TypeVar("T")

# seconds: a thread that a user's own function holds up is not waited for
_CLOSE_SECONDS = 1.0


def closed_error(name: str = "client") -> ConfigurationError:
    """Return what those are told who use a client that is closed, or wait for it."""
    return ConfigurationError(f"this {name} is closed; make another, or close it when all is done.")


class Runner:
    """A runner that blocks; flows that go together run in threads of its own."""

    def __init__(self, exchange: _Exchange, max_concurrency: int) -> None:
        self.closed = False
        self._exchange = exchange
        self._width = max_concurrency
        self._set_up()
        fork.renew_in_children(self)

    def _set_up(self) -> None:
        self._process = os.getpid()
        self._closing = threading.Event()
        # those of flows in threads of the runner; `close` stops them all
        self._stops: WeakSet[threading.Event] = WeakSet()
        self._futures: set[Future[Any]] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._coalescer = ThreadCoalescer(self.run, self._width)

    def renew_after_fork(self) -> None:
        """Start anew: threads are not copied, and whoever held a lock or a slot may be gone."""
        fork.leave_to_parent(self._pool, self._coalescer)
        self._set_up()
        self._exchange.renew_after_fork()

    def run(self, flow: Flow[T], stop: threading.Event | None = None) -> T:
        """Run a flow to its end and return its result."""
        if os.getpid() != self._process:  # forked by what tells Python nothing of it
            fork.check_process()
        running = Running(flow)
        try:
            while running.step is not None:
                try:
                    answer = self._do(running.step, stop)
                except BaseException as error:  # noqa: BLE001 - the flow decides
                    running.throw(error)
                else:
                    running.tell(answer)
        except OSSVectorError as error:
            # what else went wrong went wrong for that; but a report of what is written is not lost
            if self.closed and not isinstance(error, PartialWriteError):
                raise closed_error() from None
            raise
        else:
            return running.result
        finally:  # a fetch that failed before its exchange holds its slot still
            if (thread := threading.get_ident()) in self._coalescer.holders:
                self._coalescer.release_slot(thread)

    def _do(self, step: Step, stop: threading.Event | None) -> Any:
        if self.closed:
            raise closed_error()
        if stop is not None and stop.is_set():
            raise _StoppedError
        match step:
            case steps.Send(request, seconds):
                thread = threading.get_ident()
                try:  # begins before the slot is held, or Ctrl-C in between would leave it held
                    self._coalescer.holders.add(thread)
                    return self._exchange.send(request, seconds)
                finally:
                    self._coalescer.release_slot(thread)
            case steps.Sleep(seconds, signal):
                if signal is not None:
                    self._wait_for(signal, seconds)
                else:  # a flow that is stopped wakes at once, as all do at `close`
                    (stop or self._closing).wait(seconds)
            case steps.Call(function):
                return function()
            case steps.RunAll(flows):
                return self._run_all(flows)
            case steps.Coalesce(pending):
                return self._coalescer.join(pending)
        return None

    def _wait_for(self, signal: steps.Signal, seconds: float) -> None:
        woken = threading.Event()
        with self._lock:
            if self.closed:
                return
            self._stops.add(woken)
        signal.call_when_given(woken.set)
        woken.wait(seconds)

    def _run_all(self, flows: Sequence[Flow[T]]) -> list[T]:
        stop = threading.Event()
        futures = [self._submit(flow, stop) for flow in flows]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            # first the error that ended it all, which need not be that of the first flow
            for future in futures:
                if future.done() and not isinstance(future.exception(), _StoppedError):
                    future.result()
            return [future.result() for future in futures]
        finally:
            stop.set()
            for future in futures:
                future.cancel()

    def in_order(self, flows: Iterator[Flow[T]]) -> Iterator[T]:
        """Run flows as they come, some ahead of the one whose result is next."""
        stop = threading.Event()
        waiting: deque[Future[T]] = deque()
        try:
            for flow in flows:
                waiting.append(self._submit(flow, stop))
                if len(waiting) >= self._width:
                    yield self._next_of(waiting)
            while waiting:
                yield self._next_of(waiting)
        finally:
            stop.set()
            for future in waiting:
                future.cancel()

    def _next_of(self, waiting: deque[Future[T]]) -> T:
        if self.closed:  # though some of it may be there already
            raise closed_error()
        return waiting.popleft().result()

    def _submit(self, flow: Flow[T], stop: threading.Event) -> Future[T]:
        with self._lock:  # made when first used: most clients never need threads
            if self.closed:
                raise closed_error()
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._width, "oss-vectors")
            self._stops.add(stop)
            future = self._pool.submit(self.run, flow, stop)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def close(self) -> None:
        """End calls, threads and connections: whoever waits is told that the client is closed."""
        with self._lock:
            self.closed = True
            pool, self._pool = self._pool, None
            stops = list(self._stops)
        for event in (self._closing, *stops):
            event.set()
        self._exchange.close()
        self._coalescer.wake_all()
        if pool is not None:
            # not cancelled: nobody tells a cancelled future's waiters; what is queued ends at once
            pool.shutdown(wait=False)
            wait(list(self._futures), timeout=_CLOSE_SECONDS)


class _Exchange(Protocol):
    # over HTTP (`transport.http`), or within this process (`local`)
    def send(self, request: Request, seconds: float) -> Reply | steps.Fault: ...

    def close(self) -> None: ...

    def renew_after_fork(self) -> None: ...


class _StoppedError(Exception):
    """The end of a flow whose result is of no use any more."""


class AsyncRunner:
    """A runner on an event loop."""

    def __init__(self, exchange: _AsyncExchange, max_concurrency: int) -> None:
        self.closed = False
        self._exchange = exchange
        self._width = max_concurrency
        self._set_up()
        fork.renew_in_children(self)

    def _set_up(self) -> None:
        self._process = os.getpid()
        self._asleep: set[asyncio.Future[None]] = set()
        self._calls: dict[Callable[[], Any], asyncio.Task[Any]] = {}
        self._coalescers: dict[asyncio.AbstractEventLoop, LoopCoalescer] = {}

    def renew_after_fork(self) -> None:
        """Start anew: the first event loop that uses the child's owns it."""
        fork.leave_to_parent(self._calls, self._coalescers)
        self._set_up()
        self._exchange.renew_after_fork()

    def usable_here(self) -> bool:
        """Tell whether the exchange can serve the running event loop."""
        return self._exchange.usable_here()

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return its result."""
        if os.getpid() != self._process:  # forked by what tells Python nothing of it
            fork.check_process()
        running = Running(flow)
        try:
            while running.step is not None:
                try:
                    answer = await self._do(running.step)
                except BaseException as error:  # noqa: BLE001 - the flow decides
                    running.throw(error)
                else:
                    running.tell(answer)
        except OSSVectorError as error:
            if self.closed and not isinstance(error, PartialWriteError):
                raise closed_error() from None
            raise
        return running.result

    async def _do(self, step: Step) -> Any:
        if self.closed:
            raise closed_error()
        match step:
            case steps.Send(request, seconds):
                return await self._exchange.send(request, seconds)
            case steps.Sleep(seconds, signal):
                await self._sleep(seconds, signal)
            case steps.Call(function):
                # shielded: others may wait for the same call when this flow is cancelled
                return await asyncio.shield(self._call_task(function))
            case steps.RunAll(flows):
                return await self._run_all(flows)
            case steps.Coalesce(pending):
                await self._coalescer().join(pending)
        return None

    def _call_task(self, function: Callable[[], Any]) -> asyncio.Task[Any]:
        # one for all flows that want it at once: a thousand of them ask for credentials once
        task = self._calls.get(function)
        if task is None:
            task = self._calls[function] = asyncio.ensure_future(_call_off_the_loop(function))
            task.add_done_callback(lambda _: self._calls.pop(function, None))
        return task

    async def _run_all(self, flows: Sequence[Flow[T]]) -> list[T]:
        tasks = [asyncio.ensure_future(self.run(flow)) for flow in flows]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            await _end(tasks)

    def _coalescer(self) -> LoopCoalescer:
        # the running loop's: an embedded service serves several, one after the other or together
        loop = asyncio.get_running_loop()
        if loop not in self._coalescers:
            for ended in [other for other in self._coalescers if other.is_closed()]:
                del self._coalescers[ended]
            self._coalescers[loop] = LoopCoalescer(self.run)
        return self._coalescers[loop]

    async def in_order(self, flows: AsyncIterator[Flow[T]]) -> AsyncIterator[T]:
        """Run flows as they come, some ahead of the one whose result is next."""
        waiting: deque[asyncio.Task[T]] = deque()
        try:
            async for flow in flows:
                waiting.append(asyncio.ensure_future(self.run(flow)))
                if len(waiting) >= self._width:
                    yield await self._next_of(waiting)
            while waiting:
                yield await self._next_of(waiting)
        finally:
            await _end(waiting)

    async def _next_of(self, waiting: deque[asyncio.Task[T]]) -> T:
        if self.closed:
            raise closed_error()
        return await waiting.popleft()

    async def _sleep(self, seconds: float, signal: steps.Signal | None) -> None:
        loop = asyncio.get_running_loop()
        awake = loop.create_future()
        timer = loop.call_later(seconds, _wake, awake)
        self._asleep.add(awake)
        if signal is not None:
            signal.call_when_given(lambda: loop.call_soon_threadsafe(_wake, awake))
        try:
            await awake
        finally:
            timer.cancel()
            self._asleep.discard(awake)

    async def close(self) -> None:
        """End calls and connections: whoever waits is told that the client is closed."""
        self.closed = True
        for awake in list(self._asleep):  # an embedded service has sleepers on several loops
            awake.get_loop().call_soon_threadsafe(_wake, awake)
        await self._exchange.close()


class _AsyncExchange(Protocol):
    def usable_here(self) -> bool: ...

    async def send(self, request: Request, seconds: float) -> Reply | steps.Fault: ...

    async def close(self) -> None: ...

    def renew_after_fork(self) -> None: ...


def _wake(awake: asyncio.Future[None]) -> None:
    if not awake.done():
        awake.set_result(None)


async def _call_off_the_loop(function: Callable[[], Any]) -> Any:
    # an async function comes back from its thread as an awaitable, which belongs to this loop
    result = await asyncio.to_thread(function)
    return await result if inspect.isawaitable(result) else result


async def _end(tasks: Sequence[asyncio.Task[Any]] | deque[asyncio.Task[Any]]) -> None:
    # and see them out: none may go on behind a call that is over
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
