"""The suites of `oss_vector_retriever.testing`, on core's Simple stores and on ours."""

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.storage.index_store import SimpleIndexStore
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.vector_stores import SimpleVectorStore

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.llama_index import OSSVectorDocumentStore, OSSVectorStore
from oss_vector_retriever.testing import (
    ChatStoreTests,
    DocumentStoreTests,
    IndexStoreTests,
    KVStoreTests,
    VectorStoreTests,
)


class TestSimpleVectorStore(VectorStoreTests):
    lacks = {}

    @pytest.fixture
    def store(self):
        return SimpleVectorStore()


class TestSimpleDocumentStore(DocumentStoreTests):
    lacks = {}

    @pytest.fixture
    def store(self):
        return SimpleDocumentStore()


class TestSimpleIndexStore(IndexStoreTests):
    @pytest.fixture
    def store(self):
        return SimpleIndexStore()


class TestSimpleKVStore(KVStoreTests):
    lacks = {}

    @pytest.fixture
    def store(self):
        return SimpleKVStore()


class TestSimpleChatStore(ChatStoreTests):
    lacks = {}

    @pytest.fixture
    def store(self):
        return SimpleChatStore()


@pytest.fixture
def client():
    with OSSVectorClient.local() as client:
        yield client


class TestOurVectorStore(VectorStoreTests):
    lacks = {}

    @pytest.fixture
    def store(self, client):
        return OSSVectorStore(client)

    def reopen(self, store):
        return OSSVectorStore.from_dict(store.to_dict(), client=store.client)


class TestOurDocumentStore(DocumentStoreTests):
    lacks = {}

    @pytest.fixture
    def store(self, client):
        return OSSVectorDocumentStore(client, scan=True)
