"""`OSSVectorToolSpec`: records by id, for an agent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import ClassVar

from llama_index.core.schema import BaseNode
from llama_index.core.tools.tool_spec.base import BaseToolSpec

from oss_vector_retriever.client.both import BothClients, Client
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import OSSVectorError
from oss_vector_retriever.client.fetch import fetch
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.llama_index.node_classes import node_classes as classes_of
from oss_vector_retriever.llama_index.pickling import WithoutClient
from oss_vector_retriever.llama_index.prev_next import neighbours
from oss_vector_retriever.llama_index.source import NodeSource
from oss_vector_retriever.llama_index.tool_texts import (
    Budget,
    Tokenizer,
    failure,
    ids_of,
    metadata_of,
    report,
    texts_of,
)
from oss_vector_retriever.records import DecodePolicy
from oss_vector_retriever.records.lookup import Lookup

_Flow = Callable[[Context], Flow[str]]


class OSSVectorToolSpec(WithoutClient, BaseToolSpec):
    """Let an agent fetch stored text by id, look at metadata, test for existence, read on.

    Answers are text that names each id, those not found, and what was cut to stay within the
    budget; embeddings are neither fetched nor shown. A failure of the service is an answer too.
    """

    spec_functions: ClassVar[list[str | tuple[str, str]]] = [  # type: ignore[misc]  # core's has no ClassVar
        ("fetch_by_ids", "afetch_by_ids"),
        ("get_metadata", "aget_metadata"),
        ("check_exist", "acheck_exist"),
        ("get_neighbors", "aget_neighbors"),
    ]

    def __init__(
        self,
        client: Client | None = None,
        *,
        index: str | None = None,
        key_prefix: str = "",
        max_tokens: int = 4000,
        max_ids: int = 50,
        tokenizer: Tokenizer | None = None,
        text_key: str | None = None,
        on_decode_error: DecodePolicy = "raw",
        node_classes: Sequence[type[BaseNode]] = (),
    ) -> None:
        """Take the settings.

        Args:
            client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is
                configured by the environment.
            index: another index than the client's own.
            key_prefix: the agent sees only ids that begin with this; all others do not exist for
                it, and are not asked for.
            max_tokens: of one answer, at most.
            max_ids: taken of one question; the rest is refused in the answer.
            tokenizer: counts tokens; by default four bytes of UTF-8 are one.
            text_key: a further metadata field to look for text in.
            on_decode_error: "raw", "skip" or "raise", for records that cannot be read.
            node_classes: your own node classes.
        """
        self._clients = BothClients(client)
        self._prefix = key_prefix
        self._max_ids = max_ids
        self._budget = Budget(max_tokens, tokenizer)
        self._lookup = Lookup(index=index, text_key=text_key, on_decode_error=on_decode_error)
        self._node_classes = tuple(node_classes)
        classes_of(self._node_classes)

    def fetch_by_ids(self, ids: list[str]) -> str:
        """Fetch stored texts by their ids.

        Args:
            ids: the ids of the texts, exactly as they were given to you.
        """
        return self._answer(partial(self._fetched, ids=ids))

    async def afetch_by_ids(self, ids: list[str]) -> str:
        """Fetch stored texts by their ids.

        Args:
            ids: the ids of the texts, exactly as they were given to you.
        """
        return await self._aanswer(partial(self._fetched, ids=ids))

    def get_metadata(self, ids: list[str]) -> str:
        """Get the metadata of stored texts, such as title, source or date, without the texts.

        Args:
            ids: the ids of the texts, exactly as they were given to you.
        """
        return self._answer(partial(self._described, ids=ids))

    async def aget_metadata(self, ids: list[str]) -> str:
        """Get the metadata of stored texts, such as title, source or date, without the texts.

        Args:
            ids: the ids of the texts, exactly as they were given to you.
        """
        return await self._aanswer(partial(self._described, ids=ids))

    def check_exist(self, ids: list[str]) -> str:
        """Tell which ids exist, without fetching anything else.

        Args:
            ids: the ids to look for.
        """
        return self._answer(partial(self._existing, ids=ids))

    async def acheck_exist(self, ids: list[str]) -> str:
        """Tell which ids exist, without fetching anything else.

        Args:
            ids: the ids to look for.
        """
        return await self._aanswer(partial(self._existing, ids=ids))

    def get_neighbors(self, id: str, before: int = 1, after: int = 1) -> str:  # noqa: A002 - the agent's word
        """Fetch a stored text with the texts before and after it in its document.

        Args:
            id: the id of the text, exactly as it was given to you.
            before: how many texts before it.
            after: how many texts after it.
        """
        return self._answer(partial(self._around, ids=id, before=before, after=after))

    async def aget_neighbors(self, id: str, before: int = 1, after: int = 1) -> str:  # noqa: A002 - the same
        """Fetch a stored text with the texts before and after it in its document.

        Args:
            id: the id of the text, exactly as it was given to you.
            before: how many texts before it.
            after: how many texts after it.
        """
        return await self._aanswer(partial(self._around, ids=id, before=before, after=after))

    def _answer(self, flow: _Flow) -> str:
        try:
            return self._clients.run(flow)
        except OSSVectorError as error:
            return failure(error)

    async def _aanswer(self, flow: _Flow) -> str:
        try:
            return await self._clients.arun(flow)
        except OSSVectorError as error:
            return failure(error)

    def _fetched(self, context: Context, ids: object) -> Flow[str]:
        asked, found = yield from self._found(context, ids)
        return self._report(asked, texts_of(found.values()), found)

    def _described(self, context: Context, ids: object) -> Flow[str]:
        asked, found = yield from self._found(context, ids)
        return self._report(asked, metadata_of(found.values()), found)

    def _existing(self, context: Context, ids: object) -> Flow[str]:
        asked, allowed = self._asked(ids)
        there = yield from fetch(
            context,
            allowed,
            index=self._lookup.index,
            return_data=False,
            return_metadata=False,
        )
        found = [key for key in allowed if key in there.by_key]
        return self._report(asked, [f"Exists: {key}" for key in found], found)

    def _around(self, context: Context, ids: object, before: int, after: int) -> Flow[str]:
        asked, found = yield from self._found(context, ids, most=1)
        hops = (_hops(before, self._max_ids), _hops(after, self._max_ids))
        nodes: list[BaseNode] = []
        for node in found.values():
            nodes = yield from neighbours(context, self._source(), node, hops, self._allowed)
        return self._report(asked, texts_of(nodes), found)

    def _found(
        self, context: Context, ids: object, most: int | None = None
    ) -> Flow[tuple[list[str], dict[str, BaseNode]]]:
        asked, allowed = self._asked(ids, most)
        found = yield from self._source().by_id(context, allowed)
        return asked, {key: found[key] for key in allowed if key in found}

    def _asked(self, ids: object, most: int | None = None) -> tuple[list[str], list[str]]:
        """Return the ids asked for, and of those that are taken those that may be fetched."""
        asked = ids_of(ids)[:most]
        return asked, [key for key in asked[: self._max_ids] if self._allowed(key)]

    def _allowed(self, key: str) -> bool:
        return key.startswith(self._prefix)

    def _source(self) -> NodeSource:
        return NodeSource(self._clients, self._lookup, classes_of(self._node_classes))

    def _report(self, asked: list[str], parts: list[str], found: Collection[str]) -> str:
        taken, refused = asked[: self._max_ids], asked[self._max_ids :]
        missing = [key for key in taken if key not in found]
        return report(parts, missing, refused, self._budget)


def _hops(count: int, most: int) -> int:
    return max(0, min(int(count), most))
