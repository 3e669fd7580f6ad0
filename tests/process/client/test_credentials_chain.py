"""What the default chain of `alibabacloud-credentials` finds, each time in a new process."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("alibabacloud_credentials")

PROFILE = """\
[default]
type = access_key
access_key_id = profile-id
access_key_secret = profile-secret
"""


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
