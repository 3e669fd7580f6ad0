"""Serve: the embedded service as a process, with its switches."""

import signal
import socket
import subprocess
from contextlib import contextmanager

import pytest
from support.command_line import COMMAND, call

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.cli.commands.serve import behaviour_help, behaviour_of
from oss_vector_retriever.emulator import Behaviour


@contextmanager
def serving(*words):
    """Run a service, and give the settings that it tells its clients."""
    with subprocess.Popen(
        [COMMAND, "serve", "--port", "0", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        lines = [process.stdout.readline() for _ in range(7)]
        yield dict(line.removeprefix("export ").strip().split("=", 1) for line in lines[1:])
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_it_tells_clients_what_they_need_keeps_its_data_and_ends_cleanly(tmp_path, monkeypatch):
    path = tmp_path / "served.db"
    options = ("--data", path, "--region", "eu-central-1", "--account-id", "7", "--bucket", "own")
    keys = ("--access-key-id", "me", "--access-key-secret", "s p")
    for _ in range(2):
        with serving(*options, *keys, "--behaviour", "order=shuffled", "--faults") as settings:
            assert settings.pop("OSS_ACCESS_KEY_SECRET") == "'s p'"
            for name, value in settings.items():
                monkeypatch.setenv(name, value)
            monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", "sp")
            assert call("list-vector-indexes").status == 1
            monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", "s p")


def test_what_was_written_is_there_the_next_time(tmp_path, monkeypatch):
    path = tmp_path / "served.db"
    with serving("--data", path) as settings:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        assert call("put-vector-index", "--index-name", "kept", "--dimension", 2).status == 0
    with OSSVectorClient.local(path) as client:
        assert [index.index_name for index in client.list_vector_indexes()] == ["kept"]


def test_faults_can_be_switched_on_only_where_asked_for():
    for words, status in ((["--faults"], 200), ([], 403)):
        with serving(*words) as settings:
            host, port = settings["OSS_ENDPOINT"].removeprefix("http://").split(":")
            with socket.create_connection((host, int(port))) as link:
                link.sendall(b"GET /_emulator/faults HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
                assert int(link.recv(65536).split()[1]) == status


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ([], Behaviour()),
        (["order=shuffled", "seed=7"], Behaviour(order="shuffled", seed=7)),
        (["seed=none", "strings_only=TRUE"], Behaviour(strings_only=True)),
        (["query_delay_seconds=1.5", "filter_shorthand=false"],
         Behaviour(query_delay_seconds=1.5, filter_shorthand=False)),
        (["order=storage", "order=request"], Behaviour()),
    ],
)  # fmt: skip
def test_switches_become_a_behaviour(switches, expected):
    assert behaviour_of(switches) == expected


@pytest.mark.parametrize(
    ("switch", "said"),
    [
        ("speed=high", "there is no switch 'speed'; there are order, seed, "),
        ("order", "order must be request or storage or shuffled"),
        ("order=", "order must be request or storage or shuffled, not ''"),
        ("order=backwards", "order must be request or storage or shuffled, not 'backwards'"),
        ("seed=1.5", "seed must be a whole number or none"),
        ("strings_only=yes", "strings_only must be true or false"),
        ("query_delay_seconds=-1", "query_delay_seconds must be a number of seconds"),
        ("query_delay_seconds=inf", "query_delay_seconds must be a number of seconds"),
    ],
)
def test_a_switch_that_cannot_be_is_a_wrong_use(switch, said):
    done = call("serve", "--behaviour", switch)
    assert done.status == 2
    assert said in done.errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--account-id", "me"], "--account-id 'me' is not an account id: digits only"),
        (["--bucket", "x"], "--bucket 'x' is not the name of a vector bucket: 3 to 32"),
        (["--port", "70000"], "not in the range"),
        (["--data", "/nowhere/x.db"], "cannot be opened"),
    ],
)
def test_settings_that_cannot_be_are_a_wrong_use(words, said):
    done = call("serve", *words)
    assert done.status == 2
    assert said in done.errors


def test_a_port_in_use_is_said_so():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = call("serve", "--port", listener.getsockname()[1])
    assert done.status == 2
    assert "cannot listen on 127.0.0.1" in done.errors


def test_every_switch_of_the_emulator_is_in_the_help():
    text = behaviour_help()
    assert all(f"{name}=" in text for name in Behaviour.__dataclass_fields__)
