"""The words in which a flow talks to its runner.

A flow is a generator: it yields what it wants done (a step) and receives what happened. It decides
everything and does nothing; a runner (`transport`) does everything and decides nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar, cast

from .errors import drop_frames
from .models.messages import Reply, Request

T = TypeVar("T")


class FaultKind(StrEnum):
    """The kinds of what can go wrong below HTTP."""

    CONNECT = "connect"
    TLS = "tls"
    PROXY = "proxy"
    CLOSED = "closed"
    PROTOCOL = "protocol"
    TOO_LARGE = "too_large"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class Fault:
    """The outcome of an exchange that brought no whole reply.

    `name` is the class name of the library's exception, never its text: texts of HTTP libraries
    quote header values, and a header value can be a credential. `reason` is a word of OpenSSL's or
    of HTTP's own. `proxy` is the origin of the proxy where the fault is on the way to the service,
    and `reused` is True where the connection was kept from an earlier exchange and brought nothing.
    """

    kind: FaultKind
    name: str
    reason: str = ""
    proxy: str | None = None
    reused: bool = False


# OpenSSL's reason where a peer that was asked for TLS has answered in the words of HTTP
NO_TLS = "WRONG_VERSION_NUMBER"
REPLY_TOO_LARGE = Fault(FaultKind.TOO_LARGE, "ReplyTooLarge")


@dataclass(frozen=True, slots=True)
class Send:
    """One HTTP exchange within some seconds; answered with a `Reply` or a `Fault`.

    Of the reply so many bytes are read at most. Without `reuse` it has a new connection.
    """

    request: Request
    seconds: float
    max_reply_bytes: int
    reuse: bool = True


class Signal(Protocol):
    """Something that happens once, in whatever thread."""

    def call_when_given(self, wake: Callable[[], object], /) -> None:
        """Have a function called when it happens; at once where it has."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """A pause, which a signal may end early."""

    seconds: float
    signal: Signal | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function that may block, or that returns an awaitable.

    An async runner keeps it off the event loop. Answered with its result; what it raises is
    raised in the flow.
    """

    function: Callable[[], object | Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Begin:
    """The start of a call of a user's function that no flow owns (an `Inquiry`).

    Answered at once. A sync function runs in a daemon thread, which the end of the program does not
    wait for; an async one as a task of the running event loop.
    """

    inquiry: Any


@dataclass(frozen=True, slots=True)
class RunAll:
    """Several flows at once; answered with the list of their results, in order.

    The first error ends the others and is raised in the flow.
    """

    flows: Sequence[Flow[Any]]


@dataclass(frozen=True, slots=True)
class Coalesce:
    """A fetch that may share its API call with those of other flows (`coalesce`).

    `pending` is its `PendingFetch`. Answered with True at once where it is to make its calls alone,
    else when it is over or its deadline has passed.
    """

    pending: Any


@dataclass(frozen=True, slots=True)
class Acquire:
    """A question to a user's rate limiter (`RequestPacer`); answered with whether a request may go.

    An event loop waits for the answer so many seconds at most.
    """

    pacer: Any
    seconds: float


Step = Send | Sleep | Call | Begin | RunAll | Coalesce | Acquire
Flow = Generator[Step, Any, T]


def send(
    request: Request, seconds: float, max_reply_bytes: int, *, reuse: bool = True
) -> Flow[Reply | Fault]:
    """Exchange one request for a reply or a fault."""
    handled = sys.exception()
    try:
        return cast("Reply | Fault", (yield Send(request, seconds, max_reply_bytes, reuse)))
    except BaseException as error:
        # what broke into the exchange, Ctrl-C or a cancellation: the frames of the engine hold the
        # headers, with signature and token
        drop_frames(error, handled)
        raise


def run_all(flows: Sequence[Flow[T]]) -> Flow[list[T]]:
    """Run flows at once and return their results in order."""
    if len(flows) == 1:  # in the runner's own thread or task: others cost more than they save
        return [(yield from flows[0])]
    return cast("list[T]", (yield RunAll(flows)))


class Running(Generic[T]):
    """A flow in progress: the step it waits for, or None and its result when it has ended.

    What the flow raises is raised by whatever made it go on.
    """

    result: T

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.step: Step | None = None
        self.tell(None)

    def tell(self, answer: Any) -> None:
        """Go on, with what came of the step."""
        self._advance(self._flow.send, answer)

    def throw(self, error: BaseException) -> None:
        """Go on, with what the step raised: the flow decides."""
        self._advance(self._flow.throw, error)

    def _advance(self, resume: Callable[[Any], Step], answer: Any) -> None:
        try:
            self.step = resume(answer)
        except StopIteration as end:
            self.step, self.result = None, end.value


def do_steps(flow: Flow[T], do: Callable[[Step], Flow[Any]]) -> Flow[T]:
    """Do what a flow does, where each of its steps is answered by the flow `do(step)`."""
    run = Running(flow)
    while run.step is not None:
        try:
            answer = yield from do(run.step)
        except BaseException as error:  # noqa: BLE001 - the flow decides
            run.throw(error)
        else:
            run.tell(answer)
    return run.result
