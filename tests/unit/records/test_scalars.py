"""Numbers and booleans: an index that takes none is found out once, by the first batch of them."""

import json

import pytest
from support.embedded import embedded
from support.watched_service import Watched

from oss_vector_retriever import InvalidRequestError, emulator
from oss_vector_retriever.client.errors import (
    AccessDeniedError,
    PartialWriteError,
    VectorIndexParameterInvalidError,
)
from oss_vector_retriever.client.holds import Hold, wait_for
from oss_vector_retriever.client.models import AccountRecord
from oss_vector_retriever.client.models.limits import Limits
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.pair import ClientPair
from oss_vector_retriever.records import decode, metadata_bytes
from oss_vector_retriever.records.filters import read_filter
from oss_vector_retriever.records.search import search
from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.store import RecordStore
from oss_vector_retriever.records.traits import traits_of


class Counted(Watched):
    """Tell the operations since the last look."""

    def taken(self):
        """Return the operations since the last call, without looks at the index."""
        seen = [one for one in self.seen if one not in ("getVectorIndex", "putVectorIndex")]
        self.seen.clear()
        return seen


@pytest.fixture
def scalars():
    return "kept"


@pytest.fixture
def service(scalars):
    with Counted.in_memory(behaviour=emulator.Behaviour(scalars=scalars)) as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        yield service


@pytest.fixture
def client(service):
    with embedded(service, timeout=10.0, retry=1) as client:
        yield client


@pytest.fixture
def run(client):
    return ClientPair(client).run


def records(store, count=1, name="k", **metadata):
    given = metadata or {"n": 5, "yes": True, "word": "5"}
    return [store.encode(f"{name}{n}", [1.0, n], text="t", metadata=given) for n in range(count)]


def stored(client, key="k0"):
    metadata = client.fetch([key])[0].metadata
    return {name: value for name, value in metadata.items() if not name.startswith("_rec")}


def native(client):
    return traits_of(client._context, "vectors").native


AS_STRINGS = {"n": "5", "yes": "true", "word": "5"}


def test_numbers_are_written_as_they_are_and_read_back_once(client, service, run):
    store = RecordStore(StoreSettings(filterable=None))
    assert native(client) is None
    run(store.write, records(store))
    assert service.taken() == ["putVectors", "getVectors"]
    assert stored(client) == {"_unsure": ["-"], "n": 5, "yes": True, "word": "5"}
    assert native(client) is True
    service.taken()
    run(RecordStore(StoreSettings(filterable=None)).write, records(store, 3))
    assert service.taken() == ["putVectors"]


def test_nothing_is_learnt_nor_asked_where_there_are_no_numbers(client, service, run):
    store = RecordStore(StoreSettings(filterable=None))
    run(store.write, records(store, word="x", part={"n": 1}))
    assert service.taken() == ["putVectors"]
    assert native(client) is None


@pytest.mark.parametrize("scalars", ["refused", "strings"])
def test_a_service_that_keeps_none_gets_strings_from_then_on(client, service, run, scalars):
    store = RecordStore(StoreSettings(filterable=None))
    run(store.write, records(store, 2))
    refused, turned = ["putVectors"] * 2, ["putVectors", "getVectors", "putVectors"]
    assert service.taken() == (refused if scalars == "refused" else turned)
    for key in ("k0", "k1"):
        found = stored(client, key)
        assert (set(found.pop("_unsure")), found) == ({"n", "yes"}, AS_STRINGS)
    assert native(client) is False
    service.taken()
    other = RecordStore(StoreSettings(filterable=("n",)))
    run(other.write, records(other, name="other"))
    assert service.taken() == ["putVectors"]
    assert stored(client, "other0")["n"] == "5"
    assert decode(client.fetch(["k0"])[0]).metadata == {"n": 5, "yes": True, "word": "5"}


@pytest.mark.parametrize("scalars", ["refused", "strings", "kept"])
@pytest.mark.parametrize("count", [3, 8])
def test_many_batches_are_in_the_order_given_and_all_of_one_form(client, run, scalars, count):
    larger = client.with_options(limits=Limits(vectors_per_put=2))
    store = RecordStore(StoreSettings(filterable=None))
    words = records(store, 3, name="word", word="x")
    numbers = records(store, count, name="number")
    report = ClientPair(larger).run(store.write, [*words, *numbers])
    assert report.ok
    assert list(report.written) == [vector.key for vector in (*words, *numbers)]
    kept = 5 if scalars == "kept" else "5"
    assert {stored(client, vector.key)["n"] for vector in numbers} == {kept}
    assert run(store.delete_all) == 3 + count


