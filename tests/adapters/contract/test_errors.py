"""What the client refuses or meets comes through as the client's own error."""

import asyncio
import socket

import pytest

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient
from oss_vector_retriever.client.errors import (
    ConfigurationError,
    NoSuchBucketError,
    NoSuchVectorIndexError,
    SignatureDoesNotMatchError,
    TransportError,
)


def test_an_index_that_does_not_exist(get):
    with pytest.raises(NoSuchVectorIndexError) as caught:
        get("a", index="nowhere")
    assert caught.value.request_id


def test_an_illegal_index_name_makes_no_call(get, service):
    with pytest.raises(ValueError, match="index"):
        get("a", index="../other")
    assert service.gets == []


def test_a_bucket_that_does_not_exist(get, client):
    with pytest.raises(NoSuchBucketError):
        get("a", client=client.with_options(bucket="another-bucket"))


def test_a_wrong_secret_is_named_and_not_shown(get, client):
    [known] = [client.config.credentials.resolve()]
    wrong = client.with_options(credentials=(known.access_key_id, "wrongsecretvalue"))
    with pytest.raises(SignatureDoesNotMatchError) as caught:
        get("a", client=wrong)
    assert "wrongsecretvalue" not in f"{caught.value} {caught.value!r}"


def test_nobody_listening(get, http_settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        there = f"http://127.0.0.1:{taken.getsockname()[1]}"
        unheard = {**http_settings, "endpoint": there, "retry": 1}
        with OSSVectorClient(**unheard) as client, pytest.raises(TransportError):
            get("a", client=client)


def test_something_that_is_no_client_is_refused_when_the_retriever_is_made(face):
    with pytest.raises(ValueError, match="OSSVectorClient"):
        face.retriever("https://example.com")


def test_without_a_client_the_environment_is_asked_and_the_error_names_its_variables(
    get, monkeypatch
):
    for name in ("OSS_VECTORS_BUCKET", "OSS_ACCOUNT_ID", "OSS_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError) as caught:
        get("a", client=None)
    for name in ("OSS_VECTORS_BUCKET", "OSS_ACCOUNT_ID", "OSS_REGION"):
        assert name in str(caught.value)


@pytest.mark.usefixtures("http_environment")
def test_without_a_client_the_environment_configures_one(get, put):
    put(["a"])
    [seen] = get("a", client=None)
    assert seen.text == "text of a"


def test_over_http_it_is_all_the_same(get, put, http_client, service):
    put([f"k{n}" for n in range(150)])
    query = "\n".join([*(f"k{n}" for n in range(150)), "gone"])
    assert [one.key for one in get(query, client=http_client)] == [f"k{n}" for n in range(150)]
    assert len(service.gets) == 2


@pytest.mark.parametrize("over_http", [False, True])
def test_an_async_client_serves_blocking_and_async_calls_alike(
    get, put, http_settings, client, over_http
):
    put(["a"])
    given = AsyncOSSVectorClient(**http_settings) if over_http else client.to_async()
    try:
        [seen] = get("a", client=given)
        assert seen.text == "text of a"
    finally:
        asyncio.run(given.close())
