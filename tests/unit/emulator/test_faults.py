import orjson
import pytest

from oss_vector_retriever.emulator import InProcessTransport
from oss_vector_retriever.emulator.faults import (
    AppliedFault,
    Delay,
    Duplicate,
    Reorder,
    Reset,
    ServerError,
    Skew,
    Throttle,
    Truncate,
)

KEYS = [f"k{number}" for number in range(20)]
BODY = orjson.dumps({"indexName": "index1", "keys": KEYS})


@pytest.fixture
def filled(caller):
    caller.put(*((key, [1, 2, 3]) for key in KEYS))
    return caller


@pytest.fixture
def faults(filled):
    return filled.service.faults


def respond(caller, operation="getVectors", body=BODY):
    return caller.service.respond(caller.sign("POST", operation, body))


def send(caller, operation="getVectors", body=BODY, timeout=None):
    """Return the reply that arrives in process."""
    transport = InProcessTransport(caller.service)
    return transport.send(caller.sign("POST", operation, body), timeout)


def keys_of(reply):
    return [vector["key"] for vector in orjson.loads(reply.body)["vectors"]]


def code_of(reply):
    return reply.status, orjson.loads(reply.body)["Error"]["Code"]


def delete(caller):
    """Return the body of a DeleteVectors, and a function that tells whether it was done."""
    return orjson.dumps({"indexName": "index1", "keys": ["k0"]}), lambda: caller.get(["k0"]) == []


def test_without_faults_nothing_happens(filled, faults):
    assert keys_of(send(filled)) == KEYS
    assert (faults.pending, faults.applied) == ((), ())


def test_a_throttle_refuses_so_many_and_no_more(filled, faults):
    faults.add(Throttle(times=2, retry_after=1.5))
    for left in ((Throttle(times=1, retry_after=1.5),), ()):
        reply = send(filled)
        assert code_of(reply) == (503, "QpsLimitExceeded")
        assert reply.headers["retry-after"] == "1.5"
        assert faults.pending == left
    assert keys_of(send(filled)) == KEYS


def test_a_throttle_without_a_hint_sends_none(filled, faults):
    faults.add(Throttle())
    assert "retry-after" not in send(filled).headers


def test_a_fault_waits_for_its_operation(filled, faults):
    faults.add(Throttle(operation="DeleteVectors"))
    assert keys_of(send(filled)) == KEYS
    body, is_gone = delete(filled)
    assert send(filled, "deleteVectors", body).status == 503
    assert not is_gone()
    assert [one.operation for one in faults.applied] == ["DeleteVectors"]


def test_what_names_no_operation_meets_faults_for_all(filled, faults):
    faults.add(Throttle(times=None), Throttle(operation="GetVectors"))
    assert send(filled, "unheardOf").status == 503
    assert faults.applied == (AppliedFault(Throttle(times=None), None),)


@pytest.mark.parametrize("performed", [False, True])
def test_a_server_error_may_come_after_the_deed(filled, faults, performed):
    body, is_gone = delete(filled)
    faults.add(ServerError(performed=performed))
    assert code_of(send(filled, "deleteVectors", body)) == (500, "InternalError")
    assert is_gone() is performed


def test_another_server_error_is_the_page_of_a_gateway(filled, faults):
    faults.add(ServerError(status=502))
    reply = send(filled)
    assert (reply.status, reply.headers) == (502, {"content-type": "text/html"})
    assert reply.request_id is None


def test_a_delay_lasts_and_ends_with_the_timeout(filled, faults):
    faults.add(Delay(seconds=0.02), Delay(seconds=60))
    assert keys_of(send(filled, timeout=10)) == KEYS
    with pytest.raises(TimeoutError, match=r"no reply within 0\.01 s"):
        send(filled, timeout=0.01)


def test_a_truncated_reply_loses_its_end_though_all_was_done(filled, faults):
    whole = send(filled).body
    faults.add(Truncate(), Truncate(keep=0.9))
    for part in (0.5, 0.9):
        reply = send(filled)
        assert reply.body == whole[: int(len(whole) * part)]
        assert reply.headers["content-length"] == str(len(whole))


def test_of_a_reply_without_a_body_truncation_leaves_nothing(filled, faults):
    body, is_gone = delete(filled)
    faults.add(Truncate())
    with pytest.raises(ConnectionResetError):
        send(filled, "deleteVectors", body)
    assert is_gone()


