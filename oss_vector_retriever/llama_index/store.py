"""`OSSVectorStore`: LlamaIndex's vector store on OSS Vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.schema import BaseNode, ImageNode, IndexNode
from llama_index.core.vector_stores.types import (
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from pydantic import PrivateAttr

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.operations.checks import each_of
from oss_vector_retriever.llama_index.filters import has_gap
from oss_vector_retriever.llama_index.store_arguments import wanted
from oss_vector_retriever.llama_index.store_base import StoreBase
from oss_vector_retriever.llama_index.store_queries import Queries
from oss_vector_retriever.llama_index.store_records import listed
from oss_vector_retriever.llama_index.store_selection import selection
from oss_vector_retriever.records.removing import delete_all
from oss_vector_retriever.records.storing import Start


class OSSVectorStore(StoreBase):
    """Keep nodes with their embeddings in an index, query them, and get them by id.

    Every async method is native: no call blocks the event loop. Nodes of core's classes come back
    as what they were, relationships included; the key of a record is the node's id.

    Filters work with all operators and conditions, nested, and are exact: what the service can
    check of them narrows its search, and the whole is evaluated on the metadata that come back. For
    what it cannot check a query asks for as many hits as the service gives (500), of which those
    that pass are kept: nodes farther away than that are not seen. Name the fields that you filter
    by in `filterable` before you write: a record that was written without, or by another program
    with numbers as numbers, has no copy that the service's filters would find.

    Args:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured by
            the environment.
        index: the vector index to use, if not the client's own.
        text_key: a further metadata field to look for text in, of records that others wrote.
        return_data: set `node.embedding` from the stored float32 data; a query then takes a get for
            each 100 hits, since the service's search returns no data.
        on_missing: what `get_nodes` does with ids that do not exist: "omit" leaves them out and
            sends a `MissingKeysEvent`, "raise" raises `MissingKeysError`.
        on_decode_error: what becomes of a record that cannot be read: "raise" an error, "skip"
            it with a warning in the log, or "raw", a TextNode with the metadata as stored.
        create_index: make the index on the first write, and read one that is not there as empty.
        distance_metric: "cosine" or "euclidean", of the index that the first write makes; one that
            is there must have it. None takes what is there, and makes cosine.
        filterable: metadata fields that the service can check, at most 9 with 2 KB together. None:
            not known, for an index that others write; then all filters are evaluated here.
        non_filterable: further fields that an index made here keeps out of its filters.
        native_scalars: keep numbers and booleans as they are for filters, so that ranges can be
            checked by the service.
        skip_rows: leave out of searches the rows of key-value stores in the same index.
        node_classes: your own node classes, so that their nodes come back as what they were.

    Raises:
        ConfigurationError: the client is of another type, or a node class has another's name.
        ValueError: a setting is impossible.
    """

    # what core takes for a restriction of the next query; see store_arguments.restriction
    _beside_text: dict[str, None] = PrivateAttr(default_factory=dict)

    @classmethod
    def class_name(cls) -> str:
        """Return the class's stable name."""
        return "OSSVectorsVectorStore"

    def add(self, nodes: Sequence[BaseNode], **_: Any) -> list[str]:
        """Write nodes under their ids, 500 a call; make the index if it is not there.

        A node replaces what is stored under its id; of nodes with one id the last one stands.

        Args:
            nodes: nodes with embeddings.

        Returns:
            The ids of the nodes, in order.

        Raises:
            InvalidRequestError: an embedding is absent, not finite, or of another dimension than
                the index; or a node passes a limit. Nothing was written.
            PartialWriteError: calls failed; its `report` says what was written and what not.
        """
        given = listed(nodes)
        return self._added(given, self._clients.run(self._store.add(given)))

    async def async_add(self, nodes: Sequence[BaseNode], **_: Any) -> list[str]:
        """Do as `add` does."""
        given = listed(nodes)
        return self._added(given, await self._clients.arun(self._store.add(given)))

    def query(self, query: VectorStoreQuery, **options: Any) -> VectorStoreQueryResult:
        """Find the nodes closest to an embedding, or with mode MMR close ones that differ.

        `similarities` are cosines, or 1 / (1 + distance) in a euclidean index.

        Args:
            query: `node_ids` and `doc_ids` restrict it, where they are not empty; with `filters`
                all must hold. Nodes asked for by `node_ids` are fetched and measured here.
                `output_fields` are the metadata that nodes come back with.
            options: `mmr_threshold` (0 all variety, 1 none; by default 0.5), `mmr_prefetch_factor`
                (4) or `mmr_prefetch_k`: of how many nodes MMR chooses. `filter`: a filter in the
                service's own grammar. `honour_node_ids`: False ignores `node_ids`, True never
                does; see `restriction` in `store_arguments`.

        Raises:
            InvalidRequestError: the mode is another, there is no embedding, or an argument is
                impossible.
        """
        return self._clients.run(self._queried(query, options))

    async def aquery(self, query: VectorStoreQuery, **options: Any) -> VectorStoreQueryResult:
        """Do as `query` does."""
        return await self._clients.arun(self._queried(query, options))

    def get_nodes(
        self, node_ids: Sequence[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Return nodes by id, in the order asked, a repeated id answered each time.

        Args:
            node_ids: any number of ids; none of them ([]), no nodes and no call. None: all nodes of
                the index, page by page.
            filters: keep the nodes that pass.

        Raises:
            MissingKeysError: ids do not exist, under `on_missing="raise"`.
        """
        found = self._clients.run(self._store.get(_listed(node_ids), selection(filters)))
        self._tell(found.missing)
        return found.made

    async def aget_nodes(
        self, node_ids: Sequence[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Do as `get_nodes` does."""
        found = await self._clients.arun(self._store.get(_listed(node_ids), selection(filters)))
        self._tell(found.missing)
        return found.made

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        """Delete the nodes of a document; all pages of the index are read for them.

        Raises:
            PartialWriteError: calls failed; its `report` says which nodes are gone.
        """
        self._clients.run(self._store.delete_document(ref_doc_id))

    async def adelete(self, ref_doc_id: str, **_: Any) -> None:
        """Do as `delete` does."""
        await self._clients.arun(self._store.delete_document(ref_doc_id))

    def delete_nodes(
        self,
        node_ids: Sequence[str] | None = None,
        filters: MetadataFilters | None = None,
        **_: Any,
    ) -> None:
        """Delete nodes by id, by filters, or those for which both hold; `clear` deletes all.

        Raises:
            InvalidRequestError: nothing is said, or filters that everything passes.
            PartialWriteError: calls failed; its `report` says which nodes are gone.
        """
        self._clients.run(self._chosen_away(node_ids, filters))

    async def adelete_nodes(
        self,
        node_ids: Sequence[str] | None = None,
        filters: MetadataFilters | None = None,
        **_: Any,
    ) -> None:
        """Do as `delete_nodes` does."""
        await self._clients.arun(self._chosen_away(node_ids, filters))

    def clear(self) -> None:
        """Delete every vector of the index; the index stays."""
        self._clients.run(delete_all(self._store.records))

    async def aclear(self) -> None:
        """Do as `clear` does."""
        await self._clients.arun(delete_all(self._store.records))

    def _added(self, nodes: Sequence[BaseNode], ids: list[str]) -> list[str]:
        beside = [node.node_id for node in nodes if isinstance(node, ImageNode | IndexNode)]
        self._beside_text.update(dict.fromkeys(beside))
        return ids

    def _queried(
        self, query: VectorStoreQuery, options: dict[str, Any]
    ) -> Start[VectorStoreQueryResult]:
        return Queries(self._store).run(wanted(query, self._beside_text.keys(), **options))

    def _chosen_away(
        self, node_ids: Sequence[str] | None, filters: MetadataFilters | None
    ) -> Start[Any]:
        if node_ids is None and filters is None:
            raise InvalidRequestError("delete_nodes takes node_ids or filters; clear() deletes all")
        chosen = selection(filters)
        if filters is not None and has_gap(filters):
            raise InvalidRequestError(
                "delete_nodes does not take filters with an empty group, which every node passes; "
                "leave it out, or clear() deletes all"
            )
        return self._store.delete_chosen(_listed(node_ids), chosen)


def _listed(node_ids: Sequence[str] | None) -> list[str] | None:
    return None if node_ids is None else list(each_of(node_ids))
