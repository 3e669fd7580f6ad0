"""How pending fetches are put together into calls, and what each takes out of a reply."""

import pytest

from oss_vector_retriever import (
    DeadlineExceededError,
    InternalServiceError,
    NoSuchVectorIndexError,
    ServiceError,
)
from oss_vector_retriever.client.coalesce import next_call, shared_calls
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.models.results import GetVectorsResult
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.steps import Fault, FaultKind, Send, Sleep


def numbered(start, stop):
    return [f"k{number}" for number in range(start, stop)]


def test_the_next_call_takes_those_whose_keys_fit_in_whole(pend):
    first, second = pend(*numbered(0, 60)), pend(*numbered(60, 110))
    third, fourth = pend(*numbered(110, 150)), pend("k1", "k2")
    call = next_call([first, second, third, fourth])
    assert call.waiters == [first, third, fourth]
    assert call.keys == numbered(0, 60) + numbered(110, 150)


def test_the_next_call_serves_only_those_who_ask_for_the_same(pend):
    queue = [pend("a"), pend("b", index="other"), pend("c", return_data=False), pend("d")]
    assert next_call(queue).keys == ["a", "d"]
    assert next_call(queue[1:]).keys == ["b"]


def test_the_call_lasts_as_long_as_its_most_patient_fetch(pend):
    hasty, patient = pend("a", timeout=1), pend("b", timeout=5)
    assert next_call([hasty, patient]).most_patient is patient


def test_the_fewest_calls_may_split_a_fetch(pend):
    fetches = [pend(*numbered(start, start + 60)) for start in range(0, 300, 60)]
    calls = shared_calls(fetches)
    assert [len(call.keys) for call in calls] == [100, 100, 100]
    for call in calls:
        call.deal(GetVectorsResult(tuple(Vector(key, [1.0], {}) for key in call.keys), "id"))
    assert [list(fetch.found) for fetch in fetches] == [fetch.keys for fetch in fetches]
    assert [fetch.calls for fetch in fetches] == [1, 2, 1, 2, 1]


def test_a_fetch_that_no_call_has_served_has_missed_its_deadline(pend):
    pending = pend("a", timeout=2)
    assert not pending.is_over
    with pytest.raises(DeadlineExceededError, match="within 2 s"):
        pending.raise_error()


def test_each_gets_an_error_of_its_own(pend):
    one, other = pend("a"), pend("a")
    error = NoSuchVectorIndexError("NoSuchVectorIndex", 404, "No such index.")
    next_call([one, other]).fail(error)
    assert one.error is not other.error
    assert str(one.error) == str(other.error)


def nested(depth):
    """Return metadata of lists in lists, deeper than `copy.deepcopy` goes."""
    value = "end"
    for _ in range(depth):
        value = [value, {}]
    return {"all": value}


def test_copies_of_metadata_are_as_deep_as_json_is_read(pend):
    one, other = pend("a"), pend("a")
    # `eq` of such lists would exceed the limit as well
    metadata = nested(20_000)
    next_call([one, other]).deal(GetVectorsResult((Vector("a", [1.0], metadata),), "id"))
    mine, theirs = one.found["a"].metadata, other.found["a"].metadata
    assert mine is metadata
    levels = 0
    while mine != "end":
        assert theirs is not mine
        assert type(theirs) is type(mine)
        mine = mine["all"] if isinstance(mine, dict) else mine[0]
        theirs = theirs["all"] if isinstance(theirs, dict) else theirs[0]
        levels += 1
    assert (theirs, levels) == ("end", 20_001)


def test_no_buffer_is_shared(pend):
    fetches = [pend("a", "b"), pend("b", "a"), pend("a")]
    vectors = (Vector("a", [1.0, 2.0]), Vector("b", [3.0, 4.0]))
    next_call(fetches).deal(GetVectorsResult(vectors, "id"))
    for fetch in fetches:
        memoryview(fetch.found["a"].data).cast("B").cast("f")[0] += 10
    assert [fetch.found["a"].data.tolist() for fetch in fetches] == [[11, 2]] * 3
    assert fetches[1].found["b"].data.tolist() == [3, 4]


@pytest.mark.parametrize(
    "asked", [("a", "a", "a"), ("a", "b", "ab"), ("a", "ab", "b"), ("ab", "ba", "ab")]
)
def test_no_metadata_are_shared_between_three_whatever_each_asks_for(pend, asked):
    fetches = [pend(*keys) for keys in asked]
    vectors = tuple(Vector(key, [1.0], {"in": [{"x": 1}]}) for key in sorted(set("".join(asked))))
    next_call(fetches).deal(GetVectorsResult(vectors, "id"))
    for number, fetch in enumerate(fetches):
        for vector in fetch.found.values():
            vector.metadata["in"].append(number)
            vector.metadata["in"][0]["x"] = number
            vector.metadata["mine"] = number
    for number, (fetch, keys) in enumerate(zip(fetches, asked, strict=True)):
        expected = {"in": [{"x": number}, number], "mine": number}
        assert {key: vector.metadata for key, vector in fetch.found.items()} == dict.fromkeys(
            keys, expected
        )


def test_a_refused_call_is_made_again_in_halves_of_its_fetches(pend):
    fetches = [pend(key) for key in "abcde"]
    call = next_call(fetches)
    halves = call.fail(ServiceError("VectorIndexParameterInvalid", 400, "A key is not valid."))
    assert [half.keys for half in halves] == [["a", "b", "c"], ["d", "e"]]
    assert [fetch.outstanding for fetch in fetches] == [1] * 5
    assert not any(fetch.is_over for fetch in fetches)


