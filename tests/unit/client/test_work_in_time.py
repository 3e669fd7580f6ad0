"""Work of our own counts: the deadline is looked at between slices of encoding and of decoding."""

import json

import pytest

from oss_vector_retriever import DeadlineExceededError, Vector
from oss_vector_retriever.client.config import resolve_config
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.operations.vectors import get_vectors, put_operation, put_vectors
from oss_vector_retriever.client.steps import Running, Send
from oss_vector_retriever.client.wire import parse_json

SECONDS = 30.0


class Clock:
    """A clock that goes on by `tick` seconds whenever it is looked at."""

    def __init__(self, tick=0.0):
        self.now = 0.0
        self.tick = tick

    def __call__(self):
        self.now += self.tick
        return self.now


def context_of(clock):
    config = resolve_config(
        bucket="examplebucket",
        account_id="123456",
        region="cn-hangzhou",
        index="vectorindex1",
        credentials=("id", "secret"),
        timeout=SECONDS,
    )
    return Context(config, monotonic=clock)


def test_a_put_whose_vectors_are_not_checked_in_time_ends():
    vectors = [{"key": f"key-{n}", "data": [1.0]} for n in range(100)]
    clock = Clock(tick=1.0)
    with pytest.raises(DeadlineExceededError, match="PutVectors did not end within 30 s"):
        put_vectors(context_of(clock), vectors)
    assert clock.now < SECONDS + 5


def test_a_put_that_is_not_encoded_in_time_ends():
    vectors = [Vector(f"key-{n}", [1.0]) for n in range(500)]
    clock = Clock(tick=4.0)
    deadline = context_of(clock).deadline()
    with pytest.raises(DeadlineExceededError, match="within 30 s"):
        put_operation("vectorindex1", vectors, deadline)
    assert clock.now < SECONDS + 20


def test_what_is_encoded_in_slices_is_one_body():
    vectors = [Vector(f"key-{n}", [n, 0.5], {"n": str(n)}) for n in range(101)]
    operation = put_operation("vectorindex1", vectors, context_of(Clock()).deadline())
    assert parse_json(operation.body) == {
        "indexName": "vectorindex1",
        "vectors": [
            {"key": f"key-{n}", "data": {"float32": [n, 0.5]}, "metadata": {"n": str(n)}}
            for n in range(101)
        ],
    }


@pytest.mark.parametrize("seconds", [29.0, 31.0])
def test_a_long_reply_that_is_not_decoded_in_time_is_not_used(seconds):
    keys = [f"key-{n}" for n in range(100)]
    found = [{"key": key, "data": {"float32": [0.123456789] * 1000}} for key in keys]
    reply = Reply(200, {}, json.dumps({"vectors": found}).encode())
    clock = Clock()
    running = Running(get_vectors(context_of(clock), keys, return_data=True))
    assert isinstance(running.step, Send)
    clock.now = seconds
    if seconds < SECONDS:
        running.tell(reply)
        assert len(running.result) == 100
        return
    with pytest.raises(DeadlineExceededError, match="within 30 s"):
        running.tell(reply)
