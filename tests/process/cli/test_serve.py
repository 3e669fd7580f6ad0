"""Serve: the embedded service as a process, with its switches."""

import contextlib
import importlib.util
import re
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from support.command_line import COMMAND, call

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.cli.commands import serve
from oss_vector_retriever.cli.commands.serve import behaviour_help, behaviour_of
from oss_vector_retriever.emulator import Behaviour

NEW = ("--dimension", 2, "--distance-metric", "cosine")
KEY_VARIABLES = ("OSS_VECTORS_SERVE_ACCESS_KEY_ID", "OSS_VECTORS_SERVE_ACCESS_KEY_SECRET")


class Settings(dict):
    """What clients are told, and the lines in which it is."""

    said = ()


@contextlib.contextmanager
def serving(*words, log=None):
    """Run a service, and give the settings that it tells its clients.

    Its log is put into `log`; where there is none, nothing may be logged.
    """
    with subprocess.Popen(
        [COMMAND, "serve", "--port", "0", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        lines = [process.stdout.readline()]
        while "ACCESS_KEY_SECRET" not in lines[-1]:  # the last line that it prints
            lines.append(process.stdout.readline())
            assert lines[-1]
        exports = [line.removeprefix("export ") for line in lines if line.startswith("export ")]
        settings = Settings(line.strip().split("=", 1) for line in exports)
        settings.said = lines
        yield settings
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    if log is not None:
        log += errors.splitlines()
        errors = ""
    assert (process.returncode, errors) == (0, "")


def test_it_tells_clients_what_they_need_keeps_its_data_and_ends_cleanly(tmp_path, monkeypatch):
    path = tmp_path / "served.db"
    options = ("--data", path, "--region", "eu-central-1", "--account-id", "7", "--bucket", "own")
    monkeypatch.setenv(KEY_VARIABLES[0], "me")
    monkeypatch.setenv(KEY_VARIABLES[1], "canary-secret")
    for _ in range(2):
        with serving(*options, "--behaviour", "order=shuffled", "--faults") as settings:
            assert "canary-secret" not in str(settings)
            check_page(settings)
            for name, value in settings.items():
                monkeypatch.setenv(name, value)
            monkeypatch.setenv("OSS_ACCESS_KEY_ID", "me")
            monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", "another-secret")
            assert call("list-vector-indexes").status == 1
            monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", "canary-secret")
            assert call("list-vector-indexes").status == 0


@pytest.mark.parametrize("hidden", ["jinja2", "starlette"])
def test_where_the_page_is_not_installed_its_extra_is_named(monkeypatch, capsys, hidden):
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == hidden else there(name)
    )
    serve._announce("http://127.0.0.1:9000", {}, "", None)
    told = capsys.readouterr().out
    assert '# Its records in a browser: pip install "oss-vector-retriever[studio]"\n' in told
    assert "/_studio" not in told


def check_page(settings):
    """Ask for the page of records: with keys of its own the service locks it."""
    (line,) = [line for line in settings.said if line.startswith("# Its records in a browser: ")]
    address, _, token = line.split()[-1].partition("#")
    assert address == f"{settings['OSS_ENDPOINT']}/_studio"
    own = {"HX-Request": "true", "Sec-Fetch-Site": "same-origin"}
    for headers, shown in (({}, "locked"), ({"X-Studio-Token": token}, "/_studio/b/own")):
        assert shown in httpx.get(address, headers={**own, **headers}).text


def test_what_was_written_is_there_the_next_time(tmp_path, monkeypatch):
    path = tmp_path / "served.db"
    with serving("--data", path) as settings:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        assert call("put-vector-index", "--index-name", "kept", *NEW).status == 0
    with OSSVectorClient.local(path) as client:
        assert [index.index_name for index in client.list_vector_indexes()] == ["kept"]


def test_a_line_a_request_says_what_was_asked_of_which_index_and_no_secret(monkeypatch):
    log = []
    monkeypatch.setenv(KEY_VARIABLES[0], "canary-id")
    monkeypatch.setenv(KEY_VARIABLES[1], "canary-secret")
    with serving("-v", log=log) as settings:
        for name, value in {**settings, "OSS_ACCESS_KEY_ID": "canary-id"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", "canary-secret")
        assert call("put-vector-index", "--index-name", "kept", *NEW).status == 0
        assert call("get-vectors", "--index-name", "gone", "--keys", "canary-key").status == 1
        host, port = settings["OSS_ENDPOINT"].removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as link:
            link.sendall(b"GET /x%1b?x-oss-signature=canary HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            assert link.recv(65536)
    shown = [re.sub(r"^\d\d:\d\d:\d\d (.*) \d+\.\d ms$", r"\1", line) for line in log]
    assert shown == [
        "PutVectorIndex kept 200",
        "GetVectors gone 404 NoSuchVectorIndex",
        "GET /x%1b - 400 InvalidArgument",
    ]
    assert "canary" not in "".join(log)


def test_faults_can_be_switched_on_only_where_asked_for():
    for words, status in ((["--faults"], 200), ([], 403)):
        with serving(*words) as settings:
            host, port = settings["OSS_ENDPOINT"].removeprefix("http://").split(":")
            with socket.create_connection((host, int(port))) as link:
                link.sendall(b"GET /_emulator/faults HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
                assert int(link.recv(65536).split()[1]) == status


DOCUMENTED = Behaviour.documented()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], DOCUMENTED),
        (["documented"], DOCUMENTED),
        (["quick"], Behaviour()),
        (["quick", "quick"], Behaviour()),
        (["order=shuffled", "seed=7"], replace(DOCUMENTED, order="shuffled", seed=7)),
        (["seed=none", "filter_after_ranking=FALSE"],
         replace(DOCUMENTED, filter_after_ranking=False)),
        (["query_delay_seconds=1.5", "quick", "filter_shorthand=false"],
         Behaviour(query_delay_seconds=1.5, filter_shorthand=False)),
        (["order=storage", "order=request"], DOCUMENTED),
        (["top_k_limit=30", "scalars=strings", "list_filter=refused", "metadata_names=filterable"],
         replace(DOCUMENTED, top_k_limit=30, scalars="strings", list_filter="refused",
                 metadata_names="filterable")),
        (["requests_per_second=2.5"], replace(DOCUMENTED, requests_per_second=2.5)),
        (["requests_per_second=2", "requests_per_second=None"], DOCUMENTED),
    ],
)  # fmt: skip
def test_words_become_a_behaviour(words, expected):
    assert behaviour_of(words) == expected


