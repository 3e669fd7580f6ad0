"""One question to a user's function at a time, on behalf of the client: its answer serves all."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..lazy import LazyModule
from .errors import ConfigurationError, own_copy

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = LazyModule("asyncio", globals())

T = TypeVar("T")
# seconds after which a function that does not answer is asked anew: a call of it may hang for ever,
# and so would the client
_GIVE_UP = 60.0


class Inquiry(Generic[T]):
    """One call of a user's function, made for the client; all who need its outcome share it.

    It runs in an empty context, in a thread or task of its own: who happened to ask first must
    neither decide what it finds nor end it.

    Args:
        function: what is called, and may return an awaitable.
        check: makes the outcome of what it returns.
        name: what errors call it.
        began: the moment, on a monotonic clock.
        is_async: only an event loop can call it.
    """

    def __init__(
        self,
        function: Callable[[], object | Awaitable[object]],
        check: Callable[[object], T],
        name: str,
        began: float,
        *,
        is_async: bool,
    ) -> None:
        self.is_async = is_async
        self._function = function
        self._check = check
        self._name = name
        self._began = began
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outcome: Future[T] = Future()

    @property
    def is_over(self) -> bool:
        """Tell whether there is an outcome."""
        return self._outcome.done()

    @property
    def is_cancelled(self) -> bool:
        """Tell whether it ended with the event loop that it ran on."""
        return self._outcome.cancelled()

    @property
    def error(self) -> BaseException | None:
        """Return what it failed with, if it did."""
        return self._outcome.exception() if self.is_over and not self.is_cancelled else None

    def is_stuck(self, moment: float) -> bool:
        """Tell whether nobody should wait for it any more."""
        idle = self._loop is not None and not self._loop.is_running()
        return idle or moment - self._began > _GIVE_UP

    def gave(self, value: T | None) -> bool:
        """Tell whether this came of it."""
        known = self.is_over and not self.is_cancelled and self.error is None
        return known and self._outcome.result() == value

    def result(self) -> T:
        """Return what came of it, or raise an error of the caller's own."""
        if self.is_cancelled:
            raise ConfigurationError(f"the {self._name} was cancelled before it ended.")
        if (error := self.error) is not None:
            raise own_copy(error) if isinstance(error, Exception) else error
        return self._outcome.result()

    def call_when_given(self, wake: Callable[[], object], /) -> None:
        """Have a function called when it is over; at once where it is."""

        def call(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # of an event loop that has ended
                wake()

        self._outcome.add_done_callback(call)

    def run(self, hand_over: Callable[[Awaitable[object]], object] | None = None) -> None:
        """Ask in this thread; an awaitable is for an event loop, to which `hand_over` gives it."""
        answer: Any = None
        try:
            answer = contextvars.Context().run(self._function)
            if hand_over is None or not inspect.isawaitable(answer):
                self._outcome.set_result(self._check(answer))
                return
            try:
                hand_over(answer)
            except RuntimeError:  # the event loop has ended
                self._outcome.cancel()
                if inspect.iscoroutine(answer):
                    answer.close()
        except BaseException as error:  # noqa: BLE001 - it is raised in those who wait
            self.fail(error)
        finally:
            del answer  # the error's traceback has this frame, and what was answered is a secret

    async def arun(self, answer: Awaitable[object] | None = None) -> None:
        """Ask on this event loop, or wait for what was answered in a thread."""
        self._loop = asyncio.get_running_loop()
        given: Any = answer
        try:
            given = self._function() if given is None else given
            given = await given
            self._outcome.set_result(self._check(given))
        except asyncio.CancelledError:
            self._outcome.cancel()
            raise
        except BaseException as error:  # noqa: BLE001 - as above
            self.fail(error)
        finally:
            del given

    def fail(self, error: BaseException) -> None:
        """End it with an error."""
        if (name := _missing_variable(error)) is not None:
            refusal = ConfigurationError(
                "the {source} reads the context variable {name} of its caller; it is "
                "called for the client, on behalf of all who use it:",
                argument="credentials",
                remedy="where each caller has credentials of its own, give each a client by "
                "{with_options(credentials)}",
                fields={"source": self._name, "name": repr(name)},
            )
            refusal.__cause__, error = error, refusal
        if not self.is_over:
            self._outcome.set_exception(error)


def _missing_variable(error: BaseException | None) -> str | None:
    # frameworks word what `ContextVar.get` raises anew, "working outside of request context"
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        first = error.args[0] if isinstance(error, LookupError) and error.args else None
        if isinstance(first, contextvars.ContextVar):
            return first.name
        error = error.__cause__ or error.__context__
    return None
