"""What an operator sees: warnings, lines of the log, attempts in an error's text, and counters."""

import json
import logging
import pickle
import threading
from dataclasses import FrozenInstanceError
from datetime import timedelta
from email.utils import format_datetime

import pytest

from oss_vector_retriever import (
    ClientStats,
    ConfigurationError,
    FinishedCall,
    OSSVectorClient,
    RetryPolicy,
)
from oss_vector_retriever.client.context import Counters
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.operations.buckets import get_vector_bucket
from oss_vector_retriever.client.operations.vectors import get_vectors, put_vectors
from oss_vector_retriever.client.steps import Fault, FaultKind
from oss_vector_retriever.client.writes import upsert

LOGGER = "oss_vector_retriever"


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.DEBUG, LOGGER)
    return caplog


def lines(log, level):
    return [r.getMessage() for r in log.records if r.name == LOGGER and r.levelno == level]


class TestAWarning:
    def test_comes_once_a_minute_for_each_topic(self, machine, log):
        context = machine.context()
        for topic in ("a", "a", "b"):
            context.warn_once_a_minute(topic, "%s is slow", topic)
        machine.passes(59.0)
        context.warn_once_a_minute("a", "a is slow")
        machine.passes(1.0)
        context.warn_once_a_minute("a", "a is slow again")
        assert lines(log, logging.WARNING) == ["a is slow", "b is slow", "a is slow again"]

    def test_is_shared_by_the_clients_made_with_options_and_by_no_other(self, machine, log):
        context = machine.context()
        context.warn_once_a_minute("a", "one")
        context.with_options(timeout=3.0).warn_once_a_minute("a", "two")
        context.with_options(credentials=("b", "c")).warn_once_a_minute("a", "three")
        machine.context().warn_once_a_minute("a", "another client's")
        assert lines(log, logging.WARNING) == ["one", "another client's"]

    def test_of_long_ago_is_not_kept(self, machine):
        context = machine.context()
        for number in range(100):
            context.warn_once_a_minute(f"index {number}", "gone")
            machine.passes(30.0)
        assert len(context.notices._warned) <= 3

    def test_is_a_childs_own_after_a_fork(self, machine, log):
        context = machine.context()
        context.warn_once_a_minute("a", "the parent's")
        context.notices.renew_after_fork()
        context.warn_once_a_minute("a", "the child's")
        assert lines(log, logging.WARNING) == ["the parent's", "the child's"]


GOOD = Reply(200, {"x-oss-request-id": "6A1F00C0FFEE"}, b'{"vectors":[{"key":"a"}]}')
SLOW = Reply(503, {}, b'{"Error":{"Code":"QpsLimitExceeded","Message":"too fast"}}')
FAILED = Reply(500, {}, b'{"Error":{"Code":"InternalError","Message":"text of the service"}}')
RESET = Fault(FaultKind.CLOSED, "ReadError")
BODY = len(b'{"indexName":"vectorindex1","keys":["a"],"returnData":false,"returnMetadata":false}')
CANARIES = ("LTAIcanaryid", "canarysecret", "canarytoken")


