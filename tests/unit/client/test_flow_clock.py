"""A clock that is wrong is corrected once, by the service's own, and by no other reply."""

import logging
from datetime import timedelta
from email.utils import format_datetime

import pytest

from oss_vector_retriever import RequestTimeTooSkewedError
from oss_vector_retriever.client.fetch import fetch
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.operations.indexes import put_vector_index
from oss_vector_retriever.client.operations.vectors import get_vectors
from oss_vector_retriever.client.signing import timestamp

pytestmark = pytest.mark.promise("R11")

GOOD = Reply(200, {}, b'{"vectors":[]}')
HOUR = timedelta(hours=1)
WRONG = [HOUR, -HOUR, timedelta(days=1), timedelta(days=-1), timedelta(days=6)]


class Service:
    """A service whose clock is `ahead` of the machine's and that refuses 15 minutes' skew."""

    def __init__(self, machine, ahead):
        self.machine, self.ahead = machine, ahead

    def __call__(self, request):
        now = self.machine.wall + self.ahead
        signed = request.headers["x-oss-date"]
        window = timedelta(minutes=15)
        if timestamp(now - window) <= signed <= timestamp(now + window):
            return GOOD
        return skewed(format_datetime(now, usegmt=True))


def skewed(date):
    headers = {} if date is None else {"date": date}
    return Reply(403, headers, b'{"Error":{"Code":"RequestTimeTooSkewed"}}')


@pytest.mark.parametrize("ahead", WRONG)
def test_one_extra_request_corrects_the_clock_and_later_calls_need_none(machine, ahead, caplog):
    caplog.set_level(logging.WARNING, "oss_vector_retriever")
    context, service = machine.context(retry=1), Service(machine, ahead)
    played = machine.play(get_vectors(context, ["a"]), service)
    assert played.error is None
    assert (len(played.requests), played.sleeps) == (2, [])
    said = f"the service's clock differs from this machine's by {ahead}; using it"
    assert [record.getMessage() for record in caplog.records] == [said]
    for later in (context, context.with_options(timeout=9.0)):
        assert len(machine.play(get_vectors(later, ["a"]), service).requests) == 1


def test_a_clock_that_changes_back_is_corrected_again(machine):
    context, service = machine.context(), Service(machine, HOUR)
    machine.play(get_vectors(context, ["a"]), service)
    service.ahead = timedelta(0)
    assert len(machine.play(get_vectors(context, ["a"]), service).requests) == 2
    assert context.clock.offset == timedelta(0)


def test_calls_that_are_refused_together_do_not_correct_it_twice(machine):
    context, service = machine.context(), Service(machine, HOUR)
    flows = [get_vectors(context, [key]) for key in "abc"]
    requests = [next(flow).request for flow in flows]
    again = [flow.send(service(request)) for flow, request in zip(flows, requests, strict=True)]
    assert context.clock.offset == HOUR
    for flow, step in zip(flows, again, strict=True):
        with pytest.raises(StopIteration):
            flow.send(service(step.request))


def test_a_fetch_of_many_batches_under_a_wrong_clock_succeeds(machine):
    keys = [str(number) for number in range(850)]
    played = machine.play(fetch(machine.context(), keys), Service(machine, -HOUR))
    assert played.error is None
    assert len(played.requests) == 9 + 1


def test_a_second_refusal_of_the_same_call_is_final(machine):
    reply = skewed(format_datetime(machine.wall + HOUR, usegmt=True))
    played = machine.play(get_vectors(machine.context(), ["a"]), [reply, reply])
    assert isinstance(played.error, RequestTimeTooSkewedError)
    assert (played.error.attempts, len(played.error.errors)) == (2, 1)


@pytest.mark.parametrize("retry", [1, 3])
def test_a_clock_that_is_refused_after_its_correction_is_not_corrected_again(machine, retry):
    # each reply names another time: it is no use to follow it
    replies = [skewed(format_datetime(machine.wall + n * HOUR, usegmt=True)) for n in (1, 2, 3)]
    context = machine.context(retry=retry)
    played = machine.play(get_vectors(context, ["a"]), replies)
    assert isinstance(played.error, RequestTimeTooSkewedError)
    assert len(played.requests) == 2
    assert context.clock.offset == HOUR


def test_even_a_call_that_must_not_be_repeated_is_dated_anew(machine):
    played = machine.play(
        put_vector_index(machine.context(), dimension=3), Service(machine, timedelta(days=1))
    )
    assert played.error is None
    assert len(played.requests) == 2


def test_the_correction_is_no_attempt_of_the_policys(machine):
    context = machine.context(retry=2)
    failed = Reply(500, {}, b"")
    outcomes = [skewed(format_datetime(machine.wall + HOUR)), failed, GOOD]
    assert machine.play(get_vectors(context, ["a"]), outcomes).error is None


@pytest.mark.parametrize(
    "date",
    [
        None,
        "",
        "yesterday",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Sun, 01 Nov 2099 12:00:00 GMT",
        "Sun, 01 Nov 0001 12:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 01 Jan 10000000000000000000000 00:00:00 GMT",
        "Sun, 01 Nov 2026 99:99:99 GMT",
        "Sun, 01 Nov 2026 12:00:00 +999999999999",
        "\x00" * 100,
    ],
)
def test_a_date_that_cannot_explain_the_refusal_is_not_believed(machine, date):
    context = machine.context()
    played = machine.play(get_vectors(context, ["a"]), [skewed(date)])
    assert isinstance(played.error, RequestTimeTooSkewedError)
    assert played.error.attempts == 1
    assert context.clock.offset == timedelta(0)


@pytest.mark.parametrize("status", [200, 403, 500])
def test_the_date_of_any_other_reply_steers_nothing(machine, status):
    context = machine.context(retry=1)
    date = {"date": format_datetime(machine.wall + HOUR, usegmt=True)}
    machine.play(get_vectors(context, ["a"]), [Reply(status, date, b"{}")])
    assert context.clock.offset == timedelta(0)