@pytest.mark.parametrize("scalars", ["refused", "strings"])
def test_what_was_written_so_is_found_by_what_it_was(run, scalars):  # noqa: ARG001 - the service
    store = RecordStore(StoreSettings(filterable=None))
    run(store.write, records(store, n=5, word="x"))
    run(store.write, records(store, name="word", n="5", word="x"))
    run(store.write, records(store, name="six", n=6, word="x"))
    for given, expected in [
        ({"n": 5}, {"k0"}),
        ({"n": "5"}, {"word0"}),
        ({"n": {"$ne": 5}}, {"word0", "six0"}),
        ({"n": {"$gt": 5}}, {"six0"}),
        ({"n": {"$nin": ["5"]}}, {"k0", "six0"}),
    ]:
        found = run(search, store, [1, 0], 4, condition=read_filter(given))
        assert {hit.record.key for hit in found.hits} == expected, given


@pytest.mark.parametrize("scalars", ["refused"])
def test_numbers_of_before_and_after_stand_side_by_side(client, run):
    """An account that begins to take numbers: another process writes them as they are."""
    store = RecordStore(StoreSettings(filterable=None))
    run(store.write, records(store, n=5))
    with Counted.in_memory() as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        with embedded(service) as later:
            again = ClientPair(later).run
            later.put_vector_index(
                dimension=2, non_filterable_metadata_keys=["_record", "_record_text"]
            )
            later.put_vectors(client.fetch(["k0"], return_data=True))
            again(store.write, records(store, name="native", n=5))
            for given in ({"n": 5}, {"n": {"$gte": 5}}, {"n": {"$ne": 6}}):
                found = again(search, store, [1, 0], 4, condition=read_filter(given))
                assert {hit.record.key for hit in found.hits} == {"k0", "native0"}, given


def test_a_refusal_for_another_reason_is_raised_and_nothing_is_learnt(client, service, run):
    store = RecordStore(StoreSettings(filterable=None))
    run(store.keeper.prepare, 2, lambda _: None)
    # by one that shares no knowledge of the index, as another process
    key = (emulator.DEVELOPMENT_ACCESS_KEY_ID, emulator.DEVELOPMENT_ACCESS_KEY_SECRET)
    other = client.with_options(credentials=key)
    other.delete_vector_index(index="vectors")
    other.put_vector_index(dimension=3)
    service.taken()
    with pytest.raises((PartialWriteError, InvalidRequestError)) as refused:
        run(store.write, records(store))
    assert "dimension 3" in str(refused.value)
    assert service.taken() == ["putVectors"] * 2
    assert native(client) is None


def test_the_first_refusal_is_the_one_that_is_raised(client, service, run, monkeypatch):
    store = RecordStore(StoreSettings(filterable=None))
    run(store.write, records(store, word="x"))
    handle, refusals = service.handle, []

    def refusing(request):
        if request.query != "putVectors":
            return handle(request)
        refusals.append(f"refusal {len(refusals)}")
        text = f"<Error><Code>VectorIndexParameterInvalid</Code><Message>{refusals[-1]}</Message>"
        return Reply(400, {"content-type": "application/xml"}, f"{text}</Error>".encode())

    monkeypatch.setattr(service, "handle", refusing)
    with pytest.raises(PartialWriteError) as refused:
        run(store.write, records(store))
    [batch] = refused.value.report.batches
    assert isinstance(batch.error, VectorIndexParameterInvalidError)
    assert batch.error.message == "refusal 0"
    assert len(refusals) == 2
    assert native(client) is None


def test_a_call_that_failed_otherwise_tells_nothing_and_the_next_batch_does(client, service):
    small = ClientPair(client.with_options(limits=Limits(vectors_per_put=2))).run
    store = RecordStore(StoreSettings(filterable=None))
    small(store.write, records(store, word="x"))
    service.faults.add(emulator.faults.ServerError(operation="PutVectors"))
    with pytest.raises(PartialWriteError) as failed:
        small(store.write, records(store, 6))
    assert failed.value.report.failed == ("k0", "k1")
    assert failed.value.report.written == ("k2", "k3", "k4", "k5")
    assert native(client) is True


def test_who_may_not_read_writes_and_learns_nothing(client, service, run):
    service.denied = {"getVectors"}
    store = RecordStore(StoreSettings(filterable=None))
    assert run(store.write, records(store)).ok
    assert native(client) is None
    with pytest.raises(AccessDeniedError):
        client.fetch(["k0"])
    service.denied.clear()
    assert stored(client)["n"] == 5


