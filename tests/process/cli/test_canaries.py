"""A secret under a wrong name is in nothing that a command prints."""

import json
import socket

import pytest
from support.command_line import call

SECRETS = {
    "secret": "canaryCANARY0123456789abcdefgh",
    "key id": "LTAI5tCanaryCanary012345",
    "token": f"CAIScanary/+{'aB3' * 90}==",
    "address": "http://user:canary-password@h.test:8080",
    "address without a scheme": "user://:canaryPASSWORD@h",
}
VARIABLES = (
    "OSS_ACCESS_KEY_ID",
    "OSS_ACCESS_KEY_SECRET",
    "OSS_SESSION_TOKEN",
    "OSS_REGION",
    "OSS_ENDPOINT",
    "OSS_ACCOUNT_ID",
    "OSS_VECTORS_BUCKET",
    "OSS_VECTORS_INDEX",
)
PROXIES = ("HTTPS_PROXY", "ALL_PROXY", "https_proxy")
# nobody listens there
RIGHT = {
    "OSS_ACCESS_KEY_ID": "some-id",
    "OSS_ACCESS_KEY_SECRET": "some-secret",
    "OSS_REGION": "cn-hangzhou",
    "OSS_ENDPOINT": "http://127.0.0.1:9",
    "OSS_ACCOUNT_ID": "1",
    "OSS_VECTORS_BUCKET": "bkt",
    "OSS_VECTORS_INDEX": "notes",
}


@pytest.fixture
def commands(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"key": "a", "data": [1, 2]}))
    return (
        ("doctor",),
        ("doctor", "--output-format", "json"),
        ("get-vectors", "--keys", "a"),
        ("put-vectors", "--vectors", json.dumps([{"key": "a", "data": [1]}])),
        ("list-vectors", "--all"),
        ("query-vectors", "--query-vector", "[1]"),
        ("put-vector-index", "--dimension", "2", "--distance-metric", "cosine"),
        ("list-vector-buckets",),
        ("get-bucket-policy",),
        ("vectors-api", "invoke-operation", "--op-name", "x", "--method", "GET"),
        ("import", str(path)),
        ("export", str(tmp_path / "out.jsonl")),
    )


def know_no_name(*_, **__):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.promise("R5")
@pytest.mark.parametrize(
    ("variable", "kind"),
    [
        *((variable, kind) for variable in VARIABLES for kind in SECRETS),
        *((variable, kind) for variable in PROXIES for kind in ("address", "secret")),
    ],
)
def test_a_secret_in_a_wrong_variable_is_printed_by_no_command(
    commands, monkeypatch, variable, kind
):
    for name, value in {**RIGHT, variable: SECRETS[kind]}.items():
        monkeypatch.setenv(name, value)
    # a proxy is for hosts that are not this one, and nothing is to leave this machine
    if variable in PROXIES:
        monkeypatch.setenv("OSS_ENDPOINT", "https://h.test")
        monkeypatch.setattr(socket, "getaddrinfo", know_no_name)
    # a refusal comes at once; where the service is asked for, it is not there
    for words in commands if kind == "secret" else commands[1:3]:
        done = call(*words, "--timeout", "0.05")
        printed = (done.output + done.errors).lower()
        assert done.status in (1, 2), words
        for part in ("canary", "ab3ab3"):
            assert part not in printed, (words, printed)


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("kind", SECRETS)
def test_a_policy_is_not_made_of_a_secret(monkeypatch, variable, kind):
    right = {name: value for name, value in RIGHT.items() if name != "OSS_ENDPOINT"}
    for name, value in {**right, variable: SECRETS[kind]}.items():
        monkeypatch.setenv(name, value)
    done = call("policy", "--for", "get-vectors", "--principal", "1")
    printed = (done.output + done.errors).lower()
    assert "canary" not in printed
    # keys are looked at by nobody here, and a word without dots may be a host's name
    if variable in {"OSS_REGION", "OSS_ACCOUNT_ID", "OSS_VECTORS_BUCKET", "OSS_VECTORS_INDEX"}:
        assert (done.status, done.output) == (2, "")


def test_what_is_no_secret_is_named(monkeypatch):
    for name, value in {**RIGHT, "OSS_REGION": "Hang Zhou"}.items():
        monkeypatch.setenv(name, value)
    assert "'Hang Zhou' is not a region id" in call("doctor", "--output-format", "json").output
    monkeypatch.setenv("OSS_REGION", "canaryCANARY0123456789abcdefgh")
    said = call("get-vectors", "--keys", "a").errors
    assert "'*** (OSS_REGION, 30 characters)' is not a region id" in said
