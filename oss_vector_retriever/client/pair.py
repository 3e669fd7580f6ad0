"""One client for code that is called both ways: blocking, and from whatever event loop runs."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Concatenate, Final, ParamSpec, Protocol, Self, TypeVar

from pydantic_core import PydanticCustomError

from . import fork
from .base import wrong_call
from .clients import AsyncOSSVectorClient, OSSVectorClient
from .config import ClientConfig, find_settings, resolve_config
from .context import Context, Flow
from .credentials import Credentials
from .errors import ConfigurationError
from .hidden import Hidden, hide_address
from .models.limits import DEFAULT_LIMITS, Limits
from .settings import ClientSettings, settings_of
from .transport.runner import closed_error, running_loop

P = ParamSpec("P")
T = TypeVar("T")
Client = OSSVectorClient | AsyncOSSVectorClient
AnyClient = TypeVar("AnyClient", OSSVectorClient, AsyncOSSVectorClient)
_NOT_SAVED = ("credentials", "proxy")  # a proxy's userinfo signs in

# The arguments of a client that every component of the frameworks takes in place of one.
POINTERS = ("bucket", "account_id", "region", "endpoint", "internal")
SECRETS = ("access_key_id", "access_key_secret", "session_token")
CONNECTION = (*POINTERS, *SECRETS)

# What other stores' classes call their arguments, and the names of the same here; where a class has
# several of these, the last one is meant.
_INDEX = ("index", "index_name")
_OURS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("collection", "collection_name", "namespace", "table_name"), _INDEX),
    "index_name": ("index",),
    **dict.fromkeys(("vector_bucket_name", "bucket_name"), ("bucket",)),
    **dict.fromkeys(("region_name", "region_id"), ("region",)),
    **dict.fromkeys(("endpoint_url", "url"), ("endpoint",)),
    **dict.fromkeys(("aws_access_key_id", "access_key"), ("access_key_id",)),
    **dict.fromkeys(("aws_secret_access_key", "secret_key"), ("access_key_secret",)),
    **dict.fromkeys(("aws_session_token", "security_token", "sts_token"), ("session_token",)),
    **dict.fromkeys(
        ("embeddings", "embedding_function", "embedding_model", "embedding_service"), ("embedding",)
    ),
    **dict.fromkeys(("metric", "distance", "distance_strategy"), ("distance_metric",)),
    "non_filterable_metadata_keys": ("non_filterable",),
    "create_index_if_not_exist": ("create_index",),
    "page_content_metadata_key": ("text_key",),
    **dict.fromkeys(("top_k", "similarity_top_k"), ("k", "similarity_top_k")),
}


def unknown_argument(owner: type, given: Iterable[str], known: Iterable[str] = ()) -> str:
    """Return what to say of arguments that a class does not have; empty where it has them all.

    It has those of its constructor, and the `known` ones.
    """
    names = dict.fromkeys((*_constructor_arguments(owner), *known))
    unknown = [name for name in given if name not in names]
    if not unknown:
        return ""
    ours = {theirs: own for theirs in unknown for own in _OURS.get(theirs, ()) if own in names}
    hints = [f" What others call {theirs}= is {own}= here." for theirs, own in ours.items()]
    return wrong_call(owner.__name__, unknown, names) + "".join(hints)


def refuse_unknown_fields(model: Any, given: Any) -> Any:
    """Answer what is no field of a pydantic model with its fields; return what was given."""
    is_strict = isinstance(given, Mapping) and model.model_config.get("extra") == "forbid"
    if is_strict and (problem := unknown_argument(model, given, model.model_fields)):
        # not a ValueError, which the error would keep, with the frames that hold the arguments
        raise PydanticCustomError("unexpected_argument", "{problem}", {"problem": problem})
    return given


@lru_cache(maxsize=256)  # a tool makes a store for each call
def _constructor_arguments(owner: type) -> tuple[str, ...]:
    parameters = inspect.signature(owner.__init__).parameters.values()  # type: ignore[misc]  # of a class
    return tuple(one.name for one in parameters if one.kind in _NAMED and one.name != "self")


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class ClientPair:
    """One client and its twins: one that blocks, one for each event loop that asks.

    Frameworks call the same object from threads and from event loops that come and go, while an
    async client belongs to one loop. The twins share settings, rate and budget; those of a loop
    that has ended are dropped, its end has closed their connections.

    A pickle holds where the calls point, never credentials: `ClientSettings`. Within a process copy
    and deepcopy share the clients, credentials and embedded service included.

    Args:
        client: either client, or None for one that is made when first used.
        connection: the arguments that it is then made with; the environment gives the others.
        settings: what it is made of instead, as a pickle has it: the environment is not asked.
        owns_client: whether `client` was made for this pair alone, which then closes it too.
    """

    def __init__(
        self,
        client: Client | None = None,
        connection: Mapping[str, Any] | None = None,
        settings: ClientSettings | None = None,
        *,
        owns_client: bool = False,
    ) -> None:
        if client is not None and not isinstance(client, OSSVectorClient | AsyncOSSVectorClient):
            raise ConfigurationError(
                "{argument} must be an OSSVectorClient or an AsyncOSSVectorClient, not {kind}.",
                argument="client",
                fields={"kind": type(client).__name__},
            )
        self.given = client
        self.connection = dict(connection or {})
        self._saved = settings
        self._owns_given = owns_client
        self._closed = False
        self._blocking: OSSVectorClient | None = None
        self._set_up()
        fork.renew_in_children(self)

    def _set_up(self) -> None:
        self._on_loops: dict[asyncio.AbstractEventLoop, AsyncOSSVectorClient] = {}
        # Reentrant: the client of a loop may be a twin of the blocking one, which is made under it.
        self._lock = threading.RLock()

    def renew_after_fork(self) -> None:
        """Leave the event loops and their clients to the parent."""
        fork.leave_to_parent(self._on_loops)
        self._set_up()

    @property
    def config(self) -> ClientConfig:
        """Return the client's settings."""
        return (self.given or self.blocking()).config

    @property
    def settings(self) -> ClientSettings | None:
        """Return where the calls point; None where the environment does not say so yet.

        Raises:
            ConfigurationError: the connection that was given is wrong or lacks something, or the
                client's embedded service is in memory.
        """
        client = self.given or self._blocking
        if client is not None:
            return client.settings
        if self._saved is not None:
            return self._saved
        try:
            return settings_of(resolve_config(**self.connection))
        except ConfigurationError:
            # With no arguments and no environment it points nowhere yet, and may be sent to where
            # the environment is set. Arguments that lack something point halfway: that is said.
            if self.connection:
                raise
            return None

    def blocking(self) -> OSSVectorClient:
        """Return the blocking client."""
        self._refuse_if_closed()
        given = self.given
        # One that was given says itself, at its next call, that it is closed; its twins do not.
        if isinstance(given, OSSVectorClient):
            return given
        if given is not None:
            given.refuse_if_closed()
        with self._lock:
            if self._blocking is None:
                if isinstance(given, AsyncOSSVectorClient):
                    self._blocking = _twin(given.to_sync())
                elif self._saved is not None:
                    self._blocking = OSSVectorClient.from_settings(self._saved)
                else:
                    self._blocking = OSSVectorClient(**self.connection)
            return self._blocking

    def on_this_loop(self) -> AsyncOSSVectorClient:
        """Return the client of the running event loop."""
        self._refuse_if_closed()
        if self.given is not None:
            self.given.refuse_if_closed()
        loop = running_loop()
        with self._lock:
            client = self._on_loops.get(loop)
            if client is None:
                # Only here, when a loop comes: nothing tells that one has ended.
                alive = {other: c for other, c in self._on_loops.items() if not other.is_closed()}
                self._on_loops = alive
                client = self._on_loops[loop] = self._for_this_loop()
            return client

    def _for_this_loop(self) -> AsyncOSSVectorClient:
        given = self.given
        if isinstance(given, AsyncOSSVectorClient):
            # not bound before its first call: it may be promised to a loop that has yet to make it
            free = given.usable_here() and given not in self._on_loops.values()
            # There and back: a client makes twins of the other kind only.
            return given if free else _twin(given.to_sync().to_async())
        return _twin(self.blocking().to_async())

    def run(
        self,
        flow: Callable[Concatenate[Context, P], Flow[T]],
        /,
        *arguments: P.args,
        **keywords: P.kwargs,
    ) -> T:
        """Run the flow `flow(context, *arguments, **keywords)`, blocking."""
        return self.blocking().run(flow, *arguments, **keywords)

    async def arun(
        self,
        flow: Callable[Concatenate[Context, P], Flow[T]],
        /,
        *arguments: P.args,
        **keywords: P.kwargs,
    ) -> T:
        """Run the flow `flow(context, *arguments, **keywords)` on the running event loop."""
        running_loop()
        if self.given is None and self._blocking is None:
            await asyncio.to_thread(self.blocking)  # certificates are read from files
        return await self.on_this_loop().run(flow, *arguments, **keywords)

    def close(self) -> None:
        """Close the clients that were made here, and none that was given; refuse later calls.

        Those of event loops are closed by their loops, as soon as these come to it.
        """
        blocking, on_loops = self._part_with_clients()
        for loop, client in on_loops.items():
            if loop.is_running():  # the end of one that has ended has closed the connections
                asyncio.run_coroutine_threadsafe(client.close(), loop)
        if blocking is not None:
            blocking.close()

    async def aclose(self) -> None:
        """Do as `close` does, and wait for the client of the running event loop."""
        here = running_loop()
        blocking, on_loops = self._part_with_clients()
        for loop, client in on_loops.items():
            if loop is here:
                await client.close()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(client.close(), loop)
        if blocking is not None:
            await asyncio.to_thread(blocking.close)  # it may wait for calls in progress

    def _part_with_clients(
        self,
    ) -> tuple[OSSVectorClient | None, dict[asyncio.AbstractEventLoop, AsyncOSSVectorClient]]:
        """Let go of the clients, and return those to close."""
        with self._lock:
            self._closed = True
            blocking, on_loops = self._blocking, self._on_loops
            self._blocking, self._on_loops = None, {}
        if self._owns_given and isinstance(self.given, OSSVectorClient):
            return self.given, on_loops
        return blocking, {loop: one for loop, one in on_loops.items() if one is not self.given}

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise closed_error("component")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClientPair) and other._key == self._key

    def __hash__(self) -> int:
        return hash(id(self.given))

    @property
    def _key(self) -> tuple[object, ...]:
        # A component and what its pickle makes are equal, though one is saved and one is not.
        try:
            settings = None if self.given else self.settings
        except ConfigurationError:
            settings = None
        return id(self.given), self.connection, settings

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        kept = {n: value for n, value in self.connection.items() if n not in _NOT_SAVED}
        return ClientPair, (self.given, kept, None if self.given else self.settings)


