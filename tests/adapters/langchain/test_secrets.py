"""Nothing that describes or copies a retriever carries a credential."""

import copy
import json
import pickle

import pytest
from langchain_core.load import dumpd, dumps
from pydantic import ValidationError
from support.calls import QUICK

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    ConfigurationError,
    Credentials,
    OSSVectorClient,
    TransportError,
)
from oss_vector_retriever.langchain import OSSVectorByteStore, OSSVectorRetriever

SECRETS = ("LTAIverysecretid", "verysecretvalue", "verysecrettoken")
SETTINGS = {
    "bucket": "examplebucket",
    "account_id": "123456",
    "region": "cn-hangzhou",
    "index": "vectorindex1",
    "endpoint": "http://127.0.0.1:9",
    "retry": QUICK,
}


@pytest.fixture(params=[OSSVectorClient, AsyncOSSVectorClient])
def secret_client(request):
    return request.param(credentials=Credentials(*SECRETS), **SETTINGS)


@pytest.fixture
def secretive(secret_client):
    return OSSVectorRetriever(client=secret_client, k=3)


def check(*texts):
    for text in map(str, texts):
        assert not [secret for secret in SECRETS if secret in text]


def test_not_its_text(secretive):
    check(repr(secretive), str(secretive), f"{secretive.__dict__}", vars(secretive._clients))


def test_not_its_dump(secretive):
    assert secretive.model_dump()["k"] == 3
    assert "client" not in secretive.model_dump()
    check(secretive.model_dump(), secretive.model_dump_json())


def test_not_its_langchain_form(secretive):
    check(dumpd(secretive), dumps(secretive), json.dumps(secretive.to_json(), default=repr))
    assert dumpd(secretive)["kwargs"]["client"]["credentials"] == "given"


def test_not_its_graph(secretive):
    chain = secretive | len
    check(repr(chain), dumps(chain), chain.get_graph().to_json())


def test_not_a_pickle_which_asks_for_credentials_at_its_first_call(secretive):
    pickled = pickle.dumps(secretive)
    check(pickled.decode("latin-1"))
    with pytest.raises(ConfigurationError, match="saved without the credentials"):
        pickle.loads(pickled).invoke("a")


def test_not_a_copy_which_shares_the_client(secretive):
    for copied in (copy.copy(secretive), copy.deepcopy(secretive)):
        assert copied.client is secretive.client
        check(repr(copied), f"{copied.__dict__}")


def test_a_retriever_that_the_environment_configures_is_pickled(monkeypatch):
    monkeypatch.setenv("OSS_ACCESS_KEY_ID", SECRETS[0])
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", SECRETS[1])
    retriever = OSSVectorRetriever(index="other", k=2, on_missing="raise")
    again = pickle.loads(pickle.dumps(retriever))
    assert again.model_dump() == retriever.model_dump()
    assert (again.index, again.k, again.on_missing) == ("other", 2, "raise")
    check(pickle.dumps(retriever).decode("latin-1"))


def test_not_the_error_about_a_secret_that_was_given_to_the_wrong_place(secret_client):
    for wrong in ({"access_key_secret": SECRETS[1]}, {"client": SECRETS[1]}, {"k": SECRETS[1]}):
        with pytest.raises(ValidationError) as caught:
            OSSVectorRetriever(**{"client": secret_client, **wrong})
        check(caught.value, repr(caught.value))


def test_not_the_error_of_a_call_that_failed(secretive):
    with pytest.raises(TransportError) as caught:
        secretive.invoke("a")
    check(caught.value, caught.getrepr())


def test_not_userinfo_of_an_endpoint_which_is_refused_at_the_first_call():
    retriever = OSSVectorRetriever(endpoint=f"https://user:{SECRETS[1]}@oss.example.com")
    check(repr(retriever), dumps(retriever))


def test_not_what_debuggers_show_of_a_component_and_its_clients():
    secrets = dict(zip(("access_key_id", "access_key_secret"), SECRETS, strict=False))
    for component in (OSSVectorRetriever(**secrets), OSSVectorByteStore(**secrets)):
        check(repr(component), str(vars(component)), str(vars(component._clients)))
