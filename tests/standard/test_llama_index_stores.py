"""The suites of `oss_vector_retriever.testing`, on core's Simple stores and on ours.

The `lacks` of the classes are all the differences; docs/store-tests.md shows them as a table. A
test of what a store lacks is run here all the same, and has to fail.
"""

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


class Strict:
    """A suite whose tests of what a store lacks are run, and have to fail."""

    @pytest.fixture(autouse=True)
    def item(self, request):
        self._item = request.node

    def needs(self, *capabilities):
        for name in capabilities:
            assert name in self.capabilities
            if name in self.lacks:
                reason = self.lacks[name]
                self._item.add_marker(pytest.mark.xfail(strict=True, reason=reason))
                # a page about each failure, which nobody reads, would take most of the time
                self._item.repr_failure = lambda *_, **__: reason  # noqa: B023 - the last one


class TestSimpleVectorStore(Strict, VectorStoreTests):
    lacks = {
        "stores_text": "an index over it keeps its nodes in a document store",
        "get_nodes": "it keeps embeddings and metadata, and no nodes",
        "doc_ids": "they are ignored: a query for no document is answered with all",
        "nested_filters": "core's own evaluator refuses them",
    }

    @pytest.fixture
    def store(self):
        return SimpleVectorStore()


class TestSimpleDocumentStore(Strict, DocumentStoreTests):
    lacks = {
        "batches": "the key-value store under it takes one value at a time",
        "awaited_delete": "it looks for the source's nodes under the node's own id",
    }

    @pytest.fixture
    def store(self):
        return SimpleDocumentStore()


class TestSimpleIndexStore(Strict, IndexStoreTests):
    @pytest.fixture
    def store(self):
        return SimpleIndexStore()


class TestSimpleKVStore(Strict, KVStoreTests):
    lacks = {"batches": "values are put one by one"}

    @pytest.fixture
    def store(self):
        return SimpleKVStore()


class TestSimpleChatStore(Strict, ChatStoreTests):
    lacks = {
        "own_messages": "it keeps the very list that it was given, and gives it away",
        "emptied": "it takes the last of an empty list, which is an IndexError",
        "reopen": "to_dict fails in the serializer of messages",
    }

    @pytest.fixture
    def store(self):
        return SimpleChatStore()


@pytest.fixture
def client():
    with OSSVectorClient.local() as client:
        yield client


class TestOurVectorStore(Strict, VectorStoreTests):
    lacks = {"whole_lists": "a list passes by any of its items, as the service sees it"}

    @pytest.fixture
    def store(self, client):
        return OSSVectorStore(client)

    def reopen(self, store):
        return OSSVectorStore.from_dict(store.to_dict(), client=store.client)


class TestOurDocumentStore(Strict, DocumentStoreTests):
    lacks = {}

    @pytest.fixture
    def store(self, client):
        return OSSVectorDocumentStore(client, scan=True)
