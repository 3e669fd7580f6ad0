"""A closed client says so: it would work on, with connections that nobody closes any more."""

import asyncio

import pytest

from oss_vector_retriever import AsyncOSSVectorClient, ConfigurationError, OSSVectorClient
from oss_vector_retriever.client.operations.vectors import get_vectors
from oss_vector_retriever.client.pair import ClientPair

ON_THE_NETWORK = {
    "bucket": "examplebucket",
    "account_id": "123456",
    "region": "cn-hangzhou",
    "index": "vectorindex1",
    "endpoint": "http://127.0.0.1:9",
    "credentials": ("id", "secret"),
}
SAID = "this {} is closed; make another"


@pytest.fixture(params=["network", "local"])
def blocking(request):
    local = request.param == "local"
    client = OSSVectorClient.local() if local else OSSVectorClient(**ON_THE_NETWORK)
    client.close()
    return client


USES = {
    "get_vectors": lambda client: client.get_vectors(["a"]),
    "fetch": lambda client: client.fetch(["a"]),
    "fetch of nothing": lambda client: client.fetch([]),
    "stream": lambda client: list(client.stream(["a"])),
    "pager": lambda client: list(client.iter_vectors()),
    "upsert": lambda client: client.upsert([{"key": "a", "data": [1.0]}]),
    "other options": lambda client: client.with_options(timeout=1).fetch(["a"]),
    "twin": lambda client: client.to_async(),
}


@pytest.mark.parametrize("use", USES)
def test_a_closed_client_refuses(blocking, use):
    with pytest.raises(ConfigurationError, match=SAID.format("OSSVectorClient")):
        USES[use](blocking)


async def _listed(vectors):
    return [vector async for vector in vectors]


ASYNC_USES = {
    "fetch": lambda client: client.fetch(["a"]),
    "stream": lambda client: _listed(client.stream(["a"])),
    "pager": lambda client: _listed(client.iter_vectors()),
}


@pytest.mark.parametrize("use", ASYNC_USES)
async def test_a_closed_async_client_refuses(use):
    async with AsyncOSSVectorClient.local() as client:
        pass
    with pytest.raises(ConfigurationError, match=SAID.format("AsyncOSSVectorClient")):
        await ASYNC_USES[use](client)
    with pytest.raises(ConfigurationError, match="is closed"):
        client.to_sync()


def test_what_shares_the_connections_is_closed_with_them():
    client = OSSVectorClient(**ON_THE_NETWORK)
    other = client.with_options(timeout=1)
    client.close()
    with pytest.raises(ConfigurationError, match="is closed"):
        other.fetch(["a"])


def test_a_client_that_shares_them_does_not_close_them():
    with OSSVectorClient.local() as client:
        client.put_vector_index(dimension=1, distance_metric="euclidean")
        client.with_options(timeout=1).close()
        assert client.fetch(["a"]).missing == ("a",)


def test_an_adapters_twins_are_closed_with_the_client_that_it_was_given(blocking):
    both = ClientPair(blocking)

    def start(context):
        return get_vectors(context, ["a"])

    with pytest.raises(ConfigurationError, match="is closed"):
        both.run(start)
    with pytest.raises(ConfigurationError, match="is closed"):
        asyncio.run(both.arun(start))
