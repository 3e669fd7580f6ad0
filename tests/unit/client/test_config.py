"""Settings: from arguments, else from the environment; each wrong one named before any call."""

import math

import pytest

from oss_vector_retriever import ConfigurationError, InvalidRequestError, Limits, RetryPolicy
from oss_vector_retriever.client.config import VARIABLES, replace_options, resolve_config

GIVEN = {"bucket": "examplebucket", "account_id": "123456", "region": "cn-hangzhou"}
FOUND = {
    "OSS_VECTORS_BUCKET": "envbucket",
    "OSS_ACCOUNT_ID": "42",
    "OSS_REGION": "cn-beijing",
    "OSS_VECTORS_INDEX": "envindex",
}


def resolved(environment=None, **options):
    return resolve_config(**{**GIVEN, **options}, environment=environment or {})


def test_the_environment_gives_what_arguments_do_not():
    config = resolve_config(environment=FOUND)
    assert (config.bucket, config.account_id, config.region, config.index) == (
        "envbucket",
        "42",
        "cn-beijing",
        "envindex",
    )
    assert str(config.endpoint) == "https://cn-beijing.oss-vectors.aliyuncs.com"


def test_an_argument_goes_before_the_environment():
    config = resolved(FOUND, index="mine", endpoint="oss.example")
    assert (config.bucket, config.index) == ("examplebucket", "mine")
    assert str(config.endpoint) == "https://oss.example"


def test_the_environments_endpoint_is_checked_like_an_argument():
    assert str(resolved({"OSS_ENDPOINT": "oss.example"}).endpoint) == "https://oss.example"
    with pytest.raises(ConfigurationError, match="not an OSS Vectors host"):
        resolved({"OSS_ENDPOINT": "https://oss-cn-hangzhou.aliyuncs.com"})


@pytest.mark.parametrize("name", ["bucket", "account_id", "region"])
@pytest.mark.parametrize("environment", [{}, dict.fromkeys(VARIABLES.values(), "")])
def test_a_missing_setting_names_its_argument_and_its_variable(name, environment):
    with pytest.raises(ConfigurationError) as refused:
        resolve_config(**{**GIVEN, name: None}, environment=environment)
    assert f"pass {name}= or set the environment variable {VARIABLES[name]}" in str(refused.value)


def test_all_missing_settings_are_named_at_once():
    with pytest.raises(ConfigurationError) as refused:
        resolve_config(environment={})
    assert all(VARIABLES[name] in str(refused.value) for name in GIVEN)


def test_a_missing_index_is_named_when_it_is_needed():
    config = resolved()
    with pytest.raises(ConfigurationError) as refused:
        config.index_or(None)
    assert "pass index= or set the environment variable OSS_VECTORS_INDEX" in str(refused.value)
    assert config.index_or("other") == "other"
    assert resolved(index="mine").index_or(None) == "mine"


def test_a_missing_bucket_is_named_when_it_is_needed():
    config = resolve_config(
        account_id="1", region="cn-hangzhou", environment={}, bucket_required=False
    )
    with pytest.raises(ConfigurationError, match=r"pass bucket= or set .* OSS_VECTORS_BUCKET"):
        config.bucket_or_raise()


EVERYWHERE = [
    "",
    " ",
    "b@evil.com/",
    "evil.com/",
    "a/b",
    "a\\b",
    "a?b",
    "a#b",
    "a%2eb",
    "..",
    "a..b",
    "abc\r\nHost: evil.example",
    "abc\n",
    "abc\x00",
    "a b c",
    "b\N{LATIN SMALL LETTER U WITH DIAERESIS}cket",
    "\N{FULLWIDTH LATIN SMALL LETTER A}bc",
    "a_b_c",
    42,
    b"abc",
    ["abc"],
    "a" * 5000,
]


@pytest.mark.parametrize("bucket", [*EVERYWHERE, "ab", "Abc", "-abc", "abc-", "a.b.c", "a" * 33])
def test_a_bucket_that_is_none_is_refused(bucket):
    with pytest.raises(ConfigurationError, match="name of a vector bucket"):
        resolved(bucket=bucket)


@pytest.mark.parametrize("account_id", [*EVERYWHERE, "12a", "-1", "\N{ARABIC-INDIC DIGIT ONE}2"])
def test_an_account_that_is_none_is_refused(account_id):
    with pytest.raises(ConfigurationError, match="account_id"):
        resolved(account_id=account_id)


@pytest.mark.parametrize("region", [*EVERYWHERE, "CN-hangzhou", "-cn", "cn-", "cn.hangzhou"])
def test_a_region_that_is_none_is_refused(region):
    with pytest.raises(ConfigurationError, match="region"):
        resolved(region=region)


