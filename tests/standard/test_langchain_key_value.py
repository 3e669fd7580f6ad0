"""langchain-tests' suites for key-value stores, in full: bytes, Documents and embeddings."""

import pytest

pytest.importorskip("langchain_tests")

from langchain_core.documents import Document
from langchain_tests.integration_tests import BaseStoreAsyncTests, BaseStoreSyncTests

from oss_vector_retriever.langchain import (
    OSSVectorByteStore,
    OSSVectorDocStore,
    OSSVectorEmbeddingStore,
)


class _Bytes:
    @pytest.fixture
    def kv_store(self, client):
        return OSSVectorByteStore(client=client)

    @pytest.fixture
    def three_values(self):
        return b"foo", b"\x00\xff", b""


class _Documents:
    @pytest.fixture
    def kv_store(self, client):
        return OSSVectorDocStore(client=client, key_prefix="parent:")

    @pytest.fixture
    def three_values(self):
        return (
            Document(page_content="foo", metadata={"n": 1, "deep": [None, {"x": 1.5}]}),
            Document(id="its own", page_content="bar"),
            Document(id="buzz", page_content="", metadata={"ok": True}),
        )


class _Embeddings:
    @pytest.fixture
    def kv_store(self, client):
        return OSSVectorEmbeddingStore(client=client)

    @pytest.fixture
    def three_values(self):
        return [0.5, 1.0, -2.0], [0.0, 0.0, 0.0], [1.0, 0.25, 3.0]


class TestBytes(_Bytes, BaseStoreSyncTests[bytes]):
    pass


class TestBytesAsync(_Bytes, BaseStoreAsyncTests[bytes]):
    pass


class TestDocuments(_Documents, BaseStoreSyncTests[Document]):
    pass


class TestDocumentsAsync(_Documents, BaseStoreAsyncTests[Document]):
    pass


class TestEmbeddings(_Embeddings, BaseStoreSyncTests[list[float]]):
    pass


class TestEmbeddingsAsync(_Embeddings, BaseStoreAsyncTests[list[float]]):
    pass
