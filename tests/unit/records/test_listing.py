"""Records by condition alone: what is listed, and that what is deleted was looked at here."""

import json
from dataclasses import replace

import pytest
from support.embedded import embedded
from support.promises import sized
from support.watched_service import Watched

from oss_vector_retriever import InvalidRequestError, PartialWriteError, emulator
from oss_vector_retriever.client.models import Limits, Vector
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.pair import ClientPair
from oss_vector_retriever.records import listing
from oss_vector_retriever.records.filters import read_filter
from oss_vector_retriever.records.listing import Walk, delete_passing, list_passing
from oss_vector_retriever.records.settings import ROW_FIELD, StoreSettings
from oss_vector_retriever.records.store import RecordStore
from oss_vector_retriever.records.traits import traits_of

# Few to a page, so that few records are enough.
LIMITS = Limits(list_page=15)
EVERY_BEHAVIOUR = pytest.mark.parametrize("list_filter", ["honoured", "ignored", "refused"])
RED = {"colour": "red"}


class Shelf(Watched):
    """A service whose page tokens may be positions, so that a list skips what moves up."""

    lists_by_position = False
    meanwhile = None  # what is done after the next listing, before its reply is read
    reader = None  # another client of it

    def note_of(self, request):
        return request.query, json.loads(request.body or b"{}")

    def handle(self, request):
        if request.query != "listVectors" or not self.lists_by_position:
            reply = super().handle(request)
            if request.query == "listVectors" and self.meanwhile is not None:
                done, self.meanwhile = self.meanwhile, None
                done()
            return reply
        body = json.loads(request.body)
        start, size = int(body.get("nextToken", 0)), body["maxResults"]
        self.lists_by_position = False
        whole = [
            {"key": one.key, "metadata": one.metadata}
            for one in self.reader.iter_vectors(return_metadata=True)
        ]
        self.lists_by_position = True
        page = {"vectors": whole[start : start + size]}
        if len(whole) > start + size:
            page["nextToken"] = str(start + size)
        return Reply(200, {"content-type": "application/json"}, json.dumps(page).encode())


@pytest.fixture
def make():
    """Return a function that makes an index of records, every so-many-th of them red."""

    def make(count=120, every=12, list_filter="honoured", **options):
        service = Shelf.in_memory(behaviour=emulator.Behaviour(list_filter=list_filter))
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        return Where(service, count, every, **options)

    return make


class Where:
    """An index of records behind a service that is watched, and a client and a store of it."""

    def __init__(self, service, count, every, limits=LIMITS, **settings):
        self.service = service
        self.client = embedded(service, limits=limits)
        service.reader = embedded(service)
        self.pair = ClientPair(self.client)
        self.store = RecordStore(StoreSettings(filterable=None, **settings))
        self.put({f"k{n:05}": {"colour": "green" if n % every else "red"} for n in range(count)})
        service.seen.clear()

    def put(self, records):
        vectors = [
            self.store.encode(key, [1.0, 2.0], text=key, metadata=metadata)
            for key, metadata in records.items()
        ]
        self.pair.run(self.store.write, vectors)

    def keys(self, given=None, **options):
        found = self.pair.run(list_passing, self.store, read_filter(given), **options)
        return [record.key for record in found]

    def delete(self, given):
        return self.pair.run(delete_passing, self.store, read_filter(given))

    def all(self):
        return {vector.key for vector in self.client.iter_vectors()}

    def names(self):
        return [name for name, _ in self.service.seen]

    @property
    def traits(self):
        return traits_of(self.client._context, None)


REDS = [f"k{n:05}" for n in range(0, 120, 12)]


@EVERY_BEHAVIOUR
def test_what_passes_is_listed_and_nothing_else(make, list_filter):
    where = make(list_filter=list_filter)
    assert sorted(where.keys(RED)) == REDS
    assert len(where.keys()) == 120


@EVERY_BEHAVIOUR
def test_what_passes_is_deleted_and_nothing_else(make, list_filter):
    where = make(list_filter=list_filter)
    before = where.all()
    assert where.delete(RED) == 10
    assert before - where.all() == set(REDS)
    assert where.delete(RED) == 0


