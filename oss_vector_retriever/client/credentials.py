"""Credentials: where they come from, how they are kept fresh, and that they never show."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib
import inspect
import os
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn, Protocol

from . import fork
from .errors import ConfigurationError, DeadlineExceededError, own_copy, refer
from .signing import SigningKeys
from .steps import Begin, FaultKind, Flow, Sleep

# visible ASCII: anything else would break the header it goes into, or start another
_USABLE = re.compile(r"[\x21-\x7e]+")
# Before their end credentials are first renewed behind the calls, then before the next call goes:
# with all its retries it must be over while they hold. Those that live for less than `_USUAL_LIFE`
# have the same share of it.
_RENEW_AHEAD = timedelta(minutes=5)
_RENEW_FIRST = timedelta(minutes=1)
_USUAL_LIFE = timedelta(minutes=20)
# seconds until a source is asked again that has failed, while there are credentials that hold
_PAUSE = 10.0
# seconds after which a source that does not answer is asked anew: a call of it may hang for ever,
# and so would the client
_GIVE_UP = 60.0
_USUAL_SECONDS = 30.0
ACCESS_KEY_ID = "OSS_ACCESS_KEY_ID"
ACCESS_KEY_SECRET = "OSS_ACCESS_KEY_SECRET"  # noqa: S105 - the name of a variable
SESSION_TOKEN = "OSS_SESSION_TOKEN"  # noqa: S105 - the name of a variable


class Credentials:
    """One set of credentials; nothing of it is shown, and no serialiser opens it.

    Args:
        access_key_id: who calls.
        access_key_secret: what the signature is made with.
        security_token: the token of temporary credentials, or None.
        expires_at: when temporary credentials end (timezone-aware), or None if not known.

    Raises:
        ConfigurationError: a part is empty or holds a character no header may carry.
    """

    # no dataclass, whose fields orjson, pydantic and tracing write out; and the values stand in a
    # function, since others write out whatever slots or a `__dict__` hold
    __slots__ = ("__weakref__", "_read", "expires_at")

    def __init__(
        self,
        access_key_id: str,
        access_key_secret: str,
        security_token: str | None = None,
        expires_at: datetime | None = None,
    ) -> None:
        _check_part("access_key_id", access_key_id)
        _check_part("access_key_secret", access_key_secret)
        token = security_token or None  # an unset variable often arrives as an empty one
        if token is not None:
            _check_part("security_token", token)
        if expires_at is not None and expires_at.tzinfo is None:
            text = "expires_at of credentials must carry a timezone."
            raise ConfigurationError(text, argument="credentials")
        self.expires_at: datetime | None
        self._read: Callable[[], tuple[str, str, str | None]]
        object.__setattr__(self, "expires_at", expires_at)
        object.__setattr__(self, "_read", lambda: (access_key_id, access_key_secret, token))

    @property
    def access_key_id(self) -> str:
        """Return who calls."""
        return self._read()[0]

    @property
    def access_key_secret(self) -> str:
        """Return what the signature is made with."""
        return self._read()[1]

    @property
    def security_token(self) -> str | None:
        """Return the token of temporary credentials, or None."""
        return self._read()[2]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"credentials are not changed; make others to set {name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return (self._read(), self.expires_at) == (other._read(), other.expires_at)

    def __hash__(self) -> int:
        return hash((self._read(), self.expires_at))

    def __repr__(self) -> str:
        return "Credentials(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled; let the other process resolve its own")

    def secrets(self) -> tuple[str, ...]:
        """Return what must never appear in a text."""
        key_id, secret, token = self._read()
        return tuple(part for part in (secret, token, key_id) if part)


class CredentialsLateError(DeadlineExceededError):
    """A source of credentials has not answered in time."""


class CredentialsKeeper:
    """The credentials in use, renewed behind the calls in their last minutes.

    Args:
        source: where they come from.
        now: the service's time.
        monotonic: the clock of deadlines and pauses.
        warn: takes a topic, a text and its arguments, and logs a warning a topic and minute.
    """

    def __init__(
        self,
        source: CredentialsSource,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        warn: Callable[..., None],
    ) -> None:
        self._source = source
        self._now = now
        self._monotonic = monotonic
        self._warn = warn
        self.signing_keys = SigningKeys()
        self._set_up()
        fork.renew_in_children(self)

    def _set_up(self) -> None:
        self._kept: _Kept | None = None
        self._inquiry: Inquiry | None = None
        self._next_try = 0.0
        self._lock = threading.Lock()

    def renew_after_fork(self) -> None:
        """Ask the source anew, without the parent's connections to it."""
        self._set_up()
        self._source.forget()

    def resolve(self, seconds: float = _USUAL_SECONDS) -> Flow[Credentials]:
        """Return credentials that are good now.

        Raises:
            CredentialsLateError: there are none, and the source has not answered within `seconds`.
        """
        if not self._source.blocking:  # cheap to ask each time, and then never out of date
            return as_credentials(self._source.resolve())
        kept, now = self._kept, self._now()
        # what a callable gives without an end is asked for at each use: it may change at any time
        if kept is None or not kept.remaining(now):
            return (yield from self._ask(seconds))
        if not kept.is_within(_RENEW_AHEAD, now) or self._monotonic() < self._next_try:
            return kept.credentials
        if not kept.is_within(_RENEW_FIRST, now):
            yield from self._begin()
            return kept.credentials
        try:
            # half of the time is left for the call where the old ones have to do
            return (yield from self._ask(seconds / 2))
        except CredentialsLateError:
            self._put_off("it has not answered")
        except Exception:  # noqa: BLE001, S110 - `_take` has warned of it
            pass
        return kept.credentials

    def renew(self, used: Credentials, seconds: float = _USUAL_SECONDS) -> Flow[Credentials]:
        """Return others than those that were used, which the service has refused as expired.

        The same are returned where the source has no others.

        Raises:
            CredentialsLateError: the source has not answered within `seconds`.
        """
        if not self._source.blocking:
            return as_credentials(self._source.resolve())
        with self._lock:
            kept = self._kept
            if kept is not None and kept.credentials != used:
                return kept.credentials  # another call has met the same end before
            self._kept = None
            if self._inquiry is None:
                self._source.forget()
        return (yield from self._ask(seconds, used))

    def _ask(self, seconds: float, refused: Credentials | None = None) -> Flow[Credentials]:
        ends = self._monotonic() + seconds
        while True:
            inquiry, is_own = yield from self._begin()
            if not inquiry.is_over:
                yield Sleep(max(ends - self._monotonic(), 0.0), inquiry)
            # another flow's may have ended with that one's event loop, or may have begun before the
            # refusal
            useless = not is_own and (inquiry.is_cancelled or inquiry.gave(refused))
            if inquiry.is_over and not useless:
                return inquiry.result()
            if self._monotonic() >= ends or not inquiry.is_over:
                text = f"the {self._source.name} had not answered within {seconds:.3g} s."
                raise CredentialsLateError(text, FaultKind.DEADLINE)

    def _begin(self) -> Flow[tuple[Inquiry, bool]]:
        # the inquiry in progress, else a new one; and whether it is new
        with self._lock:
            inquiry = self._inquiry
            if inquiry is not None and not inquiry.is_stuck(self._monotonic()):
                return inquiry, False
            inquiry = self._inquiry = Inquiry(self._source, self._monotonic())
            inquiry.call_when_given(self._take)
        try:
            yield Begin(inquiry)
        except BaseException as error:
            inquiry.fail(error)
            raise
        return inquiry, True

    def _take(self) -> None:
        # by the inquiry's thread or task, so that it serves even if all who waited for it are gone
        with self._lock:
            inquiry = self._inquiry
            if inquiry is None or not inquiry.is_over:  # one that was given up, at last
                return
            self._inquiry = None
            if inquiry.error is None and not inquiry.is_cancelled:
                self._kept = _Kept(inquiry.result(), self._now())
                self._next_try = 0.0
        if inquiry.error is not None:
            # by its name: what a provider says may quote a secret
            self._put_off(type(inquiry.error).__name__)

    def _put_off(self, why: str) -> None:
        kept = self._kept
        if kept is None or not (remaining := kept.remaining(self._now())):
            return
        pause = min(_PAUSE, kept.span(_RENEW_AHEAD).total_seconds() / 6)
        self._next_try = self._monotonic() + pause
        self._warn(
            "credentials",
            "the credentials in use were not renewed by the %s (%s); they serve for another %d s, "
            "and renewal is tried again",
            self._source.name,
            why,
            remaining.total_seconds(),
        )


