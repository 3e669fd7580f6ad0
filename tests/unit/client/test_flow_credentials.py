"""Credentials in a call: asked for when needed, renewed by force once, never guessed."""

from datetime import timedelta

import pytest

from oss_vector_retriever import (
    ConfigurationError,
    Credentials,
    InvalidAccessKeyIdError,
    OSSVectorError,
    SecurityTokenError,
)
from oss_vector_retriever.client.credentials import EnvironmentSource
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.operations.vectors import get_vectors

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