def test_a_region_in_the_words_of_plain_oss_is_refused_with_the_right_one():
    with pytest.raises(ConfigurationError, match="OSS Vectors wants 'cn-hangzhou'"):
        resolved(region="oss-cn-hangzhou")
    with pytest.raises(ConfigurationError, match="internal=True"):
        resolved(region="cn-hangzhou-internal")


@pytest.mark.parametrize("index", [*EVERYWHERE, "my-index", "1st", "a" * 64])
def test_an_index_that_is_none_is_refused(index):
    with pytest.raises(ConfigurationError, match="index"):
        resolved(index=index)
    with pytest.raises(ConfigurationError, match="index"):
        replace_options(resolved(), index=index)
    with pytest.raises(InvalidRequestError, match="index"):
        resolved().index_or(index)


def test_bad_names_in_the_environment_are_refused_too():
    for variable in ("OSS_VECTORS_BUCKET", "OSS_ACCOUNT_ID", "OSS_REGION", "OSS_VECTORS_INDEX"):
        with pytest.raises(ConfigurationError):
            resolve_config(environment={**FOUND, variable: "b@evil.com/"})


def test_internal_and_an_endpoint_exclude_each_other():
    assert str(resolved(internal=True).endpoint).startswith("https://cn-hangzhou-internal.")
    with pytest.raises(ConfigurationError, match="not both"):
        resolved(internal=True, endpoint="oss.example")


def test_internal_as_an_argument_goes_before_the_environments_endpoint():
    config = resolved({"OSS_ENDPOINT": "oss.example"}, internal=True)
    assert str(config.endpoint) == "https://cn-hangzhou-internal.oss-vectors.aliyuncs.com"


@pytest.mark.parametrize("name", ["timeout", "connect_timeout", "rate_limit"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, -math.inf, True, "5", [], 10**400])
def test_a_number_that_makes_no_sense_is_refused(name, value):
    with pytest.raises(ConfigurationError, match=name):
        resolved(**{name: value})


def test_a_timeout_that_no_lock_can_wait_for_is_refused():
    with pytest.raises(ConfigurationError, match="at most 31536000"):
        resolved(timeout=1e10)


@pytest.mark.parametrize("value", [0, -1, 257, 8.0, True, "8", None, math.nan])
def test_max_concurrency_is_a_whole_number_in_range(value):
    with pytest.raises(ConfigurationError, match=r"max_concurrency must be .* 1 to 256"):
        resolved(max_concurrency=value)


@pytest.mark.parametrize("value", [0, 1023, 1e6, True, None])
def test_max_reply_bytes_is_a_whole_number_in_range(value):
    with pytest.raises(ConfigurationError, match="max_reply_bytes"):
        resolved(max_reply_bytes=value)


@pytest.mark.parametrize("value", [0, -1, True, 2.0, "3", None, {}])
def test_retry_is_a_policy_or_a_number_of_attempts(value):
    with pytest.raises(ConfigurationError, match="retry"):
        resolved(retry=value)


def test_retry_as_a_number_is_the_number_of_attempts():
    assert resolved(retry=5).retry == RetryPolicy(attempts=5)
    assert resolved(retry=RetryPolicy(cap=1.0)).retry.cap == 1.0


@pytest.mark.parametrize("value", [None, {}, 100])
def test_limits_are_limits(value):
    with pytest.raises(ConfigurationError, match="limits must be a Limits"):
        resolved(limits=value)
    assert resolved(limits=Limits(keys_per_get=7)).limits.keys_per_get == 7


@pytest.mark.parametrize("value", ["host", 7, [b"host"], [None]])
def test_additional_headers_are_a_list_of_names(value):
    with pytest.raises(ConfigurationError, match="additional_headers"):
        resolved(additional_headers=value)
    assert resolved(additional_headers=["host"]).additional_headers == ("host",)


class TestOptionsChangedLater:
    def test_are_checked_like_arguments(self):
        config = resolved()
        assert replace_options(config, timeout=1.5, retry=1, bucket="other").retry.attempts == 1
        for wrong in ({"timeout": 0}, {"retry": 0}, {"bucket": "b@evil.com/"}, {"credentials": 5}):
            with pytest.raises(ConfigurationError, match=next(iter(wrong))):
                replace_options(config, **wrong)

    def test_leave_the_rest_as_it_was(self):
        config = resolved(index="mine", timeout=9.0)
        changed = replace_options(config, timeout=1.0)
        assert (changed.index, changed.bucket, changed.timeout) == ("mine", "examplebucket", 1.0)
        assert config.timeout == 9.0
