"""langchain-tests' suites for document indexes, in full, on the embedded service."""

import pytest

pytest.importorskip("langchain_tests")

from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_tests.integration_tests.indexer import (
    AsyncDocumentIndexTestSuite,
    DocumentIndexerTestSuite,
)

from oss_vector_retriever.langchain import OSSVectorDocumentIndex, OSSVectorStore


@pytest.fixture
def made(client):
    store = OSSVectorStore(DeterministicFakeEmbedding(size=6), client=client)
    return OSSVectorDocumentIndex(store=store)


class TestDocumentIndex(DocumentIndexerTestSuite):
    @pytest.fixture
    def index(self, made):
        return made


class TestDocumentIndexAsync(AsyncDocumentIndexTestSuite):
    @pytest.fixture
    async def index(self, made):
        return made
