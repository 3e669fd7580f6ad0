"""langchain-tests' suites for tools, in full, on the embedded service."""

import pytest

pytest.importorskip("langchain_tests")

from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from oss_vector_retriever.langchain import OSSVectorFetchTool, OSSVectorSearchTool

DIMENSION = 8


class _OnTheEmbeddedService:
    @pytest.fixture(autouse=True)
    def _client(self, client):
        client.put_vector_index(dimension=DIMENSION)
        client.put_vectors(
            {"key": key, "data": [1.0] * DIMENSION, "metadata": {"text": f"text of {key}"}}
            for key in ["a", "b", "c"]
        )
        self.client = client


class _FetchTool(_OnTheEmbeddedService):
    @property
    def tool_constructor(self):
        return OSSVectorFetchTool

    @property
    def tool_constructor_params(self):
        return {"client": self.client}

    @property
    def tool_invoke_params_example(self):
        return {"ids": ["a", "gone", "b"]}


class _SearchTool(_OnTheEmbeddedService):
    @property
    def tool_constructor(self):
        return OSSVectorSearchTool

    @property
    def tool_constructor_params(self):
        embedding = DeterministicFakeEmbedding(size=DIMENSION)
        return {"client": self.client, "embedding": embedding}

    @property
    def tool_invoke_params_example(self):
        return {"query": "anything", "k": 2}


class TestFetchToolUnit(_FetchTool, ToolsUnitTests):
    @property
    def init_from_env_params(self):
        variables = {"OSS_VECTORS_BUCKET": "examplebucket", "OSS_ACCOUNT_ID": "123456"}
        return {**variables, "OSS_REGION": "cn-hangzhou"}, {"index": "other"}, {"index": "other"}


class TestFetchToolIntegration(_FetchTool, ToolsIntegrationTests):
    pass


class TestSearchToolUnit(_SearchTool, ToolsUnitTests):
    @property
    def init_from_env_params(self):
        made = {"embedding": DeterministicFakeEmbedding(size=DIMENSION), "index": "other"}
        variables = {"OSS_VECTORS_BUCKET": "examplebucket", "OSS_ACCOUNT_ID": "123456"}
        return {**variables, "OSS_REGION": "cn-hangzhou"}, made, {"index": "other"}


class TestSearchToolIntegration(_SearchTool, ToolsIntegrationTests):
    pass