@pytest.mark.parametrize("performed", [False, True])
def test_a_reset_may_come_after_the_deed(filled, faults, performed):
    body, is_gone = delete(filled)
    faults.add(Reset(performed=performed))
    with pytest.raises(ConnectionResetError):
        send(filled, "deleteVectors", body)
    assert is_gone() is performed


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_skewed_clock_refuses_everyone_until_it_is_set(make_caller, clock, seconds):
    caller = make_caller(clock=clock)
    caller.service.faults.add(Skew(seconds=seconds))
    request = caller.sign("GET", "bucketInfo", now=clock.now)
    refused = caller.service.respond(request).reply
    assert code_of(refused) == (403, "RequestTimeTooSkewed")
    hour = {3600: "13", -3600: "11"}[seconds]
    assert refused.headers["date"] == f"Tue, 01 Sep 2026 {hour}:00:00 GMT"
    caller.service.faults.clear()
    assert caller.service.respond(request).reply.status == 200


def test_vectors_are_reordered_the_same_way_for_the_same_seed(filled, faults):
    faults.add(Reorder(seed=1), Reorder(seed=1), Reorder(seed=2))
    one, again, other = (keys_of(send(filled)) for _ in range(3))
    assert one == again != other
    assert sorted(one) == sorted(other) == sorted(KEYS)


def test_vectors_are_sent_twice(filled, faults):
    faults.add(Duplicate())
    assert keys_of(send(filled)) == [key for key in KEYS for _ in range(2)]


def test_a_reply_without_vectors_is_neither_reordered_nor_doubled(filled, faults):
    faults.add(Reorder(times=None), Duplicate(times=None))
    body, _ = delete(filled)
    assert send(filled, "deleteVectors", body).status == 204
    assert code_of(send(filled, body=b"{}")) == (400, "VectorIndexParameterInvalid")


def test_a_reply_that_is_rearranged_keeps_its_numbers(filled, faults):
    filled.put(("k0", [0.1, 16777217, 7.038531e-26]))
    body = orjson.dumps({"indexName": "index1", "keys": ["k0"], "returnData": True})
    before = send(filled, body=body).body
    faults.add(Reorder())
    assert send(filled, body=body).body == before


def test_faults_of_several_kinds_meet_in_one_request(filled, faults):
    faults.add(Delay(seconds=0.5), Reorder(seed=3), Truncate(), Duplicate(), Delay(seconds=9))
    outcome = respond(filled)
    assert outcome.delay == 0.5
    assert len(orjson.loads(outcome.reply.body)["vectors"]) == 40
    assert outcome.kept == len(outcome.reply.body) // 2
    assert faults.pending == (Delay(seconds=9),)
    assert [type(one.fault) for one in faults.applied] == [Delay, Reorder, Truncate, Duplicate]


def test_faults_that_end_a_request_follow_one_another(filled, faults):
    faults.add(Throttle(), Reset(), ServerError(), Reorder(times=None), Truncate())
    endings = []
    for _ in range(5):
        outcome = respond(filled)
        endings.append((outcome.reply and outcome.reply.status, outcome.kept is not None))
    assert endings == [(503, False), (None, False), (500, False), (200, True), (200, False)]


def test_clearing_ends_faults_and_forgets(filled, faults):
    faults.add(Throttle(times=None))
    send(filled)
    assert len(faults.applied) == 1
    faults.clear()
    assert (faults.pending, faults.applied) == ((), ())
    assert send(filled).status == 200


def test_the_last_hundred_are_kept_and_all_are_counted(filled, faults):
    faults.add(Delay(times=None, seconds=0), Throttle(times=120), Reset())
    for _ in range(130):
        respond(filled)
    assert faults.counts == {"delay": 130, "throttle": 120, "reset": 1}
    assert len(faults.applied) == 100
    assert faults.applied[-1].fault == Delay(times=None, seconds=0)
    faults.clear()
    assert (faults.applied, faults.counts) == ((), {})


def test_handle_knows_no_faults(filled, faults):
    faults.add(Throttle(times=None), Reset(times=None))
    assert filled.get(["k0"])
    assert faults.applied == ()


async def test_faults_reach_an_event_loop(filled, faults):
    transport = InProcessTransport(filled.service)
    request = filled.sign("POST", "getVectors", BODY)
    faults.add(Delay(seconds=60))
    with pytest.raises(TimeoutError):
        await transport.send_async(request, 0.01)
    faults.add(Delay(seconds=0.01), Reset())
    with pytest.raises(ConnectionResetError):
        await transport.send_async(request)
    faults.clear()
    assert keys_of(await transport.send_async(request)) == KEYS