@pytest.mark.parametrize(
    ("switch", "said"),
    [
        ("speed=high", "there is no switch 'speed'; there are order, seed, "),
        ("slow", "it is documented, quick or NAME=VALUE, not 'slow'"),
        ("order", "order must be request or storage or shuffled"),
        ("order=", "order must be request or storage or shuffled, not ''"),
        ("order=backwards", "order must be request or storage or shuffled, not 'backwards'"),
        ("seed=1.5", "seed must be a whole number or none"),
        ("filter_shorthand=yes", "filter_shorthand must be true or false"),
        ("top_k_limit=99", "top_k_limit must be 30 or 100 or 500, not '99'"),
        ("query_delay_seconds=-1", "query_delay_seconds must be a number of seconds"),
        ("query_delay_seconds=inf", "query_delay_seconds must be a number of seconds"),
        ("query_delay_seconds=none", "query_delay_seconds must be a number of seconds"),
        ("requests_per_second=0", "requests_per_second must be a number above 0 or none"),
    ],
)
def test_a_switch_that_cannot_be_is_a_wrong_use(switch, said):
    done = call("serve", "--behaviour", switch)
    assert done.status == 2
    assert said in done.errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--behaviour", "quick", "--behaviour", "documented"], "quick and documented contradict"),
        (["--account-id", "me"], "--account-id 'me' is not an account id: digits only"),
        (["--bucket", "x"], "--bucket 'x' is not the name of a vector bucket: 3 to 32"),
        (["--port", "70000"], "not in the range"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1:9000: "),
        (["--host", "a..b"], "cannot listen on a..b:9000: "),
        (["--head-timeout", "nan"], "--head-timeout"),
        (["--data", "/nowhere/x.db"], "cannot be opened"),
    ],
)
def test_settings_that_cannot_be_are_a_wrong_use(words, said):
    done = call("serve", *words)
    assert done.status == 2
    assert said in done.errors


def test_others_than_this_machine_are_served_only_with_keys_of_its_own():
    for host in ("0.0.0.0", "::", ""):
        done = call("serve", "--host", host)
        assert done.status == 2
        assert "needs access keys of its own" in done.errors
        assert "--access-key-file or OSS_VECTORS_SERVE_ACCESS_KEY_ID" in done.errors


