"""Settings: from arguments, else from the environment; each wrong one named before any call."""

import math

import pytest
from support.places import ACCOUNT, ARN, CONTRADICTIONS, PUBLIC, REGIONAL, SHOWN

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    ConfigurationError,
    InvalidRequestError,
    Limits,
    OSSVectorClient,
    RetryPolicy,
)
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


def test_a_region_in_the_words_of_plain_oss_is_its_region():
    assert resolved(region="oss-cn-hangzhou").region == "cn-hangzhou"
    assert resolve_config(environment={**FOUND, "OSS_REGION": "oss-cn-beijing"}).region == (
        "cn-beijing"
    )


@pytest.mark.parametrize("region", ["cn-hangzhou-internal", "oss-cn-hangzhou-internal"])
def test_a_region_with_its_network_is_refused_with_the_right_one(region):
    with pytest.raises(ConfigurationError, match="internal=True"):
        resolved(region=region)


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


@pytest.mark.parametrize("value", ["", "a b\r\nx-oss-acl: public", "a  b", " a", "a ", "a/", "a\n"])
@pytest.mark.parametrize("kind", [str, "a/1 {}".format])
def test_what_is_added_to_the_user_agent_are_products(kind, value):
    with pytest.raises(ConfigurationError, match="user_agent_extra must name products such as"):
        resolved(user_agent_extra=kind(value))


@pytest.mark.parametrize("value", ["a/1/2", "é/1", "(a", 7, b"a", "x" * 257])
def test_and_nothing_else(value):
    with pytest.raises(ConfigurationError, match="user_agent_extra must name products such as"):
        resolved(user_agent_extra=value)


@pytest.mark.parametrize("value", ["my-app", "my-app/1.2", "a/1 b c/2~rc+3", "x" * 256, None])
def test_products_are_added_to_the_user_agent(value):
    assert resolved(user_agent_extra=value).user_agent_extra == value
    assert replace_options(resolved(), user_agent_extra=value).user_agent_extra == value


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


INTERNAL = "https://cn-beijing-internal.oss-vectors.aliyuncs.com"
ELSEWHERE = {**FOUND, "OSS_REGION": "cn-hangzhou"}


def place(config):
    origin, _ = config.endpoint.locate(config.bucket, config.account_id)
    return config.bucket, config.account_id, config.region, config.internal, origin


class TestOneSettingThatSaysAll:
    @pytest.mark.parametrize("rest", [{}, GIVEN, {"internal": True}], ids=["alone", "both", "in"])
    def test_the_bucket_s_own_endpoint(self, rest):
        if rest is GIVEN:
            rest = {"bucket": "my-bucket", "account_id": ACCOUNT, "region": "oss-cn-beijing"}
        config = resolve_config(endpoint=SHOWN, **rest, environment={})
        assert place(config) == ("my-bucket", ACCOUNT, "cn-beijing", True, SHOWN)

    def test_the_arn(self):
        config = resolve_config(bucket=ARN, environment={})
        assert place(config) == ("my-bucket", ACCOUNT, "cn-beijing", False, PUBLIC)
        config = resolve_config(bucket=f"{ARN}/notes", internal=True, environment={})
        assert place(config) == ("my-bucket", ACCOUNT, "cn-beijing", True, SHOWN)
        assert config.index == "notes"

    def test_the_arn_beside_an_address(self):
        for endpoint, origin in {SHOWN: SHOWN, PUBLIC: PUBLIC, REGIONAL: PUBLIC}.items():
            config = resolve_config(bucket=ARN, endpoint=endpoint, environment={})
            assert place(config)[-1] == origin
        config = resolve_config(bucket=ARN, endpoint="http://127.0.0.1:9000", environment={})
        assert place(config)[-1] == "http://127.0.0.1:9000"

    def test_a_variable(self):
        config = resolve_config(environment={"OSS_ENDPOINT": SHOWN})
        assert place(config) == ("my-bucket", ACCOUNT, "cn-beijing", True, SHOWN)
        config = resolve_config(environment={"OSS_VECTORS_BUCKET": ARN, "OSS_ENDPOINT": SHOWN})
        assert place(config) == ("my-bucket", ACCOUNT, "cn-beijing", True, SHOWN)
        config = resolve_config(environment={"OSS_VECTORS_BUCKET": f"{ARN}/notes"})
        assert (*place(config)[:3], config.index) == (
            *("my-bucket", ACCOUNT, "cn-beijing"),
            "notes",
        )

    def test_a_region_s_endpoint_gives_the_region(self):
        config = resolve_config(bucket="abc", account_id="1", endpoint=REGIONAL, environment={})
        assert place(config)[-1] == "https://abc-1.cn-beijing.oss-vectors.aliyuncs.com"

    def test_where_no_bucket_is_needed(self):
        config = resolve_config(endpoint=SHOWN, environment={}, bucket_required=False)
        assert str(config.endpoint) == INTERNAL
        assert (config.account_id, config.bucket) == (ACCOUNT, "my-bucket")

    def test_a_bucket_in_a_host_of_ones_own_stands_there_once(self):
        config = resolved(endpoint="https://examplebucket-123456.oss.example")
        assert place(config)[-1] == "https://examplebucket-123456.oss.example"

    def test_is_named_where_settings_are_missing(self):
        with pytest.raises(ConfigurationError, match="OSS_ENDPOINT: a bucket's own"):
            resolve_config(environment={})


