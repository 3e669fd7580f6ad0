"""How pending fetches are put together into calls, and what each takes out of a reply."""

import pytest

from oss_vector_retriever import DeadlineExceededError, NoSuchVectorIndexError
from oss_vector_retriever.client.coalesce import PendingFetch, next_call, shared_calls
from oss_vector_retriever.client.models.results import GetVectorsResult
from oss_vector_retriever.client.models.vector import Vector


@pytest.fixture
def pend(machine):
    context = machine.context(coalesce=True)

    def pending(*keys, index="docs", timeout=None, **options):
        deadline = context.deadline(timeout)
        asked = {"return_data": True, "return_metadata": True, **options}
        return PendingFetch(context, index, list(keys), deadline=deadline, **asked)

    return pending


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