@dataclass(frozen=True, slots=True)
class _Kept:
    """Credentials and the moment at which they came."""

    credentials: Credentials
    since: datetime

    def remaining(self, now: datetime) -> timedelta:
        """Return how long they hold; zero where they have ended or their end is not known."""
        ends = self.credentials.expires_at
        return timedelta(0) if ends is None else max(ends - now, timedelta(0))

    def span(self, usual: timedelta) -> timedelta:
        """Return the part of their life that is as `usual` in a usual life."""
        return min(usual, usual * (self.remaining(self.since) / _USUAL_LIFE))

    def is_within(self, usual: timedelta, now: datetime) -> bool:
        """Tell whether they are in their last part."""
        return self.remaining(now) <= self.span(usual)


class Inquiry:
    """One call of a source, made for the client; all who need its outcome share it.

    It runs in an empty context, in a thread or task of its own: who happened to ask first must
    neither decide what it finds nor end it.
    """

    def __init__(self, source: CredentialsSource, began: float) -> None:
        self.is_async = source.is_async
        self._source = source
        self._began = began
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outcome: Future[Credentials] = Future()

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

    def gave(self, credentials: Credentials | None) -> bool:
        """Tell whether these credentials came of it."""
        known = self.is_over and not self.is_cancelled and self.error is None
        return known and self._outcome.result() == credentials

    def result(self) -> Credentials:
        """Return the credentials, or raise an error of the caller's own."""
        if self.is_cancelled:
            raise ConfigurationError(f"the {self._source.name} was cancelled before it ended.")
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
            answer = contextvars.Context().run(self._source.resolve)
            if hand_over is None or not inspect.isawaitable(answer):
                self._outcome.set_result(as_credentials(answer))
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
            given = self._source.resolve() if given is None else given
            given = await given
            self._outcome.set_result(as_credentials(given))
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
                "the credentials callable reads the context variable {name} of its caller; it is "
                "called for the client, on behalf of all who use it:",
                argument="credentials",
                remedy="where each caller has credentials of its own, give each a client by "
                "{with_options(credentials)}",
                fields={"name": repr(name)},
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