def test_a_fetch_of_which_a_refused_call_has_a_part_asks_alone(pend):
    first, second, third = pend(*numbered(0, 60)), pend(*numbered(60, 120)), pend("x", "y")
    one, other = shared_calls([first, second, third])
    error = ServiceError("VectorIndexParameterInvalid", 400, "A key is not valid.")
    halves = one.fail(error)
    assert [half.waiters for half in halves] == [[first]]
    assert second.must_ask_alone
    assert second.is_over
    assert [half.waiters for half in other.fail(error)] == [[third]]


def test_a_half_drops_those_who_wait_no_more(pend):
    one, other = pend("a", "b"), pend("b", "c")
    half = next_call([one, other])
    assert half.keep([one, other])
    assert half.keys == ["a", "b", "c"]
    assert half.keep([other])
    assert (half.waiters, half.keys) == ([other], ["b", "c"])
    assert not half.keep([])


def test_halves_of_a_500_are_paid_for_and_give_back_what_they_took(pend):
    fetches = [pend("a"), pend("b")]
    budget = fetches[0].context.retry_budget
    full = budget.balance
    halves = next_call(fetches).fail(InternalServiceError("InternalError", 500, "Sorry."))
    assert budget.balance == full - 28
    halves[0].deal(GetVectorsResult((), "id"))
    assert budget.balance == full - 14
    halves[1].fail(InternalServiceError("InternalError", 500, "Sorry."))
    assert budget.balance == full - 14


@pytest.mark.parametrize(
    "message",
    [
        "The key 'other-key' is not valid.",
        "No other-key here.",
        'Keys: ["b", "other-key"].',
        "'b' is not valid",
    ],
)
def test_a_text_that_names_a_key_is_asked_for_apart_while_the_budget_lasts(pend, message):
    error = NoSuchVectorIndexError("NoSuchVectorIndex", 404, message)
    one, other = pend("mine"), pend("other-key", "b")
    assert len(next_call([one, other]).fail(error)) == 2
    while one.context.retry_budget.take():
        pass
    one, other = pend("mine"), pend("other-key", "b")
    assert next_call([one, other]).fail(error) == []
    assert "other-key" not in str(one.error)
    assert "'b'" not in str(one.error)
    assert "***" in repr(one.error)
    assert str(other.error) == str(error)


@pytest.mark.parametrize(
    "message", ["The index is not there.", "another-key-2", "key", "https://host/other-key/x"]
)
def test_words_that_only_resemble_a_key_stay(pend, message):
    error = NoSuchVectorIndexError("NoSuchVectorIndex", 404, message)
    one, other = pend("mine"), pend("other-key", "b", "the", "e")
    assert next_call([one, other]).fail(error) == []
    assert str(one.error) == str(error)


def reply(status, body, **headers):
    return Reply(status, {"content-type": "application/json", **headers}, body)


def released(pend, **headers):
    """Return a call of a hasty and a patient fetch that has met a 500, and waits; with its flow."""
    hasty, patient = pend("hasty-key", timeout=0.05), pend("patient-key", timeout=500)
    call = next_call([hasty, patient])
    flow = call.serve()
    assert isinstance(next(flow), Send)
    refusal = b'{"Error": {"Code": "InternalError", "Message": "hasty-key and patient-key"}}'
    assert isinstance(flow.send(reply(500, refusal, **headers)), Sleep)
    return call, flow, hasty, patient


def end_of(flow, answer):
    with pytest.raises(StopIteration) as end:
        flow.send(answer)
    return end.value.value


def test_who_has_no_time_for_a_pause_asks_alone_and_has_no_part_in_the_rest(pend):
    call, flow, hasty, patient = released(pend)
    assert hasty.must_ask_alone
    assert (hasty.outstanding, hasty.error, call.waiters) == (0, None, [patient])
    assert isinstance(flow.send(None), Send)
    vectors = b'{"vectors": [%s]}' % b", ".join(
        b'{"key": "%s", "data": {"float32": [1]}, "metadata": {}}' % key
        for key in (b"hasty-key", b"patient-key")
    )
    assert end_of(flow, reply(200, vectors)) == []
    assert list(patient.found) == ["patient-key"]


def test_who_is_left_alone_in_a_call_is_not_failed_by_those_who_have_gone(pend):
    _, flow, _, patient = released(pend)
    assert isinstance(flow.send(None), Send)
    (half,) = end_of(flow, reply(400, b'{"Error": {"Code": "VectorIndexParameterInvalid"}}'))
    assert (half.keys, half.waiters, patient.error) == (["patient-key"], [patient], None)


def test_who_is_asked_to_come_too_late_is_told_without_the_others_keys(pend):
    _, _, hasty, patient = released(pend, **{"retry-after": "60"})
    assert not hasty.must_ask_alone
    assert isinstance(hasty.error, InternalServiceError)
    assert "patient-key" not in f"{hasty.error} {hasty.error.args}"
    assert (hasty.error.attempts, hasty.error.errors) == (1, ())
    assert patient.error is None


def test_a_call_that_is_settled_keeps_no_reply(pend):
    call, flow, _, _ = released(pend)
    flow.send(None)
    end_of(flow, reply(400, b'{"Error": {"Code": "VectorIndexParameterInvalid"}}'))
    assert call.attempts is None


def test_each_is_told_the_seconds_of_its_own_deadline(pend):
    fetches = [pend("a", timeout=5), pend("b", timeout=5.01), pend("c", timeout=5.01)]
    flow = next_call(fetches).serve()
    next(flow)
    assert end_of(flow, Fault(FaultKind.DEADLINE, "ReadTimeout")) == []
    assert [str(fetch.error).partition(" (")[0] for fetch in fetches] == [
        "GetVectors did not end within 5 s",
        "GetVectors did not end within 5.01 s",
        "GetVectors did not end within 5.01 s",
    ]
    assert len({id(fetch.error) for fetch in fetches}) == 3
