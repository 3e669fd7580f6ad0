"""`fetch`: any number of keys, each sent once, answered in the order asked."""

import json

import pytest

from oss_vector_retriever import (
    ConfigurationError,
    DeadlineExceededError,
    InvalidRequestError,
    Limits,
    MissingKeysError,
    NoSuchVectorIndexError,
    ResponseError,
)
from oss_vector_retriever.client.coalesce import SharedCall, shared_calls
from oss_vector_retriever.client.fetch import fetch
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.models.results import GetVectorsResult
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.steps import Coalesce, RunAll, Send


class Service:
    """A service that holds some keys, shuffles, drops duplicates and omits an empty list."""

    def __init__(self, *known, dimension=2):
        self.known, self.dimension, self.asked = set(known), dimension, []

    def __call__(self, request):
        body = json.loads(request.body)
        self.asked.append(body["keys"])
        found = [self.vector(key) for key in sorted(set(body["keys"]) & self.known, reverse=True)]
        headers = {"x-oss-request-id": f"R{len(self.asked)}"}
        return Reply(200, headers, json.dumps({"vectors": found} if found else {}).encode())

    def vector(self, key):
        values = [float(len(key))] * self.dimension
        return {"key": key, "data": {"float32": values}, "metadata": {"of": key}}


def numbered(count):
    return [f"k{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("count", "calls"), [(1, 1), (99, 1), (100, 1), (101, 2), (200, 2), (1050, 11), (10_000, 100)]
)
def test_keys_are_sent_in_calls_of_at_most_100(machine, count, calls):
    keys, service = numbered(count), Service(*numbered(count))
    result = machine.play(fetch(machine.context(), keys), service).value
    assert [vector.key for vector in result] == keys
    assert (result.calls, len(result.request_ids), result.missing) == (calls, calls, ())
    assert sorted(key for batch in service.asked for key in batch) == sorted(keys)
    assert max(map(len, service.asked)) <= 100


def test_a_repeated_key_is_sent_once_and_answered_each_time(machine):
    service = Service("a", "b")
    result = machine.play(fetch(machine.context(), ["b", "a", "b", "x", "a", "x"]), service).value
    assert service.asked == [["b", "a", "x"]]
    assert [vector.key for vector in result] == ["b", "a", "b", "a"]
    assert result.missing == ("x",)
    assert result[0] is result[2]


def test_duplicates_fill_no_batch(machine):
    service = Service(*numbered(100))
    assert machine.play(fetch(machine.context(), numbered(100) * 5), service).value.calls == 1


def test_no_keys_are_no_call_even_without_credentials(machine):
    context = machine.context(credentials=None)
    for keys in ([], (), iter(()), {}.keys()):
        result = machine.play(fetch(context, keys), []).value
        assert (len(result), result.calls, result.missing, result.request_ids) == (0, 0, (), ())


def test_no_keys_give_an_empty_result_without_a_single_step(machine):
    with pytest.raises(StopIteration) as end:
        next(fetch(machine.context(), []))
    assert end.value.value.aligned() == []


def test_data_and_metadata_are_asked_for_unless_switched_off(machine):
    played = machine.play(fetch(machine.context(), ["a"]), Service("a"))
    body = json.loads(played.requests[0].body)
    assert (body["returnData"], body["returnMetadata"]) == (True, True)
    assert played.value[0].metadata == {"of": "a"}
    options = {"return_data": False, "return_metadata": False}
    played = machine.play(fetch(machine.context(), ["a"], **options), Service("a"))
    body = json.loads(played.requests[0].body)
    assert (body["returnData"], body["returnMetadata"]) == (False, False)
    assert (played.value[0].data, played.value[0].metadata) == (None, None)


def test_the_index_is_the_clients_unless_one_is_named(machine):
    for options, name in (({}, "vectorindex1"), ({"index": "other"}, "other")):
        played = machine.play(fetch(machine.context(), ["a"], **options), Service())
        assert json.loads(played.requests[0].body)["indexName"] == name


def test_a_missing_index_names_its_argument_and_its_variable(machine):
    with pytest.raises(ConfigurationError, match=r"pass index= or set .* OSS_VECTORS_INDEX"):
        fetch(machine.context(index=None), ["a"])


