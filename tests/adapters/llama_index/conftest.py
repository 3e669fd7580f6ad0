from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("llama_index.core")

from blockbuster import blockbuster_ctx
from llama_index.core.vector_stores.utils import node_to_metadata_dict

from oss_vector_retriever.llama_index import OSSVectorRetriever
from oss_vector_retriever.llama_index.nodes import node_fields
from oss_vector_retriever.records import encode


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


@pytest.fixture
def put_records(client):
    """Give a function that stores nodes as this package does, with their embeddings if any."""

    def store(*nodes):
        vectors = []
        for number, node in enumerate(nodes):
            text, metadata, payload = node_fields(node)
            data = node.embedding or [1.0, float(number), 0.25, -2.0]
            vectors.append(encode(node.node_id, data, text=text, metadata=metadata, node=payload))
        client.upsert(vectors)

    return store


@pytest.fixture(params=["sync", "async"])
def call(request):
    """Give a function that calls a method, or awaits its async twin, in turn."""

    def blocking(thing, name, *arguments, **options):
        return getattr(thing, name)(*arguments, **options)

    def awaited(thing, name, *arguments, **options):
        twins = {"__call__": "acall", "add": "async_add", "add_documents": "async_add_documents"}

        async def run():
            with blockbuster_ctx():
                twin = getattr(thing, twins.get(name, f"a{name}"))
                return await twin(*arguments, **options)

        return asyncio.run(run())

    return blocking if request.param == "sync" else awaited
