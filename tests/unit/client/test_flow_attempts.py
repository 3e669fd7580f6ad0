"""What is tried again, how often, and what the error says when it was in vain."""

from datetime import UTC, datetime

import pytest

from oss_vector_retriever import (
    AccessDeniedError,
    InternalServiceError,
    NoSuchBucketError,
    NoSuchVectorIndexError,
    QpsLimitExceededError,
    ResponseError,
    RetryPolicy,
    ServiceError,
    TransportError,
    VectorIndexParameterInvalidError,
)
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.operations.buckets import (
    delete_vector_bucket,
    list_vector_buckets,
    put_vector_bucket,
)
from oss_vector_retriever.client.operations.indexes import delete_vector_index, put_vector_index
from oss_vector_retriever.client.operations.vectors import delete_vectors, get_vectors, put_vectors
from oss_vector_retriever.client.steps import Fault, FaultKind
from oss_vector_retriever.client.writes import delete, upsert

GOOD = Reply(200, {"x-oss-request-id": "R1"}, b'{"vectors":[{"key":"a"}]}')
RESET = Fault(FaultKind.CLOSED, "ReadError")
LATE = Fault(FaultKind.DEADLINE, "ReadTimeout")
NO_WAY = Fault(FaultKind.CONNECT, "ConnectError")


def refusal(status, code="Whatever", request_id="R0"):
    body = f'{{"Error":{{"Code":"{code}","Message":"Said so.","RequestId":"{request_id}"}}}}'
    return Reply(status, {"content-type": "application/json"}, body.encode())


def test_a_first_reply_that_is_good_is_the_result(machine):
    played = machine.play(get_vectors(machine.context(), ["a"]), [GOOD])
    assert [vector.key for vector in played.value] == ["a"]
    assert played.value.request_id == "R1"
    assert (len(played.requests), played.sleeps) == (1, [])


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 599])
def test_a_failure_that_passes_is_tried_again(machine, status):
    played = machine.play(get_vectors(machine.context(), ["a"]), [refusal(status), GOOD])
    assert played.error is None
    assert len(played.requests) == 2


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "VectorIndexParameterInvalid", VectorIndexParameterInvalidError),
        (400, "Whatever", ServiceError),
        (401, "Whatever", ServiceError),
        (403, "AccessDenied", AccessDeniedError),
        (404, "NoSuchBucket", NoSuchBucketError),
        (404, "NoSuchVectorIndex", NoSuchVectorIndexError),
        (409, "Whatever", ServiceError),
        (501, "NotImplemented", InternalServiceError),
    ],
)
def test_a_refusal_is_final(machine, status, code, error):
    played = machine.play(get_vectors(machine.context(), ["a"]), [refusal(status, code)])
    assert type(played.error) is error
    assert (played.error.code, played.error.status) == (code, status)
    assert (played.error.request_id, played.error.attempts) == ("R0", 1)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirection_is_never_followed(machine, status):
    reply = Reply(status, {"location": "https://elsewhere.example/"}, b"")
    played = machine.play(get_vectors(machine.context(), ["a"]), [reply])
    assert isinstance(played.error, ResponseError)
    assert "redirection" in str(played.error)
    assert "elsewhere" not in str(played.error)


def test_there_are_three_attempts_and_the_error_tells_all(machine):
    machine.takes = 0.5
    outcomes = [NO_WAY, refusal(500, "InternalError", "R1"), refusal(502, "BadGateway", "R2")]
    played = machine.play(get_vectors(machine.context(), ["a"]), outcomes)
    error = played.error
    assert isinstance(error, InternalServiceError)
    assert (error.request_id, error.attempts) == ("R2", 3)
    assert error.elapsed == pytest.approx(3 * 0.5 + sum(played.sleeps))
    assert [type(earlier) for earlier in error.errors] == [TransportError, InternalServiceError]
    assert error.errors[1].request_id == "R1"


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_the_number_of_attempts_is_the_policys(machine, attempts):
    context = machine.context(retry=attempts)
    played = machine.play(get_vectors(context, ["a"]), lambda _: refusal(500))
    assert len(played.requests) == played.error.attempts == attempts


