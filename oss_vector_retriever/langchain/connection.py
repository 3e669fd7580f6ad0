"""Where the adapters' classes reach the service, and how they travel: one rule for all of them.

Each takes a client, or the arguments of one. A copy shares the client. A pickle, and LangChain's
serialised form, hold where the client points (`ClientSettings`) and never credentials, so that in
another process, whatever its environment names, the same index is read.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Self
from weakref import WeakSet

from langchain_core.load import serializable
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    WrapValidator,
    model_validator,
)

from ..client.clients import OSSVectorClient
from ..client.errors import OSSVectorError
from ..client.pair import (
    CONNECTION,
    POINTERS,
    SECRETS,
    Client,
    ClientPair,
    connect,
    limits_of,
    refuse_unknown_fields,
    unknown_argument,
)
from ..client.settings import ClientSettings
from ..records.settings import StoreSettings, renew_saved

PROVIDER = "alibabacloud_oss_vectors"
_VARIABLES = ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN")

_given_to = attrgetter("client", *CONNECTION)  # one call in C, at each use of the clients
# What a pickle leaves out, and its reader makes again.
_UNCONNECTED: dict[str, Any] = {"_pair": None, "_made_from": ()}

# Each class names it, for pydantic lets the last of several base classes win. A secret given under
# a wrong name must not come back in the error that says so.
STRICT = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

# The clients that came back with saved components. They give way to arguments that are assigned
# later, also in what LangChain's configurable fields make of the fields alone.
_brought_back: WeakSet[OSSVectorClient] = WeakSet()


def _hide(value: SecretStr | str | None) -> SecretStr | None:
    return SecretStr(value) if isinstance(value, str) else value


# Type checkers let a text through, as pydantic does; the component holds none.
_Secret = Annotated[SecretStr | str | None, AfterValidator(_hide)]


class _Connection:
    """A client for both kinds of call, made anew when what it is made from is assigned anew."""

    if TYPE_CHECKING:  # fields of the two classes below
        client: Client | None
        _pair: ClientPair | None
        _made_from: tuple[Any, ...]

    @property
    def _clients(self) -> ClientPair:
        """Return the clients, for `run(flow, ...)` and `arun(flow, ...)`."""
        # compared at each call: `model_copy(update=...)` and LangChain's configurable fields assign
        made_from = _given_to(self)
        if self._pair is None or self._made_from != made_from:
            options = dict(zip(CONNECTION, made_from[1:], strict=True))
            source = self._source
            if isinstance(source, ClientSettings):
                self._pair = connect(None, options, source)
            elif source is not None and source in _brought_back:
                self._pair = ClientPair(source, owns_client=True)
            else:
                self._pair = connect(source, options)
            self._made_from = made_from
        return self._pair

    def close(self) -> None:
        """Close the connections that this component has made; a client that was given stays open.

        Its copies share them. Later calls of it are refused.
        """
        self._clients.close()

    async def aclose(self) -> None:
        """Do as `close` does."""
        await self._clients.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def _source(self) -> Client | ClientSettings | None:
        """Return the client, or its settings where arguments change one that came back."""
        client = self.client
        if client is not None and client in _brought_back and any(_given_to(self)[1:]):
            return client.settings
        return client

    def _lend_clients(self, to: "_Connection") -> None:
        """Have another component that was given the same use this one's clients."""
        if _given_to(to) == _given_to(self):
            to._pair, to._made_from = self._clients, self._made_from  # noqa: SLF001 - of this file

    def _prepare_clients(self) -> None:
        """Refuse a wrong client now; of a saved component, point where that one pointed."""
        if isinstance(settings := self.client, ClientSettings):
            secrets = [name for name in SECRETS if getattr(self, name)]
            pointers = [name for name in POINTERS if getattr(self, name)]
            if not secrets and (not pointers or settings.credentials == "given"):
                # a client to whom credentials can be given: `client.with_options(credentials=...)`
                self.__dict__.update(dict.fromkeys(POINTERS), internal=False)
            self.client = OSSVectorClient.from_settings(settings)
            _brought_back.add(self.client)
        self._clients  # noqa: B018 - made here, so that what is wrong with it is said here

    def _index_name(self) -> str | None:
        return getattr(self, "index", None) or self._clients.config.index


def _client_or_settings(value: Any, validate: Callable[[Any], Any]) -> Any:
    """Let through a client, and what stands for one in a serialised form."""
    if isinstance(value, Mapping):
        return ClientSettings.from_dict(value)
    return value if isinstance(value, ClientSettings) else validate(value)


