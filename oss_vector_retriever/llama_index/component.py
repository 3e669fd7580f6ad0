"""What the components share: a client or the arguments of one, nodes by key, and how it is saved.

One rule for copies and one for what is saved. A copy, deep or not, shares the client. A dict and a
pickle hold where the client points (`ClientSettings`), never credentials, so that what is made of
them reads the same index, whatever the environment names by then.
"""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Self, TypedDict

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.base import BaseEvent
from llama_index.core.schema import BaseComponent, BaseNode, QueryBundle
from pydantic import AfterValidator, ConfigDict, Field, PrivateAttr, SecretStr, model_validator

from ..client.context import Context, Flow
from ..client.errors import (
    ConfigurationError,
    IncompleteSearchWarning,
    InvalidRequestError,
    MissingKeysError,
)
from ..client.pair import (
    CONNECTION,
    Client,
    ClientPair,
    _Closing,
    connect,
    hide_secrets,
    refuse_unknown_fields,
    unknown_argument,
)
from ..client.settings import ClientSettings
from ..client.steps import Call
from ..records import DecodePolicy, Record
from ..records.keys import is_key
from ..records.lookup import Found, Lookup, MissingPolicy, fetch_records
from ..records.settings import renew_saved
from .nodes import NodeClasses, OwnClasses, as_text_node, classes_by_name, node_from

_dispatcher = get_dispatcher(__name__)


class ConnectionOptions(TypedDict, total=False):
    """Arguments of a client, which every component takes in place of `client=`.

    What is not given comes from the environment, as with `OSSVectorClient`.

    Attributes:
        bucket: the vector bucket, or its ARN.
        account_id: the Alibaba Cloud account that owns it.
        region: such as `cn-hangzhou`.
        endpoint: another address than the region's own, or the bucket's, as the console shows it.
        internal: use the region's internal network.
        access_key_id: with `access_key_secret`, credentials in place of the environment's.
        access_key_secret: the secret that belongs to it.
        session_token: the token of temporary credentials.
    """

    bucket: str | None
    account_id: str | None
    region: str | None
    endpoint: str | None
    internal: bool
    access_key_id: SecretStr | str | None
    access_key_secret: SecretStr | str | None
    session_token: SecretStr | str | None


class _Connected(_Closing):
    """A class with a client that may be assigned: a pickle of it comes back without credentials."""

    _clients: ClientPair

    @property
    def client(self) -> Client:
        """Return the client: the one that was given, or one that is made of the arguments."""
        return self._clients.given or self._clients.blocking()

    @client.setter
    def client(self, client: Client) -> None:
        self._connect(client, {})
        self._forget_index(client)

    def _forget_index(self, client: Client) -> None:
        """Forget what was learnt of an index: that of a client that is assigned may be another."""

    def _connect(self, client: Client | None, options: Any) -> None:
        check_options(type(self), options)
        self._clients = connect(client, options)


def check_options(owner: type, options: Any) -> None:
    """Hide the secrets among a constructor's arguments of a client, and refuse what is none."""
    hide_secrets(options)  # in the constructor's own dict, which an error would show
    # a TypedDict is checked by type checkers alone, and a misspelt option must not be ignored
    if unknown := [name for name in options if name not in CONNECTION]:
        for name in unknown:
            del options[name]  # the dict is the constructor's own, and a secret may be in it
        raise TypeError(unknown_argument(owner, unknown, CONNECTION))


class MissingKeysEvent(BaseEvent):
    """The keys that were asked for and do not exist, for LlamaIndex's instrumentation."""

    index: str | None
    missing: list[str]

    @classmethod
    def class_name(cls) -> str:
        """Return the event's stable name."""
        return "OSSVectorsMissingKeysEvent"


def report_missing(context: Context, index: str | None, missing: Iterable[str]) -> None:
    """Send a `MissingKeysEvent` if any key is missing; `index` None is the client's own."""
    # the client's own index is asked for only here: it may be the environment's to say
    if keys := list(missing):
        _dispatcher.event(MissingKeysEvent(index=index or context.config.index, missing=keys))


class IncompleteSearchEvent(BaseEvent):
    """A search whose answer may lack nodes that match, for LlamaIndex's instrumentation.

    The fields are the attributes of the `IncompleteSearchWarning` that goes with it.
    """

    index: str | None
    wanted: int
    found: int
    nearest: int
    listed: int
    reason: str

    @classmethod
    def class_name(cls) -> str:
        """Return the event's stable name."""
        return "OSSVectorsIncompleteSearchEvent"


