from __future__ import annotations

import pytest

pytest.importorskip("langchain_core")

from oss_vector_retriever.langchain import OSSVectorRetriever


@pytest.fixture
def retriever(client, put):
    """Give a retriever over three records: a, b and c."""
    put(["a", "b", "c"])
    return OSSVectorRetriever(client=client)


@pytest.fixture
def http_retriever(http_client, put):
    """Give the same over real sockets."""
    put(["a", "b", "c"])
    return OSSVectorRetriever(client=http_client)