def test_three_of_thousands_take_two_calls(make):
    count = sized(300, 5_000)
    where = make(count, -(-count // 3), limits=Limits())
    assert where.delete(RED) == 3
    assert where.names() == ["listVectors", "deleteVectors"]
    assert len(where.all()) == count - 3


def test_many_are_deleted_in_few_calls(make):
    where = make(510, 1, limits=Limits(list_page=100))
    assert where.delete(RED) == 510
    # the first page alone, then four segments of some 128, of which the longest may have 200
    assert where.names().count("listVectors") <= 1 + 4 * 2
    assert where.names().count("deleteVectors") == 2


def test_a_list_that_moves_on_while_its_pages_are_deleted_is_listed_again(make, monkeypatch):
    monkeypatch.setattr(listing, "_KEPT_KEYS", 10)
    where = make(120, 2, limits=replace(LIMITS, list_segments=1))
    where.service.lists_by_position = True
    assert where.delete(RED) == 60
    where.service.lists_by_position = False
    assert len(where.all()) == 60
    assert where.keys(RED) == []


@EVERY_BEHAVIOUR
def test_keys_are_not_all_kept_until_the_end(make, list_filter, monkeypatch):
    monkeypatch.setattr(listing, "_KEPT_KEYS", 10)
    where = make(120, 2, list_filter)
    assert where.delete(RED) == 60
    assert len(where.all()) == 60
    assert where.names().index("deleteVectors") < len(where.names()) - 5


def test_a_service_that_shows_what_is_gone_ends_a_deletion_all_the_same(make, monkeypatch):
    monkeypatch.setattr(listing, "_KEPT_KEYS", 30)
    where = make(100, 1)
    monkeypatch.setattr(RecordStore, "delete", lambda *_, **__: iter(()))
    assert where.delete(RED) == 100
    assert where.names().count("listVectors") <= 20


# What a page says of the service


def test_a_service_that_ignores_filters_is_sent_none_again(make):
    where = make(list_filter="ignored")
    where.delete(RED)
    assert where.traits.lists_by_filter is False
    where.service.seen.clear()
    where.delete({"colour": "green"})
    assert not any("filter" in body for _, body in where.service.seen)
    assert where.all() == set()


def test_a_service_that_refuses_filters_is_sent_none_again(make):
    where = make(list_filter="refused")
    where.delete(RED)
    assert [("filter" in body) for _, body in where.service.seen].count(True) == 1
    assert where.traits.lists_by_filter is False


def test_a_service_that_keeps_to_filters_stays_trusted(make):
    where = make()
    where.delete(RED)
    where.keys({"colour": {"$ne": "red"}})
    assert where.traits.lists_by_filter is True


def test_two_records_that_do_not_pass_say_nothing_of_the_service(make):
    where = make(2, 5, "ignored")
    assert where.delete({"colour": "blue"}) == 0
    assert where.traits.lists_by_filter is True


# What is never deleted


@EVERY_BEHAVIOUR
def test_what_this_process_changes_meanwhile_is_looked_at_again(make, list_filter):
    where = make(10, 1, list_filter)
    reader, store = where.service.reader, RecordStore(StoreSettings(filterable=None))

    def change():
        pair = ClientPair(reader)
        pair.run(store.update_metadata, ["k00001", "k00002"], {"colour": "green"})
        pair.run(store.update_metadata, ["k00003"], {"size": 1})
        reader.delete(["k00004"])

    where.service.meanwhile = change
    assert where.delete(RED) == 7
    assert where.all() == {"k00001", "k00002"}


def test_the_parts_of_what_was_written_meanwhile_go_too(make):
    where = make(3, 1)
    large = {"colour": "red", "x": "y" * 60_000}
    where.put({"large": large})

    def change():
        store = RecordStore(StoreSettings(filterable=None))
        vector = store.encode("large", [1.0, 2.0], text="", metadata={**large, "z": 1})
        ClientPair(where.service.reader).run(store.write, [vector])

    where.service.meanwhile = change
    assert where.delete(RED) == 4
    assert list(where.client.iter_vectors(index="vectorsside")) == []


def test_what_was_not_written_meanwhile_takes_no_get(make):
    where = make(10, 1)
    where.store.watch(where.client._context)
    where.put({"k00011": {"colour": "red"}})  # it was there before the listing
    where.service.seen.clear()
    assert where.delete(RED) == 11
    assert where.names() == ["listVectors", "deleteVectors"]


def test_more_than_are_deleted_at_once_go_one_after_another(make, monkeypatch):
    monkeypatch.setattr(listing, "_HELD_KEYS", 7)
    where = make(30, 2)
    assert where.delete(RED) == 15
    assert where.names().count("deleteVectors") == 3
    assert len(where.all()) == 15


@pytest.mark.parametrize("given", [None, {}, {"colour": {"$nin": []}}])
def test_what_restricts_nothing_is_refused(make, given):
    where = make(3, 1)
    with pytest.raises(InvalidRequestError, match="delete_all deletes everything"):
        where.delete(given)
    assert len(where.all()) == 3


def test_what_nothing_can_pass_takes_no_call(make):
    where = make(3, 1)
    assert where.delete({"colour": {"$in": []}}) == 0
    assert where.keys({"colour": {"$in": []}}) == []
    assert Walk(where.store, read_filter({"colour": {"$in": []}})).is_done
    assert where.names() == []


@EVERY_BEHAVIOUR
def test_rows_of_key_value_stores_stay(make, list_filter):
    where = make(3, 1, list_filter)
    where.client.upsert([Vector("row", [1.0, 2.0], {ROW_FIELD: "value", "colour": "red"})])
    assert where.delete(RED) == 3
    assert where.all() == {"row"}
    assert where.keys() == []


def test_a_record_that_cannot_be_read_stays(make):
    where = make(3, 1, on_decode_error="skip")
    where.client.upsert([Vector("broken", [1.0, 2.0], {"_record": "{", "colour": "red"})])
    assert where.delete(RED) == 3
    assert where.all() == {"broken"}


def test_what_could_not_be_deleted_is_reported(make):
    where = make(3, 1)
    where.service.denied.add("deleteVectors")
    with pytest.raises(PartialWriteError) as caught:
        where.delete(RED)
    assert set(caught.value.report.failed) == {"k00000", "k00001", "k00002"}


def test_without_an_index_there_is_nothing_to_list_or_delete(make):
    where = make(0, 1)
    assert where.keys(RED) == []
    assert where.delete(RED) == 0


# Some of the records


@EVERY_BEHAVIOUR
@pytest.mark.parametrize("given", [None, RED], ids=["all", "red"])
def test_cut_listings_join_to_the_whole_one(make, list_filter, given):
    where = make(75, 3, list_filter)
    whole = where.keys(given)
    joined = [
        key for start in range(0, 80, 10) for key in where.keys(given, offset=start, limit=10)
    ]
    assert joined == whole
    assert where.keys(given, offset=len(whole)) == []
    assert where.keys(given, offset=len(whole) - 3) == whole[-3:]


def test_no_more_is_listed_than_is_asked_for(make):
    where = make()
    assert len(where.keys(limit=5)) == 5
    assert where.service.seen[-1][1]["maxResults"] == 5
    assert where.keys(limit=0) == []
    assert where.names() == ["listVectors"]


@pytest.mark.parametrize(
    "options", [{"limit": -1}, {"offset": -1}, {"limit": "5"}, {"limit": True}]
)
def test_limits_are_whole_numbers(make, options):
    where = make(3)
    with pytest.raises(InvalidRequestError, match=next(iter(options))):
        where.keys(**options)
    assert where.names() == []


@EVERY_BEHAVIOUR
@pytest.mark.parametrize("given", [None, RED], ids=["all", "red"])
def test_a_walk_brings_each_record_once_with_its_embedding(make, list_filter, given):
    where = make(100, 2, list_filter)
    walk = Walk(where.store, read_filter(given), return_data=True)
    records, most = [], 0
    while not walk.is_done:
        page = where.pair.run(walk.read_on)
        records += page
        most = max(most, len(page))
    assert len({record.key for record in records}) == len(records) == (50 if given else 100)
    assert all(list(record.embedding) == [1.0, 2.0] for record in records)
    assert most <= 4 * LIMITS.list_page


def test_what_is_deleted_during_a_walk_does_not_come(make):
    where = make(100, 1)
    walk = Walk(where.store, None)
    keys = {record.key for record in where.pair.run(walk.read_on)}
    left = where.all() - keys
    where.client.delete(left)
    while not walk.is_done:
        keys |= {record.key for record in where.pair.run(walk.read_on)}
    assert len(keys) == LIMITS.list_page
