from __future__ import annotations

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.vector_stores.utils import node_to_metadata_dict

from oss_vector_retriever.llama_index import OSSVectorRetriever


@pytest.fixture
def retriever(client, put):
    """Give a retriever over three records: a, b and c."""
    put(["a", "b", "c"])
    return OSSVectorRetriever(client)


@pytest.fixture
def http_retriever(http_client, put):
    """Give the same over real sockets."""
    put(["a", "b", "c"])
    return OSSVectorRetriever(http_client)


@pytest.fixture
def put_nodes(put):
    """Give a function that stores nodes as LlamaIndex's own writer does, under their ids.

    Of the copies that it makes beside the node, None is left out: the service takes none.
    """

    def store(*nodes, data=None, beside=(), **options):
        written = {node.node_id: node_to_metadata_dict(node, **options) for node in nodes}
        for stored in written.values():
            stored.update(beside)
            for name in [name for name, value in stored.items() if value is None]:
                del stored[name]
        put(written, data=data)

    return store
