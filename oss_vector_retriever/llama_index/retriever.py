"""`OSSVectorRetriever`: keys in, nodes out."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, Unpack, get_args

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import BaseNode, IndexNode, NodeWithScore, QueryBundle, TextNode

from ..client.context import Context, Flow
from ..client.errors import ConfigurationError, InvalidRequestError, with_article
from ..client.operations.checks import check_choice, each_of
from ..client.pair import Client
from ..embeddings import similarities
from ..records import DecodePolicy, Record, parse_keys
from ..records.lookup import MissingPolicy, fetch_records
from . import component
from .component import ConnectionOptions, NodeLookup, _Connected
from .nodes import classes_by_name

ScoreMode = Literal["constant", "rank", "none", "similarity"]
Resolver = Callable[[QueryBundle], Iterable[str] | Awaitable[Iterable[str]]]


class OSSVectorRetriever(_Connected, BaseRetriever):
    """Nodes by key.

    The keys are those that a `KeyQueryBundle` carries; else those that `resolver` finds for the
    query; else `keys`; else the query itself is a JSON array of keys, or one key a line.

    Nodes come in the order of the keys; the framework itself drops a repeated node from what
    `retrieve` returns. `node_id` is the key. Keys that do not exist are left out and reported as a
    `MissingKeysEvent`, or raise `MissingKeysError`.

    Args:
        client: either client; by default one that is configured by the environment.
        index: the vector index to use, if not the client's own.
        keys: the keys to fetch, whatever the query says.
        resolver: finds the keys for a query; a plain function, called in a thread by `aretrieve`,
            or a coroutine function, for `aretrieve` alone.
        k: return at most so many nodes.
        text_key: a further metadata field to look for text in, of records that others wrote.
        return_data: set `node.embedding` from the stored float32 data.
        score: of every node, under "constant"; a `SimilarityPostprocessor` drops nodes whose score
            is None.
        score_mode: "constant"; "rank" (1, 1/2, 1/3, ...); "none"; or "similarity", the cosine of
            the stored vector and the query's embedding. The order is that of the keys.
        embed_model: embeds the query for "similarity" where the bundle has no embedding.
        provenance: return `NodeWithProvenance`, which says where each node came from.
        on_missing: "omit" or "raise".
        on_decode_error: "raise", "skip" with a warning, or "raw": a TextNode of what is stored.
        key_parser: turns the query into keys, in place of the two forms above.
        node_classes: your own node classes, so that their nodes come back as what they were.
        text_nodes: make a TextNode or ImageNode of a Document or Node; `RecursiveRetriever` takes
            no others.
        callback_manager, object_map, objects, verbose: core's own.
        connection: in place of `client`, the arguments of one: see `ConnectionOptions`.

    Raises:
        ConfigurationError: both `keys` and `resolver` are given.

    Examples:
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> _ = client.upsert([{"key": "tea", "data": [1, 0], "metadata": {"text": "Green tea."}}])
        >>> found = OSSVectorRetriever(client).retrieve('["tea", "coffee"]')
        >>> [(hit.node_id, hit.text, hit.node.embedding) for hit in found]
        [('tea', 'Green tea.', [1.0, 0.0])]
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        index: str | None = None,
        keys: Iterable[str] | None = None,
        resolver: Resolver | None = None,
        k: int | None = None,
        text_key: str | None = None,
        return_data: bool = True,
        score: float | None = 1.0,
        score_mode: ScoreMode = "constant",
        embed_model: BaseEmbedding | None = None,
        provenance: bool = False,
        on_missing: MissingPolicy = "omit",
        on_decode_error: DecodePolicy = "raise",
        key_parser: Callable[[str], list[str]] = parse_keys,
        node_classes: Sequence[type[BaseNode]] = (),
        text_nodes: bool = False,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[IndexNode] | None = None,
        verbose: bool = False,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        super().__init__(callback_manager, object_map, objects, verbose)
        if keys is not None and resolver is not None:
            raise ConfigurationError("give either keys or resolver, not both")
        check_choice("score_mode", score_mode, get_args(ScoreMode))
        if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
            raise InvalidRequestError(
                "{argument} must be a number or None, not {value}.", argument="score", value=score
            )
        self._connect(client, connection)
        # a list: an iterator would be empty at the second query
        self._keys = None if keys is None else list(each_of(keys))
        self._resolver = resolver
        self._key_parser = key_parser
        self._score, self._score_mode = score, score_mode
        self._embed_model = embed_model
        self._provenance = provenance
        self._return_data = return_data
        self._lookup = NodeLookup(
            index=index,
            text_key=text_key,
            # the score needs the vector, whatever the node is to keep
            return_data=return_data or score_mode == "similarity",
            on_missing=on_missing,
            on_decode_error=on_decode_error,
            limit=k,
            classes=classes_by_name(node_classes),
            text_nodes=text_nodes,
        )

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._clients.run(self._fetch_nodes, query_bundle, awaited=False)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await self._clients.arun(self._fetch_nodes, query_bundle, awaited=True)

    def _fetch_nodes(
        self, context: Context, bundle: QueryBundle, *, awaited: bool
    ) -> Flow[list[NodeWithScore]]:
        keys = yield from self._find_keys(bundle)
        found = yield from fetch_records(context, self._lookup, keys, self._pair)
        component.report_missing(context, self._lookup.index, found.missing)
        records = [record for record, _ in found.made]
        scores = yield from self._scores(bundle, records, awaited=awaited)
        scored = zip(found.made, scores, strict=True)
        if not self._provenance:
            return [NodeWithScore(node=node, score=score) for (_, node), score in scored]
        return [
            NodeWithProvenance(
                node=node,
                score=score,
                bucket=context.config.bucket,
                index=self._lookup.index or context.config.index,
                key=record.key,
                format=record.source,
                position=position,
            )
            for position, ((record, node), score) in enumerate(scored)
        ]

    def _find_keys(self, bundle: QueryBundle) -> Flow[list[str]]:
        # what a query carries wins: a query engine hands on what its caller knows
        if isinstance(bundle, KeyQueryBundle) and bundle.keys is not None:
            return bundle.keys
        if self._resolver is not None:
            return (yield from _call_resolver(self._resolver, bundle))
        return self._key_parser(bundle.query_str) if self._keys is None else self._keys

    def _pair(self, record: Record) -> tuple[Record, BaseNode]:
        # the record keeps its embedding for the score, where the node is to be without
        bare = record if self._return_data else replace(record, embedding=None)
        return record, self._lookup.node(bare)

    def _scores(
        self, bundle: QueryBundle, records: list[Record], *, awaited: bool
    ) -> Flow[Sequence[float | None]]:
        if self._score_mode == "similarity" and records:
            model = self._embed_model
            query = yield from component.query_embedding(bundle, model, awaited=awaited)
            rows = [record.embedding for record in records if record.embedding is not None]
            cosines = iter(similarities(query, rows).tolist())
            return [None if record.embedding is None else next(cosines) for record in records]
        # the order is all that the caller said of how much each node matters
        if self._score_mode == "rank":
            return [1 / (position + 1) for position in range(len(records))]
        return [self._score if self._score_mode == "constant" else None] * len(records)


