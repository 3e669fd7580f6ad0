"""Where credentials come from, when they are asked for again, and which are refused."""

import contextvars
from datetime import UTC, datetime, timedelta
from traceback import walk_tb

import pytest

from oss_vector_retriever import ConfigurationError, Credentials, DeadlineExceededError
from oss_vector_retriever.client.credentials import (
    CallableSource,
    CredentialsKeeper,
    EnvironmentSource,
    as_credentials,
    source_of,
)
from oss_vector_retriever.client.steps import Begin, Sleep

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
VARIABLES = {"OSS_ACCESS_KEY_ID": "id", "OSS_ACCESS_KEY_SECRET": "secret"}


def resolved(given):
    found = source_of(given).resolve()
    return as_credentials(found)


def asked(keeper, refused=None):
    """Run the keeper's flow as a blocking driver does."""
    flow = keeper.resolve() if refused is None else keeper.renew(refused)
    try:
        while True:
            next(flow).inquiry.run()
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

    def test_without_a_key_names_the_chain_and_what_it_could_read(self):
        found = {
            "ALIBABA_CLOUD_ACCESS_KEY_ID": "canary-id",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "canary-secret",
            "ALIBABA_CLOUD_SECURITY_TOKEN": "",
            "alibaba_cloud_of_somebody": "canary",
            "ALIBABA_CLOUD_\nX": "canary",
            "OSS_ACCESS_KEY_SECRET": "canary-secret",
        }
        with pytest.raises(ConfigurationError) as refused:
            EnvironmentSource(found).resolve()
        said = str(refused.value)
        assert 'credentials="chain" needs pip install "oss-vector-retriever[credentials]"' in said
        names = "ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET"
        assert f"What the chain reads is set: {names}. " in said
        assert "canary" not in said + refused.value.remedy

    def test_without_a_key_reads_the_process_s_own_variables(self, monkeypatch):
        monkeypatch.delenv("OSS_ACCESS_KEY_ID", raising=False)
        monkeypatch.setenv("ALIBABA_CLOUD_ROLE_ARN", "canary")
        with pytest.raises(ConfigurationError, match=r"is set: .*ALIBABA_CLOUD_ROLE_ARN"):
            source_of(None).resolve()
        with pytest.raises(ConfigurationError) as refused:
            EnvironmentSource({}).resolve()
        assert "ALIBABA" not in str(refused.value)

    def test_with_a_line_break_in_a_key_is_refused_unseen(self):
        with pytest.raises(ConfigurationError, match="access_key_secret") as refused:
            EnvironmentSource({**VARIABLES, "OSS_ACCESS_KEY_SECRET": "CANARY\n"}).resolve()
        assert "CANARY" not in str(refused.value)


class Provider:
    """A callable that vends credentials of some life, as long as it is up."""

    def __init__(self, life, clock):
        self.life, self.clock, self.calls, self.down = life, clock, 0, False

    def __call__(self):
        self.calls += 1
        if self.down:
            raise OSError("the canary-secret is not to be had")
        ends = None if self.life is None else self.clock.now + self.life
        return Credentials(f"id{self.calls}", "canary-secret", "token", ends)


class Time:
    """Clocks that move when a test moves them, and the warnings that were given."""

    def __init__(self):
        self.now, self.seconds, self.warnings = NOW, 100.0, []

    def passes(self, **span):
        self.now += timedelta(**span)
        self.seconds += timedelta(**span).total_seconds()

    def warn(self, topic, text, *arguments):
        assert topic == "credentials"
        self.warnings.append(text % arguments)

    def keeper(self, function):
        return CredentialsKeeper(
            CallableSource(function), lambda: self.now, lambda: self.seconds, self.warn
        )


@pytest.fixture
def time():
    return Time()


class Asking:
    """One flow of a keeper, driven step by step; an inquiry runs when the test says so."""

    def __init__(self, flow):
        self._flow, self.begun, self.waits, self.given, self.error = flow, [], [], None, None
        self.go_on()

    def go_on(self):
        try:
            while True:
                match next(self._flow):
                    case Begin(inquiry):
                        self.begun.append(inquiry)
                    case Sleep(seconds, signal):
                        self.waits.append(seconds)
                        assert signal is not None
                        return
        except StopIteration as end:
            self.given = end.value
        except Exception as error:  # noqa: BLE001 - the tests look at it
            self.error = error


