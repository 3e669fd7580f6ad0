"""Where credentials come from, when they are asked for again, and which are refused."""

import copy
import dataclasses
import json
import pickle
import threading
from datetime import UTC, datetime, timedelta

import langsmith._internal._serde as langsmith_serde
import orjson
import pydantic_core
import pytest

from oss_vector_retriever import ConfigurationError, Credentials
from oss_vector_retriever.client.credentials import (
    CallableSource,
    CredentialsKeeper,
    EnvironmentSource,
    as_credentials,
    source_of,
    usable,
)
from oss_vector_retriever.emulator import AccessKey

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
VARIABLES = {"OSS_ACCESS_KEY_ID": "id", "OSS_ACCESS_KEY_SECRET": "secret"}


def resolved(given):
    found = source_of(given).resolve()
    return as_credentials(found)


def asked(keeper, *, forced=False):
    """Run the keeper's flow as a blocking driver does."""
    flow = keeper.renew() if forced else keeper.resolve()
    outcome = None
    try:
        while True:
            outcome = flow.send(outcome).function()
    except StopIteration as end:
        return end.value


@pytest.mark.parametrize(
    ("given", "token"),
    [
        (Credentials("id", "secret"), None),
        (Credentials("id", "secret", "token"), "token"),
        (("id", "secret"), None),
        (("id", "secret", "token"), "token"),
        (("id", "secret", None), None),
        (("id", "secret", ""), None),
        (lambda: ("id", "secret", "token"), "token"),
        (lambda: Credentials("id", "secret"), None),
    ],
)
def test_what_credentials_may_be(given, token):
    found = resolved(given)
    assert (found.access_key_id, found.access_key_secret) == ("id", "secret")
    assert found.security_token == token


@pytest.mark.parametrize("given", ["id", 5, ["id", "secret"], {"id": "secret"}, (), ("id",), b"x"])
def test_anything_else_is_refused_with_what_is_accepted(given):
    with pytest.raises(ConfigurationError, match="credentials= is a") as refused:
        source_of(given)
    assert '"chain"' in str(refused.value)


@pytest.mark.parametrize("given", [None, "id", ("id",), ("a", "b", "c", "d", "e"), 5])
def test_a_callable_that_returns_something_else_is_told_so(given):
    with pytest.raises(ConfigurationError, match="callable returned a"):
        resolved(lambda: given)


def test_an_async_callable_is_refused_where_nothing_can_await_it():
    async def give():
        return "id", "secret"

    with pytest.raises(ConfigurationError, match="is async: use AsyncOSSVectorClient"):
        resolved(give)


@pytest.mark.parametrize(
    "bad", ["a\nb", "a\r", "a\x00b", " a", "a b", "\N{EURO SIGN}", "\x7f", "\ta"]
)
@pytest.mark.parametrize("part", ["access_key_id", "access_key_secret", "security_token"])
def test_a_part_that_no_header_can_carry_is_refused_unseen(part, bad):
    parts = {"access_key_id": "id", "access_key_secret": "secret", part: f"CANARY{bad}"}
    with pytest.raises(ConfigurationError, match=part) as refused:
        Credentials(**parts)
    assert "CANARY" not in str(refused.value)
    assert "line break" in str(refused.value)


@pytest.mark.parametrize("part", ["access_key_id", "access_key_secret"])
@pytest.mark.parametrize("empty", ["", None, 5, b"id"])
def test_an_empty_part_is_refused(part, empty):
    with pytest.raises(ConfigurationError, match=f"{part} is empty or not a string"):
        Credentials(**{"access_key_id": "id", "access_key_secret": "secret", part: empty})


def test_an_end_without_a_timezone_is_refused():
    with pytest.raises(ConfigurationError, match="timezone"):
        Credentials("id", "secret", "token", datetime(2026, 11, 1))  # noqa: DTZ001 - the point


