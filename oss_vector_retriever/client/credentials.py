"""Credentials: where they come from, how they are kept fresh, and that they never show."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn, Protocol, cast

from . import fork
from .errors import ConfigurationError, DeadlineExceededError, refer
from .hidden import Hidden
from .inquiry import Inquiry
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
_USUAL_SECONDS = 30.0
ACCESS_KEY_ID = "OSS_ACCESS_KEY_ID"
ACCESS_KEY_SECRET = "OSS_ACCESS_KEY_SECRET"  # noqa: S105 - the name of a variable
SESSION_TOKEN = "OSS_SESSION_TOKEN"  # noqa: S105 - the name of a variable
_CHAIN_VARIABLE = re.compile(r"ALIBABA_CLOUD_[A-Z0-9_]{1,60}")


class Credentials:
    """One set of credentials; nothing of it is shown, and no serialiser opens it.

    Args:
        access_key_id: who calls.
        access_key_secret: what the signature is made with.
        security_token: the token of temporary credentials, or None.
        expires_at: when temporary credentials end (timezone-aware), or None if not known.

    Raises:
        ConfigurationError: a part is empty or holds a character no header may carry.

    Examples:
        >>> Credentials("id", "secret")
        Credentials(***)
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
        token = security_token or None  # an unset variable often arrives as an empty one
        refusal = _refusal_of(access_key_id, access_key_secret, token, expires_at)
        if refusal is not None:
            # a traceback shows the frames that it leaves, with what has a name there
            del access_key_id, access_key_secret, security_token, token
            raise refusal
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
        self._inquiry: Inquiry[Credentials] | None = None
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
                raise self.late_error()

    def late_error(self) -> CredentialsLateError:
        """Return what is to be said where the source has not answered in time."""
        text = f"the {self._source.name} had not answered in time."
        return CredentialsLateError(text, FaultKind.DEADLINE)

    def _begin(self) -> Flow[tuple[Inquiry[Credentials], bool]]:
        # the inquiry in progress, else a new one; and whether it is new
        with self._lock:
            inquiry = self._inquiry
            if inquiry is not None and not inquiry.is_stuck(self._monotonic()):
                return inquiry, False
            inquiry = self._inquiry = Inquiry(
                self._source.resolve,
                as_credentials,
                self._source.name,
                self._monotonic(),
                is_async=self._source.is_async,
            )
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


def hide_credentials(credentials: Any) -> Any:
    """Return what was given as credentials, hidden where it shows what it holds."""
    if credentials is None or isinstance(credentials, Credentials | Hidden):
        return credentials
    asks = callable(credentials) or hasattr(credentials, "get_credential")
    return credentials if asks or credentials == "chain" else Hidden(credentials)


def source_of(credentials: object) -> CredentialsSource:
    """Return the source that the argument `credentials=` of a client stands for.

    Raises:
        ConfigurationError: it is none of the accepted kinds.
    """
    credentials = hide_credentials(credentials)
    match credentials:
        case None:
            return EnvironmentSource()
        case "chain":
            return ChainSource()
        case Credentials():
            return _StaticSource(credentials)
        case Hidden():
            if _is_tuple(credentials.reveal()):
                return _StaticSource(as_credentials(credentials.reveal()))
        case _ if hasattr(credentials, "get_credential"):
            return ChainSource(credentials)
        case _:  # the one kind that is left unhidden
            return CallableSource(cast("Callable[[], object]", credentials))
    raise ConfigurationError(
        "{argument}= is a {kind}",
        argument="credentials",
        remedy="give Credentials(...), a tuple of id, secret and, if any, token, a callable, an "
        'alibabacloud-credentials client, or "chain"',
        value=credentials.reveal(),
    )


def _is_tuple(value: object) -> bool:
    return isinstance(value, tuple) and len(value) in {2, 3}


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
        missing = [name for name in (ACCESS_KEY_ID, ACCESS_KEY_SECRET) if not self._read(name)]
        if missing:
            raise ConfigurationError(
                "No credentials:",
                argument="credentials",
                remedy="set {variables}, or pass {some_credentials}. {others}"
                '{credentials="chain"} needs pip install "oss-vector-retriever[credentials]"',
                fields={"variables": " and ".join(missing), "others": self._others},
            )
        return Credentials(
            self._read(ACCESS_KEY_ID), self._read(ACCESS_KEY_SECRET), self._read(SESSION_TOKEN)
        )

    @property
    def _others(self) -> str:
        # by name alone; what other programs take for credentials is not taken unasked
        names = list(os.environ if self._given is None else self._given)
        names = sorted(n for n in names if _CHAIN_VARIABLE.fullmatch(n) and self._read(n))
        return f"What the chain reads is set: {', '.join(names)}. " if names else ""

    def _read(self, name: str) -> str:
        # by itself: the environment prints itself whole where an error shows it
        return (os.environ if self._given is None else self._given).get(name, "")


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
        return Credentials(  # none of them gets a name, which an error would show
            found.access_key_id or found.get_access_key_id(),
            found.access_key_secret or found.get_access_key_secret(),
            found.security_token or None,
        )

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
    try:
        if _is_tuple(value):
            return Credentials(*value)  # type: ignore[misc]  # checked there
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()  # or Python warns that it was never awaited
            text, remedy = "the credentials callable is async:", "use AsyncOSSVectorClient"
            raise ConfigurationError(text, argument="credentials", remedy=remedy)
        text = "the credentials callable returned a {kind}, not Credentials."
        raise ConfigurationError(text, argument="credentials", value=value)
    finally:
        del value  # the traceback of an error shows this frame


def _refusal_of(
    access_key_id: object, access_key_secret: object, token: object, expires_at: object
) -> ConfigurationError | None:
    # returned, not raised: this frame names what it looks at
    parts = {"access_key_id": access_key_id, "access_key_secret": access_key_secret}
    if token is not None:
        parts["security_token"] = token
    for name, value in parts.items():
        if not isinstance(value, str) or not value:
            text = "{name} is empty or not a string."
        elif not _USABLE.fullmatch(value):
            text = (
                "{name} holds a line break, a space or another character that no key has; "
                "was it read from a file without stripping it?"
            )
        else:
            continue
        return ConfigurationError(text, argument="credentials", fields={"name": refer(name)})
    if expires_at is None or (isinstance(expires_at, datetime) and expires_at.tzinfo):
        return None
    text = "expires_at of credentials must be a datetime and carry a timezone."
    return ConfigurationError(text, argument="credentials")
