"""What both clients have: options by name, where they point, how they are copied and pickled."""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from types import FunctionType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .config import ClientConfig, CredentialsLike, resolve_config
from .context import Context
from .credentials import hide_credentials
from .errors import ConfigurationError
from .hidden import hide_address
from .local import LocalService, open_local, reopen_local
from .models.account_record import AccountRecord
from .models.limits import DEFAULT_LIMITS, Limits
from .models.results import ClientStats, FinishedCall
from .rate_limiter import RateLimit, RequestPacer
from .retry import RetryPolicy
from .settings import ClientSettings, config_from, settings_of
from .transport.runner import AsyncRunner, Runner, closed_error
from .wire import decoder

if TYPE_CHECKING:
    from ..emulator.behaviour import Behaviour

# In place of `Self`, which Jedi takes for the class that the method stands in: editors would show
# nothing but what is here of the client that `local()` returns.
ThisClient = TypeVar("ThisClient", bound="_ClientBase")


class _ClientBase:
    """A client's context, connections and embedded service."""

    _context: Context
    _local: LocalService | None
    _runner: Runner | AsyncRunner
    # The client whose connections this one shares; only that one closes them.
    _parent: Any = None

    def __init__(
        self,
        *,
        bucket: str | None = None,
        account_id: str | None = None,
        region: str | None = None,
        index: str | None = None,
        endpoint: str | None = None,
        internal: bool = False,
        credentials: CredentialsLike | None = None,
        max_concurrency: int = 8,
        timeout: float = 30.0,
        connect_timeout: float = 5.0,
        retry: int | RetryPolicy = 3,
        rate_limit: float | RateLimit | RequestPacer | None = None,
        coalesce: bool | float = True,
        allow_http: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        max_reply_bytes: int = 64 * 1024 * 1024,
        additional_headers: Iterable[str] = (),
        user_agent_extra: str | None = None,
        proxy: str | None = None,
        ca_file: str | None = None,
        on_call: Callable[[FinishedCall], object] | None = None,
        record: AccountRecord | str | os.PathLike[str] | None = None,
    ) -> None:
        """Take the settings; those not given come from the environment.

        A bucket's ARN and its endpoint each name several: nothing else need be given of these, and
        what differs is refused.

        Args:
            bucket: the vector bucket, or its ARN, which gives account and region as well
                (`OSS_VECTORS_BUCKET`).
            account_id: the Alibaba Cloud account that owns it (`OSS_ACCOUNT_ID`).
            region: such as `cn-hangzhou`, or its OSS id, `oss-cn-hangzhou` (`OSS_REGION`).
            index: the index used where a call names none (`OSS_VECTORS_INDEX`).
            endpoint: another address than the region's own; or the bucket's, as the console shows
                it, which gives bucket, account, region and network as well (`OSS_ENDPOINT`).
            internal: use the region's internal network.
            credentials: `Credentials`, a tuple of id and secret, a callable, an
                alibabacloud-credentials client, or `"chain"`; by default `OSS_ACCESS_KEY_ID`,
                `OSS_ACCESS_KEY_SECRET` and `OSS_SESSION_TOKEN`, read at each use.
            max_concurrency: requests in flight at once, at most.
            timeout: seconds for a whole call: checking and encoding what is sent, waiting of any
                kind, retries, reading and decoding. How long the caller's own iterables take to
                yield does not count.
            connect_timeout: seconds for a connection.
            retry: a `RetryPolicy`, or the number of attempts.
            rate_limit: requests a second, at most; a `RateLimit` of requests, keys or both; or an
                object that says when a request may go, as LangChain's rate limiters do. It is asked
                before each attempt, without blocking, and does not travel with the settings. What
                the service bears is found without it.
            coalesce: let concurrent fetches share API calls: on an event loop those of one turn;
                of threads none waits for company, those that come while `max_concurrency` requests
                are in flight share the next ones. A number is a window: wait so many seconds for
                others. False: each fetch makes its own calls. There is no cache.
            allow_http: allow a plain-http endpoint that is not on this machine.
            limits: the service's limits, where an account has others.
            max_reply_bytes: the largest reply that is read.
            additional_headers: names of further headers to sign.
            user_agent_extra: what the service's logs shall name besides this package, such as
                `"my-app/1.2"`: products, with a space between two.
            proxy: the proxy's URL; by default what `HTTPS_PROXY` and `NO_PROXY` say.
            ca_file: a file of certificates to trust, in place of the system's.
            on_call: a function that is told of each API call when it has ended, with one
                `FinishedCall`: for metrics and traces. It is called where the call was made: on the
                event loop, or in the caller's thread (a fetch that takes several calls makes some
                in threads of the client's own, which have none of the caller's context variables).
                So it must be quick, and must not use the client. What it raises harms no call; a
                warning in the log names its class.
            record: what the account's service was found to do, or the file in which `oss-vectors
                doctor --record` wrote it. Where the service allows less than `limits` does, that
                holds.

        Raises:
            ConfigurationError: a setting is missing or impossible, or two contradict each other.
        """
        # before anything that can fail: an error carries the frames that it passes
        credentials = hide_credentials(credentials)
        endpoint, proxy = hide_address(endpoint), hide_address(proxy)
        self._set_up(Context(resolve_config(**_options(locals()))), None)

    @classmethod
    def local(  # noqa: PYI019 - see `ThisClient`
        cls: type[ThisClient],
        path: str | os.PathLike[str] | None = None,
        *,
        index: str = "vectors",
        max_concurrency: int = 8,
        timeout: float = 30.0,
        retry: int | RetryPolicy = 3,
        rate_limit: float | RateLimit | RequestPacer | None = None,
        coalesce: bool | float = True,
        limits: Limits = DEFAULT_LIMITS,
        max_reply_bytes: int = 64 * 1024 * 1024,
        on_call: Callable[[FinishedCall], object] | None = None,
        behaviour: Behaviour | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> ThisClient:
        """Return a client of an embedded service, in memory or kept in the file `path`.

        The bucket is there; indexes are made by whoever writes first. The service is quick, and
        leaves out what the real one is documented to do: a new index is `creating` for a while,
        QueryVectors sees a write after 2 to 3 seconds, a listing shows a new bucket later, the name
        of a deleted one is free after hours, requests are limited in rate, metadata has at most 10
        names in all and only strings, and a filter an operator for each field.
        `behaviour=emulator.Behaviour.documented()` has all of these but the rate; `clock=` returns
        the service's time, and an `emulator.ManualClock` moves its delays.

        The other options are those of the constructor; the service keeps the `limits` too. Needs
        the extra `emulator`.

        Raises:
            ConfigurationError: the file is in use, also by a client of another behaviour, or an
                option is impossible.
        """
        config, service = open_local(**_options(locals()))
        return cls._on_context(Context(config), service)

    @classmethod
    def from_settings(  # noqa: PYI019 - see `ThisClient`
        cls: type[ThisClient], settings: ClientSettings, credentials: CredentialsLike | None = None
    ) -> ThisClient:
        """Return a client that points where the settings say, whatever the environment names.

        Credentials of the environment or of the chain are configured so again. Others did not
        travel: pass `credentials`, or the first call asks for them. An embedded service is opened
        again by the path of its file; one that this process has open is shared.

        Raises:
            ConfigurationError: the settings are none, or another process has the file open.
        """
        credentials = hide_credentials(credentials)
        # Whatever is no ClientSettings at all is refused by `config_from`.
        path = getattr(settings, "local", None)
        if path is None:
            return cls._on_context(Context(config_from(settings, credentials)), None)
        config, service = reopen_local(settings, path, credentials)
        try:
            return cls._on_context(Context(config), service)
        finally:
            service.let_go()  # the client holds it by now

    @classmethod
    def _on_context(cls, context: Context, local: LocalService | None) -> Self:
        """Return a client that shares a context: settings, clock, budget, rate and credentials."""
        client = cls.__new__(cls)
        client._set_up(context, local)
        return client

    def _set_up(self, context: Context, local: LocalService | None) -> None:
        self._context = context
        self._local = local
        self._runner = self._make_runner()
        if local is not None:
            object.__setattr__(context, "embedded", local.service)
            # A client that nobody closes lets go too, or the file would stay locked.
            local.hold()
            self._let_go = weakref.finalize(self, local.let_go)

    def _make_runner(self) -> Runner | AsyncRunner:
        raise NotImplementedError

    def with_options(  # noqa: PYI019 - see `ThisClient`
        self: ThisClient,
        *,
        bucket: str | None = None,
        index: str | None = None,
        credentials: CredentialsLike | None = None,
        timeout: float | None = None,
        retry: int | RetryPolicy | None = None,
        coalesce: bool | float | None = None,
        limits: Limits | None = None,
        max_reply_bytes: int | None = None,
        additional_headers: Iterable[str] | None = None,
        user_agent_extra: str | None = None,
        on_call: Callable[[FinishedCall], object] | None = None,
    ) -> ThisClient:
        """Return a client with other options that shares the connections of this one.

        What is None stays as it is. What belongs to the connections, such as `region`, is chosen
        when a client is made. Closing it closes them only where nobody holds this one any more.
        """
        credentials = hide_credentials(credentials)
        given = _options(locals())
        # None is a value of none of them, so that it can stand for what was not given.
        other = type(self).__new__(type(self))
        changes = {name: value for name, value in given.items() if value is not None}
        other._context = self._context.with_options(**changes)
        other._runner = self._runner
        other._local = self._local
        other._parent = self
        return other

    @property
    def config(self) -> ClientConfig:
        """Return the settings in use, checked, with the source of the credentials."""
        return self._context.config

    @property
    def settings(self) -> ClientSettings:
        """Return where this client points and how, without credentials, for another process.

        Raises:
            ConfigurationError: the embedded service is in memory, and ends with this process.
        """
        local = self._local
        if local is not None and local.path is None:
            raise ConfigurationError(
                "an embedded service in memory has no settings that another process could use, and "
                f"is not pickled; keep it in a file: {type(self).__name__}.local(path)."
            )
        if local is None:
            return settings_of(self._context.config)
        return settings_of(
            self._context.config, local.path, local.changed_switches, has_clock=local.has_clock
        )

    def stats(self) -> ClientStats:
        """Return what this client has done so far, in numbers; a closed one tells it still.

        All that share its connections or its settings count together: the clients made by
        `with_options`, and the twins of `to_async` and `to_sync`. A forked child starts at zero.
        """
        context = self._context
        rate = context.rate_limiters.rate
        return replace(context.counters.stats(), decoder=decoder(), rate=rate)

    def refuse_if_closed(self) -> None:
        """Raise ConfigurationError if this client is closed, or one whose connections it shares."""
        if self._runner.closed:
            raise closed_error(type(self).__name__)

    def _release_local(self) -> None:
        if self._parent is not None:
            # A client that nobody else has ends here, and a file with it: `local(p).with_options()`
            self._parent = False
        elif self._local is not None:
            self._let_go()

    def __repr__(self) -> str:
        if not hasattr(self, "_context"):  # shown in the traceback of its own construction
            return object.__repr__(self)
        config = self._context.config
        return (
            f"{type(self).__name__}(bucket={config.bucket!r}, account_id={config.account_id!r}, "
            f"region={config.region!r}, index={config.index!r}, endpoint={str(config.endpoint)!r})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # For either client, and for a user's subclass, whose own attributes do not travel.
        return type(self).from_settings, (self.settings,)

    def __copy__(self) -> Self:
        # Within a process a copy shares connections, credentials and embedded service, and so all.
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __init_subclass__(cls) -> None:
        # A misspelt option is refused in the name of its function, and help() and tracebacks show
        # it: users know the class that they wrote, not the bases that it is made of.
        if _ClientBase in cls.__bases__:
            for base in cls.__bases__:
                for name, member in vars(base).items():
                    if (name == "__init__" or name[0] != "_") and name not in vars(cls):
                        setattr(cls, name, _under_name(f"{cls.__qualname__}.{name}", member))


def wrong_call(name: str, unknown: Iterable[str], known: Iterable[str]) -> str:
    """Return what to say of a call with arguments that are unknown, or with too many."""
    named = ", ".join(map(repr, unknown))
    problem = (
        f"an unexpected keyword argument {named}" if named else "too many positional arguments"
    )
    return f"{name}() got {problem}; its arguments are {', '.join(known)}."


def _options(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the options among a method's `locals()`: each is named once, in the signature."""
    return {name: value for name, value in arguments.items() if name not in {"self", "cls"}}


def _under_name(qualified_name: str, member: Any) -> Any:
    """Return a method under another name, and anything else as it is."""
    if isinstance(member, classmethod):
        return classmethod(_under_name(qualified_name, member.__func__))
    if not isinstance(member, FunctionType):
        return member
    code, names, closure = member.__code__, member.__globals__, member.__closure__
    method = FunctionType(code, names, member.__name__, member.__defaults__, closure)
    functools.update_wrapper(method, member)
    del method.__wrapped__  # type: ignore[attr-defined]  # it is the function, not one around it
    method.__kwdefaults__ = member.__kwdefaults__
    method.__qualname__ = qualified_name
    return _list_options(method) if member.__name__ in _WITH_OPTIONS else method


def _list_options(method: FunctionType) -> Any:
    """Return a method that answers what it does not take with the names of what it takes."""
    code = method.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @functools.wraps(method)
    def call_or_refuse(*given: Any, **options: Any) -> Any:
        unknown = [name for name in options if name not in names]
        if unknown or len(given) > code.co_argcount:
            del given, options  # an error shows what its frames hold
            # a class or a client first, which nobody names
            raise TypeError(wrong_call(method.__qualname__, unknown, names[1:]))
        # as the method itself does: this frame is in the traceback of what it raises
        for name, hide in _HIDING.items():
            if name in options:
                options[name] = hide(options[name])
        return method(*given, **options)

    return call_or_refuse


_WITH_OPTIONS = frozenset({"__init__", "local", "with_options"})
_HIDING: dict[str, Callable[[Any], Any]] = {
    "credentials": hide_credentials,
    "endpoint": hide_address,
    "proxy": hide_address,
}