class TestAnArgumentGoesBeforeTheVariablesOfAllThatItNames:
    def test_an_endpoint(self):
        config = resolve_config(endpoint=SHOWN, environment=ELSEWHERE)
        assert place(config) == ("my-bucket", ACCOUNT, "cn-beijing", True, SHOWN)
        assert config.index == "envindex"

    def test_an_arn(self):
        config = resolve_config(bucket=f"{ARN}/notes", environment=ELSEWHERE)
        assert place(config) == ("my-bucket", ACCOUNT, "cn-beijing", False, PUBLIC)
        assert config.index == "notes"

    def test_the_internal_network(self):
        config = resolve_config(internal=True, environment={"OSS_ENDPOINT": PUBLIC})
        assert place(config) == ("my-bucket", ACCOUNT, "cn-beijing", True, SHOWN)
        # plain OSS's own tool reads the same variable
        plain = {**FOUND, "OSS_ENDPOINT": "https://oss-cn-beijing.aliyuncs.com"}
        assert str(resolve_config(internal=True, environment=plain).endpoint) == INTERNAL

    def test_an_index(self):
        found = {"OSS_VECTORS_BUCKET": f"{ARN}/notes", "OSS_VECTORS_INDEX": "notes"}
        assert resolve_config(index="mine", environment=found).index == "mine"

    @pytest.mark.parametrize(
        ("name", "value", "variables"),
        [
            ("bucket", "other", {"OSS_ENDPOINT": SHOWN}),
            ("account_id", "42", {"OSS_ENDPOINT": SHOWN}),
            ("region", "cn-hangzhou", {"OSS_ENDPOINT": SHOWN}),
            ("region", "cn-hangzhou", {"OSS_ENDPOINT": REGIONAL}),
            ("account_id", "42", {"OSS_VECTORS_BUCKET": ARN}),
            ("region", "cn-hangzhou", {"OSS_VECTORS_BUCKET": ARN}),
        ],
    )
    def test_but_not_before_what_is_used_and_names_another(self, name, value, variables):
        with pytest.raises(ConfigurationError) as refused:
            resolve_config(**{name: value}, environment=variables)
        assert f"{name}= says {value!r}, {next(iter(variables))} says" in str(refused.value)


class TestTwoThatContradict:
    @pytest.mark.parametrize("pair", CONTRADICTIONS)
    @pytest.mark.parametrize("way", ["arguments", "variables"])
    @pytest.mark.parametrize("kind", [OSSVectorClient, AsyncOSSVectorClient])
    def test_are_refused_by_name(self, pair, way, kind, monkeypatch):
        about, settings = CONTRADICTIONS[pair]
        given = {name: value for name, (value, _) in settings.items()}
        for name in VARIABLES:
            monkeypatch.delenv(VARIABLES[name], raising=False)
        if way == "variables":
            for name in list(given):
                monkeypatch.setenv(VARIABLES[name], given.pop(name))
        with pytest.raises(ConfigurationError) as refused:
            kind(**given)
        said = str(refused.value)
        for name, (_, value) in settings.items():
            source = f"{name}=" if way == "arguments" else VARIABLES[name]
            assert f"{source} says {value!r}" in said
        assert said.startswith("two ")
        assert said.endswith(", whichever is wrong.")
        assert refused.value.argument == about

    @pytest.mark.parametrize("endpoint", [PUBLIC, REGIONAL])
    def test_so_are_two_networks(self, endpoint):
        with pytest.raises(ConfigurationError) as refused:
            resolve_config(bucket=ARN, endpoint=endpoint, internal=True, environment={})
        assert "endpoint= says public, internal=True says internal" in str(refused.value)

    @pytest.mark.parametrize("sign", "@?#")
    def test_of_an_address_with_more_than_an_address_nothing_is_said(self, sign):
        address = SHOWN.replace("https://", f"https://canary{sign}")
        for given in (
            {"endpoint": address, "environment": {}},
            {"environment": {"OSS_ENDPOINT": address}},
        ):
            with pytest.raises(ConfigurationError) as refused:
                resolve_config(bucket="other", **given)
            assert "canary" not in str(refused.value)
            assert "my-bucket" not in str(refused.value)


class TestAnotherBucketOfAClient:
    def test_is_where_the_first_one_was(self):
        config = resolve_config(endpoint=SHOWN, environment={})
        changed = replace_options(config, bucket="other")
        assert place(changed)[-1] == SHOWN.replace("my-bucket", "other")

    def test_can_be_named_by_its_arn(self):
        config = resolve_config(endpoint=SHOWN, index="mine", environment={})
        arn = ARN.replace("my-bucket", "other")
        assert place(replace_options(config, bucket=arn))[-1] == SHOWN.replace("my-bucket", "other")
        assert replace_options(config, bucket=arn).index == "mine"
        assert replace_options(config, bucket=f"{arn}/notes").index == "notes"

    def test_is_refused_where_the_client_does_not_reach(self):
        config = resolve_config(endpoint=SHOWN, environment={})
        for old, new in ((ACCOUNT, "42"), ("cn-beijing", "cn-hangzhou")):
            with pytest.raises(ConfigurationError, match=f"'{new}'; make another client"):
                replace_options(config, bucket=ARN.replace(old, new))
        with pytest.raises(ConfigurationError, match="two indexes"):
            replace_options(config, bucket=f"{ARN}/notes", index="mine")