class TestKeysThatDoNotExist:
    def test_are_left_out_and_listed_once_each_in_order(self, machine):
        result = machine.play(fetch(machine.context(), ["x", "a", "y", "x"]), Service("a")).value
        assert [vector.key for vector in result] == ["a"]
        assert result.missing == ("x", "y")
        assert [v.key if v else None for v in result.aligned()] == [None, "a", None, None]

    def test_raise_where_that_was_asked_for(self, machine):
        flow = fetch(machine.context(), ["x", "a", "y"], on_missing="raise")
        error = machine.play(flow, Service("a")).error
        assert isinstance(error, MissingKeysError)
        assert error.missing == ("x", "y")

    def test_do_not_raise_where_there_are_none(self, machine):
        flow = fetch(machine.context(), ["a"], on_missing="raise")
        assert machine.play(flow, Service("a")).error is None

    def test_are_given_to_a_function(self, machine):
        reported = []
        flow = fetch(machine.context(), ["x", "a", "y", "x"], on_missing=reported.append)
        result = machine.play(flow, Service("a")).value
        assert reported == ["x", "y"]
        assert len(result) == 1

    @pytest.mark.parametrize("other", ["skip", "", None, 5, ["omit"], True])
    def test_have_no_other_policy(self, machine, other):
        with pytest.raises(InvalidRequestError, match="on_missing is") as refused:
            fetch(machine.context(), ["a"], on_missing=other)
        assert repr(other) in str(refused.value)

    def test_of_an_index_that_does_not_exist_are_an_error(self, machine):
        refusal = Reply(404, {}, b'{"Error":{"Code":"NoSuchVectorIndex"}}')
        played = machine.play(fetch(machine.context(), ["a"]), [refusal])
        assert isinstance(played.error, NoSuchVectorIndexError)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("abc", "pass [key]"),
        (b"abc", "not a bytes"),
        ({"a": 1}, "not a dict"),
        (None, "not a NoneType"),
        (5, "not an int"),
        ([5], "not int 5"),
        ([None], "not NoneType"),
        ([b"a"], "not bytes"),
        (["a", ""], "1 to 1024 characters"),
        (["a" * 1025], "has 1025"),
        (["\ud800"], "surrogate"),
        (["a", ["b"]], "not list"),
    ],
)
def test_bad_keys_are_refused_before_any_call(machine, keys, said):
    with pytest.raises(InvalidRequestError) as refused:
        fetch(machine.context(), keys)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("key", ["a" * 1024, "\N{GRINNING FACE}" * 1024, " ", "a,b", "a\nb", "\0"])
def test_every_legal_key_is_sent_as_it_is(machine, key):
    result = machine.play(fetch(machine.context(), [key]), Service(key)).value
    assert result[0].key == key


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "5"])
def test_a_timeout_that_makes_no_sense_is_refused(machine, timeout):
    with pytest.raises(ConfigurationError, match=r"^timeout "):
        fetch(machine.context(), ["a"], timeout=timeout)


def test_a_timeout_of_its_own_replaces_the_clients(machine):
    played = machine.play(fetch(machine.context(), ["a"], timeout=2.5), Service("a"))
    assert played.seconds_left == [2.5]
    machine.takes = 3.0
    played = machine.play(fetch(machine.context(), numbered(101), timeout=2.5), Service("a"))
    assert isinstance(played.error, DeadlineExceededError)


def test_uneven_dimensions_across_calls_are_an_error(machine):
    service = Service(*numbered(200))

    def grows(request):
        service.dimension += 1
        return service(request)

    error = machine.play(fetch(machine.context(), numbered(150)), grows).error
    assert isinstance(error, ResponseError)
    assert "[3, 4] values" in str(error)
    assert (error.request_id, error.status) == ("R2", 200)


def test_uneven_dimensions_are_an_error_though_no_reply_has_a_request_id(machine):
    service = Service(*numbered(200))

    def grows(request):
        service.dimension += 1
        return Reply(200, {}, service(request).body)

    error = machine.play(fetch(machine.context(), numbered(150)), grows).error
    assert isinstance(error, ResponseError)
    assert error.request_id is None


def test_one_call_needs_no_driver_for_many(machine):
    assert isinstance(next(fetch(machine.context(), numbered(100))), Send)
    step = next(fetch(machine.context(), numbered(301)))
    assert isinstance(step, RunAll)
    assert len(step.flows) == 4
    for flow in step.flows:
        flow.close()