class TestALineForEachAttempt:
    """Whole lines are compared: nothing could be added to them unseen."""

    @pytest.mark.parametrize(
        ("outcome", "said"),
        [
            (
                GOOD,
                (
                    f"HTTP 200, index 'vectorindex1', 1 keys, {BODY} bytes sent, 25 received, "
                    "0.250 s, retry budget 500, request id 6A1F00C0FFEE"
                ),
            ),
            (
                FAILED,
                (
                    f"HTTP 500 InternalError, index 'vectorindex1', 1 keys, {BODY} bytes sent, 66 "
                    "received, 0.250 s, retry budget 500"
                ),
            ),
            (
                Reply(200, {}, b"not JSON"),
                (
                    f"HTTP 200 ResponseError, index 'vectorindex1', 1 keys, {BODY} bytes sent, 8 "
                    "received, 0.250 s, retry budget 500"
                ),
            ),
            (
                RESET,
                (
                    f"closed (ReadError), index 'vectorindex1', 1 keys, {BODY} bytes sent, "
                    "0.250 s, retry budget 500"
                ),
            ),
        ],
    )
    def test_names_what_an_operator_needs_and_nothing_else(self, machine, log, outcome, said):
        machine.takes = 0.25
        machine.play(get_vectors(machine.context(retry=1), ["a"]), [outcome])
        assert lines(log, logging.DEBUG) == [f"GetVectors attempt 1: {said}"]

    def test_leaves_out_what_there_is_not(self, machine, log):
        machine.play(get_vector_bucket(machine.context()), [Reply(404)])
        assert lines(log, logging.DEBUG) == [
            (
                "GetVectorBucket attempt 1: HTTP 404 BadErrorResponse, 0 bytes sent, 0 received, "
                "0.000 s, retry budget 500"
            )
        ]

    def test_counts_attempts_and_shows_what_is_left_of_the_budget(self, machine, log):
        machine.play(get_vectors(machine.context(), ["a"]), [FAILED, RESET, GOOD])
        shown = [(text.split(":")[0], "retry budget" in text) for text in lines(log, logging.DEBUG)]
        assert shown == [(f"GetVectors attempt {n}", True) for n in (1, 2, 3)]
        left = [text.partition("budget ")[2].split(",")[0] for text in lines(log, logging.DEBUG)]
        assert left == ["500", "486", "472"]

    @pytest.mark.parametrize("canary", CANARIES)
    @pytest.mark.parametrize("status", [200, 403, 503])
    def test_shows_no_secret_that_a_peer_echoes(self, machine, log, canary, status):
        error = {"Error": {"Code": canary, "Message": canary, "RequestId": canary, "EC": canary}}
        reply = Reply(status, {"x-oss-request-id": canary}, json.dumps(error).encode())
        context = machine.context(credentials=CANARIES, retry=2)
        machine.play(get_vectors(context, ["a"]), [reply, reply])
        assert lines(log, logging.DEBUG)
        assert not any(one in log.text for one in CANARIES)

    @pytest.mark.parametrize("code", ["text of a record", "x" * 65, "a\nb", "\x1b[31m", "", "<b>"])
    def test_shows_no_code_that_is_none(self, machine, log, code):
        reply = Reply(400, {"x-oss-request-id": code}, json.dumps({"Code": code}).encode())
        machine.play(get_vectors(machine.context(), ["a"]), [reply])
        (line,) = lines(log, logging.DEBUG)
        assert line.startswith("GetVectors attempt 1: HTTP 400 ")
        assert code == "" or code not in line

    def test_is_not_written_where_nobody_reads_it(self, machine, caplog):
        caplog.set_level(logging.INFO, LOGGER)
        machine.play(get_vectors(machine.context(), ["a"]), [GOOD])
        assert caplog.records == []


class TestALineForEachRetry:
    def test_names_what_failed_and_the_pause(self, machine, log):
        machine.dice = 0.0
        machine.play(get_vectors(machine.context(), ["a"]), [FAILED, RESET, GOOD])
        assert lines(log, logging.INFO) == [
            (
                "GetVectors on index 'vectorindex1': attempt 1 failed with InternalError; the next "
                "in 0.2 s"
            ),
            "GetVectors on index 'vectorindex1': attempt 2 failed with closed; the next in 1.8 s",
        ]

    def test_is_written_of_what_the_policy_does_not_count_too(self, machine, log):
        date = {"date": format_datetime(machine.wall + timedelta(hours=1), usegmt=True)}
        skewed = Reply(403, date, b'{"Error":{"Code":"RequestTimeTooSkewed"}}')
        dead = Fault(FaultKind.CLOSED, "ReadError", reused=True)
        machine.play(get_vector_bucket(machine.context()), [skewed, dead, Reply(404)])
        assert [text.partition("failed with ")[2] for text in lines(log, logging.INFO)] == [
            "RequestTimeTooSkewed; the next in 0 s",
            "closed; the next in 0 s",
        ]

    def test_is_not_written_where_there_is_no_retry(self, machine, log):
        machine.play(get_vectors(machine.context(retry=1), ["a"]), [FAILED])
        machine.play(get_vectors(machine.context(), ["a"]), [Reply(403)])
        assert lines(log, logging.INFO) == []


class TestThrottling:
    def test_is_warned_of_once_a_minute_whatever_is_throttled(self, machine, log):
        context = machine.context()
        for _ in range(3):
            machine.play(get_vectors(context, ["a"]), [SLOW, SLOW, GOOD])
            machine.play(get_vector_bucket(context.with_options(timeout=20.0)), [SLOW, Reply(404)])
        assert machine.seconds - 1000.0 < 60
        assert lines(log, logging.WARNING) == [
            (
                "the service throttles this client: GetVectors on index 'vectorindex1' failed with "
                "QpsLimitExceeded; it sends as fast as the service bears now, and rate_limit= and "
                "max_concurrency= of the client send less at once"
            )
        ]
        machine.passes(60.0)
        machine.play(get_vectors(context, ["a"]), [SLOW, GOOD])
        assert len(lines(log, logging.WARNING)) == 2

    def test_is_warned_of_where_no_retry_is_wanted_too(self, machine, log):
        machine.play(get_vectors(machine.context(retry=1), ["a"]), [SLOW])
        assert len(lines(log, logging.WARNING)) == 1

    def test_is_not_said_of_other_failures(self, machine, log):
        machine.play(get_vectors(machine.context(), ["a"]), [FAILED, RESET, GOOD])
        assert lines(log, logging.WARNING) == []