def source_of(credentials: object) -> CredentialsSource:
    """Return the source that the argument `credentials=` of a client stands for.

    Raises:
        ConfigurationError: it is none of the accepted kinds.
    """
    match credentials:
        case None:
            return EnvironmentSource()
        case "chain":
            return ChainSource()
        case Credentials() | tuple((_, _) | (_, _, _)):
            return _StaticSource(as_credentials(credentials))
    if hasattr(credentials, "get_credential"):
        return ChainSource(credentials)
    if callable(credentials):
        return CallableSource(credentials)
    raise ConfigurationError(
        "{argument}= is a {kind}",
        argument="credentials",
        remedy="give Credentials(...), a tuple of id, secret and, if any, token, a callable, an "
        'alibabacloud-credentials client, or "chain"',
        value=credentials,
    )


class CredentialsSource(Protocol):
    """A place that credentials come from, at once or after asking somewhere."""

    name: str = "source of credentials"
    """What errors call it."""
    blocking: bool
    """Whether `resolve` may wait for something, so that an event loop must not call it."""
    is_async: bool = False
    """Whether `resolve` returns an awaitable, so that only an event loop can call it."""

    def resolve(self) -> object | Awaitable[object]:
        """Return credentials, or an awaitable of them."""

    def forget(self) -> None:
        """Let go of what is cached here, if anything: the service has refused it as expired."""
        return


