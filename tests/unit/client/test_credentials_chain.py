"""What the real `alibabacloud-credentials` resolves, where it needs no network for it."""

import os
import subprocess
import sys

import pytest

from oss_vector_retriever import ConfigurationError, Credentials
from oss_vector_retriever.client.credentials import ChainSource, source_of

pytest.importorskip("alibabacloud_credentials")

PROFILE = """\
[default]
type = access_key
access_key_id = profile-id
access_key_secret = profile-secret
"""


def client(**config):
    from alibabacloud_credentials.client import Client  # noqa: PLC0415 - an extra
    from alibabacloud_credentials.models import Config  # noqa: PLC0415 - an extra

    return Client(Config(**config))


def resolved_elsewhere(**environment):
    """Resolve the default chain in a process of its own: the package reads variables on import."""
    code = (
        "from oss_vector_retriever.client.credentials import source_of\n"
        "found = source_of('chain').resolve()\n"
        "print(found.access_key_id, found.access_key_secret, found.security_token)"
    )
    no_network = {"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **no_network, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("config", "token"),
    [
        ({"type": "access_key"}, None),
        ({"type": "sts", "security_token": "token"}, "token"),
    ],
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


def test_a_profile_file_is_found(tmp_path):
    profile = tmp_path / "credentials.ini"
    profile.write_text(PROFILE)
    done = resolved_elsewhere(HOME=str(tmp_path), ALIBABA_CLOUD_CREDENTIALS_FILE=str(profile))
    assert done.stdout == "profile-id profile-secret None\n", done.stderr


def test_the_packages_own_variables_are_found_with_a_token(tmp_path):
    done = resolved_elsewhere(
        HOME=str(tmp_path),
        ALIBABA_CLOUD_ACCESS_KEY_ID="env-id",
        ALIBABA_CLOUD_ACCESS_KEY_SECRET="env-secret",
        ALIBABA_CLOUD_SECURITY_TOKEN="env-token",
    )
    assert done.stdout == "env-id env-secret env-token\n", done.stderr


def test_a_chain_that_finds_nothing_is_an_error_of_ours(tmp_path):
    done = resolved_elsewhere(HOME=str(tmp_path))
    last = done.stderr.strip().splitlines()[-1]
    assert "ConfigurationError: the credential chain gave no credentials" in last
    assert "(CredentialException)" in last


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