class TestRenewal:
    @pytest.mark.parametrize(
        ("life", "ahead", "first"),
        [
            (timedelta(hours=1), 300, 60),
            (timedelta(minutes=20), 300, 60),
            (timedelta(seconds=290), 72.5, 14.5),
            (timedelta(seconds=20), 5, 1),
        ],
    )
    def test_begins_behind_the_calls_and_near_the_end_before_them(self, time, life, ahead, first):
        provider = Provider(life, time)
        keeper = time.keeper(provider)
        assert asked(keeper).access_key_id == "id1"
        time.passes(seconds=life.total_seconds() - ahead - 0.1)
        assert asked(keeper).access_key_id == "id1"
        assert provider.calls == 1
        time.passes(seconds=0.1)
        behind = Asking(keeper.resolve())
        assert (behind.given.access_key_id, behind.waits) == ("id1", [])
        assert len(behind.begun) == 1
        # while that one is on its way the calls go on with the old ones, and no other begins
        assert Asking(keeper.resolve()).begun == []
        time.passes(seconds=ahead - first - 0.1)
        later = Asking(keeper.resolve())  # the one on its way may have been given up by now
        assert later.given.access_key_id == "id1"
        time.passes(seconds=0.1)
        waiting = Asking(keeper.resolve(10.0))
        assert (waiting.given, waiting.begun, waiting.waits) == (None, [], [5.0])
        (later.begun or behind.begun)[0].run()
        waiting.go_on()
        assert waiting.given.access_key_id == "id2"
        assert asked(keeper).access_key_id == "id2"
        assert (provider.calls, time.warnings) == (2, [])

    def test_of_a_provider_that_gives_290_s_asks_once_and_outlasts_its_failure(self, time):
        provider = Provider(timedelta(seconds=290), time)
        keeper = time.keeper(provider)
        assert {asked(keeper).access_key_id for _ in range(10)} == {"id1"}
        assert provider.calls == 1
        provider.down = True
        for _ in range(10):
            time.passes(seconds=28.9)
            assert asked(keeper).access_key_id == "id1"
        # three of them within the last quarter, each beyond the pause
        assert provider.calls == 1 + 3
        time.passes(seconds=2)
        with pytest.raises(OSError, match="not to be had"):
            asked(keeper)
        provider.down = False
        assert asked(keeper).access_key_id == "id6"

    def test_that_fails_is_warned_of_and_paused_while_the_old_ones_hold(self, time):
        provider = Provider(timedelta(hours=1), time)
        keeper = time.keeper(provider)
        asked(keeper)
        time.passes(minutes=56)
        provider.down = True
        for _ in range(100):
            assert asked(keeper).access_key_id == "id1"
            time.passes(seconds=0.099)
        assert provider.calls == 2
        time.passes(seconds=0.2)
        asked(keeper)
        assert provider.calls == 3
        assert len(time.warnings) == 2
        assert time.warnings[0] == (
            "the credentials in use were not renewed by the credentials callable (OSError); they "
            "serve for another 240 s, and renewal is tried again"
        )
        assert "canary" not in str(time.warnings)

    def test_that_does_not_answer_leaves_the_old_ones_half_of_the_time(self, time):
        keeper = time.keeper(Provider(timedelta(hours=1), time))
        asked(keeper)
        time.passes(minutes=59, seconds=30)
        waiting = Asking(keeper.resolve(4.0))
        assert waiting.waits == [2.0]
        time.passes(seconds=2)
        waiting.go_on()
        assert waiting.given.access_key_id == "id1"
        assert "(it has not answered)" in time.warnings[0]
        # and for a while nobody waits for it again
        assert Asking(keeper.resolve(4.0)).given.access_key_id == "id1"

    def test_that_outlasts_a_call_serves_the_next(self, time):
        provider = Provider(timedelta(hours=1), time)
        keeper = time.keeper(provider)
        first = Asking(keeper.resolve(1.0))
        time.passes(seconds=1)
        first.go_on()
        assert isinstance(first.error, DeadlineExceededError)
        assert str(first.error) == "the credentials callable had not answered in time."
        second = Asking(keeper.resolve(1.0))
        assert (second.begun, second.waits) == ([], [1.0])
        first.begun[0].run()
        second.go_on()
        assert second.given.access_key_id == "id1"
        assert asked(keeper).access_key_id == "id1"
        assert provider.calls == 1

    def test_that_hangs_is_given_up_after_a_minute_and_tells_nothing_then(self, time):
        provider = Provider(timedelta(hours=1), time)
        keeper = time.keeper(provider)
        hung = Asking(keeper.resolve(1.0))
        time.passes(seconds=61)
        assert asked(keeper).access_key_id == "id1"
        hung.begun[0].run()
        assert asked(keeper).access_key_id == "id1"

    def test_is_made_once_for_one_refusal_however_many_meet_it(self, time):
        provider = Provider(timedelta(hours=1), time)
        keeper = time.keeper(provider)
        refused = asked(keeper)
        together = [Asking(keeper.renew(refused, 5.0)) for _ in range(32)]
        assert [len(each.begun) for each in together] == [1] + [0] * 31
        # nobody is given the refused ones meanwhile
        beside = Asking(keeper.resolve(5.0))
        assert (beside.given, beside.begun) == (None, [])
        together[0].begun[0].run()
        for each in (*together, beside):
            each.go_on()
            assert each.given.access_key_id == "id2"
        assert [asked(keeper, refused).access_key_id for _ in range(32)] == ["id2"] * 32
        assert provider.calls == 2

    def test_that_another_call_began_before_the_refusal_is_repeated_if_it_gave_the_refused(
        self, time
    ):
        ends, numbers = NOW + timedelta(hours=1), iter("0123")
        known = {"0": "old", "1": "old", "2": "new"}
        keeper = time.keeper(lambda: Credentials(known[next(numbers)], "s", "t", ends))
        refused = asked(keeper)
        time.passes(minutes=56)
        ahead = Asking(keeper.resolve())
        renewing = Asking(keeper.renew(refused, 5.0))
        assert renewing.begun == []
        ahead.begun[0].run()
        renewing.go_on()
        renewing.begun[0].run()
        renewing.go_on()
        assert renewing.given.access_key_id == "new"

    def test_without_a_known_end_is_asked_for_at_each_use(self, time):
        keeper = time.keeper(Provider(None, time))
        assert [asked(keeper).access_key_id for _ in range(3)] == ["id1", "id2", "id3"]
        assert asked(keeper, Credentials("id2", "canary-secret", "token")).access_key_id == "id3"

    def test_of_what_has_ended_already_returns_it_and_asks_again(self, time):
        keeper = time.keeper(Provider(timedelta(seconds=-1), time))
        assert [asked(keeper).access_key_id for _ in range(3)] == ["id1", "id2", "id3"]

    def test_that_was_cancelled_is_made_by_who_waited_for_it(self, time):
        keeper = time.keeper(Provider(timedelta(hours=1), time))
        ended, waiting = Asking(keeper.resolve(5.0)), Asking(keeper.resolve(5.0))
        ended.begun[0]._outcome.cancel()
        waiting.go_on()
        waiting.begun[0].run()
        waiting.go_on()
        assert waiting.given.access_key_id == "id1"
        ended.go_on()
        assert "was cancelled before it ended" in str(ended.error)

    def test_that_cannot_begin_fails_and_holds_up_nobody(self, time):
        keeper = time.keeper(Provider(timedelta(hours=1), time))
        flow = keeper.resolve()
        next(flow)
        with pytest.raises(RuntimeError, match="no thread"):
            flow.throw(RuntimeError("no thread"))
        assert asked(keeper).access_key_id == "id1"

    def test_is_asked_for_anew_in_a_forked_child(self, time):
        provider = Provider(timedelta(hours=1), time)
        keeper = time.keeper(provider)
        asked(keeper)
        hung = Asking(keeper.renew(Credentials("id1", "canary-secret", "token", None), 1.0))
        assert hung.given is not None
        keeper.renew_after_fork()
        assert asked(keeper).access_key_id == "id2"


