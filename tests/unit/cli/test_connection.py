"""The flags that say where the service is, and the settings they become."""

import click
import pytest

from oss_vector_retriever import ConfigurationError
from oss_vector_retriever.cli.arguments import CONNECTION
from oss_vector_retriever.cli.connection import Connection, open_client
from oss_vector_retriever.client.credentials import ChainSource, EnvironmentSource

REMOTE = {"bucket": "bucket", "account_id": "1", "region": "cn-hangzhou"}


def connection(**given):
    none = {"internal": False, "allow_http": False, "credentials": "environment", "timeout": 30.0}
    none["max_concurrency"] = 8
    return Connection(**{**dict.fromkeys(Connection._fields), **none, **given})


def test_there_is_a_flag_for_each_part_of_a_connection():
    assert tuple(option.name for option in CONNECTION if not option.hidden) == Connection._fields


def test_flags_become_settings():
    config, service = connection(**REMOTE, timeout=5.0).settings(index="notes")
    assert service is None
    assert (config.bucket, config.account_id, config.region) == ("bucket", "1", "cn-hangzhou")
    assert (config.index, config.timeout) == ("notes", 5.0)
    assert str(config.endpoint) == "https://cn-hangzhou.oss-vectors.aliyuncs.com"
    assert isinstance(config.credentials, EnvironmentSource)


def test_the_internal_network_and_the_chain_can_be_asked_for():
    config, _ = connection(**REMOTE, internal=True, credentials="chain").settings()
    assert str(config.endpoint) == "https://cn-hangzhou-internal.oss-vectors.aliyuncs.com"
    assert isinstance(config.credentials, ChainSource)


def test_plain_http_elsewhere_must_be_asked_for():
    given = connection(**REMOTE, endpoint="http://example.com")
    with pytest.raises(ConfigurationError, match="plain http"):
        given.settings()
    assert given._replace(allow_http=True).settings()[0].endpoint.scheme == "http"


def test_a_bucket_is_needed_but_for_what_is_about_none():
    nobody = connection(account_id="1", region="cn-hangzhou")
    with pytest.raises(ConfigurationError, match="No bucket"):
        nobody.settings()
    assert nobody.settings(bucket_required=False)[0].bucket is None


def test_an_embedded_service_takes_a_bucket_an_index_and_nothing_else(tmp_path, monkeypatch):
    path = str(tmp_path / "x.db")
    monkeypatch.setenv("OSS_VECTORS_INDEX", "fromtheenvironment")
    given = connection(local=path, bucket="other", timeout=2.0)
    with open_client(given, begins_file=True) as client:
        config = client.config
    assert (config.bucket, config.index, config.timeout) == ("other", "fromtheenvironment", 2.0)
    for name, value in {
        "region": "r",
        "endpoint": "e",
        "account_id": "1",
        "internal": True,
    }.items():
        with pytest.raises(click.UsageError, match=f"leave out --{name.replace('_', '-')}"):
            connection(local=path, **{name: value}).settings()


def test_an_embedded_service_is_closed_where_its_settings_cannot_be(tmp_path):
    path = str(tmp_path / "x.db")
    with pytest.raises(ConfigurationError, match="bucket"):
        connection(local=path, bucket="X").settings(begins_file=True)
    with open_client(connection(local=path)) as client:
        assert client.config.index == "vectors"


def test_a_client_is_left_as_it_is_after_ctrl_c(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        open_client(connection(local=str(tmp_path / "x.db")), begins_file=True) as c,
    ):
        raise KeyboardInterrupt
    assert c.list_vector_indexes().indexes == ()
    c.close()
