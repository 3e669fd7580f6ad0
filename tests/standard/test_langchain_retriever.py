"""langchain-tests' suite for retrievers, in full, on the embedded service."""

import pytest

pytest.importorskip("langchain_tests")

from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_tests.integration_tests import RetrieversIntegrationTests

from oss_vector_retriever import AsyncOSSVectorClient
from oss_vector_retriever.langchain import (
    OSSVectorDocumentIndex,
    OSSVectorRetriever,
    OSSVectorStore,
    ParentHydratingRetriever,
)

KEYS = ["a", "b", "c", "d"]


class _RetrieverSuite(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _client(self, client):
        self.client = client
        # first: from now on what the client writes is remembered for the store's searches
        self.store = OSSVectorStore(DeterministicFakeEmbedding(size=2), client=client)
        client.put_vector_index(dimension=2)
        client.put_vectors(
            {"key": key, "data": [1, 2], "metadata": {"text": f"text of {key}", "of": key}}
            for key in KEYS
        )

    @property
    def retriever_constructor(self):
        return OSSVectorRetriever

    @property
    def retriever_query_example(self):
        return "\n".join(KEYS)


class TestWithClient(_RetrieverSuite):
    @property
    def retriever_constructor_params(self):
        return {"client": self.client}


class TestWithAsyncClientAndEmbeddings(_RetrieverSuite):
    @property
    def retriever_constructor_params(self):
        client: AsyncOSSVectorClient = self.client.to_async()
        return {"client": client, "embedding_key": "embedding"}


class TestParents(_RetrieverSuite):
    @property
    def retriever_constructor(self):
        return ParentHydratingRetriever

    @property
    def retriever_constructor_params(self):
        children = OSSVectorRetriever(client=self.client)
        return {"client": self.client, "retriever": children, "parent_key": "of"}


class TestDocumentIndex(_RetrieverSuite):
    @property
    def retriever_constructor(self):
        return OSSVectorDocumentIndex

    @property
    def retriever_constructor_params(self):
        return {"store": self.store}