class TestAnErrorOfACallable:
    def test_is_each_waiters_own(self, time):
        class VaultSealedError(Exception):
            pass

        def fail():
            raise VaultSealedError("sealed")

        keeper = time.keeper(fail)
        waiting = [Asking(keeper.resolve(5.0)) for _ in range(5)]
        waiting[0].begun[0].run()
        for each in waiting:
            each.go_on()
        errors = [each.error for each in waiting]
        assert {(type(error), str(error)) for error in errors} == {(VaultSealedError, "sealed")}
        assert len({id(error) for error in errors}) == 5
        for error in errors:
            frames = [frame.f_code.co_name for frame, _ in walk_tb(error.__traceback__)]
            assert frames[-1] == "fail"
            assert frames.count("go_on") == 1

    @pytest.mark.parametrize("wrapped", [False, True])
    def test_that_its_callers_variables_are_not_there_is_said(self, time, wrapped):
        tenant = contextvars.ContextVar("tenant")
        tenant.set("alice")

        def vend():
            try:
                return Credentials(tenant.get(), "secret")
            except LookupError:
                if not wrapped:
                    raise
                raise RuntimeError("working outside of request context") from None

        with pytest.raises(ConfigurationError, match="reads the context variable 'tenant'") as said:
            asked(time.keeper(vend))
        assert "client.with_options(credentials=...)" in str(said.value)
        assert "on behalf of all" in str(said.value)

    def test_about_another_lookup_stays_as_it_is(self, time):
        with pytest.raises(KeyError, match="nowhere"):
            asked(time.keeper(lambda: {}["nowhere"]))


class TestExpiry:
    def test_is_told_by_the_corrected_clock(self, machine):
        good_until = machine.wall + timedelta(minutes=30)
        numbers = iter("12")
        context = machine.context(
            credentials=lambda: Credentials(f"id{next(numbers)}", "s", "t", good_until)
        )
        assert asked(context.credentials).access_key_id == "id1"
        context.clock.learn(machine.wall + timedelta(hours=1))
        assert asked(context.credentials).access_key_id == "id2"


def test_they_are_values_that_do_not_change():
    one = Credentials("id", "secret")
    assert one == Credentials("id", "secret", "")
    assert hash(one) == hash(Credentials("id", "secret"))
    assert one != Credentials("id", "other")
    with pytest.raises(AttributeError, match="expires_at"):
        one.expires_at = None
