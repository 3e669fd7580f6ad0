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


def test_a_file_is_free_when_the_only_client_that_anybody_holds_is_closed(tmp_path):
    path = tmp_path / "vectors.db"
    for name in ("z0", "z1"):
        client = OSSVectorClient.local(path).with_options(index="z").with_options(timeout=5)
        client.put_vector_index(index=name, dimension=1)
        client.close()
    with OSSVectorClient.local(path) as client:
        assert [one.index_name for one in client.iter_vector_indexes()] == ["z0", "z1"]


async def test_so_it_is_for_an_async_client(tmp_path):
    path = tmp_path / "vectors.db"
    for _ in range(2):
        client = AsyncOSSVectorClient.local(path).with_options(index="z")
        assert [one async for one in client.iter_vector_indexes()] == []
        await client.close()


def test_a_file_that_another_client_holds_says_that_it_may_be_of_this_process(tmp_path):
    path = tmp_path / "vectors.db"
    with OSSVectorClient.local(path) as client:
        client.with_options(index="z").close()  # it shares the other's, which is held yet
        with pytest.raises(ConfigurationError, match="another client or service of this one"):
            OSSVectorClient.local(path)


def test_an_adapters_twins_are_closed_with_the_client_that_it_was_given(blocking):
    both = ClientPair(blocking)

    def start(context):
        return get_vectors(context, ["a"])

    with pytest.raises(ConfigurationError, match="is closed"):
        both.run(start)
    with pytest.raises(ConfigurationError, match="is closed"):
        asyncio.run(both.arun(start))
