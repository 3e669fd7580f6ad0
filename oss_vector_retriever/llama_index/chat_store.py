"""`OSSVectorChatStore`: the messages of chats, one row of a side index each."""

import secrets
import threading
from collections.abc import Sequence
from typing import Any, Final

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store.base import BaseChatStore
from pydantic import Field, PrivateAttr, ValidationError

from ..client import fork
from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, quote
from ..client.holds import Hold, run_with
from ..client.pair import Client, limits_of
from ..records import DecodeError
from ..records.settings import StoreSettings
from ..records.side import Row, SideIndex
from .component import _ConnectedComponent

_KIND: Final = "message"


class OSSVectorChatStore(_ConnectedComponent, BaseChatStore):
    """The messages of each chat in order, in the side index of a vector index.

    A message is a row of its own. So to add one is one call, that of no other is touched, and
    messages that are added at once are all kept, by threads and by processes. They come in the
    order in which they were added; those of two processes by their clocks, which the service
    corrects when they are far off. What else changes a chat reads it first, in one process one
    after another: of two processes that take away the last message at once both may take the same.

    A chat is read by a listing with a filter: where the service does not keep to filters the whole
    side index is listed. A chat without messages is none.

    Args:
        client: either client; by default one that is configured by the environment.
        index: the vector index beside which the messages stand, if not the client's own.
        side_index: the index that holds them, by default `<index>side`.
        create_index: make the side index on the first write if it is not there.

    In place of `client` it takes the arguments of one: see `ConnectionOptions`.

    Examples:
        >>> from llama_index.core.llms import ChatMessage
        >>> store = OSSVectorChatStore(client=OSSVectorClient.local())
        >>> store.add_message("ada", ChatMessage("Tea, please."))
        >>> [message.content for message in store.get_messages("ada")]
        ['Tea, please.']
    """

    client: Client | None = Field(default=None, exclude=True, repr=False)
    side_index: str | None = None
    create_index: bool = True

    _side: SideIndex = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Check the settings."""
        super().model_post_init(context)
        self._side = SideIndex(
            StoreSettings(
                index=self.index,
                side_index=self.side_index,
                create_index=self.create_index,
                limits=limits_of(self.client),
            )
        )

    def set_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Put messages in place of those of a chat; others read both for a moment."""
        self._clients.run(self._set, key, messages)

    async def aset_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Do as `set_messages` does."""
        await self._clients.arun(self._set, key, messages)

    def get_messages(self, key: str) -> list[ChatMessage]:
        """Return the messages of a chat, the oldest first."""
        return self._clients.run(self._messages, key)

    async def aget_messages(self, key: str) -> list[ChatMessage]:
        """Do as `get_messages` does."""
        return await self._clients.arun(self._messages, key)

    def add_message(self, key: str, message: ChatMessage) -> None:
        """Add a message to a chat, with one call."""
        self._clients.run(self._add, key, [message])

    async def async_add_message(self, key: str, message: ChatMessage) -> None:
        """Do as `add_message` does."""
        await self._clients.arun(self._add, key, [message])

    def delete_messages(self, key: str) -> list[ChatMessage] | None:
        """Delete a chat and return its messages; None where there are none."""
        return self._clients.run(self._delete_all, key)

    async def adelete_messages(self, key: str) -> list[ChatMessage] | None:
        """Do as `delete_messages` does."""
        return await self._clients.arun(self._delete_all, key)

    def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Delete the message at a place, and return it; None where there is none."""
        return self._clients.run(self._delete_at, key, idx)

    async def adelete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Do as `delete_message` does."""
        return await self._clients.arun(self._delete_at, key, idx)

    def delete_last_message(self, key: str) -> ChatMessage | None:
        """Delete the last message of a chat, and return it; None where there is none."""
        return self._clients.run(self._delete_at, key, -1)

    async def adelete_last_message(self, key: str) -> ChatMessage | None:
        """Do as `delete_last_message` does."""
        return await self._clients.arun(self._delete_at, key, -1)

    def get_keys(self) -> list[str]:
        """Return the keys of all chats; all messages are listed for it."""
        return self._clients.run(self._keys)

    async def aget_keys(self) -> list[str]:
        """Do as `get_keys` does."""
        return await self._clients.arun(self._keys)

    def _add(self, context: Context, key: str, messages: Sequence[ChatMessage]) -> Flow[None]:
        _check_key(key)
        rows = [_row_of(context, key, message) for message in messages]
        # under names that nobody has used before
        yield from self._side.put_rows(context, rows, fresh=True)

    def _rows(self, context: Context, key: str) -> Flow[list[Row]]:
        _check_key(key)
        rows = yield from self._side.list_rows(context, _KIND, key)
        return sorted(rows, key=lambda row: row.key)

    def _messages(self, context: Context, key: str) -> Flow[list[ChatMessage]]:
        return [_message_of(row) for row in (yield from self._rows(context, key))]

    def _keys(self, context: Context) -> Flow[list[str]]:
        rows = yield from self._side.list_rows(context, _KIND)
        return sorted({row.collection for row in rows})

    def _set(self, context: Context, key: str, messages: Sequence[ChatMessage]) -> Flow[None]:
        changing = self._replace(context, key, list(messages))
        yield from run_with(self._hold(context, key), changing, context.deadline())

    def _replace(self, context: Context, key: str, messages: Sequence[ChatMessage]) -> Flow[None]:
        old = yield from self._rows(context, key)
        # first the new ones: what is interrupted is to lose nothing
        yield from self._add(context, key, messages)
        yield from self._delete_rows(context, old)

    def _delete_all(self, context: Context, key: str) -> Flow[list[ChatMessage] | None]:
        deleting = self._take(context, key, slice(None))
        found = yield from run_with(self._hold(context, key), deleting, context.deadline())
        return found or None

    def _delete_at(self, context: Context, key: str, idx: int) -> Flow[ChatMessage | None]:
        # as a list is cut: a place that is not there has nothing
        place = slice(idx, None if idx == -1 else idx + 1)
        deleting = self._take(context, key, place)
        found = yield from run_with(self._hold(context, key), deleting, context.deadline())
        return next(iter(found), None)

    def _take(self, context: Context, key: str, place: slice) -> Flow[list[ChatMessage]]:
        rows = (yield from self._rows(context, key))[place]
        messages = [_message_of(row) for row in rows]
        yield from self._delete_rows(context, rows)
        return messages

    def _delete_rows(self, context: Context, rows: Sequence[Row]) -> Flow[None]:
        for key in {row.collection for row in rows}:
            names = [row.key for row in rows if row.collection == key]
            yield from self._side.delete_rows(context, _KIND, names, key)

    def _hold(self, context: Context, key: str) -> Hold:
        # what is added meanwhile is none of what was read, and need not wait
        return Hold(context, self._side.name(context), [f"{_KIND}!{key}"], alone=True)


class _Moments:
    """Moments in microseconds, each later than the last: two messages are never at one place."""

    def __init__(self) -> None:
        self._last = 0
        self.renew_after_fork()
        fork.renew_in_children(self)

    def renew_after_fork(self) -> None:
        self._lock = threading.Lock()

    def next_after(self, micros: int) -> int:
        with self._lock:
            self._last = max(micros, self._last + 1)
            return self._last


_moments = _Moments()


def _row_of(context: Context, key: str, message: ChatMessage) -> Row:
    if not isinstance(message, ChatMessage):
        raise InvalidRequestError(
            "{argument} is a ChatMessage, not {kind}.", argument="message", value=message
        )
    micros = int(context.clock.now().timestamp() * 1_000_000)
    # 17 digits until the year 5138; then what keeps those of two processes apart
    place = f"{_moments.next_after(micros):017d}{secrets.token_hex(4)}"
    try:
        value = message.model_dump(mode="json")
    except ValueError as error:
        raise InvalidRequestError(
            "a message of chat {key} holds what JSON does not: {reason}. Nothing was written.",
            argument="message",
            fields={"key": quote(key), "reason": str(error)},
        ) from error
    return Row(_KIND, place, value, key)


def _message_of(row: Row) -> ChatMessage:
    try:
        return ChatMessage.model_validate(row.value)
    except ValidationError as error:
        name = f"{row.collection}/{row.key}"
        raise DecodeError(name, _KIND, f"it is no message ({error.error_count()} faults)") from None


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise InvalidRequestError(
            "{argument} must be a string, not {kind}.", argument="key", value=key
        )
