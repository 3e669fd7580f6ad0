"""Credentials: where they come from, how they are kept fresh, and that they never show."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn, Protocol, TypeGuard

from . import fork
from .errors import ConfigurationError, refer
from .steps import Call, Flow

# visible ASCII: anything else would break the header it goes into, or start another
_USABLE = re.compile(r"[\x21-\x7e]+")
# a call with all its retries must be over before its credentials are
_RENEW_BEFORE = timedelta(minutes=5)
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


class CredentialsKeeper:
    """The credentials in use, kept until shortly before they expire."""

    def __init__(self, source: CredentialsSource, now: Callable[[], datetime]) -> None:
        self._source = source
        self._now = now
        self._kept: Credentials | None = None
        self._lock = threading.Lock()
        fork.renew_in_children(self)

    def renew_after_fork(self) -> None:
        """Ask the source anew, without the parent's connections to it."""
        self._kept = None
        self._lock = threading.Lock()
        self._source.forget()

    def resolve(self) -> Flow[Credentials]:
        """Return credentials that are good now."""
        if not self._source.blocking:  # cheap to ask each time, and then never out of date
            return as_credentials(self._source.resolve())
        kept = self._kept
        if usable(kept, self._now()):
            return kept
        # what a callable gives without an end is asked for at each use: it may change at any time
        resolved = as_credentials((yield Call(self._ask_source)))
        self._kept = resolved  # an async callable's, which the lock below never saw
        return resolved

    def renew(self) -> Flow[Credentials]:
        """Return credentials asked for anew, because the service says that they have expired."""
        self._kept = None
        self._source.forget()
        return (yield from self.resolve())

    def _ask_source(self) -> object:
        # many threads find out together that credentials have expired: one asks for all
        with self._lock:
            kept = self._kept
            if usable(kept, self._now()):
                return kept
            resolved = self._source.resolve()
            if isinstance(resolved, Credentials):
                self._kept = resolved
            return resolved


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

    blocking: bool
    """Whether `resolve` may wait for something, so that an event loop must not call it."""

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

    blocking = True

    def __init__(self, function: Callable[[], object | Awaitable[object]]) -> None:
        self._function = function

    def resolve(self) -> object | Awaitable[object]:
        """Return what the callable returns."""
        return self._function()


class ChainSource(CredentialsSource):
    """The package `alibabacloud-credentials`: profile file, ECS RAM role, OIDC/RRSA, role ARN."""

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


def usable(credentials: Credentials | None, now: datetime) -> TypeGuard[Credentials]:
    """Tell whether cached credentials may still be used: known to last five minutes more."""
    if credentials is None or credentials.expires_at is None:
        return False
    return credentials.expires_at - now > _RENEW_BEFORE


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