@pytest.mark.parametrize(("dice", "share"), [(1.0, 1.0), (0.5, 0.75), (0.0, 0.5)])
def test_the_pause_doubles_under_half_jitter_up_to_the_cap(machine, dice, share):
    policy = RetryPolicy(attempts=6, transient_base=0.1, cap=0.6, patience=0.0)
    machine.dice = dice
    played = machine.play(get_vectors(machine.context(retry=policy), ["a"]), lambda _: refusal(500))
    expected = [0.1, 0.2, 0.4, 0.6, 0.6]
    assert played.sleeps == pytest.approx([share * pause for pause in expected])


class TestABlip:
    """The last attempt waits until a blip is over, where there is time."""

    @pytest.mark.parametrize("dice", [0.0, 0.3, 1.0])
    @pytest.mark.parametrize("fault", [RESET, NO_WAY, refusal(500), refusal(502)])
    def test_of_two_seconds_is_outlived_by_the_usual_three_attempts(self, machine, dice, fault):
        machine.dice, over = dice, machine.seconds + 2.0
        played = machine.play(
            get_vectors(machine.context(), ["a"]),
            lambda _: fault if machine.seconds < over else GOOD,
        )
        assert played.error is None
        assert len(played.requests) == 3
        assert 2.0 <= machine.seconds - 1000.0 <= 2.5

    @pytest.mark.parametrize("attempts", [2, 3, 4, 8])
    def test_is_waited_for_whatever_the_number_of_attempts(self, machine, attempts):
        machine.dice = 0.0
        context = machine.context(retry=attempts)
        played = machine.play(get_vectors(context, ["a"]), lambda _: refusal(500))
        assert played.error.attempts == attempts
        assert played.error.elapsed >= 2.0 - 1e-9
        assert all(pause >= 0.2 for pause in played.sleeps)

    def test_is_never_waited_for_where_no_retry_is_wanted(self, machine):
        played = machine.play(get_vectors(machine.context(retry=1), ["a"]), [refusal(500)])
        assert (played.error.attempts, played.sleeps) == (1, [])

    def test_is_waited_for_from_the_first_failure_not_from_the_start(self, machine):
        machine.takes, machine.dice = 1.9, 0.0
        played = machine.play(get_vectors(machine.context(), ["a"]), [refusal(502)] * 3)
        # failures at 1.9 and 4.0 s, and the last attempt 2 s after the first of them or later
        assert played.sleeps == pytest.approx([0.2, 0.4])
        machine.takes = 0.9
        played = machine.play(get_vectors(machine.context(), ["a"]), [refusal(502)] * 3)
        assert played.sleeps == pytest.approx([0.2, 0.9])

    def test_is_waited_for_at_most_half_of_the_time_that_is_left(self, machine):
        machine.dice = 0.0
        context = machine.context(timeout=1.2)
        played = machine.play(get_vectors(context, ["a"]), [refusal(500)] * 2 + [GOOD])
        assert played.error is None
        assert played.sleeps == pytest.approx([0.2, 0.5])

    def test_is_waited_for_though_the_service_wants_no_pause(self, machine):
        hurried = Reply(503, {"retry-after": "0"}, refusal(503).body)
        played = machine.play(get_vectors(machine.context(), ["a"]), lambda _: hurried)
        assert played.sleeps == pytest.approx([2.5])
        assert played.error.attempts == 3

    def test_is_waited_for_no_longer_than_the_cap(self, machine):
        context = machine.context(retry=RetryPolicy(cap=0.9))
        played = machine.play(get_vectors(context, ["a"]), lambda _: refusal(500))
        assert played.sleeps == pytest.approx([0.4, 0.9])

    def test_of_ten_seconds_is_outlived_by_writes_of_many(self, machine):
        machine.dice = 0.0
        vectors = [{"key": "a", "data": [1.0]}]
        for flow in (upsert(machine.context(), vectors), delete(machine.context(), ["a"])):
            over, ok = machine.seconds + 10.0, Reply(200, {})
            played = machine.play(
                flow, lambda _, over=over, ok=ok: refusal(500) if machine.seconds < over else ok
            )
            assert played.error is None
            # and one look at the index, which might be new
            queries = [request.query for request in played.requests]
            assert (len(queries), queries.count("getVectorIndex")) == (7, 1)
        context = machine.context(retry=1)
        played = machine.play(upsert(context, vectors, on_error="report"), [refusal(500)])
        assert played.value.batches[0].error.attempts == 1