@pytest.mark.parametrize("scalars", ["refused"])
def test_a_store_of_native_numbers_never_writes_strings(service, run):
    store = RecordStore(StoreSettings(filterable=None, scalars="native"))
    with pytest.raises(PartialWriteError):
        run(store.write, records(store))
    assert service.taken() == ["putVectors"]


def test_a_store_of_strings_writes_nothing_else_and_asks_nothing(client, service, run):
    store = RecordStore(StoreSettings(filterable=None, scalars="strings"))
    run(store.write, records(store))
    assert service.taken() == ["putVectors"]
    assert stored(client) == {"_unsure": ["n", "yes"], **AS_STRINGS}
    assert native(client) is None


def test_what_is_written_while_it_is_learnt_is_not_written_over(client, service, run, monkeypatch):
    """A write of the same key waits until the records have been written again as strings."""
    store = RecordStore(StoreSettings(filterable=None))
    run(store.write, records(store, word="x"))
    handle, waited = service.handle, []

    def turning(request):
        if request.query == "getVectors" and not waited:
            waited.append(request)
            with pytest.raises(Exception, match="other writes of 'k0'"):
                client.with_options(timeout=0.05).upsert([Vector("k0", [1.0, 1.0], {})])
        return handle(request)

    monkeypatch.setattr(service, "handle", turning)
    run(store.write, records(store))
    assert waited
    assert stored(client)["n"] == 5


@pytest.mark.parametrize(("scalars", "kept"), [("refused", "5"), ("kept", 5)])
def test_what_the_accounts_record_says_is_not_tried(service, scalars, kept):
    behaviour = {"scalars": scalars, "metadata_names": "filterable"}
    record = AccountRecord(
        region=emulator.DEVELOPMENT_REGION,
        recorded="2026-09-01T00:00:00+00:00",
        package="1",
        behaviour=behaviour,
    )
    with embedded(service, record=record) as client:
        store = RecordStore(StoreSettings(filterable=None, limits=client.config.limits))
        numbers = records(store, **{f"n{n}": 5 for n in range(12)})
        ClientPair(client).run(store.write, numbers)
        assert service.taken() == ["putVectors"]
        found = stored(client)
        # beside the envelope the account takes ten names
        assert len(found) == 10
        assert found["n8"] == kept
        assert native(client) is (scalars == "kept")


def test_a_reader_sends_no_number_until_it_has_seen_one(client, service, run, monkeypatch):
    writer = RecordStore(StoreSettings(filterable=None))
    numbers = [
        writer.encode(f"k{n:03}", [1.0, n / 100], text="t", metadata={"n": n}) for n in range(200)
    ]
    run(writer.write, numbers)
    traits_of(client._context, "vectors").native = None  # as in another process
    handle, sent = service.handle, []

    def noted(request):
        if request.query == "queryVectors":
            sent.append(json.loads(request.body).get("filter"))
        return handle(request)

    monkeypatch.setattr(service, "handle", noted)
    reader = RecordStore(StoreSettings(filterable=None))
    for _ in range(2):
        found = run(search, reader, [1, 0], 1, condition=read_filter({"n": 150}))
        assert [hit.record.key for hit in found.hits] == ["k150"]
    assert {"n": {"$exists": True}} in sent[0]["$or"]
    assert {"n": {"$in": [150, 150.0]}} in sent[1]["$or"]
    assert all({"n": {"$in": [150, 150.0]}} in one["$or"] for one in sent[1:] if one)


def test_keys_that_others_hold_are_reported_as_not_written(client, service, run):
    store = RecordStore(StoreSettings(filterable=None))
    run(store.write, records(store, word="x"))
    service.taken()
    hold = Hold(client._context, "vectors", ["k0"], alone=True)
    run(lambda context: wait_for(hold, context.deadline()))
    hurried = ClientPair(client.with_options(timeout=0.05)).run
    try:
        with pytest.raises(PartialWriteError) as failed:
            hurried(store.write, records(store))
    finally:
        hold.release()
    assert failed.value.report.failed == ("k0",)
    assert service.taken() == []


