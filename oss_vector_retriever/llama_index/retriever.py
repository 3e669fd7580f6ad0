"""`OSSVectorRetriever`: keys in, nodes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.schema import NodeWithScore, QueryBundle

from oss_vector_retriever.client.both import BothClients, Client
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.llama_index.events import MissingKeysEvent
from oss_vector_retriever.llama_index.nodes import node_from
from oss_vector_retriever.records import DecodePolicy, Record, parse_keys
from oss_vector_retriever.records.lookup import Found, Lookup, MissingPolicy

_dispatcher = get_dispatcher(__name__)


class OSSVectorRetriever(BaseRetriever):
    """Retrieve nodes by key; the query is a JSON array of keys, or one key a line.

    Nodes come in the order of the keys; the framework itself drops a repeated node from what
    `retrieve` returns. `node_id` is the key. Keys that do not exist are left out and reported as a
    `MissingKeysEvent`, or raise `MissingKeysError`.
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        index: str | None = None,
        k: int | None = None,
        text_key: str | None = None,
        return_data: bool = True,
        score: float | None = 1.0,
        on_missing: MissingPolicy = "omit",
        on_decode_error: DecodePolicy = "raise",
        key_parser: Callable[[str], list[str]] = parse_keys,
        **options: Any,
    ) -> None:
        """Take the settings.

        Args:
            client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is
                configured by the environment.
            index: another index than the client's own.
            k: return at most so many nodes.
            text_key: a further metadata field to look for text in.
            return_data: set `node.embedding` from the stored float32 data.
            score: of every node; a `SimilarityPostprocessor` drops nodes whose score is None.
            on_missing: "omit" or "raise".
            on_decode_error: "raise", "skip" or "raw", for records that cannot be read.
            key_parser: turns the query into keys, in place of the two forms above.
            options: those of `BaseRetriever`: `callback_manager`, `object_map`, `objects`,
                `verbose`.
        """
        super().__init__(**options)
        self._clients = BothClients(client)
        self._score = score
        self._key_parser = key_parser
        self._lookup = Lookup(
            index=index,
            text_key=text_key,
            return_data=return_data,
            on_missing=on_missing,
            on_decode_error=on_decode_error,
            most=k,
        )

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._told(self._clients.run(self._flow_of(query_bundle)))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._told(await self._clients.arun(self._flow_of(query_bundle)))

    def _flow_of(
        self, query_bundle: QueryBundle
    ) -> Callable[[Context], Flow[Found[NodeWithScore]]]:
        return self._lookup.of(self._key_parser(query_bundle.query_str), self._node)

    def _node(self, record: Record) -> NodeWithScore:
        return NodeWithScore(node=node_from(record), score=self._score)

    def _told(self, found: Found[NodeWithScore]) -> list[NodeWithScore]:
        if found.missing:
            index = self._lookup.index or self._clients.config.index
            _dispatcher.event(MissingKeysEvent(index=index, missing=list(found.missing)))
        return found.made
