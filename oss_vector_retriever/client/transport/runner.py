"""The two runners: they do the steps of flows, by blocking or on an event loop."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import os
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ...lazy import LazyModule
from .. import fork, steps
from ..errors import ConfigurationError, OSSVectorError, PartialWriteError
from ..models.messages import Reply
from ..steps import Flow, Running, Step
from .coalescer import LoopCoalescer, ThreadCoalescer

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = LazyModule("asyncio", globals())

T = TypeVar("T")

# seconds: a thread that a user's own function holds up is not waited for
_CLOSE_SECONDS = 1.0
# seconds: of a client that is closed, those who wait for several flows still hear how these ended
_REPORT_SECONDS = 0.5


def closed_error(name: str = "client") -> ConfigurationError:
    """Return what those are told who use a client that is closed, or wait for it."""
    return ConfigurationError(f"this {name} is closed; make another, or close it when all is done.")


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that runs here.

    Raises:
        ConfigurationError: there is none, or one of another kind, such as trio's.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "async calls need a running asyncio event loop, and there is none here",
            remedy="make blocking calls; under trio in a thread, by trio.to_thread.run_sync",
        ) from None


def _explain(error: BaseException) -> BaseException:
    # what needs a thread, such as a function of the user's that gives credentials, has none then
    if isinstance(error, RuntimeError) and not threading.main_thread().is_alive():
        return ConfigurationError(
            "the interpreter is ending and starts no more threads, and this call needs one",
            remedy="make it before, or with OSSVectorClient",
        )
    return error


def _check_whole(answer: object) -> None:
    # of a client that is closed: a pause or an exchange that this has cut short says so, or a flow
    # would tell of a deadline or a broken connection
    if not answer or isinstance(answer, steps.Fault):
        raise closed_error()


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
        self._batches: set[_Batch] = set()
        # of those who wait for a signal; `close` sets them
        self._wakes: set[threading.Event] = set()
        self._helpers = Helpers(self._width)
        self._lock = threading.RLock()  # reentrant, as in the coalescer
        self._coalescer = ThreadCoalescer(self.run, self._width)

    def renew_after_fork(self) -> None:
        """Start anew: threads are not copied, and whoever held a lock or a slot may be gone."""
        fork.leave_to_parent(self._helpers, self._coalescer)
        self._set_up()
        self._exchange.renew_after_fork()

    def run(self, flow: Flow[T], stop: _Stop | None = None) -> T:
        """Run a flow to its end and return its result."""
        if os.getpid() != self._process:  # forked by what tells Python nothing of it
            fork.check_process()
        running = Running(flow)
        try:
            while running.step is not None:
                try:
                    answer = self._do(running.step, stop)
                    if self.closed:
                        _check_whole(answer)
                except BaseException as error:  # noqa: BLE001 - the flow decides
                    running.throw(_explain(error))
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

    def _do(self, step: Step, stop: _Stop | None) -> Any:
        if self.closed:
            raise closed_error()
        if stop is not None and stop.is_set():
            raise _StoppedError
        match step:
            case steps.Send():
                thread = threading.get_ident()
                try:  # begins before the slot is held, or Ctrl-C in between would leave it held
                    self._coalescer.holders.add(thread)
                    return self._exchange.send(step, stop)
                finally:
                    self._coalescer.release_slot(thread)
            case steps.Sleep(seconds, signal):
                if signal is not None:
                    self._wait_for(signal, seconds, stop)
                else:  # a flow that is stopped wakes at once, as all do at `close`
                    (stop or self._closing).wait(seconds)
            case steps.Call(function):
                return function()
            case steps.Begin(inquiry):
                _start_thread(inquiry.run)
            case steps.RunAll(flows):
                return self._run_all(flows)
            case steps.Coalesce(pending):
                return self._coalescer.join(pending)
            case steps.Acquire(pacer):
                return pacer.acquire(blocking=False)
        return None

    def _wait_for(self, signal: steps.Signal, seconds: float, stop: _Stop | None) -> None:
        woken = threading.Event()
        with self._lock:
            if self.closed:
                return
            self._wakes.add(woken)
        signal.call_when_given(woken.set)
        if stop is not None:
            stop.call_when_given(woken.set)
        try:
            woken.wait(seconds)
        finally:
            self._wakes.discard(woken)

    def _run_all(self, flows: Sequence[Flow[T]]) -> list[T]:
        batch = self._begin_batch(end_at_error=True)
        try:
            tasks = [_Task(flow, batch) for flow in flows]
            # this thread takes part: whatever keeps the helpers busy, these flows go on; a signal's
            # handler is alone, for they could wait for the connection that its thread holds
            if threading.get_ident() not in self._coalescer.holders:
                self._helpers.offer([task.run for task in tasks[1:]])
            for task in tasks:
                task.run()
            while batch.unfinished and batch.error is None:
                self._wait_for_one(batch)
            if batch.error is not None:
                raise batch.error
            return [task.result for task in tasks]
        finally:
            self._end(batch)

    def in_order(self, flows: Iterator[Flow[T]], window: Window[T]) -> Iterator[T]:
        """Run flows as they come, some ahead of the one whose result is next."""
        batch = self._begin_batch(end_at_error=False)
        waiting: deque[_Task[T]] = deque()
        try:
            for flow in flows:
                waiting.append(_Task(flow, batch))
                # no more threads than tasks: each keeps memory of its own, and one that has just
                # finished a task is not idle yet
                needed = sum(one.unfinished for one in list(self._batches))
                self._helpers.offer([waiting[-1].run], needed)
                while len(waiting) >= window.size:
                    yield window.note(self._next_of(waiting))
            while waiting:
                yield self._next_of(waiting)
        finally:
            self._end(batch)

    def _next_of(self, waiting: deque[_Task[T]]) -> T:
        task = waiting.popleft()
        task.run()
        while not task.is_over:
            self._wait_for_one(task.batch)
        if task.error is not None:
            task.raise_error()
        if self.closed:  # though the result is there
            raise closed_error()
        return task.result

    def _begin_batch(self, *, end_at_error: bool) -> _Batch:
        batch = _Batch(self.run, self._exchange.abort, end_at_error=end_at_error)
        with self._lock:
            if self.closed:
                raise closed_error()
            self._batches.add(batch)
        return batch

    def _wait_for_one(self, batch: _Batch) -> None:
        if not self.closed:
            batch.finished.get()  # `close` puts something there
            return
        try:
            batch.finished.get(timeout=_REPORT_SECONDS)
        except Empty:
            raise closed_error() from None

    def _end(self, batch: _Batch) -> None:
        self._batches.discard(batch)
        batch.end()

    def close(self) -> None:
        """End calls, threads and connections: whoever waits is told that the client is closed."""
        with self._lock:
            self.closed = True
            batches, wakes = list(self._batches), list(self._wakes)
        for event in (self._closing, *wakes):
            event.set()
        for batch in batches:
            batch.stop.set()
            batch.finished.put(None)
        self._exchange.close()
        self._coalescer.close()
        self._helpers.close(_CLOSE_SECONDS)


class Window(Protocol[T]):
    """How many flows run ahead, which what comes of them decides."""

    @property
    def size(self) -> int:
        """Return how many may be begun and not taken out."""
        ...

    def note(self, result: T) -> T:
        """Return a result that is taken out, and have it decide."""
        ...


class _Exchange(Protocol):
    # over HTTP (`transport.http`), or within this process (`local`)
    def send(
        self, step: steps.Send, stop: threading.Event | None = None
    ) -> Reply | steps.Fault: ...

    def abort(self, thread: int) -> None: ...

    def close(self) -> None: ...

    def renew_after_fork(self) -> None: ...


class _StoppedError(Exception):
    """The end of a flow whose result is of no use any more."""


class _Stop(threading.Event):
    """A signal that the flows of one run are of no use any more."""

    def __init__(self) -> None:
        super().__init__()
        self._wakes: list[Callable[[], object]] = []

    def call_when_given(self, wake: Callable[[], object]) -> None:
        """Have a function called at the signal; at once where it was given."""
        self._wakes.append(wake)
        if self.is_set():
            wake()

    def set(self) -> None:
        super().set()
        for wake in self._wakes:
            wake()


class _Batch:
    """Flows that run at once, and what the thread that waits for them hears of them."""

    def __init__(
        self, run: Callable[..., Any], abort: Callable[[int], None], *, end_at_error: bool
    ) -> None:
        self.run = run
        self.stop = _Stop()
        # what is put here wakes the one who waits, whatever it is
        self.finished: SimpleQueue[None] = SimpleQueue()
        self.unfinished = 0
        self.error: BaseException | None = None
        self._abort = abort
        self._end_at_error = end_at_error
        self._ended = False
        self._lock = threading.Lock()
        self._threads: dict[_Task[Any], int] = {}

    def expect_one(self) -> None:
        """Count one task more, beside helpers that finish others."""
        with self._lock:
            self.unfinished += 1

    def claim(self, task: _Task[Any]) -> bool:
        """Return True to the one thread that is to run a task, while it is of use."""
        with self._lock:
            if task.is_begun or self._ended:
                return False
            task.is_begun = True
            self._threads[task] = threading.get_ident()
            return True

    def finish(self, task: _Task[Any], error: BaseException | None) -> None:
        """Note that a task is over; the first error ends the others where that was asked for."""
        with self._lock:
            del self._threads[task]
            self.unfinished -= 1
            task.is_over = True
            last = error is not None and self._end_at_error and not self._ended
            if last:
                self.error = error
            elif not self._end_at_error:
                task.error = error
        if last:
            self._end_all()
        self.finished.put(None)

    def end(self) -> None:
        """Stop what still runs: nobody waits for it any more."""
        if self.unfinished:
            self._end_all()
        self.error = None  # it holds the frames that hold this

    def _end_all(self) -> None:
        with self._lock:
            self._ended = True
            self.stop.set()
            # their exchanges too, each surely that of its task: no thread leaves it meanwhile
            for thread in self._threads.values():
                self._abort(thread)


class _Task(Generic[T]):
    """A flow of a batch: a helper runs it, or who waits for it, whichever comes first."""

    __slots__ = ("_caller", "_flow", "batch", "error", "is_begun", "is_over", "result")

    result: T

    def __init__(self, flow: Flow[T], batch: _Batch) -> None:
        self._flow: Flow[T] | None = flow
        # whichever thread runs it, spans and log lines belong to what the caller is in the midst of
        self._caller = contextvars.copy_context()
        self.batch = batch
        self.is_begun = False
        self.is_over = False
        self.error: BaseException | None = None
        batch.expect_one()

    def run(self) -> None:
        """Run the flow, unless another thread has begun it or nobody wants it any more."""
        if self.is_begun or not self.batch.claim(self):
            return
        flow, self._flow = self._flow, None
        error: BaseException | None = None
        try:
            self.result = self._caller.run(self.batch.run, flow, self.batch.stop)
        except BaseException as caught:  # noqa: BLE001 - it is raised in the one who waits
            error = caught
        finally:
            self.batch.finish(self, error)
            del error  # a frame and an exception that hold each other outlive the call

    def raise_error(self) -> None:
        """Raise what the flow raised, and hold it no longer."""
        error, self.error = self.error, None
        try:
            if error is not None:
                raise error
        finally:
            del error


class Helpers:
    """Threads that do what they are offered, as soon as one is free; they hold up no exit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # what was offered and is not done: a thread that has just taken an offer is not idle,
        # though the queue is shorter already
        self._undone = 0
        self._lock = threading.RLock()  # a signal's handler may come while its own thread has it
        self._threads: list[threading.Thread] = []
        self._offers: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def offer(self, functions: Iterable[Callable[[], None]], needed: int = sys.maxsize) -> bool:
        """Have functions called, as far as there are threads; tell whether there are any.

        No thread is started where there are as many as are needed.
        """
        most = min(self._limit, needed)
        for function in functions:
            with self._lock:
                self._undone += 1
            self._offers.put(function)
            if len(self._threads) < min(most, self._undone):
                self._start_one()
        return bool(self._threads)

    def _start_one(self) -> None:
        # a daemon: an interpreter that ends would wait for any other, whatever it waits for
        thread = threading.Thread(target=self._work, name="oss-vectors", daemon=True)
        with self._lock:
            if len(self._threads) < self._limit:
                # refused while the interpreter ends, and where the system has no more threads
                with contextlib.suppress(RuntimeError):
                    thread.start()
                    self._threads.append(thread)

    def _work(self) -> None:
        while (function := self._offers.get()) is not None:
            function()
            del function  # it holds what its result is made of
            with self._lock:
                self._undone -= 1

    def close(self, seconds: float) -> None:
        """End the threads, and wait some seconds for them."""
        with self._lock:
            threads, self._threads, self._limit = self._threads, [], 0
        for _ in threads:
            self._offers.put(None)
        ends = time.monotonic() + seconds
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(ends - time.monotonic(), 0))


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
        # those that end what flows wait for, with the event loops that these run on
        self._endings: dict[asyncio.Timeout, asyncio.AbstractEventLoop] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._coalescers: dict[asyncio.AbstractEventLoop, LoopCoalescer] = {}

    def renew_after_fork(self) -> None:
        """Start anew: the first event loop that uses the child's owns it."""
        fork.leave_to_parent(self._tasks, self._coalescers)
        self._set_up()
        self._exchange.renew_after_fork()

    def usable_here(self) -> bool:
        """Tell whether the exchange can serve the running event loop."""
        return self._exchange.usable_here()

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return its result."""
        if os.getpid() != self._process:  # forked by what tells Python nothing of it
            fork.check_process()
        loop = running_loop()
        running = Running(flow)
        try:
            while running.step is not None:
                try:
                    answer = await self._do(running.step, loop)
                    if self.closed:
                        _check_whole(answer)
                except BaseException as error:  # noqa: BLE001 - the flow decides
                    running.throw(_explain(error))
                else:
                    running.tell(answer)
        except OSSVectorError as error:
            if self.closed and not isinstance(error, PartialWriteError):
                raise closed_error() from None
            raise
        return running.result

    async def _do(self, step: Step, loop: asyncio.AbstractEventLoop) -> Any:
        if self.closed:
            raise closed_error()
        if isinstance(step, steps.RunAll):  # each of the flows has an ending of its own
            return await self._run_all(step.flows)
        ending = asyncio.timeout(None)
        try:
            async with ending:
                self._endings[ending] = loop
                try:
                    return await self._wait_for(step)
                finally:
                    self._endings.pop(ending, None)
        except TimeoutError:
            if ending.expired():
                raise closed_error() from None
            raise

    async def _wait_for(self, step: Step) -> Any:
        match step:
            case steps.Send():
                return await self._exchange.send(step)
            case steps.Sleep(seconds, signal):
                await (_sleep_until(signal, seconds) if signal else asyncio.sleep(seconds))
            case steps.Call(function):
                return await _call_off_the_loop(function)
            case steps.Begin(inquiry):
                self._begin(inquiry)
            case steps.Coalesce(pending):
                await self._coalescer().join(pending)
            case steps.Acquire(pacer, seconds):
                return await _acquire(pacer, seconds)
        return None

    def _begin(self, inquiry: Any) -> None:
        if inquiry.is_async:
            self._begin_task(inquiry)
            return
        # not in the loop's own threads, which the interpreter waits for at its end
        call_soon = asyncio.get_running_loop().call_soon_threadsafe
        _start_thread(inquiry.run, lambda answer: call_soon(self._begin_task, inquiry, answer))

    def _begin_task(self, inquiry: Any, answer: Awaitable[object] | None = None) -> None:
        task = asyncio.get_running_loop().create_task(
            inquiry.arun(answer), context=contextvars.Context()
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.closed:
            task.cancel()

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

    async def in_order(self, flows: AsyncIterator[Flow[T]], window: Window[T]) -> AsyncIterator[T]:
        """Run flows as they come, some ahead of the one whose result is next."""
        running_loop()
        waiting: deque[asyncio.Task[T]] = deque()
        try:
            async for flow in flows:
                waiting.append(asyncio.ensure_future(self.run(flow)))
                while len(waiting) >= window.size:
                    yield window.note(await self._next_of(waiting))
            while waiting:
                yield await self._next_of(waiting)
        finally:
            await _end(waiting)

    async def _next_of(self, waiting: deque[asyncio.Task[T]]) -> T:
        if self.closed:
            raise closed_error()
        return await waiting.popleft()

    async def close(self) -> None:
        """End calls and connections: whoever waits is told that the client is closed."""
        self.closed = True
        for ending, loop in list(self._endings.items()):
            # an embedded service has callers on several loops, of which some may have ended
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_expire, ending)
        for task in list(self._tasks):
            with contextlib.suppress(RuntimeError):
                task.get_loop().call_soon_threadsafe(task.cancel)
        await self._exchange.close()


class _AsyncExchange(Protocol):
    def usable_here(self) -> bool: ...

    async def send(self, step: steps.Send) -> Reply | steps.Fault: ...

    async def close(self) -> None: ...

    def renew_after_fork(self) -> None: ...


def _start_thread(function: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=function, args=arguments, name="oss-vectors", daemon=True).start()


def _expire(ending: asyncio.Timeout) -> None:
    with contextlib.suppress(RuntimeError):  # it has ended meanwhile
        ending.reschedule(0)


async def _sleep_until(signal: steps.Signal, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    awake = loop.create_future()
    timer = loop.call_later(seconds, _wake, awake)
    signal.call_when_given(lambda: loop.call_soon_threadsafe(_wake, awake))
    try:
        await awake
    finally:
        timer.cancel()


async def _acquire(pacer: Any, seconds: float) -> bool:
    ending = asyncio.timeout(seconds)
    try:
        async with ending:
            return bool(await pacer.aacquire(blocking=False))
    except TimeoutError:
        if ending.expired():
            return False
        raise  # the pacer's own


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