def test_a_kept_connection_that_turns_out_dead_is_replaced_at_once(machine):
    dead = Fault(FaultKind.CLOSED, "ReadError", reused=True)
    played = machine.play(get_vectors(machine.context(), ["a"]), [dead, RESET, RESET, GOOD])
    assert played.error is None
    assert played.sleeps == pytest.approx([0.4, 2.1])


def test_a_new_connection_that_breaks_is_not_tried_again_at_once(machine):
    played = machine.play(get_vectors(machine.context(), ["a"]), [RESET, GOOD])
    assert played.error is None
    assert played.sleeps == pytest.approx([0.4])


STALE = Fault(FaultKind.CLOSED, "ReadError", reused=True)


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_a_kept_connection_that_was_dead_costs_no_attempt_no_pause_and_no_budget(machine, attempts):
    context = machine.context(retry=RetryPolicy(attempts))
    for _ in range(60):  # more than the budget could pay, as of so many threads at once
        flow = get_vectors(context, ["a"])
        first, again = next(flow), flow.send(STALE)
        assert (first.reuse, again.reuse) == (True, False)
    played = machine.play(get_vectors(context, ["a"]), [STALE, *[refusal(500)] * attempts])
    assert (played.error.attempts, len(played.sleeps)) == (attempts + 1, attempts - 1)


def test_what_may_not_be_repeated_never_has_a_kept_connection(machine):
    played = machine.play(put_vector_index(machine.context(), 3), [Reply(200, {}, b"")])
    assert [step.reuse for step in played.sends] == [False]


def test_a_service_that_refuses_is_asked_again_on_the_connection_that_is_there(machine):
    played = machine.play(get_vectors(machine.context(), ["a"]), [refusal(503), RESET, GOOD])
    assert [step.reuse for step in played.sends] == [True] * 3


def test_a_call_says_how_much_of_a_reply_it_takes(machine):
    context = machine.context(max_reply_bytes=4096)
    contexts = context, context.with_options(max_reply_bytes=2048), context
    sends = [machine.play(get_vectors(one, ["a"]), [GOOD]).sends for one in contexts]
    assert [step.max_reply_bytes for (step,) in sends] == [4096, 2048, 4096]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            Fault(FaultKind.TLS, "SSLError", "its certificate was not accepted: too old"),
            "oss-vectors.aliyuncs.com (SSLError): its certificate was not accepted: too old.",
        ),
        (
            Fault(FaultKind.TLS, "SSLError", "OF_OPENSSL", "https://p:1"),
            "could not agree on TLS with the proxy https://p:1 (SSLError): OF_OPENSSL.",
        ),
        (
            Fault(FaultKind.PROXY, "ProxyError", "HTTP 407 No", "http://p:1"),
            "the proxy http://p:1 (ProxyError) refused to pass the request on: HTTP 407 No.",
        ),
    ],
)
def test_what_went_wrong_on_the_way_is_told_with_reason_and_peer(machine, fault, said):
    played = machine.play(get_vectors(machine.context(), ["a"]), [fault])
    assert said in str(played.error)
    assert str(played.error).startswith("GetVectors: ")
    assert played.error.attempts == 1


@pytest.mark.parametrize("kind", [FaultKind.TLS, FaultKind.PROTOCOL])
def test_a_peer_that_speaks_wrongly_is_not_asked_again(machine, kind):
    played = machine.play(get_vectors(machine.context(), ["a"]), [Fault(kind, "SomeError")])
    assert isinstance(played.error, TransportError)
    assert (played.error.kind, played.error.attempts) == (kind, 1)
    assert "examplebucket-123456.cn-hangzhou.oss-vectors.aliyuncs.com" in str(played.error)
    assert "(SomeError)" in str(played.error)


def test_a_reply_over_the_cap_is_an_error_that_names_the_cap(machine):
    context = machine.context(max_reply_bytes=2048)
    fault = Fault(FaultKind.TOO_LARGE, "ReplyTooLarge")
    played = machine.play(get_vectors(context, ["a"]), [fault])
    assert isinstance(played.error, ResponseError)
    assert "max_reply_bytes (2048 bytes)" in str(played.error)


