"""Puts that come at the same time, done as one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from weakref import WeakKeyDictionary

from langgraph.store.base import PutOp

from oss_vector_retriever.client.errors import InvalidRequestError, PartialWriteError
from oss_vector_retriever.langgraph.items import name_of

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
