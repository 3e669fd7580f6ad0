"""What may travel to workers, checked before anything does."""

import pickle
import sys
from dataclasses import replace

import pytest

from oss_vector_retriever import (
    ConfigurationError,
    Credentials,
    InvalidRequestError,
    OSSVectorClient,
)
from oss_vector_retriever.client.settings import ClientSettings
from oss_vector_retriever.ray import fetch, upsert
from oss_vector_retriever.ray.transforms import fit_to_rate, make_spec
from oss_vector_retriever.ray.workers import budget_name

SETTINGS = ClientSettings(bucket="bucket-a", account_id="123456", region="cn-hangzhou", index="idx")


def spec(settings=SETTINGS, index=None, credentials=None, **rates):
    rates = {"rate_limit": None, "keys_per_second": None, "keys_per_call": "keys_per_get", **rates}
    return make_spec(settings, index, credentials, **rates)


def with_members(**members):
    return ClientSettings.from_dict({**SETTINGS.to_dict(), **members})


def test_the_rate_is_that_of_the_settings_or_a_smaller_one():
    assert spec().rate is None
    assert spec(with_members(rate_limit=40.0)).rate == 40
    assert spec(with_members(rate_limit=40.0), rate_limit=10).rate == 10
    assert spec(keys_per_second=1000).rate == 10
    assert spec(keys_per_second=1000, keys_per_call="vectors_per_put").rate == 2
    assert spec(rate_limit=3, keys_per_second=1000).rate == 3
    few = ClientSettings.from_dict({**SETTINGS.to_dict(), "limits": {"keys_per_get": 20}})
    assert spec(few, keys_per_second=1000).rate == 50


@pytest.mark.parametrize("name", ["rate_limit", "keys_per_second"])
@pytest.mark.parametrize("value", [0, -1, True, "fast", float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(name, value):
    with pytest.raises(InvalidRequestError, match=f"{name} is a number above 0"):
        spec(**{name: value})


def test_secrets_do_not_travel():
    for secret in [("id", "secret"), Credentials("id", "secret")]:
        with pytest.raises(ConfigurationError, match="would travel to the workers") as refused:
            spec(credentials=secret)
        assert "secret" not in str(refused.value).replace("access_key_secret", "")
    with pytest.raises(ConfigurationError, match="was given credentials"):
        spec(with_members(credentials="given"))
    assert spec(with_members(credentials="given"), credentials="chain").credentials == "chain"
    assert spec(credentials=fetch_nothing).credentials is fetch_nothing


def fetch_nothing():
    return None


def test_an_embedded_service_is_refused_with_the_way_to_serve_it(tmp_path):
    with OSSVectorClient.local(tmp_path / "file.db") as client:
        with pytest.raises(ConfigurationError, match=r"oss-vectors serve --data FILE"):
            spec(client.settings)
        with pytest.raises(ConfigurationError, match=r"pass client\.settings"):
            spec(client)
    with OSSVectorClient.local() as client, pytest.raises(ConfigurationError, match="in memory"):
        spec(client.settings)


def test_an_index_is_needed():
    with pytest.raises(ConfigurationError, match="No index"):
        spec(replace(SETTINGS, index=None))
    assert spec(index="other").index == "other"


def test_two_specs_have_clients_of_their_own_and_one_that_has_travelled_the_same():
    one = spec()
    assert one.token != spec().token
    assert pickle.loads(pickle.dumps(one)) == one


@pytest.mark.parametrize(
    ("rate", "workers", "connections", "timeout"),
    [(1000, 2, 8, 30), (2, 2, 7, 30), (1, 4, 1, 30), (1, 100, 1, 400), (0.1, 1, 1, 40)],
)
def test_whoever_waits_for_a_slow_rate_has_time_to(rate, workers, connections, timeout):
    settings = fit_to_rate(spec(rate_limit=rate), rate, workers).settings
    assert (settings.max_concurrency, settings.timeout) == (connections, timeout)


def test_a_service_has_one_keeper_whatever_bucket_index_or_options():
    name = budget_name(SETTINGS)
    assert budget_name(with_members(bucket="bucket-b", index="x", timeout=5.0)) == name
    assert budget_name(with_members(account_id="654321")) != name
    assert budget_name(with_members(region="cn-beijing")) != name


@pytest.mark.parametrize("transform", [fetch, upsert])
@pytest.mark.parametrize("options", [{"batch_size": 0}, {"concurrency": 0}])
def test_counts_that_are_none_are_refused(transform, options, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.data", object())
    with pytest.raises(InvalidRequestError, match=next(iter(options))):
        transform(None, SETTINGS, **options)


def test_what_to_do_with_errors_is_one_of_two():
    with pytest.raises(InvalidRequestError, match="on_error"):
        upsert(None, SETTINGS, on_error="ignore")


@pytest.mark.parametrize("transform", [fetch, upsert])
def test_without_ray_the_error_says_what_to_install(transform, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(ImportError) as refused:
        transform(None, SETTINGS)
    assert str(refused.value) == (
        'oss_vector_retriever.ray needs ray.data: pip install "oss-vector-retriever[ray]"'
    )
