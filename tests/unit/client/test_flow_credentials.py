"""Credentials in a call: asked for when needed, renewed by force once, never guessed."""

from datetime import timedelta

import pytest

from oss_vector_retriever import (
    ConfigurationError,
    Credentials,
    DeadlineExceededError,
    InvalidAccessKeyIdError,
    OSSVectorError,
    SecurityTokenError,
)
from oss_vector_retriever.client.coalesce import PendingFetch, next_call
from oss_vector_retriever.client.credentials import EnvironmentSource
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.operations.vectors import get_vectors
from oss_vector_retriever.client.steps import Begin, Sleep

GOOD = Reply(200, {}, b'{"vectors":[]}')


def refused(code):
    return Reply(403, {}, b'{"Error":{"Code":"%s"}}' % code.encode())


class Vending:
    """A callable that gives new temporary credentials each time it is asked."""

    def __init__(self, lasting=None):
        self.asked = 0
        self.lasting = lasting

    def __call__(self):
        self.asked += 1
        return Credentials(f"id{self.asked}", "secret", f"token{self.asked}", self.lasting)


def tokens(played):
    return [request.headers.get("x-oss-security-token") for request in played.requests]


@pytest.mark.parametrize("code", ["SecurityTokenExpired", "InvalidSecurityToken"])
def test_an_expired_token_is_renewed_by_force_once(machine, code):
    vending = Vending(machine.wall + timedelta(days=1))
    context = machine.context(credentials=vending, retry=1)
    played = machine.play(get_vectors(context, ["a"]), [refused(code), GOOD])
    assert played.error is None
    assert tokens(played) == ["token1", "token2"]
    assert "Credential=id2/" in played.requests[1].headers["authorization"]
    played = machine.play(get_vectors(context, ["a"]), [refused(code), refused(code)])
    assert isinstance(played.error, SecurityTokenError)
    assert tokens(played) == ["token2", "token3"]
    assert vending.asked == 3


def test_static_credentials_that_have_expired_are_not_sent_again(machine):
    context = machine.context(credentials=("id", "secret", "token"))
    played = machine.play(get_vectors(context, ["a"]), [refused("SecurityTokenExpired")])
    assert isinstance(played.error, SecurityTokenError)
    assert played.error.attempts == 1


def test_rotated_variables_are_picked_up_after_a_refusal(machine):
    variables = {"OSS_ACCESS_KEY_ID": "i", "OSS_ACCESS_KEY_SECRET": "s", "OSS_SESSION_TOKEN": "t1"}
    context = machine.context()
    object.__setattr__(context.credentials, "_source", EnvironmentSource(variables))
    flow = get_vectors(context, ["a"])
    next(flow)
    variables["OSS_SESSION_TOKEN"] = "t2"
    again = flow.send(refused("SecurityTokenExpired"))
    assert again.request.headers["x-oss-security-token"] == "t2"


def test_a_chain_of_our_own_is_made_anew_after_a_refusal(machine, monkeypatch):
    numbers = iter("12")

    class Chain:
        def __init__(self):
            self.found = Credentials("id", "secret", f"token{next(numbers)}")

        def get_credential(self):
            return self.found

    monkeypatch.setattr("oss_vector_retriever.client.credentials._default_chain", Chain)
    context = machine.context(credentials="chain")
    flow = get_vectors(context, ["a"])
    played = machine.play(flow, [refused("SecurityTokenExpired"), GOOD])
    assert tokens(played) == ["token1", "token2"]


def test_a_wrong_key_pair_is_final(machine):
    vending = Vending()
    context = machine.context(credentials=vending)
    played = machine.play(get_vectors(context, ["a"]), [refused("InvalidAccessKeyId")])
    assert isinstance(played.error, InvalidAccessKeyIdError)
    assert vending.asked == 1


def test_missing_credentials_are_an_error_before_any_request(machine):
    context = machine.context(credentials=None)
    played = machine.play(get_vectors(context, ["a"]), [])
    assert isinstance(played.error, ConfigurationError)
    assert "OSS_ACCESS_KEY_ID" in str(played.error)
    assert "credentials=" in str(played.error)


def test_an_async_callable_on_a_blocking_client_is_refused_clearly(machine):
    async def vend():
        return "id", "secret"

    played = machine.play(get_vectors(machine.context(credentials=vend), ["a"]), [])
    assert isinstance(played.error, ConfigurationError)
    assert "use AsyncOSSVectorClient" in str(played.error)


