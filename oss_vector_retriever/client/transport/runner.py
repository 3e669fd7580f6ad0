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

from .. import fork, steps
from ..models.messages import Reply, Request
from ..steps import Flow, Running, Step
from .coalescer import LoopCoalescer, ThreadCoalescer

T = TypeVar("T")


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
            return running.result
        finally:  # a fetch that failed before its exchange holds its slot still
            if (thread := threading.get_ident()) in self._coalescer.holders:
                self._coalescer.release_slot(thread)

    def _do(self, step: Step, stop: threading.Event | None) -> Any:
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
            case steps.Sleep(seconds):  # a flow that is stopped wakes at once
                (stop or threading.Event()).wait(seconds)
            case steps.Call(function):
                return function()
            case steps.RunAll(flows):
                return self._run_all(flows)
            case steps.Coalesce(pending):
                return self._coalescer.join(pending)
        return None

    def _run_all(self, flows: Sequence[Flow[T]]) -> list[T]:
        stop = threading.Event()
        futures = [self._threads().submit(self.run, flow, stop) for flow in flows]
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
                waiting.append(self._threads().submit(self.run, flow, stop))
                if len(waiting) >= self._width:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            stop.set()
            for future in waiting:
                future.cancel()

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:  # made when first used: most clients never need threads
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._width, "oss-vectors")
            return self._pool

    def close(self) -> None:
        """End the threads and close the connections."""
        self.closed = True
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        self._exchange.close()


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
        while running.step is not None:
            try:
                answer = await self._do(running.step)
            except BaseException as error:  # noqa: BLE001 - the flow decides
                running.throw(error)
            else:
                running.tell(answer)
        return running.result

    async def _do(self, step: Step) -> Any:
        match step:
            case steps.Send(request, seconds):
                return await self._exchange.send(request, seconds)
            case steps.Sleep(seconds):
                await asyncio.sleep(seconds)
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
                    yield await waiting.popleft()
            while waiting:
                yield await waiting.popleft()
        finally:
            await _end(waiting)

    async def close(self) -> None:
        """Close the connections."""
        self.closed = True
        await self._exchange.close()


class _AsyncExchange(Protocol):
    def usable_here(self) -> bool: ...

    async def send(self, request: Request, seconds: float) -> Reply | steps.Fault: ...

    async def close(self) -> None: ...

    def renew_after_fork(self) -> None: ...


async def _call_off_the_loop(function: Callable[[], Any]) -> Any:
    # an async function comes back from its thread as an awaitable, which belongs to this loop
    result = await asyncio.to_thread(function)
    return await result if inspect.isawaitable(result) else result


async def _end(tasks: Sequence[asyncio.Task[Any]] | deque[asyncio.Task[Any]]) -> None:
    # and see them out: none may go on behind a call that is over
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
