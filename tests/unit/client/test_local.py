"""Clients of an embedded service whose behaviour and clock are chosen."""

import asyncio
import inspect
import json
import pickle
import threading
from datetime import UTC, datetime, timedelta

import pytest

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    ClientSettings,
    ConfigurationError,
    InternalServiceError,
    OSSVectorClient,
    QpsLimitExceededError,
    VectorIndexParameterInvalidError,
)
from oss_vector_retriever.client.models.messages import Request
from oss_vector_retriever.client.pair import ClientPair
from oss_vector_retriever.client.steps import Fault, FaultKind, Send
from oss_vector_retriever.emulator import Behaviour, ManualClock

ROWS = [{"key": "a", "data": [1.0], "metadata": {"n": 1}}]
STRICT = Behaviour(scalars="refused", query_delay_seconds=3)


@pytest.fixture(params=[OSSVectorClient, AsyncOSSVectorClient], ids=["sync", "async"])
def call(request):
    """Return a function that calls a method of a client of either kind, made for each call."""

    def call(client, name, *args, **options):
        pair = ClientPair(client)
        if request.param is OSSVectorClient:
            return getattr(pair.blocking(), name)(*args, **options)

        async def wait():
            return await getattr(pair.on_this_loop(), name)(*args, **options)

        return asyncio.run(wait())

    return call


@pytest.mark.parametrize("place", ["memory", "file"])
@pytest.mark.parametrize("kind", [OSSVectorClient, AsyncOSSVectorClient])
def test_its_service_behaves_as_told(kind, place, tmp_path):
    path = None if place == "memory" else tmp_path / "vectors.db"
    client, clock = None, ManualClock()

    async def finished(result):
        return await result if inspect.isawaitable(result) else result

    async def use():
        await finished(client.put_vector_index(dimension=1))
        with pytest.raises(VectorIndexParameterInvalidError, match="'n' must be a string"):
            await finished(client.put_vectors(ROWS))
        await finished(client.put_vectors([{"key": "a", "data": [1.0]}]))
        assert (await finished(client.fetch(["a"])))[0].key == "a"
        assert list(await finished(client.query_vectors([1.0], top_k=1))) == []
        clock.advance(3)
        assert (await finished(client.query_vectors([1.0], top_k=1)))[0].key == "a"
        clock.advance(48 * 3600)  # its own clock stays: it is accepted as before
        assert (await finished(client.fetch(["a"])))[0].key == "a"
        await finished(client.close())

    client = kind.local(path, behaviour=STRICT, clock=clock)
    asyncio.run(use())


def test_without_one_it_is_quick_and_says_what_it_leaves_out():
    with OSSVectorClient.local() as client:
        client.put_vector_index(dimension=1)
        client.put_vectors(ROWS)
        assert client.query_vectors([1.0], top_k=500, filter={"n": 1})[0].key == "a"
        assert client.get_vector_index().status == "enable"
    text = " ".join(OSSVectorClient.local.__doc__.split())
    for left_out in (
        "creating",
        "2 to 3 seconds",
        "name of a deleted",
        "rate",
        "10 names",
        "strings",
    ):
        assert left_out in text


def test_the_rest_of_the_behaviour_is_met_by_a_client_as_well():
    clock = ManualClock()
    behaviour = Behaviour(requests_per_second=3, enable_failure_seconds=10)
    with OSSVectorClient.local(behaviour=behaviour, clock=clock, retry=1) as client:
        client.put_vector_index(dimension=1)
        with pytest.raises(InternalServiceError):
            client.put_vectors(ROWS)
        assert client.fetch(["a"]).missing == ("a",)
        with pytest.raises(QpsLimitExceededError):
            client.fetch(["a"])
        clock.advance(10)
        client.put_vectors(ROWS)


def test_a_clock_that_is_a_function_is_that_of_requests_too():
    ahead = timedelta(hours=2)
    with OSSVectorClient.local(clock=lambda: datetime.now(UTC) + ahead) as client:
        client.put_vector_index(dimension=1)  # after it has learnt the time from the refusal
        made = client.get_vector_index().create_time
        assert timedelta(hours=1) < made - datetime.now(UTC) < timedelta(hours=3)


