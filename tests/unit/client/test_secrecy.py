"""No text of ours holds a secret, and what holds one refuses to be pickled or copied."""

import copy
import pickle
import traceback

import pytest

from oss_vector_retriever import AsyncOSSVectorClient, Credentials, OSSVectorClient
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.operations.vectors import get_vectors
from oss_vector_retriever.client.steps import Fault, FaultKind, Send

pytestmark = pytest.mark.promise("R5")

CANARIES = ("LTAI5tCANARYID", "CANARYsecretCANARYsecret", "CAISCANARYtoken")
CREDENTIALS = Credentials(*CANARIES)
SETTINGS = {"bucket": "examplebucket", "account_id": "1", "region": "cn-hangzhou", "index": "i"}


def clean(text):
    return not any(canary in text for canary in CANARIES)


def everything_said_of(value, depth=6):
    """Return the repr and str of a value, of its attributes, and of theirs."""
    texts = [repr(value), str(value), f"{value}"]
    names = [*getattr(value, "__dict__", {}), *getattr(type(value), "__slots__", ())]
    if depth and not isinstance(value, Credentials | str | bytes | type):
        for name in names:
            texts.extend(everything_said_of(getattr(value, name, None), depth - 1))
    return texts


@pytest.fixture(params=[OSSVectorClient, AsyncOSSVectorClient])
def client(request):
    return request.param(**SETTINGS, credentials=CREDENTIALS, proxy="http://u:CANARYproxy@h:1")


def test_the_repr_of_credentials_shows_nothing():
    assert repr(CREDENTIALS) == str(CREDENTIALS) == f"{CREDENTIALS}" == "Credentials(***)"
    assert "***" in f"{[CREDENTIALS]} { ({'c': CREDENTIALS}) }"


def test_nothing_reachable_from_a_client_shows_a_secret(client):
    config = client.config
    for value in (client, config, client._context, vars(client._context), config.credentials):
        for text in everything_said_of(value):
            assert clean(text)
    assert "CANARYproxy" not in repr(client) + repr(config) + repr(client._context)


def test_the_source_that_reads_the_environment_does_not_show_it(monkeypatch):
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", CANARIES[1])
    client = OSSVectorClient(**SETTINGS)
    assert all(clean(text) for text in everything_said_of(client._context))
    assert clean(repr(vars(client.config.credentials)))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_credentials_are_neither_pickled_nor_copied(copied):
    with pytest.raises(TypeError, match="not pickled") as refused:
        copied(CREDENTIALS)
    assert clean(str(refused.value))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_configurations_and_contexts_are_not_pickled(client, protocol):
    for value in (client.config, client._context, CREDENTIALS):
        with pytest.raises(TypeError):
            pickle.dumps(value, protocol)


def test_a_request_shows_neither_headers_nor_body(machine):
    context = machine.context(credentials=CREDENTIALS)
    request = next(get_vectors(context, ["a-private-key"])).request
    assert any(CANARIES[2] in value for value in request.headers.values())
    assert clean(repr(request))
    assert clean(repr(Send(request, 1.0, 1024)))
    assert "a-private-key" not in repr(request)


def test_the_secret_itself_never_leaves(machine):
    context = machine.context(credentials=CREDENTIALS)
    request = next(get_vectors(context, ["a"])).request
    assert CANARIES[1] not in str(dict(request.headers)) + request.url + request.body.decode()


HOSTILE = [
    Reply(403, {}, b"<Error><Code>X</Code><Message>{0} {1} {2}</Message></Error>"),
    Reply(403, {"x-oss-request-id": "{1}", "x-oss-ec": "{1}"}, b'{{"Error":{{"Code":"{1}"}}}}'),
    Reply(403, {"content-type": "text/{1}"}, b"<html><title>{0}{1}{2}</title>"),
    Reply(302, {"x-oss-request-id": "{1}", "location": "https://{1}"}, b""),
    Fault(FaultKind.PROTOCOL, "LocalProtocolError"),
]


@pytest.mark.parametrize("outcome", HOSTILE)
def test_a_reply_that_echoes_secrets_puts_none_into_an_error(machine, outcome, caplog):
    caplog.set_level("DEBUG")
    if isinstance(outcome, Reply):
        headers = {name: value.format(*CANARIES) for name, value in outcome.headers.items()}
        body = outcome.body.decode().format(*CANARIES).encode()
        outcome = Reply(outcome.status, headers, body)
    context = machine.context(credentials=CREDENTIALS)
    error = machine.play(get_vectors(context, ["a"]), [outcome]).error
    texts = [*everything_said_of(error), *traceback.format_exception(error), str(vars(error))]
    texts.append(pickle.dumps(error).decode("latin-1"))
    for text in texts:
        assert clean(text)
    if not isinstance(outcome, Fault):
        assert "***" in str(error) or outcome.status == 302


def test_logs_hold_no_secret(machine, caplog):
    caplog.set_level("DEBUG")
    context = machine.context(credentials=CREDENTIALS)
    outcomes = [Fault(FaultKind.CLOSED, "ReadError"), Reply(500), Reply(200, {}, b"{}")]
    machine.play(get_vectors(context, ["a-private-key"]), outcomes)
    assert "GetVectors attempt 3: HTTP 200" in caplog.text
    assert clean(caplog.text)
    assert "a-private-key" not in caplog.text


def test_signing_that_fails_shows_no_secret(machine, monkeypatch):
    def broken(*_):
        raise RuntimeError("signing broke")

    monkeypatch.setattr("oss_vector_retriever.client.signing.authorization", broken)
    context = machine.context(credentials=CREDENTIALS)
    with pytest.raises(RuntimeError) as raised:
        next(get_vectors(context, ["a"]))
    assert clean("".join(traceback.format_exception(raised.value)))