def report_incomplete(incomplete: IncompleteSearchWarning | None) -> None:
    """Send an `IncompleteSearchEvent` if a search may lack nodes."""
    if incomplete is not None:
        names = ("index", "wanted", "found", "nearest", "listed", "reason")
        fields: dict[str, Any] = {name: getattr(incomplete, name) for name in names}
        _dispatcher.event(IncompleteSearchEvent(**fields))


@dataclass(frozen=True, slots=True)
class NodeLookup(Lookup):
    """How keys become nodes: a lookup of records, and the classes that nodes come back as."""

    classes: NodeClasses = field(default_factory=classes_by_name)
    text_nodes: bool = False

    def node(self, record: Record) -> BaseNode:
        """Make a node of a record."""
        node = node_from(record, self.classes)
        return as_text_node(node) if self.text_nodes else node

    def fetch_by_id(self, context: Context, keys: Iterable[str]) -> Flow[dict[str, BaseNode]]:
        """Return the nodes of `fetch_distinct` by their ids."""
        found = yield from self.fetch_distinct(context, keys)
        return {node.node_id: node for node in found.made}

    def fetch_distinct(self, context: Context, keys: Iterable[str]) -> Flow[Found[BaseNode]]:
        """Fetch each distinct key once, and report those that are missing; no keys, no call."""
        unique = list(dict.fromkeys(keys))
        # relationships hold whatever ids their writer had; one that is illegal must not fail all
        legal = [key for key in unique if is_key(key)]
        found: Found[BaseNode] = Found([], ())
        if legal:
            found = yield from fetch_records(context, self, legal, self.node)
        there = {*legal} - {*found.missing}
        missing = [key for key in unique if key not in there]
        if missing and self.on_missing == "raise":
            raise MissingKeysError(missing)
        report_missing(context, self.index, missing)
        return Found(found.made, tuple(missing))


