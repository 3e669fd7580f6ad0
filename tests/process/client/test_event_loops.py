"""Event loops that end, and clients that go on."""

import asyncio

import pytest

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient

NOBODY = {
    "bucket": "examplebucket",
    "account_id": "123456",
    "region": "cn-hangzhou",
    "index": "vectorindex1",
    "endpoint": "http://127.0.0.1:9",
    "credentials": ("id", "secret"),
}


def test_a_loop_that_ends_closes_no_client():
    client = AsyncOSSVectorClient(**NOBODY, retry=1)

    async def refused():
        with pytest.raises(Exception, match="could not connect"):
            await client.fetch(["a"])

    asyncio.run(refused())
    assert isinstance(client.to_sync(), OSSVectorClient)