@pytest.mark.parametrize(
    "body", [b'{"vectors":[{"key":"a"', b"<html>hello</html>", b"\xff\xfe", b"[[[["]
)
def test_a_200_that_cannot_be_read_is_tried_again(machine, body):
    broken = Reply(200, {"x-oss-request-id": "R0"}, body)
    played = machine.play(get_vectors(machine.context(), ["a"]), [broken, GOOD])
    assert played.error is None
    played = machine.play(get_vectors(machine.context(), ["a"]), [broken] * 3)
    assert isinstance(played.error, ResponseError)
    assert (played.error.request_id, played.error.attempts) == ("R0", 3)


@pytest.mark.parametrize(
    "body", [b"[]", b'{"vectors":{}}', b'{"vectors":[{"key":"b"}]}', b'{"vectors":[{}]}']
)
def test_a_200_that_says_nonsense_is_not_tried_again(machine, body):
    played = machine.play(
        get_vectors(machine.context(), ["a"]), [Reply(200, {"x-oss-request-id": "R0"}, body)]
    )
    assert isinstance(played.error, ResponseError)
    assert (played.error.request_id, played.error.attempts) == ("R0", 1)


class TestACallThatMayHaveWorkedAlready:
    def test_is_not_repeated_after_the_connection_broke(self, machine):
        played = machine.play(put_vector_index(machine.context(), dimension=3), [RESET])
        assert isinstance(played.error, TransportError)

    @pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
    def test_is_not_repeated_after_a_failure(self, machine, status):
        played = machine.play(put_vector_index(machine.context(), dimension=3), [refusal(status)])
        assert played.error.status == status

    def test_is_repeated_where_no_connection_was_made(self, machine):
        ok = Reply(200, {"x-oss-request-id": "R1"})
        played = machine.play(put_vector_index(machine.context(), dimension=3), [NO_WAY, ok])
        assert played.value.request_id == "R1"

    def test_is_repeated_after_throttling_for_that_refuses_it_as_a_whole(self, machine):
        slow = refusal(503, "QpsLimitExceeded")
        played = machine.play(
            put_vector_index(machine.context(), dimension=3), [slow, Reply(200, {})]
        )
        assert played.error is None

    @pytest.mark.parametrize(
        "outcome", [RESET, LATE, refusal(500), refusal(504), Reply(200, {}, b"<html>")]
    )
    @pytest.mark.parametrize(
        ("make", "met"),
        [
            (lambda c: put_vector_index(c, dimension=3), "VectorBucketIndexAlreadyExist"),
            (lambda c: delete_vector_index(c, "vectorindex1"), "NoSuchVectorIndex"),
            (put_vector_bucket, "BucketAlreadyExists"),
            (delete_vector_bucket, "NoSuchBucket"),
        ],
    )
    def test_says_when_it_is_repeated_that_it_may_have_met_its_own_effect(
        self, machine, outcome, make, met
    ):
        context, twin = (client := machine.context()), client.with_options(timeout=9.0)
        assert machine.play(make(context), [outcome]).error is not None
        played = machine.play(make(twin), [refusal(409, met)])
        assert played.error.remark == (
            "An earlier call of this client for it ended without an answer, and may have done it: "
            "whether that or somebody else did cannot be known."
        )
        assert played.error.remark in str(played.error)
        # it is said once: who reads it knows, and what comes later is another matter
        played = machine.play(make(context), [refusal(409, met)])
        assert "cannot be known" not in str(played.error)

    @pytest.mark.parametrize("outcome", [NO_WAY, refusal(403), Reply(200, {}), Reply(302, {})])
    def test_says_no_such_thing_where_it_is_settled(self, machine, outcome):
        context, exists = machine.context(), refusal(409, "VectorBucketIndexAlreadyExist")
        machine.play(put_vector_index(context, dimension=3), lambda _: outcome)
        played = machine.play(put_vector_index(context, dimension=3), [exists])
        assert "cannot be known" not in str(played.error)

    def test_says_no_such_thing_where_nothing_was_sent(self, machine):
        context, exists = machine.context(), refusal(409, "VectorBucketIndexAlreadyExist")
        context.rate_limiters["PutVectorIndex"].slow_down(40.0)
        late = machine.play(put_vector_index(context, dimension=3), [])
        assert (late.error.kind, late.error.attempts) == (FaultKind.DEADLINE, 0)
        machine.passes(40.0)
        played = machine.play(put_vector_index(context, dimension=3), [exists])
        assert "cannot be known" not in str(played.error)

    def test_says_no_such_thing_once_a_later_call_has_succeeded(self, machine):
        context, exists = machine.context(), refusal(409, "VectorBucketIndexAlreadyExist")
        for outcome in (RESET, Reply(200, {})):
            machine.play(put_vector_index(context, dimension=3), [outcome])
        played = machine.play(put_vector_index(context, dimension=3), [exists])
        assert "cannot be known" not in str(played.error)

    def test_says_no_such_thing_of_another_index_client_or_operation(self, machine):
        context, exists = machine.context(), refusal(409, "VectorBucketIndexAlreadyExist")
        machine.play(put_vector_index(context, dimension=3), [RESET])
        for flow in (
            put_vector_index(context, dimension=3, index="other"),
            put_vector_index(context.with_options(bucket="other"), dimension=3),
            put_vector_index(machine.context(), dimension=3),
            delete_vector_index(context, "vectorindex1"),
        ):
            assert "cannot be known" not in str(machine.play(flow, [exists]).error)

    def test_differs_from_a_put_or_delete_of_vectors_which_says_the_same_twice(self, machine):
        context = machine.context()
        ok = Reply(200, {})
        put = put_vectors(context, [{"key": "a", "data": [1.0]}])
        assert machine.play(put, [RESET, ok]).error is None
        assert machine.play(delete_vectors(context, ["a"]), [RESET, ok]).error is None