class TestTheTextOfAnError:
    @pytest.mark.parametrize("outcome", [FAILED, RESET, Reply(200, {}, b"<html>")])
    def test_tells_attempts_and_time_where_there_were_several(self, machine, outcome):
        machine.takes, machine.dice = 0.1, 0.0
        error = machine.play(get_vectors(machine.context(), ["a"]), lambda _: outcome).error
        # three attempts of 0.1 s; the last begins 2 s after the first failed
        assert str(error).endswith(" (3 attempts in 2.2 s)")
        assert error.render().endswith(" (3 attempts in 2.2 s)")

    def test_tells_short_times_to_the_hundredth(self, machine):
        machine.takes = 0.025
        context = machine.context(retry=RetryPolicy(attempts=2, transient_base=0.0, patience=0.0))
        error = machine.play(get_vectors(context, ["a"]), lambda _: FAILED).error
        assert str(error).endswith(" (2 attempts in 0.05 s)")

    @pytest.mark.parametrize("outcome", [FAILED, RESET, SLOW])
    def test_tells_nothing_of_one_attempt(self, machine, outcome):
        error = machine.play(get_vectors(machine.context(retry=1), ["a"]), [outcome]).error
        assert "attempts" not in str(error)

    def test_tells_them_once_where_a_deadline_passed(self, machine):
        late = Fault(FaultKind.DEADLINE, "ReadTimeout")
        error = machine.play(get_vectors(machine.context(), ["a"]), [FAILED, late]).error
        assert str(error).count("attempts") == 1

    def test_tells_them_of_each_call_of_a_write(self, machine):
        vectors = [{"key": "a", "data": [1.0]}]
        error = machine.play(upsert(machine.context(), vectors), lambda _: FAILED).error
        assert "(6 attempts in " in str(error)


