"""`record=`: a client knows what its account's service does; what is no record is refused."""

import json
import pickle
from dataclasses import replace

import pytest

from oss_vector_retriever import (
    AccountRecord,
    ClientSettings,
    ConfigurationError,
    InvalidRequestError,
    Limits,
    OSSVectorClient,
    emulator,
)
from oss_vector_retriever.client.config import resolve_config

SETTINGS = {
    "bucket": "examplebucket",
    "account_id": "123456",
    "region": "cn-hangzhou",
    "index": "notes",
    "credentials": ("ak", "sk"),
}
RECORD = AccountRecord(
    region="cn-hangzhou",
    recorded="2026-11-01T12:00:00+00:00",
    package="0.1.0",
    behaviour={"top_k_limit": 100, "scalars": "strings", "query_delay_seconds": 2.5},
    observations={"clock_ahead_seconds": 3},
    unanswered={"order": "403 AccessDenied"},
)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a record's file, with members changed, and gives its path."""

    def write_members(**changes):
        members = {**RECORD.to_dict(), **changes}
        path = tmp_path / "account.json"
        path.write_text(json.dumps({n: v for n, v in members.items() if v is not ...}))
        return path

    return write_members


def test_a_client_is_told_what_its_account_does(write):
    with OSSVectorClient(**SETTINGS, record=write()) as client:
        assert client.config.record == RECORD
        assert client.config.record.behaviour["scalars"] == "strings"
        assert client.config.limits.top_k == 100
        with pytest.raises(InvalidRequestError, match="1 to 100, not 101"):
            client.query_vectors([1, 2], top_k=101)


def test_a_record_that_was_read_already_will_do():
    with OSSVectorClient(**SETTINGS, record=RECORD) as client:
        assert client.config.limits.top_k == 100


@pytest.mark.parametrize(("given", "used"), [(30, 30), (100, 100), (500, 100)])
def test_the_narrower_limit_holds(given, used):
    class Own(Limits):
        """Limits of a user's own class."""

    with OSSVectorClient(**SETTINGS, limits=Own(top_k=given), record=RECORD) as client:
        assert client.config.limits == Own(top_k=used)
        narrower = client.with_options(limits=Limits(top_k=400))
        assert narrower.config.limits.top_k == 100


def test_without_an_answer_the_limits_stay():
    record = replace(RECORD, behaviour={})
    assert resolve_config(**SETTINGS, record=record).limits == Limits()


def test_it_travels_with_the_settings():
    with OSSVectorClient(**SETTINGS, record=RECORD) as client:
        settings = client.settings
    assert ClientSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    again = pickle.loads(pickle.dumps(settings))
    with OSSVectorClient.from_settings(again) as client:
        assert client.config.record == RECORD
        assert client.config.limits.top_k == 100


def test_the_emulator_made_from_it_does_the_same_and_else_what_is_documented(write):
    documented = emulator.Behaviour.documented()
    found = emulator.Behaviour.from_record(write())
    assert found == replace(documented, **RECORD.behaviour)
    assert found.order == documented.order


# What is no record


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no record of an account; `oss-vectors doctor --record` writes one"),
        ("{", "is no record"),
        ("[1]", "is no record"),
        ('{"format": "another"}', "is no record"),
        ("[" * 100_000, "is no record"),
        ('{"format": "oss-vectors record"}' + " " * 2_000_000, "is no record"),
    ],
)
def test_a_foreign_file(tmp_path, text, said):
    path = tmp_path / "account.json"
    path.write_text(text)
    refused(path, said)


def refused(path, said):
    """Show that client and emulator refuse a file, and that each error says so."""
    for read in (lambda: OSSVectorClient(**SETTINGS, record=path), lambda: from_record(path)):
        with pytest.raises(ConfigurationError) as caught:
            read()
        assert said in str(caught.value)
        assert caught.value.argument == "record"


def from_record(path):
    return emulator.Behaviour.from_record(path)


def test_a_file_that_is_not_there(tmp_path):
    refused(tmp_path / "nosuch.json", "nosuch.json cannot be read: No such file or directory")


@pytest.mark.parametrize("version", [0, 2, None, "1", ...])
def test_a_file_of_another_version(write, version):
    refused(write(version=version), "and this package reads version 1: record the account again")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"region": ...}, "a record holds region, recorded, package, behaviour"),
        ({"behaviour": []}, "a record holds"),
        ({"more": 1}, "a record holds"),
        ({"recorded": "yesterday"}, "does not say when"),
        ({"behaviour": {"nosuch": 1}}, "answers 'nosuch', which is no question"),
        ({"behaviour": {"seed": 7}}, "answers 'seed'"),
        ({"behaviour": {"order": "upwards"}}, "order cannot be 'upwards'"),
        ({"behaviour": {"top_k_limit": 30.0}}, "top_k_limit cannot be 30.0"),
        ({"behaviour": {"filter_shorthand": 1}}, "filter_shorthand cannot be 1"),
        ({"behaviour": {"query_delay_seconds": -1}}, "query_delay_seconds cannot be -1"),
        ({"behaviour": {"query_delay_seconds": True}}, "query_delay_seconds cannot be True"),
        ({"behaviour": {"query_delay_seconds": float("nan")}}, "cannot be nan"),
        ({"behaviour": {"query_delay_seconds": float("inf")}}, "cannot be inf"),
        ({"behaviour": {"query_delay_seconds": None}}, "cannot be None"),
        ({"behaviour": {"scalars": ["kept"]}}, "scalars cannot be ['kept']"),
    ],
)
def test_a_file_that_was_changed(write, changes, said):
    refused(write(**changes), said)


@pytest.mark.parametrize("value", [7, {}, [RECORD]])
def test_something_else_than_a_record(value):
    with pytest.raises(ConfigurationError, match=r"record= takes an AccountRecord, or the file"):
        OSSVectorClient(**SETTINGS, record=value)


def test_settings_with_a_record_of_another_version():
    with OSSVectorClient(**SETTINGS, record=RECORD) as client:
        members = client.settings.to_dict()
    members["record"]["version"] = 9
    with pytest.raises(ConfigurationError, match="is of version 9"):
        ClientSettings.from_dict(members)


def test_a_record_of_another_region():
    elsewhere = replace(RECORD, region="cn-beijing")
    said = "record= was made in region 'cn-beijing', and this client's is 'cn-hangzhou'"
    with pytest.raises(ConfigurationError, match=said):
        OSSVectorClient(**SETTINGS, record=elsewhere)
    # an emulator's region is nobody's
    local = {**SETTINGS, "endpoint": "http://127.0.0.1:9000"}
    with OSSVectorClient(**local, record=elsewhere) as client:
        assert client.config.record == elsewhere
