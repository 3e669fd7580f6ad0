"""Order, duplicates and missing keys are exact whatever the service does to its replies."""

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.machine import Machine
from support.promises import sized

from oss_vector_retriever import Limits, MissingKeysError, ResponseError
from oss_vector_retriever.client.fetch import fetch
from oss_vector_retriever.client.models.messages import Reply

pytestmark = pytest.mark.promise("R7")

KEYS = st.text(st.sampled_from("abc\N{GREEK SMALL LETTER ALPHA}\n,\"'"), min_size=1, max_size=2)
CASES = st.tuples(
    st.lists(KEYS, max_size=25),
    st.sets(KEYS, max_size=30),
    st.integers(1, 7),
    st.randoms(use_true_random=False),
)
CONTEXTS = {size: Machine().context(limits=Limits(keys_per_get=size)) for size in range(1, 8)}


class Service:
    """A service that shuffles, repeats what was asked for twice, or omits an empty list."""

    def __init__(self, known, random):
        self.known, self.random, self.asked = known, random, []

    def __call__(self, request):
        keys = json.loads(request.body)["keys"]
        self.asked.append(keys)
        found = [vector(key) for key in keys if key in self.known]
        self.random.shuffle(found)
        return reply(found if found or self.random.random() < 0.5 else None)


def vector(key):
    return {"key": key, "data": {"float32": [hash_of(key), 1.0]}, "metadata": {"of": key}}


def hash_of(key):
    return float(sum(map(ord, key)) % 1000)


def reply(vectors):
    body = {} if vectors is None else {"vectors": vectors}
    return Reply(200, {"x-oss-request-id": "R"}, json.dumps(body).encode())


def first_of_each(keys):
    return list(dict.fromkeys(keys))


def assert_exact(keys, known, size, random):
    service = Service(known, random)
    played = Machine().play(fetch(CONTEXTS[size], keys), service)
    result = played.value
    assert [v.key for v in result] == [key for key in keys if key in known]
    assert list(result.missing) == [key for key in first_of_each(keys) if key not in known]
    assert [v and v.key for v in result.aligned()] == [k if k in known else None for k in keys]
    assert set(result.by_key) == set(keys) & known
    assert result.keys == tuple(keys)
    for v in result:
        assert (v.data.tolist(), v.metadata) == ([hash_of(v.key), 1.0], {"of": v.key})
    assert result.matrix().tolist() == [v.data.tolist() for v in result]
    assert [key for batch in service.asked for key in batch] == first_of_each(keys)
    assert all(len(batch) <= size for batch in service.asked)
    assert result.calls == len(service.asked) == -(-len(set(keys)) // size)


@settings(max_examples=sized(150, 1000), deadline=None, derandomize=True)
@given(CASES)
def test_the_result_is_exactly_what_was_asked_for(case):
    assert_exact(*case)


@pytest.mark.parametrize("seed", range(sized(2, 5)))
def test_a_thousand_random_fetches_are_exact(seed):
    random = Random(seed)
    alphabet = [f"k{number}" for number in range(30)]
    for _ in range(1000):
        keys = random.choices(alphabet, k=random.randrange(40))
        known = set(random.sample(alphabet, random.randrange(30)))
        assert_exact(keys, known, random.randrange(1, 8), random)


@settings(max_examples=sized(150, 500), deadline=None, derandomize=True)
@given(CASES)
def test_on_missing_raises_exactly_when_something_is_missing(case):
    keys, known, size, random = case
    played = Machine().play(fetch(CONTEXTS[size], keys, on_missing="raise"), Service(known, random))
    missing = [key for key in first_of_each(keys) if key not in known]
    if missing:
        assert isinstance(played.error, MissingKeysError)
        assert list(played.error.missing) == missing
    else:
        assert played.error is None


@settings(max_examples=sized(120, 700), deadline=None, derandomize=True)
@given(st.lists(KEYS, min_size=1, max_size=20), KEYS, st.integers(1, 7), st.integers(0, 19))
def test_a_foreign_or_repeated_key_in_any_reply_is_refused(keys, intruder, size, place):
    service = Service(set(keys), random=_Still())

    def intruded(request):
        honest = json.loads(service(request).body).get("vectors", [])
        honest.insert(place % (len(honest) + 1), vector(intruder))
        return reply(honest)

    played = Machine().play(fetch(CONTEXTS[size], keys), intruded)
    assert isinstance(played.error, ResponseError)
    assert played.error.request_id == "R"
    assert played.value is None


class _Still:
    """Dice that change nothing."""

    def shuffle(self, items):
        """Leave the items where they are."""

    def random(self):
        return 0.0


@settings(max_examples=sized(150, 500), deadline=None, derandomize=True)
@given(
    st.lists(KEYS, min_size=2, max_size=20, unique=True),
    st.integers(1, 7),
    st.integers(0, 19),
    st.integers(0, 4).filter(lambda dimension: dimension != 2),
)
def test_one_vector_of_another_dimension_spoils_the_whole(keys, size, place, dimension):
    odd = keys[place % len(keys)]

    def uneven(request):
        found = [vector(key) for key in json.loads(request.body)["keys"]]
        for one in found:
            if one["key"] == odd:
                one["data"]["float32"] = [1.0] * dimension
        return reply(found)

    played = Machine().play(fetch(CONTEXTS[size], keys), uneven)
    assert isinstance(played.error, ResponseError)
    assert played.value is None