def test_what_a_callable_raises_goes_through_as_it_is(machine):
    class VaultSealedError(Exception):
        pass

    def vend():
        raise VaultSealedError

    with pytest.raises(VaultSealedError):
        machine.play(get_vectors(machine.context(credentials=vend), ["a"]), [])


def test_what_a_callable_gives_without_an_end_is_asked_for_at_each_attempt(machine):
    vending = Vending()
    context = machine.context(credentials=vending)
    played = machine.play(get_vectors(context, ["a"]), [Reply(500), GOOD])
    assert tokens(played) == ["token1", "token2"]


def test_an_error_reply_that_echoes_the_secrets_is_cleaned(machine):
    echo = b'{"Error":{"Code":"SignatureDoesNotMatch","Message":"LTAIxyz9 SEKRIT99 TOKEN123 end"}}'
    context = machine.context(credentials=("LTAIxyz9", "SEKRIT99", "TOKEN123"))
    played = machine.play(get_vectors(context, ["a"]), [Reply(403, {}, echo)])
    assert isinstance(played.error, OSSVectorError)
    assert "*** *** *** end" in str(played.error)


class TestASourceThatDoesNotAnswer:
    """The flow is driven by hand, and the callable is never run."""

    def test_ends_a_call_with_its_deadline_and_is_named(self, machine):
        context = machine.context(credentials=Vending(), timeout=3.0)
        flow = get_vectors(context, ["a"])
        assert isinstance(next(flow), Begin)
        assert flow.send(None).seconds == 3.0
        machine.passes(3.0)
        with pytest.raises(DeadlineExceededError) as late:
            flow.send(None)
        assert str(late.value).startswith("GetVectors did not end within 3 s (0 attempts): the ")
        assert "had not answered in time" in str(late.value)
        assert (late.value.attempts, late.value.elapsed, late.value.errors) == (0, 3.0, ())
        assert late.value.__suppress_context__

    def test_ends_a_call_that_was_refused_and_the_refusal_is_told(self, machine):
        vending = Vending(machine.wall + timedelta(days=1))
        flow = get_vectors(machine.context(credentials=vending, timeout=3.0), ["a"])
        next(flow).inquiry.run()
        flow.send(None)
        machine.passes(1.0)
        assert isinstance(flow.send(refused("SecurityTokenExpired")), Begin)
        assert flow.send(None).seconds == 2.0
        machine.passes(2.0)
        with pytest.raises(DeadlineExceededError) as late:
            flow.send(None)
        assert "had not answered in time" in str(late.value)
        assert "The last attempt failed with: SecurityTokenExpired" in str(late.value)
        assert [type(error) for error in late.value.errors] == [SecurityTokenError]
        assert (late.value.attempts, late.value.elapsed) == (1, 3.0)

    def test_is_named_to_each_who_shares_the_call(self, machine):
        context = machine.context(credentials=Vending(), coalesce=True)
        hasty, patient = (
            PendingFetch(context, "i", [key], True, True, context.deadline(seconds))
            for key, seconds in (("a", 2.0), ("b", 20.0))
        )
        flow = next_call([hasty, patient]).serve()
        next(flow)
        assert flow.send(None).seconds == 20.0
        machine.passes(2.0)
        with pytest.raises(DeadlineExceededError, match=r"within 2 s .*had not answered in time"):
            hasty.raise_error()

    def test_is_waited_for_by_all_after_a_pause_too(self, machine):
        context = machine.context(credentials=Vending(), coalesce=True)
        hasty, patient = (
            PendingFetch(context, "i", [key], True, True, context.deadline(seconds))
            for key, seconds in (("a", 2.0), ("b", 20.0))
        )
        call = next_call([hasty, patient])
        flow = call.serve()
        next(flow).inquiry.run()
        flow.send(None)
        assert isinstance(flow.send(Reply(500)), Sleep)
        machine.passes(0.4)
        assert isinstance(flow.send(None), Begin)  # what has no end is asked for each time
        assert flow.send(None).seconds == pytest.approx(19.6)
        assert (call.waiters, hasty.must_ask_alone) == ([hasty, patient], False)


def test_other_credentials_that_are_refused_as_well_are_final_whatever_the_retries(machine):
    context = machine.context(credentials=Vending(machine.wall + timedelta(days=1)), retry=5)
    played = machine.play(get_vectors(context, ["a"]), [refused("SecurityTokenExpired")] * 2)
    assert isinstance(played.error, SecurityTokenError)
    assert (played.error.attempts, len(played.error.errors)) == (2, 1)
    assert context.retry_budget.balance == 500
