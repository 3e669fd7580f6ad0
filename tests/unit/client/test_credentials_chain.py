"""What the real `alibabacloud-credentials` resolves, where it needs no network for it."""

import sys

import pytest

from oss_vector_retriever import ConfigurationError, Credentials
from oss_vector_retriever.client.credentials import ChainSource, source_of

pytest.importorskip("alibabacloud_credentials")


def client(**config):
    from alibabacloud_credentials.client import Client  # noqa: PLC0415 - an extra
    from alibabacloud_credentials.models import Config  # noqa: PLC0415 - an extra

    return Client(Config(**config))


@pytest.mark.parametrize(
    ("config", "token"),
    [({"type": "access_key"}, None), ({"type": "sts", "security_token": "token"}, "token")],
)
def test_a_client_of_the_package_gives_its_credentials(config, token):
    given = client(access_key_id="id", access_key_secret="secret", **config)
    source = source_of(given)
    assert isinstance(source, ChainSource)
    assert source.blocking
    assert source.resolve() == Credentials("id", "secret", token)


def test_a_client_without_access_keys_is_refused():
    with pytest.raises(ConfigurationError, match="access_key_id is empty"):
        source_of(client(type="bearer", bearer_token="b")).resolve()


class Provider:
    """A client that fails, or counts how often it is asked."""

    def __init__(self, error=None):
        self.asked, self.error = 0, error

    def get_credential(self):
        self.asked += 1
        if self.error is not None:
            raise self.error
        return Credentials(f"id{self.asked}", "secret", "token")


def test_what_a_provider_raises_is_told_without_its_words():
    source = source_of(Provider(OSError("CANARY was refused by the role server")))
    with pytest.raises(ConfigurationError, match=r"\(OSError\)") as refused:
        source.resolve()
    assert "CANARY" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_chain_of_our_own_is_made_once_and_anew_when_its_credentials_are_refused(monkeypatch):
    made = []

    def chain():
        made.append(Provider())
        return made[-1]

    monkeypatch.setattr("oss_vector_retriever.client.credentials._default_chain", chain)
    source = source_of("chain")
    assert [source.resolve().access_key_id for _ in range(2)] == ["id1", "id2"]
    source.forget()
    assert source.resolve().access_key_id == "id1"
    assert [provider.asked for provider in made] == [2, 1]


def test_a_client_that_was_given_is_kept():
    source = source_of(provider := Provider())
    source.resolve()
    source.forget()
    source.resolve()
    assert provider.asked == 2


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "alibabacloud_credentials.client", None)
    with pytest.raises(ConfigurationError, match=r'"oss-vector-retriever\[credentials\]"'):
        source_of("chain").resolve()
