"""`OSSVectorKVStore`: LlamaIndex's key-value store, and the stores of core that rest on one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, NoReturn, Unpack

from llama_index.core.storage.index_store.keyval_index_store import KVIndexStore
from llama_index.core.storage.kvstore.types import DEFAULT_COLLECTION, BaseKVStore

from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, quote
from ..client.operations.checks import each_of
from ..client.pair import Client, ClientPair, _Closing, limits_of
from ..records.settings import StoreSettings
from ..records.side import Row, SideIndex
from .component import ConnectionOptions, _Connected, check_options

_KIND: Final = "value"
_DEEPEST: Final = 90  # levels; a record takes some more
_BATCH: Final = 500  # core's own default is one; a call of the service takes so many


class OSSVectorKVStore(_Connected, BaseKVStore):
    """Dicts of JSON by collection and key, in the side index of a vector index.

    A store of core's that takes a `BaseKVStore` takes this one: `KVIndexStore`, `IngestionCache`.
    Keys and collections are any strings. A value comes back equal to what was put; one that JSON
    does not hold is refused by name, before any call. `get_many` is one batched fetch.

    Two processes see each other's values at once. Of two that put one key the last one stands.

    Args:
        client: either client; by default one that is configured by the environment.
        index: the vector index beside which the values stand, if not the client's own. It need not
            be there.
        side_index: the index that holds the values, by default `<index>side`.
        create_index: make the side index on the first write if it is not there.
        connection: in place of `client`, the arguments of one: see `ConnectionOptions`.

    Examples:
        >>> store = OSSVectorKVStore(OSSVectorClient.local())
        >>> store.put("tea", {"hot": True}, collection="drinks")
        >>> store.get("tea", collection="drinks")
        {'hot': True}
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        index: str | None = None,
        side_index: str | None = None,
        create_index: bool = True,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        self._connect(client, connection)
        settings = StoreSettings(
            index=index, side_index=side_index, create_index=create_index, limits=limits_of(client)
        )
        self._side = SideIndex(settings)

    def put(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """Put a value under a key.

        Raises:
            InvalidRequestError: the value is no dict of JSON; nothing was written.
        """
        self._clients.run(self._put, [(key, val)], collection)

    async def aput(
        self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION
    ) -> None:
        """Do as `put` does."""
        await self._clients.arun(self._put, [(key, val)], collection)

    def put_all(
        self,
        kv_pairs: Sequence[tuple[str, dict[str, Any]]],
        collection: str = DEFAULT_COLLECTION,
        batch_size: int = _BATCH,  # noqa: ARG002 - core's; writes are batched by 500
    ) -> None:
        """Put values, 500 a call; of a key that stands twice the last value counts.

        Raises:
            InvalidRequestError: a value is no dict of JSON; nothing was written.
            PartialWriteError: calls failed; its `report` says what was written and what not.
        """
        self._clients.run(self._put, kv_pairs, collection)

    async def aput_all(
        self,
        kv_pairs: Sequence[tuple[str, dict[str, Any]]],
        collection: str = DEFAULT_COLLECTION,
        batch_size: int = _BATCH,  # noqa: ARG002 - core's; writes are batched by 500
    ) -> None:
        """Do as `put_all` does."""
        await self._clients.arun(self._put, kv_pairs, collection)

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """Return the value of a key, None where there is none."""
        return self._clients.run(self._get_many, [key], collection).get(key)

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """Do as `get` does."""
        return (await self._clients.arun(self._get_many, [key], collection)).get(key)

    def get_many(
        self, keys: Sequence[str], collection: str = DEFAULT_COLLECTION
    ) -> dict[str, dict[str, Any]]:
        """Return the values of any number of keys, with one batched fetch.

        Keys that are not there are left out.
        """
        return self._clients.run(self._get_many, keys, collection)

    async def aget_many(
        self, keys: Sequence[str], collection: str = DEFAULT_COLLECTION
    ) -> dict[str, dict[str, Any]]:
        """Do as `get_many` does."""
        return await self._clients.arun(self._get_many, keys, collection)

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Return all values of a collection by key; the side index is listed, page by page."""
        return self._clients.run(self._get_all, collection)

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Do as `get_all` does."""
        return await self._clients.arun(self._get_all, collection)

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Delete a key, and tell whether it was there."""
        return self._clients.run(self._delete, key, collection)

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Do as `delete` does."""
        return await self._clients.arun(self._delete, key, collection)

    def _forget_index(self, client: Client) -> None:
        self._side = SideIndex(replace(self._side.settings, limits=limits_of(client)))

    def _put(
        self, context: Context, pairs: Sequence[tuple[str, dict[str, Any]]], collection: str
    ) -> Flow[None]:
        _check_name("collection", collection)
        rows = {key: Row(_KIND, key, value, collection) for key, value in pairs}
        # all of them before the first call: half a write is worse than none
        for key, row in rows.items():
            _check_name("key", key)
            _check_value(key, row.value)
        yield from self._side.put_rows(context, rows.values())

    def _get_many(
        self, context: Context, keys: Sequence[str], collection: str
    ) -> Flow[dict[str, dict[str, Any]]]:
        _check_name("collection", collection)
        asked = list(each_of(keys))
        for key in asked:
            _check_name("key", key)
        rows = yield from self._side.get_rows(context, _KIND, asked, collection)
        return {key: row.value for key, row in rows.items()}

    def _get_all(self, context: Context, collection: str) -> Flow[dict[str, dict[str, Any]]]:
        _check_name("collection", collection)
        rows = yield from self._side.list_rows(context, _KIND, collection)
        return {row.key: row.value for row in rows}

    def _delete(self, context: Context, key: str, collection: str) -> Flow[bool]:
        _check_name("collection", collection)
        _check_name("key", key)
        return bool((yield from self._side.delete_rows(context, _KIND, [key], collection)))


class OSSVectorIndexStore(_Closing, KVIndexStore):
    """The structs of LlamaIndex's indices, which `load_index_from_storage` asks for.

    Core's own `KVIndexStore` over an `OSSVectorKVStore`, whose arguments it takes.

    Args:
        client: either client; by default one that is configured by the environment.
        index: the vector index beside which the structs stand, if not the client's own.
        side_index: the index that holds them, by default `<index>side`.
        create_index: make the side index on the first write if it is not there.
        namespace: keeps the structs of several applications apart.
        connection: in place of `client`, the arguments of one: see `ConnectionOptions`.

    Examples:
        >>> from llama_index.core.data_structs import IndexList
        >>> store = OSSVectorIndexStore(OSSVectorClient.local())
        >>> store.add_index_struct(IndexList(index_id="list", nodes=["tea"]))
        >>> store.get_index_struct("list").nodes
        ['tea']
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        index: str | None = None,
        side_index: str | None = None,
        create_index: bool = True,
        namespace: str | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        check_options(type(self), connection)  # or an error would name the store below
        store = OSSVectorKVStore(
            client, index=index, side_index=side_index, create_index=create_index, **connection
        )
        super().__init__(store, namespace=namespace)

    @property
    def client(self) -> Client:
        """Return the client: the one that was given, or one that is made of the arguments."""
        return self._store.client

    @client.setter
    def client(self, client: Client) -> None:
        self._store.client = client

    @property
    def _clients(self) -> ClientPair:
        return self._store._clients  # noqa: SLF001 - its own

    @property
    def _store(self) -> OSSVectorKVStore:
        store = self._kvstore
        assert isinstance(store, OSSVectorKVStore)  # noqa: S101 - made above
        return store


def _check_name(what: Literal["key", "collection"], name: object) -> None:
    if not isinstance(name, str):
        raise InvalidRequestError(
            "{argument} must be a string, not {kind}.", argument=what, value=name
        )


def _check_value(key: str, value: object) -> None:
    """Refuse what JSON would not give back as it was, naming the key and the path in the value."""
    if not isinstance(value, dict):
        _refuse(key, "value", f"is of type {type(value).__name__}; a value is a dict")
    _check_json(key, "value", value, 0)


def _check_json(key: str, path: str, value: object, depth: int) -> None:
    if depth > _DEEPEST:
        _refuse(key, path, f"is nested over {_DEEPEST} levels deep")
    if isinstance(value, Mapping):
        for name, item in value.items():
            if not isinstance(name, str):
                _refuse(key, path, f"has a key that is not a string: {quote(name)}")
            _check_json(key, f"{path}[{quote(name)}]", item, depth + 1)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            _check_json(key, f"{path}[{position}]", item, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        _refuse(key, path, f"is {value}, which JSON does not hold")
    elif value is not None and not isinstance(value, str | int | float):
        _refuse(key, path, f"is of type {type(value).__name__}, which JSON does not hold")


def _refuse(key: str, path: str, reason: str) -> NoReturn:
    raise InvalidRequestError(
        "the value of key {key}: {path} {reason}. Nothing was written.",
        argument="val",
        fields={"key": quote(key), "path": path, "reason": reason},
    )