class _WithClients(Protocol):
    @property
    def _clients(self) -> ClientPair: ...
    def close(self) -> None: ...
    async def aclose(self) -> None: ...


class _Closing:
    """A component that closes what it has made, by `close`, `aclose` or the end of a `with`."""

    def close(self: _WithClients) -> None:
        """Close the connections that this component has made; a client that was given stays open.

        Its copies share them. Later calls of it are refused.
        """
        self._clients.close()

    async def aclose(self: _WithClients) -> None:
        """Do as `close` does."""
        await self._clients.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self: _WithClients, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self: _WithClients, *_: object) -> None:
        await self.aclose()


def connect(
    client: Client | None, options: Mapping[str, Any], saved: ClientSettings | None = None
) -> ClientPair:
    """Return the clients of a component: of the one that was given, or made of options.

    Args:
        client: either client, or None.
        options: the values of `CONNECTION`; what is None or empty is not given.
        saved: of a component that comes from another process; it stands for the environment.

    Raises:
        ConfigurationError: a client and options are given, or half of the credentials.
    """
    options = hide_secrets(dict(options))
    given = [name for name in CONNECTION if options.get(name)]
    if client is not None and given:
        raise ConfigurationError(f"pass either client= or {', '.join(given)}, not both.")
    arguments = {name: options[name] for name in POINTERS if options.get(name)}
    secrets = [options[name] for name in SECRETS if options.get(name)]
    if secrets and not (options.get("access_key_id") and options.get("access_key_secret")):
        raise ConfigurationError("credentials are access_key_id= and access_key_secret=, both.")
    credentials = _credentials_of(secrets) if secrets else None
    if saved is not None and client is None:
        # an address of one kind takes the place of the other's
        other: dict[str, Any] = {"endpoint": None} if "internal" in arguments else {}
        if "endpoint" in arguments:
            other["internal"] = False
        found = find_settings(arguments, allow_http=saved.allow_http, environment={})
        named = {name: setting.value for name, setting in found.items()}
        if "endpoint" in named:
            named["endpoint"] = str(named["endpoint"])
        settings = replace(saved, **{**other, **named})
        if credentials:
            return ClientPair(
                OSSVectorClient.from_settings(settings, credentials), owns_client=True
            )
        return ClientPair(None, arguments, settings)
    return ClientPair(client, {**arguments, "credentials": credentials} if secrets else arguments)