class TestCounters:
    def test_add_up_what_the_calls_did(self, machine):
        machine.takes, machine.dice = 0.5, 0.0
        context = machine.context()
        machine.play(get_vectors(context, ["a", "b", "c"]), [SLOW, FAILED, GOOD])
        machine.play(get_vectors(context.with_options(retry=1), ["a"]), [RESET])
        put = [{"key": key, "data": [1.0]} for key in "ab"]
        sent = machine.play(put_vectors(context, put), [Reply(200)]).requests
        stats = context.counters.stats()
        assert (stats.calls, stats.failed, stats.attempts, stats.retries) == (3, 1, 5, 2)
        assert (stats.refusals, stats.missing, stats.shared, stats.decoder) == (1, 2, 0, "pure")
        gets = stats.operations["GetVectors"]
        assert (gets.calls, gets.failed, gets.attempts, gets.retries) == (2, 1, 4, 2)
        assert (
            gets.bytes_received == stats.bytes_received == len(SLOW.body + FAILED.body + GOOD.body)
        )
        puts = stats.operations["PutVectors"]
        assert (puts.calls, puts.failed, puts.missing) == (1, 0, 0)
        assert puts.bytes_sent == len(sent[0].body)
        assert stats.bytes_sent == gets.bytes_sent + puts.bytes_sent
        # 5 exchanges, a pause of 0.2 s, and most of a turn at half of what was sent
        assert stats.seconds == pytest.approx(5 * 0.5 + 0.2 + 0.9 / 1)

    def test_count_a_key_that_is_asked_for_twice_once(self, machine):
        context = machine.context()
        machine.play(get_vectors(context, ["a", "a", "b", "b"]), [GOOD])
        assert context.counters.stats().missing == 1
        # the service may answer it as often as it is asked for
        twice = Reply(200, {}, b'{"vectors":[{"key":"a"},{"key":"a"}]}')
        machine.play(get_vectors(context, ["a", "a", "b", "b"]), [twice])
        assert context.counters.stats().missing == 2

    def test_begin_at_zero(self, machine):
        assert machine.context().counters.stats() == ClientStats()

    def test_are_a_value_of_their_moment(self, machine):
        context = machine.context()
        before = context.counters.stats()
        machine.play(get_vectors(context, ["a"]), [GOOD])
        after = context.counters.stats()
        assert (before.calls, after.calls) == (0, 1)
        with pytest.raises(FrozenInstanceError):
            after.calls = 5
        assert pickle.loads(pickle.dumps(after)) == after

    def test_count_what_ended_before_its_first_attempt(self, machine):
        context = machine.context(credentials=lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            machine.play(get_vectors(context, ["a"]), [])
        stats = context.counters.stats()
        assert (stats.calls, stats.failed, stats.attempts, stats.retries) == (1, 1, 0, 0)

    def test_leave_out_a_flow_that_is_dropped(self, machine):
        context = machine.context()
        flow = get_vectors(context, ["a"])
        next(flow)
        flow.close()
        assert context.counters.stats().calls == 0

    def test_lose_no_call_of_threads(self):
        counters = Counters()

        def count():
            for _ in range(2000):
                counters.count("GetVectors", False, 2, 1, 0, 1, 1, 1, 0.5)
                counters.count_shared()

        threads = [threading.Thread(target=count) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = counters.stats()
        assert (stats.calls, stats.attempts, stats.retries) == (16_000, 32_000, 16_000)
        assert (stats.shared, stats.missing, stats.seconds) == (16_000, 16_000, 8_000.0)


class TestTheHook:
    @pytest.fixture
    def told(self):
        return []

    def test_is_told_of_each_call_when_it_has_ended(self, machine, told):
        machine.takes = 0.25
        context = machine.context(on_call=told.append)
        sent = machine.play(get_vectors(context, ["a", "b"]), [SLOW, GOOD]).requests
        machine.passes(1.0)  # or the next would wait for its turn
        machine.play(get_vector_bucket(context.with_options(retry=1)), [RESET])
        assert told == [
            FinishedCall(
                operation="GetVectors",
                index="vectorindex1",
                error=None,
                attempts=2,
                refusals=1,
                keys=2,
                missing=1,
                bytes_sent=2 * len(sent[0].body),
                bytes_received=len(SLOW.body + GOOD.body),
                seconds=pytest.approx(0.5 + 0.9 / 2),
            ),
            FinishedCall(
                operation="GetVectorBucket",
                index=None,
                error="closed",
                attempts=1,
                refusals=0,
                keys=0,
                missing=0,
                bytes_sent=0,
                bytes_received=0,
                seconds=0.25,
            ),
        ]

    @pytest.mark.parametrize(
        ("outcome", "error"),
        [
            (FAILED, "InternalError"),
            (SLOW, "QpsLimitExceeded"),
            (RESET, "closed"),
            (Fault(FaultKind.DEADLINE, "ReadTimeout"), "deadline"),
            (Reply(200, {}, b"[]"), "ResponseError"),
            (Reply(403, {}, b'{"Error":{"Code":"text of a record"}}'), "ServiceError"),
        ],
    )
    def test_is_told_the_error_in_one_word(self, machine, told, outcome, error):
        context = machine.context(on_call=told.append, retry=1)
        machine.play(get_vectors(context, ["a"]), [outcome])
        assert [call.error for call in told] == [error]

    @pytest.mark.parametrize("outcome", [GOOD, FAILED])
    def test_harms_no_call_whatever_it_raises(self, machine, log, outcome):
        def broken(_):
            raise RuntimeError("a-secret-text")

        context = machine.context(on_call=broken, retry=1)
        for _ in range(3):
            played = machine.play(get_vectors(context, ["a"]), [outcome])
            assert (played.error is None) is (outcome is GOOD)
        assert lines(log, logging.WARNING) == [
            "on_call= raised RuntimeError, and is told of the next calls all the same"
        ]
        assert "a-secret-text" not in log.text
        assert context.counters.stats().calls == 3

    def test_that_holds_calls_up_is_warned_of(self, machine, log):
        context = machine.context(on_call=lambda _: machine.passes(0.3))
        machine.play(get_vectors(context, ["a"]), [GOOD])
        machine.play(get_vectors(context, ["a"]), [GOOD])
        assert lines(log, logging.WARNING) == [
            "on_call= took 0.30 s, and calls wait for it: have a thread do what takes long"
        ]

    @pytest.mark.parametrize("value", [5, "print", [print]])
    def test_that_is_no_function_is_refused(self, machine, value):
        with pytest.raises(ConfigurationError, match="on_call takes a plain function"):
            machine.config(on_call=value)

    def test_that_would_have_to_be_awaited_is_refused(self, machine):
        async def hook(_): ...

        with pytest.raises(ConfigurationError, match="on_call takes a plain function"):
            machine.config(on_call=hook)

    def test_is_kept_by_with_options_unless_another_is_given(self, machine, told):
        context = machine.context(on_call=told.append)
        assert context.with_options(timeout=5.0).config.on_call == told.append
        assert context.with_options(on_call=print).config.on_call is print

    def test_does_not_travel_and_is_named_as_what_was_left_behind(self):
        client = OSSVectorClient(bucket="bucket", account_id="1", region="r", on_call=print)
        assert client.settings.omitted == ("on_call",)
        again = pickle.loads(pickle.dumps(client))
        assert again.config.on_call is None
        assert again.settings.omitted == ("on_call",)
        assert "print" not in repr(client.config)