class TestTheEnvironment:
    def test_is_read_at_each_use(self, monkeypatch):
        source = source_of(None)
        monkeypatch.setenv("OSS_ACCESS_KEY_ID", "first")
        monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", "secret")
        assert source.resolve() == Credentials("first", "secret")
        monkeypatch.setenv("OSS_ACCESS_KEY_ID", "second")
        monkeypatch.setenv("OSS_SESSION_TOKEN", "token")
        assert source.resolve() == Credentials("second", "secret", "token")

    def test_with_an_empty_token_has_none(self):
        found = EnvironmentSource({**VARIABLES, "OSS_SESSION_TOKEN": ""}).resolve()
        assert found.security_token is None

    @pytest.mark.parametrize("name", VARIABLES)
    @pytest.mark.parametrize("value", [None, ""])
    def test_without_a_key_names_the_variable(self, name, value):
        found = {**VARIABLES, name: value} if value is not None else VARIABLES.copy()
        found.pop(name, None) if value is None else None
        with pytest.raises(ConfigurationError, match=f"No credentials: set {name}, or pass"):
            EnvironmentSource(found).resolve()

    def test_with_a_line_break_in_a_key_is_refused_unseen(self):
        with pytest.raises(ConfigurationError, match="access_key_secret") as refused:
            EnvironmentSource({**VARIABLES, "OSS_ACCESS_KEY_SECRET": "CANARY\n"}).resolve()
        assert "CANARY" not in str(refused.value)


class TestExpiry:
    @pytest.mark.parametrize(
        ("left", "good"),
        [
            (timedelta(minutes=5, seconds=1), True),
            (timedelta(minutes=5), False),
            (timedelta(minutes=1), False),
            (timedelta(0), False),
            (timedelta(hours=-1), False),
        ],
    )
    def test_five_minutes_before_the_end_credentials_are_no_longer_used(self, left, good):
        credentials = Credentials("id", "secret", "token", NOW + left)
        assert usable(credentials, NOW) is good

    def test_without_a_known_end_credentials_are_not_kept(self):
        assert not usable(Credentials("id", "secret"), NOW)
        assert not usable(None, NOW)

    def test_renews_only_when_it_is_time(self):
        now, given = NOW, []

        def give():
            given.append(Credentials(f"id{len(given)}", "s", "t", now + timedelta(hours=1)))
            return given[-1]

        keeper = CredentialsKeeper(CallableSource(give), lambda: now)
        assert [asked(keeper).access_key_id for _ in range(3)] == ["id0"] * 3
        now += timedelta(minutes=54)
        assert asked(keeper).access_key_id == "id0"
        now += timedelta(minutes=1)
        assert asked(keeper).access_key_id == "id1"
        assert asked(keeper, forced=True).access_key_id == "id2"
        assert len(given) == 3

    def test_is_told_by_the_corrected_clock(self, machine):
        good_until = machine.wall + timedelta(minutes=30)
        numbers = iter("12")
        context = machine.context(
            credentials=lambda: Credentials(f"id{next(numbers)}", "s", "t", good_until)
        )
        assert asked(context.credentials).access_key_id == "id1"
        context.clock.learn(machine.wall + timedelta(hours=1))
        assert asked(context.credentials).access_key_id == "id2"

    def test_is_met_by_one_renewal_however_many_threads_ask(self):
        calls = []
        gate = threading.Barrier(8)

        def give():
            calls.append(1)
            return Credentials("id", "secret", "token", NOW + timedelta(hours=1))

        keeper = CredentialsKeeper(CallableSource(give), lambda: NOW)

        def ask():
            gate.wait()
            asked(keeper)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert calls == [1]


def _slots(value):
    return [
        getattr(value, name, None)
        for kind in type(value).__mro__
        for name in getattr(kind, "__slots__", ())
    ]


@pytest.mark.parametrize(
    "serialise",
    [
        orjson.dumps,
        pydantic_core.to_json,
        json.dumps,
        dataclasses.asdict,
        vars,
        pickle.dumps,
        copy.deepcopy,
        repr,
        lambda value: value.__getstate__(),
        _slots,
        lambda value: langsmith_serde.dumps_json({"inputs": {"credentials": value}}),
    ],
)
@pytest.mark.parametrize(
    "holder", [Credentials, lambda _, *parts: AccessKey("id", parts[0], "1", None, parts[1])]
)
def test_no_serialiser_opens_them(serialise, holder):
    canaries = ("canary-id", "canary-secret", "canary-token")

    def written(value):
        try:
            return repr(serialise(value))
        except Exception as error:  # noqa: BLE001 - whatever it refuses with
            return str(error)

    text = written(holder(*canaries))
    assert not [canary for canary in canaries if canary in text]


def test_they_are_values_that_do_not_change():
    one = Credentials("id", "secret")
    assert one == Credentials("id", "secret", "")
    assert hash(one) == hash(Credentials("id", "secret"))
    assert one != Credentials("id", "other")
    with pytest.raises(AttributeError, match="expires_at"):
        one.expires_at = None