class _StaticSource(CredentialsSource):
    """Credentials that never change."""

    blocking = False

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def resolve(self) -> Credentials:
        return self._credentials


class EnvironmentSource(CredentialsSource):
    """The environment, read at each use, so that a rotated key is picked up."""

    blocking = False

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._given = environment  # the process's own is not kept here: vars() would show it

    def resolve(self) -> Credentials:
        """Return what the official variables hold."""
        found = os.environ if self._given is None else self._given
        missing = [name for name in (ACCESS_KEY_ID, ACCESS_KEY_SECRET) if not found.get(name)]
        if missing:
            raise ConfigurationError(
                "No credentials:",
                argument="credentials",
                remedy="set {variables}, or pass {some_credentials}",
                fields={"variables": " and ".join(missing)},
            )
        token = found.get(SESSION_TOKEN) or None
        return Credentials(found[ACCESS_KEY_ID], found[ACCESS_KEY_SECRET], token)


class CallableSource(CredentialsSource):
    """A callable of the user, plain or async."""

    name = "credentials callable"
    blocking = True

    def __init__(self, function: Callable[[], object | Awaitable[object]]) -> None:
        self._function = function
        call = getattr(function, "__call__", None)  # noqa: B004 - of an object that has an async one
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)

    def resolve(self) -> object | Awaitable[object]:
        """Return what the callable returns."""
        return self._function()


class ChainSource(CredentialsSource):
    """The package `alibabacloud-credentials`: profile file, ECS RAM role, OIDC/RRSA, role ARN."""

    name = "credential chain"
    blocking = True

    def __init__(self, client: Any = None) -> None:
        self._given = client
        self._own: Any = None

    def resolve(self) -> Credentials:
        """Return what the chain resolves now; it renews temporary credentials itself."""
        try:
            client = self._given or self._own or _default_chain()
            found = client.get_credential()
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a provider raises
            # not in its own words: they can quote what a provider answered, secrets included
            raise ConfigurationError(
                "the credential chain gave no credentials ({reason})",
                argument="credentials",
                remedy="{credential_chain} shows why",
                fields={"reason": type(error).__name__},
            ) from None
        self._own = None if self._given else client
        key_id = found.access_key_id or found.get_access_key_id()
        secret = found.access_key_secret or found.get_access_key_secret()
        return Credentials(key_id, secret, found.security_token or None)

    def forget(self) -> None:
        """Drop the chain that was made here; one that was given keeps its own counsel."""
        self._own = None


def _default_chain() -> Any:
    try:
        return importlib.import_module("alibabacloud_credentials.client").Client()
    except ImportError as error:
        raise ConfigurationError(
            '{credentials="chain"} needs a package: pip install '
            '"oss-vector-retriever[credentials]"',
            argument="credentials",
        ) from error


def as_credentials(value: object) -> Credentials:
    """Return what a callable gave as Credentials: they may come as a tuple of two or three."""
    if isinstance(value, Credentials):
        return value
    if isinstance(value, tuple) and len(value) in {2, 3}:
        return Credentials(*value)
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()  # or Python warns that it was never awaited
        text, remedy = "the credentials callable is async:", "use AsyncOSSVectorClient"
        raise ConfigurationError(text, argument="credentials", remedy=remedy)
    text = "the credentials callable returned a {kind}, not Credentials."
    raise ConfigurationError(text, argument="credentials", value=value)


def _check_part(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        text = "{name} is empty or not a string."
    elif not _USABLE.fullmatch(value):
        text = (
            "{name} holds a line break, a space or another character that no key has; "
            "was it read from a file without stripping it?"
        )
    else:
        return
    raise ConfigurationError(text, argument="credentials", fields={"name": refer(name)})
