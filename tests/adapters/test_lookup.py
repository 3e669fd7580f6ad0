"""The step that both adapters begin with: one deadline, and policies that are known."""

import json

import pytest

from oss_vector_retriever.client.config import resolve_config
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import DeadlineExceededError, InvalidRequestError
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.steps import Fault, FaultKind, RunAll, Send
from oss_vector_retriever.records.lookup import Lookup, fetch_records

NOTHING = Reply(200, {"content-type": "application/json"}, json.dumps({"vectors": []}).encode())


class SlowMachine:
    """A machine on which each exchange takes 4 seconds, and a service that has nothing."""

    def __init__(self, timeout):
        self.seconds = 1000.0
        self.allowed = []
        config = resolve_config(
            bucket="examplebucket",
            account_id="123456",
            region="cn-hangzhou",
            index="vectorindex1",
            credentials=("id", "secret"),
            endpoint="http://127.0.0.1:9",
            timeout=timeout,
            coalesce=False,
        )
        self.context = Context(config, monotonic=lambda: self.seconds)

    def play(self, flow):
        outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as end:
                return end.value
            if isinstance(step, RunAll):
                outcome = [self.play(inner) for inner in step.flows]
                continue
            assert isinstance(step, Send)
            self.allowed.append(step.seconds)
            self.seconds += min(4, step.seconds)
            late = step.seconds < 4
            outcome = Fault(FaultKind.DEADLINE, "DeadlineExceeded") if late else NOTHING


def start(lookup, keys, machine):
    return fetch_records(machine.context, lookup, keys, lambda record: record.key)


def test_calls_that_follow_one_another_share_one_deadline():
    machine = SlowMachine(timeout=30.0)
    keys = [f"k{n}" for n in range(350)]
    found = machine.play(start(Lookup(limit=1), keys, machine))
    assert found.made == []
    assert found.missing == tuple(keys)
    assert machine.allowed == pytest.approx([30.0, 26.0, 22.0, 18.0])


def test_a_deadline_that_is_over_ends_them():
    machine = SlowMachine(timeout=10.0)
    with pytest.raises(DeadlineExceededError):
        machine.play(start(Lookup(limit=1), [f"k{n}" for n in range(900)], machine))
    assert len(machine.allowed) == 3


@pytest.mark.parametrize("wrong", [{"on_missing": "skip"}, {"on_decode_error": "omit"}])
def test_an_unknown_policy_is_refused_by_name(wrong):
    [name] = wrong
    with pytest.raises(InvalidRequestError, match=f"{name} must be "):
        Lookup(**wrong)


@pytest.mark.parametrize("most", [0, -1, True, 1.0, "1"])
def test_an_impossible_count_is_refused(most):
    with pytest.raises(InvalidRequestError, match="k must be a whole number above 0"):
        Lookup(limit=most)
