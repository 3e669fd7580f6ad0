"""Faults as a client of the embedded service meets them, without a socket."""

import pytest

from oss_vector_retriever import DeadlineExceededError, OSSVectorClient, TransportError
from oss_vector_retriever.client.retry import RetryPolicy
from oss_vector_retriever.emulator.faults import (
    Delay,
    Duplicate,
    Reorder,
    Reset,
    ServerError,
    Skew,
    Throttle,
    Truncate,
)

QUICK = RetryPolicy(attempts=3, transient_base=0.01, throttle_base=0.01, patience=0.05)


@pytest.fixture
def client():
    with OSSVectorClient.local(retry=QUICK) as client:
        client.put_vector_index(dimension=2)
        client.put_vectors([{"key": "a", "data": [1, 2]}, {"key": "b", "data": [3, 4]}])
        yield client


@pytest.mark.parametrize(
    "fault",
    [
        Throttle(times=2),
        ServerError(times=2),
        ServerError(times=2, status=502),
        Truncate(times=2),
        Reorder(times=2, seed=1),
        Delay(seconds=0.01),
        Skew(seconds=3600),
        Reset(times=2),
        Reset(times=2, performed=True),
        Truncate(times=2, keep=0.0),
    ],
    ids=repr,
)
def test_a_fault_that_passes_is_survived(client, fault):
    client._local.service.faults.add(fault)
    assert [vector.key for vector in client.fetch(["a", "b"])] == ["a", "b"]
    assert client._local.service.faults.applied


async def test_an_async_client_survives_them_too(client):
    faults = [Reset(), Truncate(), Delay(seconds=0.01)]
    client._local.service.faults.add(*faults)
    found = await client.to_async().fetch(["a", "b"])
    assert [vector.key for vector in found] == ["a", "b"]
    assert len(client._local.service.faults.applied) == len(faults)


def test_a_reset_that_stays_is_a_transport_error(client):
    client._local.service.faults.add(Reset(times=3))
    with pytest.raises(TransportError) as caught:
        client.fetch(["a"])
    assert caught.value.attempts == 3


def test_a_reply_that_is_too_late_ends_the_call_at_its_deadline(client):
    client._local.service.faults.add(Delay(seconds=30))
    with pytest.raises(DeadlineExceededError):
        client.fetch(["a"], timeout=0.05)


def test_a_vector_sent_twice_is_refused(client):
    client._local.service.faults.add(Duplicate())
    with pytest.raises(Exception, match="more often than asked for"):
        client.fetch(["a"])