def test_every_attempt_is_signed_afresh(machine):
    machine.takes = 2.0
    context = machine.context(retry=RetryPolicy(transient_base=0.1, patience=0.0))
    played = machine.play(get_vectors(context, ["a"]), [refusal(500)] * 2 + [GOOD])
    dates = [request.headers["x-oss-date"] for request in played.requests]
    assert dates == ["20261101T120000Z", "20261101T120002Z", "20261101T120004Z"]
    assert len({request.headers["authorization"] for request in played.requests}) == 3
    assert len({request.body for request in played.requests}) == 1


def test_a_flow_can_be_driven_with_next_and_send_alone(machine):
    flow = get_vectors(machine.context(), ["a"])
    assert next(flow).request.url.endswith("/?getVectors")
    pause = flow.send(refusal(503, "InternalError"))
    assert pause.seconds == pytest.approx(0.4)
    again = flow.send(None)
    with pytest.raises(StopIteration) as end:
        flow.send(Reply(200, {}, b'{"vectors":[]}'))
    assert len(end.value.value) == 0
    assert again.seconds == pytest.approx(30.0)


def test_throttling_that_never_ends_is_the_error_of_that_name(machine):
    slow = refusal(503, "QpsLimitExceeded")
    played = machine.play(get_vectors(machine.context(), ["a"]), lambda _: slow)
    assert isinstance(played.error, QpsLimitExceededError)
    # soon at first, then once a second until the deadline
    assert 29.0 <= played.error.elapsed < 30.0
    assert 29 <= played.error.attempts <= 45
    assert {type(error) for error in played.error.errors} == {QpsLimitExceededError}
    assert len(played.error.errors) == played.error.attempts - 1


def test_the_machines_own_clocks_are_used_where_none_are_given(machine):
    from oss_vector_retriever.client.context import Context  # noqa: PLC0415 - only here

    flow = get_vectors(Context(machine.config()), ["a"])
    date = next(flow).request.headers["x-oss-date"]
    flow.close()
    signed = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - signed).total_seconds()) < 60


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (
            lambda context: get_vectors(context, ["a"]),
            "GetVectors on index 'vectorindex1' of bucket 'examplebucket'",
        ),
        (put_vector_bucket, "PutVectorBucket of bucket 'examplebucket'"),
        (list_vector_buckets, "ListVectorBuckets"),
    ],
)
def test_a_refusal_names_what_was_asked_for_and_where(machine, make, where):
    error = machine.play(make(machine.context()), [refusal(403, "AccessDenied")]).error
    assert error.where == where