def test_nothing_partial_comes_back_when_one_call_fails(machine):
    service = Service(*numbered(300))
    refusal = Reply(403, {"x-oss-request-id": "R9"}, b'{"Error":{"Code":"AccessDenied"}}')
    played = machine.play(
        fetch(machine.context(), numbered(300)),
        lambda request: refusal if len(service.asked) == 2 else service(request),
    )
    assert played.value is None
    assert played.error.request_id == "R9"


def test_the_calls_follow_the_accounts_own_limit(machine):
    context = machine.context(limits=Limits(keys_per_get=3))
    service = Service("a")
    machine.play(fetch(context, ["a", "b", "a", "c", "d"]), service)
    assert service.asked == [["a", "b", "c"], ["d"]]


class TestAFetchThatSharesCalls:
    """It hands itself over, and takes up again where that has come to nothing."""

    def begin(self, machine, keys, **options):
        flow = fetch(machine.context(coalesce=True, **options), keys)
        return flow, next(flow)

    def deal(self, pending, keys, dimension=2):
        vectors = [Vector(key, [1.0] * dimension, {}) for key in keys]
        SharedCall(keys, [pending]).settle(GetVectorsResult(tuple(vectors), request_id="R"))

    @pytest.mark.parametrize("count", [1, 99])
    def test_is_handed_over_where_its_call_has_room(self, machine, count):
        assert isinstance(self.begin(machine, numbered(count))[1], Coalesce)
        window = fetch(machine.context(coalesce=0.01), numbered(count))
        assert isinstance(next(window), Coalesce)
        unshared = fetch(machine.context(coalesce=False), numbered(count))
        assert isinstance(next(unshared), Send)

    def test_asks_alone_where_its_call_is_full(self, machine):
        assert isinstance(self.begin(machine, numbered(100))[1], Send)
        assert isinstance(self.begin(machine, numbered(101))[1], RunAll)

    def test_ends_with_what_was_dealt_to_it(self, machine):
        flow, step = self.begin(machine, ["a", "b"])
        self.deal(step.pending, ["a"])
        self.deal(step.pending, ["b"])
        with pytest.raises(StopIteration) as end:
            flow.send(False)
        result = end.value.value
        assert [vector.key for vector in result] == ["a", "b"]
        assert (result.calls, result.request_ids) == (2, ("R", "R"))

    def test_asks_again_alone_where_two_replies_do_not_fit_together(self, machine):
        flow, step = self.begin(machine, ["a", "b"])
        self.deal(step.pending, ["a"])
        self.deal(step.pending, ["b"], dimension=3)
        again = flow.send(False)
        assert json.loads(again.request.body)["keys"] == ["a", "b"]
        with pytest.raises(StopIteration) as end:
            flow.send(Service("a", "b")(again.request))
        assert (end.value.value.calls, len(end.value.value)) == (1, 2)

    def test_asks_alone_where_it_is_told_to(self, machine):
        flow, step = self.begin(machine, ["a", "b"])
        step.pending.must_ask_alone = True
        assert isinstance(flow.send(False), Send)
        flow, step = self.begin(machine, ["a", "b"])
        assert isinstance(flow.send(True), Send)

    def test_raises_what_it_was_told(self, machine):
        flow, step = self.begin(machine, ["a", "b"])
        step.pending.error = NoSuchVectorIndexError("NoSuchVectorIndex", 404)
        with pytest.raises(NoSuchVectorIndexError):
            flow.send(False)

    def test_is_late_where_nothing_has_come_of_it(self, machine):
        flow, _ = self.begin(machine, ["a", "b"], timeout=3.0)
        with pytest.raises(DeadlineExceededError, match="within 3 s"):
            flow.send(False)

    def test_is_counted_where_another_was_served_with_it(self, machine):
        context = machine.context(coalesce=True)
        one, other = fetch(context, ["a"]), fetch(context, ["a"])
        fetches = [next(one).pending, next(other).pending]
        service = Service("a")
        (call,) = shared_calls(fetches)
        machine.play(call.serve(), service)
        for flow, shared in ((one, 0), (other, 1)):
            with pytest.raises(StopIteration):
                flow.send(False)
            assert context.counters.stats().shared == shared
