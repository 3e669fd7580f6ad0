"""langchain-tests' suite for vector stores, in full, on the embedded service."""

import pytest

pytest.importorskip("langchain_tests")

from langchain_tests.integration_tests import VectorStoreIntegrationTests

from oss_vector_retriever.langchain import OSSVectorStore


class _StoreSuite(VectorStoreIntegrationTests):
    metric = "cosine"

    @pytest.fixture
    def vectorstore(self, client):
        return OSSVectorStore(
            self.get_embeddings(), client=self.made(client), distance_metric=self.metric
        )

    def made(self, client):
        return client


class TestIndexMadeByTheFirstWrite(_StoreSuite):
    pass


class TestWithAsyncClient(_StoreSuite):
    def made(self, client):
        return client.to_async()


class TestEuclidean(_StoreSuite):
    metric = "euclidean"


class TestIndexMadeBefore(_StoreSuite):
    def made(self, client):
        client.put_vector_index(
            dimension=6, non_filterable_metadata_keys=["_record", "_record_text"]
        )
        return client
