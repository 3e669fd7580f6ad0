"""The clients as objects: made, described, twinned and refused, without a single connection."""

import sys

import pytest

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    ConfigurationError,
    InvalidRequestError,
    OSSVectorClient,
    RetryPolicy,
)

SETTINGS = {
    "bucket": "examplebucket",
    "account_id": "123456",
    "region": "cn-hangzhou",
    "index": "vectorindex1",
    "credentials": ("ak", "sk"),
}
BOTH = pytest.mark.parametrize("kind", [OSSVectorClient, AsyncOSSVectorClient])


@BOTH
def test_a_client_says_where_it_goes_in_one_line(kind):
    assert repr(kind(**SETTINGS)) == (
        f"{kind.__name__}(bucket='examplebucket', account_id='123456', region='cn-hangzhou', "
        "index='vectorindex1', endpoint='https://cn-hangzhou.oss-vectors.aliyuncs.com')"
    )


@BOTH
def test_a_client_takes_its_settings_from_the_environment(kind, monkeypatch):
    for name, value in {
        "OSS_VECTORS_BUCKET": "envbucket",
        "OSS_ACCOUNT_ID": "42",
        "OSS_REGION": "cn-beijing",
        "OSS_VECTORS_INDEX": "envindex",
        "OSS_ENDPOINT": "http://127.0.0.1:9000",
    }.items():
        monkeypatch.setenv(name, value)
    config = kind().config
    assert (config.bucket, config.account_id, config.index) == ("envbucket", "42", "envindex")
    assert str(config.endpoint) == "http://127.0.0.1:9000"


@BOTH
@pytest.mark.parametrize(
    "wrong",
    [
        {"bucket": "b@evil.com/"},
        {"account_id": "1/2"},
        {"region": "cn-hangzhou\r\n"},
        {"index": "my-index"},
        {"endpoint": "http://oss.example"},
        {"credentials": ("ak", "sk\n")},
        {"timeout": float("nan")},
        {"max_concurrency": 0},
        {"retry": True},
        {"rate_limit": 0},
    ],
)
def test_a_wrong_setting_is_refused_when_the_client_is_made(kind, wrong):
    with pytest.raises(ConfigurationError):
        kind(**{**SETTINGS, **wrong})


@BOTH
def test_an_unknown_setting_is_refused(kind):
    with pytest.raises(TypeError, match="buckets"):
        kind(**SETTINGS, buckets="x")


@BOTH
def test_only_keywords_are_taken(kind):
    with pytest.raises(TypeError, match="positional"):
        kind("examplebucket")


@BOTH
def test_with_options_shares_what_protects_the_service(kind):
    client = kind(**SETTINGS, timeout=9.0)
    other = client.with_options(timeout=1.0, index="other", retry=RetryPolicy(attempts=1))
    assert (other.config.timeout, other.config.index, other.config.retry.attempts) == (
        1.0,
        "other",
        1,
    )
    assert client.config.timeout == 9.0
    for shared in ("clock", "retry_budget", "rate_limiters", "credentials"):
        assert getattr(other._context, shared) is getattr(client._context, shared)
    assert other._runner is client._runner
    again = other.with_options(credentials=("other", "key"))
    assert again._context.credentials is not client._context.credentials
    assert again._context.retry_budget is client._context.retry_budget


@BOTH
def test_with_options_refuses_what_it_cannot_change(kind):
    client = kind(**SETTINGS)
    with pytest.raises(TypeError, match=rf"{kind.__name__}.with_options\(\) got .* 'region'"):
        client.with_options(region="cn-beijing")
    with pytest.raises(ConfigurationError, match="timeout"):
        client.with_options(timeout=0)


def test_twins_share_settings_and_protection():
    sync = OSSVectorClient(**SETTINGS)
    twin = sync.to_async()
    assert isinstance(twin, AsyncOSSVectorClient)
    assert twin.config is sync.config
    assert twin.to_sync().config is sync.config
    assert twin._context.retry_budget is sync._context.retry_budget


def test_arguments_are_refused_before_anything_is_sent():
    with OSSVectorClient(**SETTINGS) as client:
        with pytest.raises(InvalidRequestError):
            client.fetch("not-a-list")
        with pytest.raises(InvalidRequestError):
            client.get_vectors([])
        assert len(client.fetch([])) == 0


async def test_the_async_client_refuses_the_same_when_awaited():
    async with AsyncOSSVectorClient(**SETTINGS) as client:
        coroutine = client.fetch("not-a-list")
        with pytest.raises(InvalidRequestError):
            await coroutine
        assert len(await client.fetch([])) == 0


def test_closing_twice_is_fine():
    client = OSSVectorClient(**SETTINGS)
    client.close()
    client.close()


async def test_closing_an_async_client_twice_is_fine():
    client = AsyncOSSVectorClient(**SETTINGS)
    await client.close()
    await client.close()


@BOTH
def test_without_the_embedded_service_the_extra_is_named(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "oss_vector_retriever.emulator", None)
    with pytest.raises(ConfigurationError, match=r'"oss-vector-retriever\[emulator\]"'):
        kind.local()