def hide_secrets(options: dict[str, Any]) -> dict[str, Any]:
    """Hide what of a component's arguments may be a secret, in place, and return them."""
    for name, value in options.items():
        if name == "endpoint":
            options[name] = hide_address(value)
        elif name in SECRETS and value and not isinstance(value, Hidden):
            options[name] = Hidden(value)
    return options


def _credentials_of(secrets: Iterable[Hidden]) -> Credentials:
    # each is a framework's `SecretStr`, or a text
    texts = (each.reveal() for each in secrets)
    return Credentials(*(getattr(text, "get_secret_value", text.__str__)() for text in texts))


def limits_of(client: Client | None) -> Limits:
    """Return the service's limits as a client knows them; the usual ones where none is given."""
    known = isinstance(client, OSSVectorClient | AsyncOSSVectorClient)
    return client.config.limits if client is not None and known else DEFAULT_LIMITS


def context_of(client: Client | None, index: str | None) -> Context | None:
    """Return the context of a client that names an index; None where none is given."""
    known = isinstance(client, OSSVectorClient | AsyncOSSVectorClient)
    if client is None or not known or not (index or client.config.index):
        return None
    return client._context  # noqa: SLF001 - a step of the house's own


def _twin(client: AnyClient) -> AnyClient:
    # The client that was given keeps an embedded service open, and closing it ends the service.
    client._release_local()  # noqa: SLF001 - a step of the house's own
    return client