class TestAnIndexOfAnotherProgram:
    @pytest.fixture(autouse=True)
    def index(self, client):
        client.put_vector_index(dimension=2)

    def test_copies_take_what_the_text_leaves(self, client, run):
        store = RecordStore(StoreSettings(filterable=None))
        short, long = {"a": "x" * 100, "b": "y"}, {"a": "x" * 100, "b": "y"}
        bare = store.encode("k", None, text="", metadata=long).metadata
        left = 2048 - metadata_bytes({name: bare[name] for name in ("_record", "_record_text")})
        vectors = [
            store.encode("short", [1, 0], text="t", metadata=short),
            store.encode("long", [1, 0], text="t" * 1600, metadata=long),
            store.encode("full", [1, 0], text="t" * left, metadata=long),
        ]
        run(store.write, vectors)
        assert stored(client, "short") == {"_unsure": ["-"], **short}
        assert stored(client, "long") == {"_unsure": ["-"], **long}
        assert stored(client, "full") == {}
        full = client.fetch(["full"])[0].metadata
        assert metadata_bytes(full) == 2048
        for given in ({"a": "x" * 100}, {"b": {"$ne": "z"}}):
            found = run(search, store, [1, 0], 4, condition=read_filter(given))
            assert len(found.hits) == 3

    def test_copies_that_are_named_must_fit_and_nothing_is_written(self, service, run):
        store = RecordStore(StoreSettings(filterable=("a",)))
        full = store.encode("full", [1, 0], text="t" * 1700, metadata={"a": "x" * 150})
        vectors = [*records(store, 1, a="x"), full]
        service.taken()
        with pytest.raises(InvalidRequestError, match="another program made the index") as refused:
            run(store.write, vectors)
        assert refused.value.argument == "filterable"
        assert service.taken() == []


def test_a_field_that_the_index_hides_is_not_copied(client, run):
    hidden = ["_record", "_record_text", "large"]
    client.put_vector_index(dimension=2, non_filterable_metadata_keys=hidden)
    store = RecordStore(StoreSettings(filterable=None))
    run(store.write, records(store, large="x", a="y"))
    assert stored(client) == {"_unsure": ["large"], "a": "y"}
    found = run(search, store, [1, 0], 4, condition=read_filter({"large": "x", "a": "y"}))
    assert len(found.hits) == 1


class TestRecordsOfVersion1:
    """They have no mark, and copies of some fields or none, as strings."""

    def put(self, client, key, copies, **metadata):
        envelope = f'{{"v":1,"metadata":{metadata}}}'.replace("'", '"')
        given = {"_record_text": "t", "_record": envelope, **copies}
        client.put_vectors([Vector(key, [1.0, 0.0], given)])

    @pytest.fixture(autouse=True)
    def old(self, client, run):
        run(RecordStore(StoreSettings()).keeper.prepare, 2, lambda _: None)
        self.put(client, "bare", {}, n=5, word="x")
        self.put(client, "copied", {"n": "5"}, n=5, word="x")

    def test_are_found_by_every_field(self, run):
        store = RecordStore(StoreSettings(filterable=None))
        run(store.write, records(store, n=6, word="x"))
        for given in ({"n": 5}, {"word": "x", "n": {"$lt": 6}}, {"n": {"$nin": ["5", 6]}}):
            found = run(search, store, [1, 0], 4, condition=read_filter(given))
            assert {hit.record.key for hit in found.hits} == {"bare", "copied"}, given

    def test_become_those_of_today_by_an_empty_patch(self, client, run):
        store = RecordStore(StoreSettings(filterable=None))
        assert run(store.update_metadata, ["bare", "copied"], {}) == ("bare", "copied")
        assert stored(client, "bare") == {"_unsure": ["-"], "n": 5, "word": "x"}
        assert stored(client, "copied") == {"_unsure": ["-"], "n": 5, "word": "x"}
        assert '"v":2' in client.fetch(["bare"])[0].metadata["_record"]


def test_what_is_read_late_tells_nothing():
    """Another release wrote the key with strings, and reading shows that for some seconds more."""
    clock = emulator.ManualClock()
    behaviour = emulator.Behaviour(get_delay_seconds=5.0)
    with emulator.Service.in_memory(behaviour=behaviour, clock=clock) as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        with embedded(service) as client:
            run = ClientPair(client).run
            strings = RecordStore(StoreSettings(filterable=None, scalars="strings"))
            run(strings.write, records(strings, n=5))
            clock.advance(6)
            store = RecordStore(StoreSettings(filterable=None))
            run(store.write, records(store, n=5))
            assert native(client) is None
            run(store.write, records(store, name="new", n=5))
            assert native(client) is None
            clock.advance(6)
            assert (stored(client)["n"], stored(client, "new0")["n"]) == (5, 5)
