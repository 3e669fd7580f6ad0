"""Retrievers and fetchers as text and back: settings, and never a secret."""

import json
import pickle

import pytest
from blockbuster import blockbuster_ctx
from langchain_core.load import dumpd, dumps
from langchain_core.retrievers import BaseRetriever
from pydantic import ValidationError

from oss_vector_retriever import ConfigurationError
from oss_vector_retriever.langchain import (
    OSSVectorFetcher,
    OSSVectorRehydrator,
    OSSVectorRetriever,
    ParentHydratingRetriever,
    load_retriever,
)

SECRETS = {"OSS_ACCESS_KEY_ID": "LTAIverysecretid", "OSS_ACCESS_KEY_SECRET": "verysecretvalue"}
PLACE = {"bucket": "examplebucket", "account_id": "123456", "region": "cn-hangzhou"}
GIVEN = {
    **PLACE,
    "access_key_id": SECRETS["OSS_ACCESS_KEY_ID"],
    "access_key_secret": SECRETS["OSS_ACCESS_KEY_SECRET"],
}
KINDS = [OSSVectorRetriever, OSSVectorFetcher, OSSVectorRehydrator]


def check(*texts):
    for text in map(str, texts):
        assert not [secret for secret in SECRETS.values() if secret in text]


@pytest.mark.parametrize("kind", KINDS)
def test_a_round_trip_keeps_every_setting_and_names_the_secrets(kind):
    made = kind(**GIVEN, index="other", text_key="body", on_missing="raise")
    text = dumps(made)
    check(text, repr(made), made.model_dump(), made.model_dump_json())
    assert json.loads(text)["kwargs"]["access_key_secret"]["id"] == ["OSS_ACCESS_KEY_SECRET"]
    again = load_retriever(text, secrets=SECRETS)
    assert type(again) is kind
    assert again == made
    assert load_retriever(dumpd(made), secrets=SECRETS) == made


@pytest.mark.parametrize("kind", KINDS)
def test_settings_alone_need_no_secret(kind):
    made = kind(**PLACE)
    assert load_retriever(dumps(made)) == made


def test_secrets_come_from_the_environment_only_where_asked(monkeypatch):
    text = dumps(OSSVectorRetriever(**GIVEN))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    assert load_retriever(text).access_key_secret is None
    loaded = load_retriever(text, secrets_from_env=True)
    assert loaded.access_key_secret.get_secret_value() == SECRETS["OSS_ACCESS_KEY_SECRET"]


def test_what_it_wraps_comes_back_with_it():
    made = ParentHydratingRetriever(retriever=OSSVectorRetriever(**PLACE), **PLACE, index="parents")
    again = load_retriever(dumps(made))
    assert again == made
    assert isinstance(again.retriever, OSSVectorRetriever)


class Foreign(BaseRetriever):
    @classmethod
    def is_lc_serializable(cls):
        return True

    def _get_relevant_documents(self, query, *, run_manager):  # noqa: ARG002
        return []


def test_a_class_that_was_not_allowed_is_not_made():
    text = dumps(ParentHydratingRetriever(retriever=Foreign(), **PLACE))
    with pytest.raises(ValueError, match="is not allowed"):
        load_retriever(text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_or_a_function_that_was_given_cannot_be_serialised(kind, client):
    assert dumpd(kind(client=client))["type"] == "not_implemented"
    assert dumpd(OSSVectorRetriever(key_parser=str.split))["type"] == "not_implemented"


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_leaves_secrets_behind_and_asks_for_them(kind):
    pickled = pickle.dumps(kind(**GIVEN))
    check(pickled.decode("latin-1"))
    again = pickle.loads(pickled)
    assert again.access_key_secret is None
    with pytest.raises(ConfigurationError, match="saved without the credentials"):
        again._clients.config.credentials.resolve()
    again = pickle.loads(pickle.dumps(kind(**PLACE)))
    assert again == kind(**PLACE)
    assert again._clients.config.bucket == "examplebucket"


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_and_settings_are_one_too_many(kind, client):
    with pytest.raises(ValidationError, match="either client= or bucket"):
        kind(client=client, bucket="examplebucket")


async def test_settings_make_a_client_that_answers(http_settings, put):
    put(["a"])
    key_id, secret = http_settings.pop("credentials")
    retriever = OSSVectorRetriever(**http_settings, access_key_id=key_id, access_key_secret=secret)
    assert retriever.invoke("a")[0].page_content == "text of a"
    assert (await retriever.ainvoke("a"))[0].page_content == "text of a"
    assert retriever.model_copy(update={"index": "vectors"}).invoke("a")[0].id == "a"


async def test_settings_make_a_client_without_blocking_the_loop(http_settings, put):
    put(["a"])
    key_id, secret = http_settings.pop("credentials")
    given = {**http_settings, "access_key_id": key_id, "access_key_secret": secret}
    with blockbuster_ctx():
        for kind, asked in ((OSSVectorRetriever, "a"), (OSSVectorFetcher, ["a"])):
            assert [document.id for document in await kind(**given).ainvoke(asked)] == ["a"]


def test_settings_assigned_later_are_the_ones_used():
    retriever = OSSVectorRetriever(**GIVEN)
    assert retriever._clients.config.bucket == "examplebucket"
    retriever.bucket = "otherbucket"
    assert retriever._clients.config.bucket == "otherbucket"


def test_a_part_of_the_credentials_is_refused():
    with pytest.raises(ValidationError, match="access_key_secret=, both"):
        OSSVectorRetriever(**PLACE, access_key_secret="x")