class Connected(_Connection, serializable.Serializable):
    """A pydantic component that has a client, or the arguments of one.

    What is not given comes from the environment, as with `OSSVectorClient`. Secrets appear in no
    text and in no serialised form.

    Attributes:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`, in place of the arguments below.
        bucket: the vector bucket, or its ARN.
        account_id: the Alibaba Cloud account that owns it.
        region: such as `cn-hangzhou`.
        endpoint: another address than the region's own, or the bucket's, as the console shows it.
        internal: use the region's internal network.
        access_key_id: with `access_key_secret`, credentials in place of the environment's.
        access_key_secret: the secret that belongs to it.
        session_token: the token of temporary credentials.
        index: another index than the client's own.
    """

    model_config = STRICT

    client: Annotated[Client | None, WrapValidator(_client_or_settings)] = Field(
        default=None, exclude=True, repr=False
    )
    bucket: str | None = None
    account_id: str | None = None
    region: str | None = None
    endpoint: str | None = Field(default=None, repr=False)  # may hold userinfo
    internal: bool = False
    access_key_id: _Secret = Field(default=None, repr=False)
    access_key_secret: _Secret = Field(default=None, repr=False)
    session_token: _Secret = Field(default=None, repr=False)
    index: str | None = None

    _pair: ClientPair | None = PrivateAttr(default=None)
    _made_from: tuple[Any, ...] = PrivateAttr(default=())

    if not TYPE_CHECKING:  # type checkers take the fields for the arguments

        def __new__(cls, *positional: Any, **arguments: Any) -> Self:  # noqa: ARG004, D102 - fields
            if positional:
                raise TypeError(
                    f"{cls.__name__} takes keyword arguments alone, as LangChain's classes do: "
                    "client= for a client."
                )
            return super().__new__(cls)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, given: Any) -> Any:
        return refuse_unknown_fields(cls, given)

    def model_post_init(self, context: Any, /) -> None:
        """Prepare the client for both kinds of call."""
        super().model_post_init(context)
        self._prepare_clients()

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: arguments and settings are serialised, secrets by name alone."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Return the fields that serialised forms name, and never hold."""
        return dict(zip(SECRETS, _VARIABLES, strict=True))

    def to_json(self) -> serializable.SerializedConstructor | serializable.SerializedNotImplemented:
        """Return the serialised form, with the settings of the client.

        There is none where the client cannot travel, such as that of a service in memory, or where
        a function was given in place of a default.
        """
        known = type(self).model_fields
        excluded = [name for name, info in known.items() if info.exclude and name != "client"]
        if any(getattr(self, name) is not known[name].default for name in excluded):
            return self.to_json_not_implemented()  # what comes back would do something else
        try:
            settings = self._clients.settings
        except (OSSVectorError, TypeError):  # tracing asks for it: no reason to end a run
            return self.to_json_not_implemented()
        form = super().to_json()
        if form["type"] == "constructor":
            form["kwargs"] = {
                name: sorted(value) if isinstance(value, frozenset) else value  # JSON has no sets
                for name, value in form["kwargs"].items()
                # a class that is a default comes back as one, such as `args_schema`
                if not (isinstance(value, type) and name in known and known[name].default is value)
            }
            if settings is not None:
                form["kwargs"]["client"] = settings.to_dict()
        return form

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._values() == other._values()

    def _values(self) -> dict[str, Any]:
        # a client that came back is none of the arguments that were given
        source = self._source
        return {**self.__dict__, "client": None if isinstance(source, ClientSettings) else source}

    __hash__ = None  # type: ignore[assignment]  # as of all that can be changed

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        # locks and sockets have no copy; the copy goes on with the same ones
        memo |= {id(shared): shared for shared in (self.client, self._pair)}
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        values = _portable_values(self, state["__dict__"])
        # the other private attributes are a subclass's, and travel
        private = {**(state["__pydantic_private__"] or {}), **_UNCONNECTED}
        return {**state, "__dict__": values, "__pydantic_private__": private}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._prepare_clients()


@dataclass(kw_only=True, eq=False, repr=False)
class ConnectedComponent(_Connection):
    """A component that is no pydantic model: its constructor's arguments are its attributes.

    The arguments are those of `Connected`, save `index`, which not every framework's class has.
    """

    client: Client | None = None
    bucket: str | None = None
    account_id: str | None = None
    region: str | None = None
    endpoint: str | None = field(default=None, repr=False)  # may hold userinfo
    internal: bool = False
    access_key_id: SecretStr | str | None = None
    access_key_secret: SecretStr | str | None = None
    session_token: SecretStr | str | None = None

    if not TYPE_CHECKING:  # type checkers take the fields for the arguments

        def __new__(cls, *_: Any, **arguments: Any) -> Self:  # noqa: D102 - as above
            if problem := unknown_argument(cls, arguments):
                del arguments, _  # an error shows what its frames hold
                raise TypeError(problem)
            return super().__new__(cls)

    def __post_init__(self) -> None:
        """Prepare the client for both kinds of call."""
        self._pair = None
        for name in SECRETS:  # debuggers and tracebacks show attributes
            setattr(self, name, _hide(getattr(self, name)))
        self._prepare_clients()

    def _store_settings(self) -> StoreSettings:
        """Return the settings of a store from the attributes that have their names."""
        names = [each.name for each in fields(StoreSettings) if hasattr(self, each.name)]
        values = {name: getattr(self, name) for name in names}
        return StoreSettings(**values, limits=limits_of(self.client))

    def __copy__(self) -> Self:
        # not by way of the pickled form, which leaves the client behind
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # the same client, and what is known of the index: there is nothing deeper to copy
        return copy.copy(self)

    def __getstate__(self) -> dict[str, Any]:
        given = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        return _portable_values(self, given)

    def __setstate__(self, arguments: dict[str, Any]) -> None:
        self.__init__(**renew_saved(arguments))  # type: ignore[misc]  # it is checked as the first one was


def _portable_values(component: _Connection, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a component, its client as settings, and no credentials.

    Raises:
        TypeError: naming an argument that is a function which another process could not find.
    """
    for name, value in values.items():
        if "<" in getattr(value, "__qualname__", ""):  # "<lambda>", "<locals>"
            raise TypeError(
                f"{type(component).__name__} is not pickled: {name}= is a function without a name "
                "of its own; define it at the top of a module, or leave it out."
            )
    # no settings where neither arguments nor the environment say yet where to read
    settings = component._clients.settings  # noqa: SLF001 - of this file
    return {**values, **dict.fromkeys(SECRETS), "client": settings}
