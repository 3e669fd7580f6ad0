"""One client for code that is called both ways: which client serves whom, and for how long."""

import asyncio
import copy
import gc
import pickle
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.places import ACCOUNT, ARN, SHOWN

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    ConfigurationError,
    Limits,
    MissingKeysError,
    OSSVectorClient,
    VectorIndexParameterInvalidError,
)
from oss_vector_retriever.client.fetch import fetch
from oss_vector_retriever.client.pair import ClientPair, connect

SETTINGS = {
    "bucket": "examplebucket",
    "account_id": "123456",
    "region": "cn-hangzhou",
    "index": "vectorindex1",
    "endpoint": "http://127.0.0.1:9",
    "credentials": ("id", "secret"),
}
ENVIRONMENT = {
    "OSS_VECTORS_BUCKET": "examplebucket",
    "OSS_ACCOUNT_ID": "123456",
    "OSS_REGION": "cn-hangzhou",
    "OSS_ENDPOINT": "http://127.0.0.1:9",
}


@pytest.fixture(params=[OSSVectorClient, AsyncOSSVectorClient])
def given(request):
    return request.param(**SETTINGS)


@pytest.fixture
def environment(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def makers(monkeypatch):
    """Give the list of the threads in which a blocking client was made."""
    seen = []
    make = OSSVectorClient._make_runner

    def remembered(client):
        seen.append(threading.get_ident())
        return make(client)

    monkeypatch.setattr(OSSVectorClient, "_make_runner", remembered)
    return seen


def nothing(context):
    """Be a flow that asks for nothing and returns its context."""
    yield from ()
    return context


def on_a_loop(both):
    async def of_this_loop():
        return both.on_this_loop()

    return asyncio.run(of_this_loop())


def test_the_client_that_was_given_makes_the_calls_of_its_kind():
    client = OSSVectorClient(**SETTINGS)
    assert ClientPair(client).blocking() is client
    async_client = AsyncOSSVectorClient(**SETTINGS)
    assert on_a_loop(ClientPair(async_client)) is async_client


def test_twins_are_of_the_other_kind_and_are_kept():
    both = ClientPair(AsyncOSSVectorClient(**SETTINGS))
    assert isinstance(both.blocking(), OSSVectorClient)
    assert both.blocking() is both.blocking()

    async def twice():
        both = ClientPair(OSSVectorClient(**SETTINGS))
        return both.on_this_loop(), both.on_this_loop()

    first, second = asyncio.run(twice())
    assert isinstance(first, AsyncOSSVectorClient)
    assert first is second


def test_twins_share_settings_clock_quota_pace_and_credentials(given):
    both = ClientPair(given)
    for twin in (both.blocking(), on_a_loop(both), on_a_loop(both)):
        assert twin.config is given.config is both.config
        assert twin._context.clock is given._context.clock
        assert twin._context.retry_budget is given._context.retry_budget
        assert twin._context.rate_limiters is given._context.rate_limiters
        assert twin._context.credentials is given._context.credentials


def test_flows_run_with_the_shared_context_and_raise_their_own_errors(given):
    both = ClientPair(given)
    assert both.run(nothing) is given._context
    assert asyncio.run(both.arun(nothing)) is given._context

    def failing(_context):
        raise MissingKeysError(["gone"])

    with pytest.raises(MissingKeysError):
        both.run(failing)
    with pytest.raises(MissingKeysError):
        asyncio.run(both.arun(failing))


def test_each_loop_has_a_client_of_its_own(given):
    both = ClientPair(given)
    meet = threading.Barrier(4)

    async def of_this_loop():
        client = both.on_this_loop()
        meet.wait(timeout=10)  # all loops are open at once, and none has made a call
        return client

    with ThreadPoolExecutor(4) as threads:
        clients = list(threads.map(lambda _: asyncio.run(of_this_loop()), range(4)))
    assert len({id(client) for client in clients}) == 4
    assert (given in clients) == isinstance(given, AsyncOSSVectorClient)


def test_an_async_client_that_belongs_to_another_loop_is_replaced_by_a_twin(monkeypatch):
    client = AsyncOSSVectorClient(**SETTINGS)
    monkeypatch.setattr(client, "usable_here", lambda: False)
    twin = on_a_loop(ClientPair(client))
    assert twin is not client
    assert twin._context is client._context


def test_clients_of_loops_that_have_ended_are_let_go(given):
    both = ClientPair(given)
    ended = [weakref.ref(on_a_loop(both)) for _ in range(5)]

    async def on_the_last():
        both.on_this_loop()
        return len(both._on_loops)

    assert asyncio.run(on_the_last()) == 1
    gc.collect()
    assert [ref() for ref in ended if ref() is not given] == [None] * (
        5 if isinstance(given, OSSVectorClient) else 0
    )


@pytest.mark.parametrize("wrong", ["https://example.com", {"bucket": "b"}, OSSVectorClient, 5])
def test_anything_else_is_refused_by_name(wrong):
    with pytest.raises(ConfigurationError, match=f"not {type(wrong).__name__}"):
        ClientPair(wrong)


@pytest.mark.usefixtures("environment")
def test_the_environment_is_asked_when_first_needed_and_once(makers):
    both = ClientPair()
    assert makers == []
    with ThreadPoolExecutor(8) as threads:
        clients = set(threads.map(lambda _: both.blocking(), range(32)))
    assert len(clients) == len(makers) == 1
    assert both.config.bucket == "examplebucket"


@pytest.mark.usefixtures("environment")
async def test_a_client_made_from_the_environment_is_not_made_on_the_loop(makers):
    both = ClientPair()
    contexts = await asyncio.gather(*(both.arun(nothing) for _ in range(5)))
    assert set(map(id, contexts)) == {id(both.blocking()._context)}
    assert len(makers) == 1
    assert threading.get_ident() not in makers


@pytest.mark.parametrize("missing", ["OSS_VECTORS_BUCKET", "OSS_ACCOUNT_ID", "OSS_REGION"])
@pytest.mark.usefixtures("environment")
async def test_a_variable_that_is_not_set_is_named(monkeypatch, missing):
    monkeypatch.delenv(missing)
    with pytest.raises(ConfigurationError, match=missing):
        ClientPair().run(nothing)
    with pytest.raises(ConfigurationError, match=missing):
        await ClientPair().arun(nothing)


def test_without_a_client_it_is_copied_and_pickled():
    for again in (pickle.loads(pickle.dumps(ClientPair())), copy.deepcopy(ClientPair())):
        assert again.given is None


def test_with_a_client_it_is_pickled_by_the_clients_settings(given):
    again = pickle.loads(pickle.dumps(ClientPair(given)))
    assert type(again.given) is type(given)
    assert again.settings == given.settings


class TestEmbedded:
    """An embedded service is open for as long as the client that was given, whatever twins do."""

    @pytest.fixture(autouse=True)
    def _emulator(self):
        pytest.importorskip("oss_vector_retriever.emulator")

    def keys_of(self, result):
        return [vector.key for vector in result]

    def test_twins_see_its_data(self):
        with OSSVectorClient.local() as client:
            client.put_vector_index(dimension=1)
            client.put_vectors([{"key": "a", "data": [1]}])
            both = ClientPair(client)
            for _ in range(2):
                assert self.keys_of(both.run(lambda context: fetch(context, ["a"]))) == ["a"]
                found = asyncio.run(both.arun(lambda context: fetch(context, ["a"])))
                assert self.keys_of(found) == ["a"]

    def test_closing_the_blocking_client_that_was_given_frees_its_file(self, tmp_path):
        with OSSVectorClient.local(tmp_path / "vectors.db") as client:
            both = ClientPair(client)
            assert on_a_loop(both) is not client
        OSSVectorClient.local(tmp_path / "vectors.db").close()

    async def test_closing_the_async_client_that_was_given_frees_its_file(self, tmp_path):
        async with AsyncOSSVectorClient.local(tmp_path / "vectors.db") as client:
            both = ClientPair(client)
            assert both.blocking() is not client
        await AsyncOSSVectorClient.local(tmp_path / "vectors.db").close()

    def test_a_twin_that_goes_leaves_it_open(self):
        with OSSVectorClient.local() as client:
            client.put_vector_index(dimension=1)
            both = ClientPair(client)
            on_a_loop(both)
            del both
            gc.collect()
            assert client.get_vector_index().dimension == 1

    def test_its_service_keeps_the_limits_of_its_client(self, tmp_path):
        limits = Limits(keys_per_get=150, non_filterable_keys=20)
        names = [f"k{n}" for n in range(11)]
        for path in (None, tmp_path / "vectors.db"):
            with OSSVectorClient.local(path, limits=limits) as client:
                client.put_vector_index(dimension=1, non_filterable_metadata_keys=names)
                assert client.fetch([f"k{n}" for n in range(150)]).calls == 1
                found = client.get_vector_index().non_filterable_metadata_keys
                assert list(found) == names
                travelled = None if path is None else pickle.dumps(client)
        with pickle.loads(travelled) as client:
            assert client.fetch([f"k{n}" for n in range(150)]).calls == 1

    def test_its_service_is_as_strict_as_its_client_may_be_told(self):
        with OSSVectorClient.local(limits=Limits(keys_per_get=2)) as client:
            client.put_vector_index(dimension=1)
            lax = client.with_options(limits=Limits())
            with pytest.raises(VectorIndexParameterInvalidError, match="1 to 2"):
                lax.get_vectors(["a", "b", "c"])


def test_an_address_takes_the_place_of_a_saved_one_of_another_kind():
    saved = OSSVectorClient(**SETTINGS).settings
    inside = connect(None, {"internal": True}, saved)
    assert "-internal." in str(inside.config.endpoint)
    assert connect(None, {"endpoint": SETTINGS["endpoint"]}, inside.settings).settings == saved


class TestArgumentsOverASavedClient:
    def test_that_name_a_place_of_their_own_lead_there(self):
        saved = OSSVectorClient(**{**SETTINGS, "bucket": "saved", "index": "kept"}).settings
        for arguments in ({"endpoint": SHOWN}, {"bucket": ARN, "internal": True}):
            moved = connect(None, arguments, saved).config
            assert (moved.bucket, moved.account_id, moved.region) == (
                *("my-bucket", ACCOUNT),
                "cn-beijing",
            )
            assert str(moved.endpoint) == "https://cn-beijing-internal.oss-vectors.aliyuncs.com"
            assert (moved.index, moved.internal) == ("kept", True)
        beside = connect(None, {"bucket": f"{ARN}/notes"}, saved).config
        assert str(beside.endpoint) == SETTINGS["endpoint"]
        assert (beside.bucket, beside.index) == ("my-bucket", "notes")

    def test_that_contradict_each_other_are_refused_at_once(self):
        saved = OSSVectorClient(**SETTINGS).settings
        with pytest.raises(ConfigurationError, match="two buckets: bucket= says 'other'"):
            connect(None, {"endpoint": SHOWN, "bucket": "other"}, saved)

    @pytest.mark.parametrize("saved", [None, OSSVectorClient(**SETTINGS).settings])
    def test_come_back_from_a_pickle(self, saved):
        for arguments in ({"endpoint": SHOWN}, {"bucket": ARN, "endpoint": SHOWN}):
            pair = connect(None, arguments, saved)
            again = pickle.loads(pickle.dumps(pair))
            assert again == pair
            assert again.settings == pair.settings
            assert (again.config.bucket, again.config.internal) == ("my-bucket", True)