def test_a_deadline_is_told_in_whole_sentences(machine):
    error = machine.play(get_vectors(machine.context(), ["a"]), [LATE]).error
    assert str(error) == "GetVectors did not end within 30 s (1 attempts)."
    error = machine.play(get_vectors(machine.context(timeout=2.5), ["a"]), [NO_WAY, LATE]).error
    assert str(error).startswith(
        "GetVectors did not end within 2.5 s (2 attempts). The last attempt failed with: "
    )
    assert error.kind == FaultKind.DEADLINE


def test_a_reply_over_the_cap_is_told_in_a_whole_sentence(machine):
    context = machine.context(max_reply_bytes=2048)
    error = machine.play(get_vectors(context, ["a"]), [Fault(FaultKind.TOO_LARGE, "x")]).error
    assert str(error) == (
        "GetVectors: the reply is larger than max_reply_bytes (2048 bytes); it was not read to its "
        "end."
    )


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            NO_WAY,
            (
                "GetVectors: could not connect to https://examplebucket-123456.cn-hangzhou."
                "oss-vectors.aliyuncs.com (ConnectError); check the endpoint, the region and the "
                "network."
            ),
        ),
        (
            Fault(FaultKind.CONNECT, "ConnectError", "", "http://p:1"),
            (
                "GetVectors: could not connect through the proxy http://p:1 (ConnectError); check "
                "the proxy and the network."
            ),
        ),
        (
            RESET,
            (
                "GetVectors: the connection to https://examplebucket-123456.cn-hangzhou."
                "oss-vectors.aliyuncs.com (ReadError) broke before the reply was whole."
            ),
        ),
        (
            Fault(FaultKind.CLOSED, "ReadError", "", "http://p:1"),
            (
                "GetVectors: the connection to the proxy http://p:1 (ReadError) broke before the "
                "reply was whole."
            ),
        ),
    ],
)
def test_a_fault_is_told_in_a_whole_sentence(machine, fault, said):
    error = machine.play(get_vectors(machine.context(retry=1), ["a"]), [fault]).error
    assert (str(error), error.kind) == (said, fault.kind)


class TestTheRetryBudget:
    def test_that_is_spent_ends_the_retries_of_any_call(self, machine):
        context = machine.context(retry=RetryPolicy(6, transient_base=0.0, patience=0.0))
        attempts = [
            machine.play(get_vectors(context, ["a"]), lambda _: refusal(500)).error.attempts
            for _ in range(9)
        ]
        # it pays for 35 retries, of which a call makes five
        assert attempts == [6] * 7 + [1] * 2
        assert context.retry_budget.balance == 10

    @pytest.mark.parametrize("outcome", [refusal(500), RESET, refusal(503, "QpsLimitExceeded")])
    def test_has_what_was_paid_for_a_retry_given_back_when_it_succeeds(self, machine, outcome):
        context = machine.context()
        full = context.retry_budget.balance
        for _ in range(40):  # the last of them could not be paid for otherwise
            played = machine.play(get_vectors(context, ["a"]), [outcome, GOOD])
            assert played.error is None
            assert context.retry_budget.balance == full

    def test_has_the_last_retry_given_back_and_not_those_that_failed(self, machine):
        context = machine.context()
        full = context.retry_budget.balance
        machine.play(get_vectors(context, ["a"]), [refusal(500)] * 2 + [GOOD])
        assert context.retry_budget.balance == full - 14

    def test_has_one_given_back_for_a_call_that_needs_no_retry(self, machine):
        context = machine.context()
        full = context.retry_budget.balance
        machine.play(get_vectors(context, ["a"]), [refusal(500)] * 3)
        for number in range(3):
            assert context.retry_budget.balance == full - 28 + number
            machine.play(get_vectors(context, ["a"]), [GOOD])

    def test_pays_for_no_attempt_that_is_not_made(self, machine):
        context = machine.context(retry=2)
        full = context.retry_budget.balance
        machine.play(get_vectors(context, ["a"]), [refusal(500)] * 2)
        assert context.retry_budget.balance == full - 14
        machine.takes = 30.0
        machine.play(get_vectors(context, ["a"]), [refusal(500)])
        assert context.retry_budget.balance == full - 14
