"""Doctor's record by way of the command: consent, rights, interruptions, and no trace left."""

import json
import os
import signal
import subprocess
from dataclasses import replace

import pytest
from support.command_line import COMMAND, call

from oss_vector_retriever import OSSVectorClient, emulator
from oss_vector_retriever.cli.commands.serve import behaviour_of
from oss_vector_retriever.emulator import Behaviour, faults

OWNER = emulator.DEVELOPMENT_KEY
USER = emulator.AccessKey("user-id", "user-secret", OWNER.account_id, user="somebody")
QUICK = Behaviour(order="storage", duplicates="each", top_k_limit=30, query_delay_seconds=0.2)


@pytest.fixture
def behaviour():
    return QUICK


@pytest.fixture
def service(behaviour, monkeypatch):
    with (
        emulator.Service.in_memory(access_keys=[OWNER, USER], behaviour=behaviour) as service,
        emulator.Server(service) as server,
    ):
        point_at(monkeypatch, server.endpoint, OWNER)
        yield service


def point_at(monkeypatch, endpoint, key):
    for name, value in {
        "OSS_ENDPOINT": endpoint,
        "OSS_REGION": "cn-hangzhou",
        "OSS_ACCOUNT_ID": key.account_id,
        "OSS_ACCESS_KEY_ID": key.id,
        "OSS_ACCESS_KEY_SECRET": key.secret,
    }.items():
        monkeypatch.setenv(name, value)


def buckets_left():
    with OSSVectorClient(bucket="any") as client:
        return [found.name for found in client.list_vector_buckets()]


def record(path, *words, patience=2, **more):
    return call("doctor", "--record", path, "--patience", patience, *words, **more)


@pytest.mark.usefixtures("service")
def test_a_run_writes_what_emulator_and_client_understand(tmp_path):
    path = tmp_path / "account.json"
    done = record(path, "--yes", "--output-format", "json")
    assert done.status == 0, done.errors
    assert json.loads(path.read_text()) == done.json
    assert path.stat().st_mode & 0o077 == 0
    found = Behaviour.from_record(path)
    # a delay is measured by a real clock here
    assert 0.1 <= found.query_delay_seconds <= 1
    assert replace(found, query_delay_seconds=0.2) == QUICK
    assert behaviour_of([f"record={path}", "order=shuffled"]) == replace(found, order="shuffled")
    with OSSVectorClient(bucket="any", record=path) as client:
        assert client.config.limits.top_k == 30
    assert buckets_left() == []
    assert not list(tmp_path.glob("*.partial"))


def test_consent_can_be_given_by_hand_and_no_other_bucket_is_touched(service, tmp_path):
    service.create_bucket(OWNER.account_id, "mine")
    done = record(tmp_path / "account.json", "--bucket", "mine", stdin="y\n")
    assert done.status == 0, done.errors
    (left,) = buckets_left()
    assert left.rpartition(":")[2] == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["record=nosuch.json"], "nosuch.json cannot be read"),
        (["record=nosuch.json", "quick"], "record=nosuch.json and quick contradict each other"),
    ],
)
def test_an_emulator_of_no_record_is_not_served(words, said):
    flags = [part for word in words for part in ("--behaviour", word)]
    done = call("serve", "--port", "0", *flags)
    assert done.status == 2
    assert said in done.errors


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    ("said", "hint"), [("n\n", ""), ("\n", ""), ("", "; in scripts --yes consents")]
)
def test_nothing_is_asked_without_consent(tmp_path, said, hint):
    done = record(tmp_path / "account.json", stdin=said)
    assert done.status == 2
    assert done.errors.endswith(f"nothing was asked, and nothing made{hint}.\n")
    for word in ("It makes:", "It costs:", "It leaves:", OWNER.account_id, "cn-hangzhou"):
        assert word in done.errors
    assert not list(tmp_path.iterdir())
    assert buckets_left() == []


@pytest.mark.usefixtures("service")
def test_a_run_without_rights_makes_nothing_and_says_what_is_denied(tmp_path, monkeypatch):
    endpoint = os.environ["OSS_ENDPOINT"]
    point_at(monkeypatch, endpoint, USER)
    done = record(tmp_path / "account.json", "--yes")
    assert done.status == 1
    assert "PutVectorBucket" in done.errors
    assert "AccessDenied" in done.errors
    assert "left behind" not in done.errors
    assert not list(tmp_path.iterdir())
    point_at(monkeypatch, endpoint, OWNER)
    assert buckets_left() == []


@pytest.mark.usefixtures("service")
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_made(tmp_path):
    done = record(tmp_path / "nowhere" / "account.json", "--yes")
    assert done.status == 2
    assert "nowhere" in done.errors
    assert buckets_left() == []


def test_a_fault_that_passes_leaves_nothing_behind(service, tmp_path):
    for name in ("DeleteVectorBucket", "DeleteVectorIndex"):
        service.faults.add(faults.ServerError(times=2, operation=name))
    assert record(tmp_path / "account.json", "--yes").status == 0
    assert buckets_left() == []


def test_what_could_not_be_removed_is_named(service, tmp_path):
    service.faults.add(faults.ServerError(times=None, operation="DeleteVectorBucket"))
    path = tmp_path / "account.json"
    done = record(path, "--yes", patience=0.3)
    (left,) = buckets_left()
    assert done.status == 3
    name = left.rpartition(":")[2]
    assert f"left behind: bucket {name}" in done.errors + done.output
    assert name not in path.read_text()
    # the question that deletes the bucket has no answer then; the others have theirs
    found = json.loads(path.read_text())
    assert found["unanswered"]["bucket_name_kept_seconds"] == "500 InternalError"
    assert found["behaviour"]["order"] == "storage"


class TestInterrupted:
    @pytest.fixture
    def behaviour(self):
        return Behaviour(query_delay_seconds=3600)  # there is time to press Ctrl-C

    def start(self, path):
        running = subprocess.Popen(
            [COMMAND, "doctor", "--record", str(path), "--yes"],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        said = ""
        while "asking: get_delay_seconds" not in said:
            line = running.stderr.readline()
            assert line, said
            said += line
        return running

    @pytest.mark.usefixtures("service")
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_run_cleans_up(self, tmp_path, number):
        running = self.start(tmp_path / "account.json")
        running.send_signal(number)
        _, errors = running.communicate(timeout=30)
        assert running.returncode == 130
        assert "cleaning up" in errors
        assert "left behind" not in errors
        assert buckets_left() == []
        assert not list(tmp_path.iterdir())

    def test_a_second_ctrl_c_ends_the_cleaning_and_names_what_is_left(self, service, tmp_path):
        service.faults.add(faults.Delay(seconds=25, operation="DeleteVectorIndex"))
        running = self.start(tmp_path / "account.json")
        running.send_signal(signal.SIGINT)
        while "cleaning up" not in running.stderr.readline():
            pass
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=20)
        assert running.returncode == 130
        (left,) = buckets_left()
        assert f"left behind: bucket {left.rpartition(':')[2]}" in errors