def test_it_is_reached_by_the_names_that_are_allowed_and_says_who_was_refused(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("own-id\nown-secret\n")
    words = ("--host", "0.0.0.0", "--access-key-file", keys)
    names = ("--allow-host", "host.docker.internal", "--allow-host", ".tunnel.example")
    refused = "host.docker.internal.evil.test"
    log = []
    with serving(*words, *names, log=log) as settings:
        assert settings["OSS_ENDPOINT"].startswith("http://127.0.0.1:")
        host, port = settings["OSS_ENDPOINT"].removeprefix("http://").split(":")
        for name, says in (
            ("host.docker.internal:9", b"is not signed"),
            ("a.tunnel.example", b"is not signed"),
            ("localhost", b"is not signed"),
            (refused, b"--allow-host"),
        ):
            with socket.create_connection((host, int(port))) as link:
                link.sendall(f"GET / HTTP/1.0\r\nhost: {name}\r\n\r\n".encode())
                reply = b""
                while part := link.recv(65536):
                    reply += part
            assert reply.startswith(b"HTTP/1.1 403")
            assert says in reply
    (line,) = log
    assert line.startswith(f"refused GET '/' from 127.0.0.1: its Host is '{refused}'")
    assert "--allow-host" in line


def test_how_to_reach_it_from_a_container_is_said():
    with serving(log=[]) as settings:
        assert any("--allow-host" in line for line in settings.said)


def test_a_port_in_use_is_said_so():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = call("serve", "--port", listener.getsockname()[1])
    assert done.status == 2
    assert "cannot listen on 127.0.0.1" in done.errors


def test_every_switch_of_the_emulator_is_in_the_help():
    text = behaviour_help()
    assert all(f"{name}=" in text for name in Behaviour.__dataclass_fields__)
    assert "\norder=request or storage or shuffled [request]\n" in text
    assert "\ntop_k_limit=30 or 100 or 500 [500]\n" in text
    assert "\nscalars=kept or refused or strings [refused; quick: kept]\n" in text


def test_what_lags_as_documented_does_not_when_quick(monkeypatch):
    for words, seen in ((), []), (("--behaviour", "quick"), ["a"]):
        with serving(*words) as settings:
            for name, value in settings.items():
                monkeypatch.setenv(name, value)
            with OSSVectorClient(index="served") as client:
                client.put_vector_index(dimension=1)
                client.put_vectors([{"key": "a", "data": [1]}])
                assert [hit.key for hit in client.query_vectors([1], top_k=1)] == seen
                assert client.fetch(["a"])[0].key == "a"


def process_list():
    """Return the words of every process of this machine, as `ps` shows them to everybody."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(found)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("place", ["a file", "variables"])
def test_a_secret_of_its_own_stands_neither_in_the_process_list_nor_in_the_output(
    tmp_path, monkeypatch, place
):
    words, secret = [], "canary-secret-4711"
    # what a user's clients have is no key of the service
    monkeypatch.setenv("OSS_ACCESS_KEY_ID", "real")
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", "real-secret")
    if place == "a file":
        (tmp_path / "keys").write_text(f"me\n{secret}\n")
        words = ["--access-key-file", tmp_path / "keys"]
    else:
        for name, value in zip(KEY_VARIABLES, ("me", secret), strict=True):
            monkeypatch.setenv(name, value)
    with serving(*words, "--bucket", f"{secret}-bucket") as settings:
        listed = process_list()
        assert secret not in listed.replace(f"{secret}-bucket", "")
        assert f"{secret}-bucket" in listed  # so that the search finds what is there
        assert settings.pop("OSS_VECTORS_BUCKET") == f"{secret}-bucket"
        assert not {name for name in settings if "KEY" in name}
        assert secret not in str(settings)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("OSS_VECTORS_BUCKET", f"{secret}-bucket")
        assert "InvalidAccessKeyId" in call("list-vector-indexes").errors
        monkeypatch.setenv("OSS_ACCESS_KEY_ID", "me")
        monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", secret)
        assert call("list-vector-indexes").status == 0


@pytest.mark.parametrize("flag", ["--access-key-id", "--access-key-secret"])
def test_keys_on_the_command_line_are_refused_unquoted(flag):
    done = call("serve", flag, "canary-secret")
    assert done.status == 2
    assert f"{flag}': keys are not given on the command line" in done.errors
    assert all(name in done.errors for name in (*KEY_VARIABLES, "--access-key-file"))
    assert "canary" not in done.errors + done.output


@pytest.mark.parametrize(
    "text",
    ["", "id", "id\n", "id\n\n", "\ncanary", "id\ncanary secret", "id\ncanary\nthird", "i d\nx"],
)
def test_a_pair_that_is_none_is_refused_unquoted(tmp_path, monkeypatch, text):
    (tmp_path / "keys").write_text(text)
    done = call("serve", "--access-key-file", tmp_path / "keys")
    assert done.status == 2
    assert f"the two lines of {tmp_path / 'keys'}: they must be" in done.errors.replace("\n", " ")
    assert "canary" not in done.errors + done.output
    monkeypatch.setenv(KEY_VARIABLES[1], text or " ")
    done = call("serve")
    assert done.status == 2
    assert " and ".join(KEY_VARIABLES) in done.errors
    assert "canary" not in done.errors + done.output
