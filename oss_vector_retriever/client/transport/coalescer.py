"""When concurrent fetches are brought together: for threads, and on an event loop.

What is brought together with what is decided in `coalesce`; here is only the waiting. No waiter's
cancellation, deadline or error touches another: the shared calls belong to nobody in particular.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any

from oss_vector_retriever.client.coalesce import PendingFetch, SharedCall, shared_calls
from oss_vector_retriever.client.steps import Flow

_MOMENT = 0.001
_LONGEST_WAIT = 0.02
_GRACE = 0.02  # a call that ends at the same deadline says more of why


class ThreadCoalescer:
    """Bring together what threads want: in a window, or until no more comes for a moment."""

    def __init__(self, run: Callable[[Flow[Any]], Any], threads: Callable[[], Executor]) -> None:
        self._run = run
        self._threads = threads
        self._lock = threading.Lock()
        self._pending: list[PendingFetch] = []
        self._ended: dict[PendingFetch, threading.Event] = {}

    def join(self, pending: PendingFetch) -> None:
        """Wait until a want is over, or its deadline has passed."""
        ended = threading.Event()
        with self._lock:
            first = not self._pending
            self._pending.append(pending)
            self._ended[pending] = ended
        try:
            if first:
                self._lead(pending)
            ended.wait(max(pending.left(), 0) + _GRACE)
        finally:
            pending.abandoned = True
            with self._lock:
                self._ended.pop(pending, None)

    def _lead(self, pending: PendingFetch) -> None:
        try:
            if threading.active_count() > 1:  # else nobody can come
                self._wait_for_more() if pending.window is None else time.sleep(pending.window)
        finally:  # others rely on it, whatever happens to this thread
            self._send()

    def _send(self) -> None:
        with self._lock:
            waiters, self._pending = self._pending, []
        calls = shared_calls(waiters)
        alone = len(waiters) == len(calls) == 1
        for shared in calls:
            if alone:
                self._make(shared)
            else:
                self._threads().submit(self._make, shared)

    def _wait_for_more(self) -> None:
        """Wait while more comes; the first to come does it for all, and never much longer.

        A sleep that took too long says that other threads were busy: more may be on its way, and
        they get one more.
        """
        now = time.monotonic()
        last, quiet, enough = now + _LONGEST_WAIT, 0, 1
        while quiet < enough and now < last:
            count, before = len(self._pending), now
            time.sleep(_MOMENT)
            now = time.monotonic()
            quiet = quiet + 1 if count == len(self._pending) else 0
            enough = 2 if now - before > 2 * _MOMENT else 1

    def _make(self, shared: SharedCall) -> None:
        try:
            over = self._run(shared.made())
        except BaseException as error:  # noqa: BLE001 - such as Ctrl-C: others wait for this thread
            over = list(shared.fail(error))
        for pending in over:
            if ended := self._ended.get(pending):
                ended.set()


class LoopCoalescer:
    """Bring together what the tasks of an event loop want in one turn of it, or in a window."""

    def __init__(self, run: Callable[[Flow[Any]], Coroutine[Any, Any, Any]]) -> None:
        self._run = run
        self._pending: list[PendingFetch] = []
        self._ended: dict[PendingFetch, asyncio.Event] = {}
        self._calls: dict[asyncio.Task[None], SharedCall] = {}

    async def join(self, pending: PendingFetch) -> None:
        """Wait until a want is over, or its deadline has passed."""
        ended = self._ended[pending] = asyncio.Event()
        if not self._pending:
            loop = asyncio.get_running_loop()
            loop.call_later(pending.window, self._send) if pending.window else loop.call_soon(
                self._send
            )
        self._pending.append(pending)
        try:
            async with asyncio.timeout(max(pending.left(), 0) + _GRACE):
                await ended.wait()
        except TimeoutError:
            return
        finally:
            pending.abandoned = True
            self._ended.pop(pending, None)
            self._drop_unwanted()

    def _send(self) -> None:
        waiters, self._pending = self._pending, []
        for shared in shared_calls(pending for pending in waiters if not pending.abandoned):
            task = asyncio.ensure_future(self._make(shared))
            self._calls[task] = shared
            task.add_done_callback(lambda done: self._calls.pop(done, None))

    def _drop_unwanted(self) -> None:
        for task, shared in list(self._calls.items()):
            if not shared.wanted:
                task.cancel()

    async def _make(self, shared: SharedCall) -> None:
        for pending in await self._run(shared.made()):
            if ended := self._ended.get(pending):
                ended.set()