@pytest.mark.parametrize("wrong", ["quick", {"order": "shuffled"}, Behaviour])
@pytest.mark.parametrize("path", [None, "vectors.db"])
def test_what_is_no_behaviour_is_refused_by_name(wrong, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"behaviour= takes an emulator\.Behaviour"):
        OSSVectorClient.local(path, behaviour=wrong)
    with OSSVectorClient.local("vectors.db") as client:  # which nobody has left locked
        with pytest.raises(ConfigurationError):
            OSSVectorClient.local("vectors.db", behaviour=wrong)
        client.list_vector_indexes()


class TestOnAFile:
    def test_two_behaviours_of_one_file_are_refused_by_name(self, tmp_path):
        path = tmp_path / "vectors.db"
        said = (
            r"vectors\.db is open in this process with another behaviour: scalars is refused "
            r"there, and kept here; give both clients the same\."
        )
        with OSSVectorClient.local(path, behaviour=STRICT) as client:
            for other in (None, Behaviour(query_delay_seconds=3)):
                with pytest.raises(ConfigurationError, match=said) as refused:
                    AsyncOSSVectorClient.local(path, behaviour=other)
                assert refused.value.argument == "behaviour"
            saved = client.settings.to_dict()
            for members in ({}, {"behaviour": {"query_delay_seconds": 3.0}}):
                other = {**saved, "behaviour": {}, **members}
                with pytest.raises(ConfigurationError, match=said):
                    OSSVectorClient.from_settings(ClientSettings.from_dict(other))
            with pytest.raises(ConfigurationError, match="is open in another process"):
                OSSVectorClient.local(path, behaviour=STRICT)  # the same, but a service of its own
        with OSSVectorClient.local(path) as client:  # by then it is closed
            assert client.settings.behaviour == {}

    def test_the_behaviour_travels_and_the_clock_does_not(self, tmp_path):
        path, clock = tmp_path / "vectors.db", ManualClock()
        with OSSVectorClient.local(path, behaviour=STRICT, clock=clock) as client:
            settings, packed = client.settings, pickle.dumps(client)
            assert settings.behaviour == {"scalars": "refused", "query_delay_seconds": 3}
            assert settings.omitted == ("clock",)
            with pickle.loads(packed) as twin:  # a file that is open is shared, with its clock
                twin.put_vector_index(dimension=1)
                twin.put_vectors([{"key": "a", "data": [1.0]}])
                clock.advance(3)
                assert client.query_vectors([1.0], top_k=1)[0].key == "a"
        written = json.loads(json.dumps(settings.to_dict()))
        for again in (
            pickle.loads(packed),
            OSSVectorClient.from_settings(ClientSettings.from_dict(written)),
        ):
            with again, pytest.raises(VectorIndexParameterInvalidError, match="must be a string"):
                again.put_vectors(ROWS)
            assert again.settings.behaviour == settings.behaviour

    def test_of_settings_as_usual_nothing_is_written(self, tmp_path):
        with OSSVectorClient.local(tmp_path / "vectors.db") as client:
            assert "behaviour" not in client.settings.to_dict()
            assert hash(client.settings) == hash(client.settings)

    @pytest.mark.parametrize(
        ("saved", "said"),
        [
            ("quick", "the saved behaviour is a dict, not str"),
            ({"speed": 1}, "saved behaviour settings hold speed, which this version does not know"),
            ({"order": "x"}, "order must be request or storage or shuffled, not 'x'"),
        ],
    )
    def test_a_saved_behaviour_that_is_none_is_refused(self, tmp_path, saved, said):
        with OSSVectorClient.local(tmp_path / "vectors.db") as client:
            members = {**client.settings.to_dict(), "behaviour": saved}
        with pytest.raises(ConfigurationError, match=said):
            OSSVectorClient.from_settings(ClientSettings.from_dict(members))


def test_a_pair_shares_it(call):
    with OSSVectorClient.local(behaviour=STRICT) as client:
        client.put_vector_index(dimension=1)
        with pytest.raises(VectorIndexParameterInvalidError, match="'n' must be a string"):
            call(client, "put_vectors", ROWS)


def test_what_was_stopped_before_it_was_sent_is_not_sent():
    stop = threading.Event()
    stop.set()
    with OSSVectorClient.local() as client:
        exchange = client._runner._exchange
        request = Request("POST", "http://localhost", "/development-bucket/", "getVectors")
        outcome = exchange.send(Send(request, 5.0, 1000), stop)
        assert isinstance(outcome, Fault)
        assert outcome.kind is FaultKind.CLOSED
        assert not isinstance(exchange.send(Send(request, 5.0, 1000)), Fault)