def call_function(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Flow[Any]:
    """Call a function that may block, or that returns an awaitable where the flow is awaited."""
    return (yield Call(lambda: function(*arguments, **keywords)))


def query_embedding(
    bundle: QueryBundle | None, model: BaseEmbedding | None, *, awaited: bool
) -> Flow[list[float]]:
    """Return the query's own embedding, or the model's of its text, in a flow that is awaited."""
    if bundle is not None and bundle.embedding is not None:
        return bundle.embedding
    if bundle is None or model is None or not bundle.embedding_strs:
        raise InvalidRequestError(
            "similarity to the query needs its embedding: set QueryBundle.embedding, or give "
            "embed_model= and a query with text."
        )
    # several texts, where a transform such as HyDE wrote them; the model averages
    embed = (
        model.aget_agg_embedding_from_queries if awaited else model.get_agg_embedding_from_queries
    )
    found: list[float] = yield from call_function(embed, bundle.embedding_strs)
    return found


# a client is saved as its settings; a callback manager has handlers of this process
_NEVER_SAVED: Final = ("client", "callback_manager", *CONNECTION)


def _hide(value: SecretStr | str | None) -> SecretStr | None:
    return SecretStr(value) if isinstance(value, str) else value


# Type checkers let a text through, as pydantic does; the component holds none.
_Secret = Annotated[SecretStr | str | None, AfterValidator(_hide)]


class _ConnectedComponent(_Closing, BaseComponent):
    """A pydantic component with its connection: how it is copied, and how it is saved."""

    # a secret given under a wrong name must not come back in the error that says so
    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True
    )

    # not in a dict: there stands what they and the environment made, under `client`
    bucket: str | None = Field(default=None, exclude=True)
    account_id: str | None = Field(default=None, exclude=True)
    region: str | None = Field(default=None, exclude=True)
    endpoint: str | None = Field(default=None, exclude=True, repr=False)  # may hold userinfo
    internal: bool = Field(default=False, exclude=True)
    access_key_id: _Secret = Field(default=None, exclude=True, repr=False)
    access_key_secret: _Secret = Field(default=None, exclude=True, repr=False)
    session_token: _Secret = Field(default=None, exclude=True, repr=False)
    index: str | None = None

    _pair: ClientPair = PrivateAttr()
    _pair_of: tuple[Any, ...] = PrivateAttr()
    _saved: ClientSettings | None = PrivateAttr(default=None)

    @classmethod
    def class_name(cls) -> str:
        """Return the stable name of this package's class that a class is, or is made from."""
        own = next(kind for kind in cls.__mro__ if kind.__module__.startswith(f"{__package__}."))
        return f"OSSVectors{own.__name__.removeprefix('OSSVector')}"

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, given: Any) -> Any:
        return refuse_unknown_fields(cls, given)

    def model_post_init(self, context: Any, /) -> None:
        """Prepare the client for both kinds of call."""
        super().model_post_init(context)
        self._connect()

    @property
    def _clients(self) -> ClientPair:
        if self._pair_of != self._connection():  # assigned, or changed in a copy
            self._connect()
        return self._pair

    def _connect(self) -> None:
        self._pair_of = self._connection()
        options = {name: getattr(self, name) for name in CONNECTION}
        self._pair = connect(self._pair_of[0], options, self._saved)

    def _connection(self) -> tuple[Any, ...]:
        # by __dict__: a vector store's `client` is a property, which would make one
        return tuple(self.__dict__.get(name) for name in ("client", *CONNECTION))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with other settings where `update` says so."""
        # one after the other: pydantic's own way of both does not ask what is shared
        source = deepcopy(self) if deep else self
        return super(_ConnectedComponent, source).model_copy(update=update)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # models and functions as well: an embedding model may hold a gigabyte
        shared = [self._pair, *(getattr(self, name) for name in self._excluded_fields())]
        return super().__deepcopy__({**(memo or {}), **{id(thing): thing for thing in shared}})

    @classmethod
    def _excluded_fields(cls) -> list[str]:
        return [name for name, info in cls.model_fields.items() if info.exclude]

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Return the settings as JSON values, with where the client points and no credentials."""
        data = super().to_dict(**kwargs)
        try:
            settings = self._clients.settings
        except ConfigurationError as error:
            # pipelines hash a component's dict, so that there is one in any case
            data["client"] = {"unsaved": str(error)}
        else:
            data["client"] = None if settings is None else settings.to_dict()
        unsaved = [name for name in self._excluded_fields() if name not in _NEVER_SAVED]
        # named, so that `from_dict` and whoever reads the file know what is to be given again
        if omitted := [name for name in unsaved if getattr(self, name) is not None]:
            data["omitted"] = omitted
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """Return the component that `to_dict` wrote; it reads where that one read.

        A client in `kwargs` takes the place of the one that was saved; arguments of a client, such
        as credentials, the place of what they name.

        Raises:
            ConfigurationError: it was saved over an embedded service in memory, or with a function
                that no dict holds, and nothing is given in its place.
        """
        values = renew_saved({**data, **kwargs})
        saved = values.pop("client", None)
        omitted = [name for name in values.pop("omitted", ()) if name not in values]
        # without it other records would be read than before, and nothing would say so
        if "key_of" in omitted:
            raise ConfigurationError(
                "this was saved with key_of, which no dict holds: give key_of=."
            )
        if not isinstance(saved, Mapping):
            return super().from_dict(values if saved is None else {**values, "client": saved})
        if reason := saved.get("unsaved"):
            raise ConfigurationError(f"{reason} Give client= to from_dict.")
        component = super().from_dict(values)
        component._point_to(ClientSettings.from_dict(saved))  # noqa: SLF001 - of its own class
        return component

    def _point_to(self, saved: ClientSettings | None) -> None:
        self._saved = saved
        self._connect()

    def __getstate__(self) -> dict[str, Any]:
        # core's own takes what it cannot pickle out of the live object
        fields = {name: value for name, value in self.__dict__.items() if name not in _NEVER_SAVED}
        return {"fields": fields, "client": self._clients.settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # not core's own, which goes on with half an object where the constructor refuses
        self.__init__(**renew_saved(state["fields"]))  # type: ignore[misc]  # checked as the first one was
        self._point_to(state["client"])


class _SavedComponent(_ConnectedComponent):
    """A pydantic component with its connection, and what it reads records by."""

    text_key: str | None = None
    on_decode_error: DecodePolicy = "raise"
    node_classes: OwnClasses = Field(default=(), repr=False)

    def model_post_init(self, context: Any, /) -> None:
        """Check the classes of nodes."""
        super().model_post_init(context)
        classes_by_name(self.node_classes)


class _Fetching(_SavedComponent):
    """A pydantic component that fetches nodes by key.

    Attributes:
        client: either client; or give the arguments of one, those of `ConnectionOptions`.
        index: the vector index to use, if not the client's own.
        text_key: a further metadata field to look for text in, of records that others wrote.
        on_decode_error: "raise", "skip" with a warning, or "raw": a TextNode of what is stored.
        node_classes: your own node classes, so that their nodes come back as what they were. A dict
            holds their names; what is made of it finds those that are imported.
    """

    client: Client | None = Field(default=None, exclude=True, repr=False)

    def _lookup(
        self, *, return_data: bool = False, on_missing: MissingPolicy = "omit"
    ) -> NodeLookup:
        return NodeLookup(
            index=self.index,
            text_key=self.text_key,
            return_data=return_data,
            on_missing=on_missing,
            on_decode_error=self.on_decode_error,
            classes=classes_by_name(self.node_classes),
        )