@dataclass
class KeyQueryBundle(QueryBundle):
    """A question together with the keys of the records that may answer it.

    `OSSVectorRetriever` fetches those keys, and a query engine puts the question to the nodes:
    `engine.query(KeyQueryBundle("What changed?", keys=["doc-1", "doc-7"]))`.

    Attributes:
        keys: the keys, in order; None where the bundle names none.

    Examples:
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> _ = client.upsert([{"key": "tea", "data": [1, 0], "metadata": {"text": "Green tea."}}])
        >>> question = KeyQueryBundle("What is it?", keys=["tea"])
        >>> OSSVectorRetriever(client).retrieve(question)[0].text
        'Green tea.'
    """

    keys: list[str] | None = None


class NodeWithProvenance(NodeWithScore):
    """A scored node that says where it came from.

    It is said here, and not in the node: what stands in a node's metadata changes its hash, by
    which retrievers and pipelines compare nodes, and can end up in prompts.

    Attributes:
        bucket: the vector bucket.
        index: the index in it.
        key: the key, which is the node's id.
        format: who wrote the record, as `records.Record.source` names it.
        position: where it stands among the keys asked for that were found, counted from 0.
    """

    bucket: str | None = None
    index: str | None = None
    key: str = ""
    format: str = ""
    position: int = 0

    @classmethod
    def from_dict(
        cls, data: dict[str, Any], *, node_classes: Iterable[type[BaseNode]] = (), **changes: Any
    ) -> Self:
        """Return what `to_dict` wrote, with other fields where `changes` says so.

        The node comes back as what it was, also of your own `node_classes`.
        """
        # core writes a node as a dict, and reads none back
        node = data.get("node")
        if isinstance(node, dict):
            kind = classes_by_name(node_classes).get(node.get("class_name", ""), TextNode)
            data = {**data, "node": kind.from_dict(node)}
        return super().from_dict(data, **changes)

    @classmethod
    def class_name(cls) -> str:
        """Return the class's stable name."""
        return "OSSVectorsNodeWithProvenance"


def _call_resolver(resolver: Resolver, bundle: QueryBundle) -> Flow[list[str]]:
    found = yield from component.call_function(resolver, bundle)
    if inspect.isawaitable(found):
        # closed, or Python warns that it was never awaited
        if inspect.iscoroutine(found):
            found.close()
        raise ConfigurationError("the resolver is a coroutine function; call aretrieve")
    # a string is an iterable of its letters, each a legal key
    if isinstance(found, str) or not isinstance(found, Iterable):
        raise InvalidRequestError(
            f"the resolver must return a list of keys, not {with_article(type(found).__name__)}; "
            "for one key return [key], for none []."
        )
    return list(found)
