"""Values of any size: cut, read whole, overwritten, deleted, swept; and what parts may be."""

import base64
import itertools
import json
import random
import time
import zlib
from dataclasses import replace

import pytest
from support.embedded import embedded
from support.promises import FULL_SIZE
from support.watched_service import Watched

from oss_vector_retriever import InvalidRequestError, emulator
from oss_vector_retriever.client.context import PerIndex
from oss_vector_retriever.client.errors import (
    AccessDeniedError,
    DeadlineExceededError,
    PartialWriteError,
)
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.records import DecodeError, cutting
from oss_vector_retriever.records import parts as parts_module
from oss_vector_retriever.records.listing import Pages
from oss_vector_retriever.records.lookup import Lookup, fetch_records
from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.side import Row, SideIndex
from oss_vector_retriever.records.store import RecordStore

ERROR = ("<Error><Code>{}</Code><Message>no</Message></Error>", {"content-type": "application/xml"})


class Spoiling(Watched):
    """A service that fails where a test says: by operation and index, before or after it acts."""

    spoil = staticmethod(lambda *_: None)

    def handle(self, request):
        index = json.loads(request.body or b"{}").get("indexName")
        answer = self.spoil(request.query, index)
        if isinstance(answer, tuple):
            status, code, acts = answer
            if acts:
                super().handle(request)
            return Reply(status, ERROR[1], ERROR[0].format(code).encode())
        return super().handle(request)


def failing(operation, index, failure, *, acts=False, times=10**9):
    """Return what spoils so many calls of an operation on an index."""
    left = itertools.count(times, -1)

    def spoil(asked, where):
        if (asked, where) == (operation, index) and next(left) > 0:
            return *failure, acts
        return None

    return spoil


@pytest.fixture
def service():
    with Spoiling.in_memory() as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        yield service


@pytest.fixture(autouse=True)
def pause(monkeypatch):
    monkeypatch.setattr(parts_module, "_PAUSE", 0.01)


@pytest.fixture
def client(service):
    with embedded(service, retry=1) as client:
        yield client


@pytest.fixture
def store():
    return RecordStore(StoreSettings(filterable=("kind",)))


def noise(size, seed=0):
    return random.Random(seed).randbytes(size).hex()[:size]


def record(store, key, text, **metadata):
    return store.encode(key, [1.0, 2.0], text=text, metadata=metadata, node={"n": [1, None]})


def read(client, store, keys):
    vectors = client.run(store.fetch, keys, return_data=True)
    return {vector.key: store.decode(vector) for vector in vectors}


def parts(client):
    names = [one.index_name for one in client.list_vector_indexes()]
    return list(client.list_vectors(index="vectorsside")) if "vectorsside" in names else []


def texts(count, seed):
    """Return texts of 1 byte to 3 MB, of several kinds, some just at the limit."""
    dice = random.Random(seed)
    made = ["x", "x" * 36_000, "\n" * 18_000, "日" * 12_500, noise(3_000_000)]
    while len(made) < count:
        size = int(10 ** dice.uniform(0, 6.45))
        letters = dice.choice(["ab", "日本語", '"\\\n', "\x00é😀", "0123456789abcdef"])
        made.append("".join(dice.choices(letters, k=max(1, size // len(letters[-1].encode())))))
    return made[:count]


def test_values_of_any_size_come_back_exactly_and_leave_nothing(client, store):
    written = dict(enumerate(texts(500 if FULL_SIZE else 15, seed=7)))
    for number, text in written.items():
        client.run(store.write, [record(store, f"k{number}", text, kind="a", n=number)])
    found = read(client, store, [f"k{number}" for number in written])
    for number, text in written.items():
        one = found[f"k{number}"]
        assert one.text == text
        assert one.metadata == {"kind": "a", "n": number}
        assert one.node == {"n": [1, None]}
        assert list(one.embedding) == [1.0, 2.0]
    assert len(parts(client)) > len([text for text in written.values() if len(text) > 40_000])
    client.run(store.delete, list(found))
    assert parts(client) == []


def test_a_small_value_needs_no_side_index(client, service, store):
    client.run(store.write, [record(store, "a", "x" * 30_000)])
    assert [one.index_name for one in client.list_vector_indexes()] == ["vectors"]
    service.seen.clear()
    assert read(client, store, ["a", "b"])["a"].text == "x" * 30_000
    assert service.seen == ["getVectors"]


def test_one_of_several_is_cut_and_the_parts_of_many_share_their_calls(client, service, store):
    large = [record(store, f"l{n}", noise(100_000, n)) for n in range(20)]
    client.run(store.write, [*large, record(store, "s", "small")])
    assert service.seen.count("putVectors") == 2  # all parts, then all heads and the small one
    service.seen.clear()
    found = read(client, store, [f"l{n}" for n in range(20)] + ["s"])
    assert service.seen == ["getVectors", "getVectors"]
    assert [found[f"l{n}"].text for n in range(20)] == [noise(100_000, n) for n in range(20)]
    assert found["s"].text == "small"


def test_the_side_index_is_made_before_the_index(client, store):
    client.run(store.write, [record(store, "a", noise(50_000))])
    made = {one.index_name: one.create_time for one in client.list_vector_indexes()}
    assert made["vectorsside"] <= made["vectors"]


@pytest.mark.parametrize("text", ["small", noise(60_000, 1)], ids=["small", "large"])
def test_what_is_overwritten_leaves_no_parts(client, store, text):
    client.run(store.write, [record(store, "a", noise(50_000))])
    before = {part.key for part in parts(client)}
    client.run(store.write, [record(store, "a", text)])
    after = {part.key for part in parts(client)}
    assert before
    assert before.isdisjoint(after)
    assert bool(after) == (text != "small")
    assert read(client, store, ["a"])["a"].text == text


@pytest.mark.parametrize(
    "deletion",
    [
        lambda client, store: client.run(store.delete, ["a", "b"]),
        lambda client, store: client.run(store.delete_counted, ["a", "b"]),
        lambda client, store: client.run(store.delete_all),
    ],
    ids=["delete", "counted", "all"],
)
def test_what_is_deleted_leaves_no_parts(service, client, store, deletion):
    client.run(store.write, [record(store, "a", noise(50_000)), record(store, "b", "small")])
    assert parts(client)
    cutting._known_sides = PerIndex()
    other = embedded(service)  # neither closed nor dropped: the service would be, too
    deletion(other, RecordStore(StoreSettings()))
    assert parts(client) == []
    assert not client.list_vectors()


def test_keys_of_any_length_have_parts_and_are_swept(client, store):
    keys = ["k" * 1024, "日" * 1024, "a/b#c\n", "k" * 800, "k" * 801]
    client.run(store.write, [record(store, key, noise(40_000, len(key))) for key in keys])
    assert {k: one.text for k, one in read(client, store, keys).items()} == {
        key: noise(40_000, len(key)) for key in keys
    }
    assert client.run(store.sweep, 0) == 0
    client.delete(keys)  # which knows nothing of parts
    left = len(parts(client))
    assert client.run(store.sweep) == 0  # they are too young
    assert client.run(store.sweep, 0) == left > 0
    assert parts(client) == []


def test_an_update_may_make_a_value_large(client, store):
    client.run(store.write, [record(store, "a", "small")])
    client.run(store.update_metadata, ["a"], {"big": noise(50_000)})
    assert read(client, store, ["a"])["a"].metadata["big"] == noise(50_000)
    client.run(store.delete, ["a"])
    assert parts(client) == []
    client.delete_vector_index(index="vectorsside")
    fixed = RecordStore(StoreSettings(create_index=False))
    with pytest.raises(InvalidRequestError, match="side index 'vectorsside' is not there"):
        client.run(fixed.write, [record(fixed, "a", noise(50_000))])


def test_an_update_reads_and_writes_a_value_in_parts(client, store):
    client.run(store.write, [record(store, "a", noise(50_000), kind="x")])
    updated = client.run(store.update_metadata, ["a"], {"kind": "y", "big": noise(50_000, 2)})
    assert updated == ("a",)
    found = read(client, store, ["a"])["a"]
    assert found.metadata == {"kind": "y", "big": noise(50_000, 2)}
    assert found.text == noise(50_000)
    (head,) = client.fetch(["a"])
    assert head.metadata["kind"] == "y"  # where filters see it
    assert {part.key.split("/")[2] for part in parts(client)} == {
        json.loads(head.metadata["_record"])["parts"]["version"]
    }
    client.run(store.update_metadata, ["a"], {}, verify=True)


def test_without_a_side_index_what_is_too_large_is_refused_as_before():
    store = RecordStore(StoreSettings(side_index=False))
    with pytest.raises(InvalidRequestError, match="40,960"):
        record(store, "a", "x" * 50_000)


def spoil(client, change):
    """Write the stored parts again, changed; None deletes one."""
    for part in client.list_vectors(index="vectorsside", return_data=True, return_metadata=True):
        changed = change(part)
        if changed is None:
            client.delete([part.key], index="vectorsside")
        else:
            client.upsert([changed], index="vectorsside")


def with_text(part, text):
    return replace(part, metadata={**part.metadata, "_record_text": text})


SPOILT = {
    "gone": (lambda _: None, "2 of its 2 parts are not in index 'vectorsside'"),
    "one gone": (lambda part: None if "/0/" in part.key else part, "1 of its 2 parts"),
    "other text": (lambda part: with_text(part, "AAAA"), "not what was written"),
    "no base64": (lambda part: with_text(part, "日"), "not what was written"),
    "a list": (lambda part: with_text(part, ["a"]), "2 of its 2 parts"),
    "swapped": (
        lambda part: with_text(part, part.metadata["_record_text"][::-1]),
        "not what was written",
    ),
}


@pytest.mark.parametrize(("change", "reason"), SPOILT.values(), ids=SPOILT)
def test_parts_that_are_not_what_was_written_are_refused_by_name(client, store, change, reason):
    client.run(store.write, [record(store, "a", noise(50_000)), record(store, "b", "small")])
    spoil(client, change)
    with pytest.raises(DecodeError, match=reason) as caught:
        read(client, store, ["a"])
    assert "'a'" in str(caught.value)
    for policy in ("skip", "raw"):
        lookup = Lookup(on_decode_error=policy)
        found = client.run(fetch_records, lookup, ["a", "b"], lambda one: one)
        assert [one.key for one in found.made] == (["b"] if policy == "skip" else ["a", "b"])


def test_a_side_index_that_is_gone_is_named(client, store):
    client.run(store.write, [record(store, "a", noise(50_000))])
    client.delete_vector_index(index="vectorsside")
    with pytest.raises(DecodeError, match=r"'a'.*the side index 'vectorsside' is not there"):
        read(client, store, ["a"])
    # it is made anew by the next one
    client.run(store.write, [record(store, "a", noise(50_000, 3))])
    assert read(client, store, ["a"])["a"].text == noise(50_000, 3)


@pytest.mark.parametrize(
    ("dimension", "metric", "hidden"),
    [
        (8, "euclidean", ("_record", "_record_text")),
        (1, "cosine", ("_record", "_record_text")),
        (1, "euclidean", ("other",)),
    ],
)
def test_an_index_of_another_form_is_no_side_index(client, store, dimension, metric, hidden):
    client.put_vector_index(
        dimension=dimension,
        index="vectorsside",
        distance_metric=metric,
        non_filterable_metadata_keys=hidden,
    )
    with pytest.raises(InvalidRequestError, match="side_index=") as caught:
        client.run(store.write, [record(store, "a", noise(50_000))])
    assert caught.value.argument == "side_index"
    assert "vectors" not in [one.index_name for one in client.list_vector_indexes()]
    other = RecordStore(StoreSettings(side_index="another"))
    client.run(other.write, [record(other, "a", noise(50_000))])
    # a head says where its parts are
    assert read(client, store, ["a"])["a"].text == noise(50_000)


def test_a_full_bucket_is_named_with_what_to_do(client, store):
    for number in range(100):
        client.put_vector_index(dimension=2, index=f"i{number}")
    with pytest.raises(Exception, match=r"100 indexes.*side_index=False"):
        client.run(store.write, [record(store, "a", noise(50_000))])


def head(**about):
    named = {"side": "vectorsside", "version": "0" * 26, "count": 1, "digest": "d", "size": 1}
    return json.dumps({"v": 3, "parts": {**named, **about}}, separators=(",", ":"))


HEADS = {
    "nothing": '{"v":3,"parts":{}}',
    "a number": '{"v":3,"parts":7}',
    "no JSON": '{"v":3,"parts":',
    "many": head(count=10**9),
    "huge": head(count=10**9, size=10**10),
    "none": head(count=0),
    "true": head(count=True),
    "no name": head(side=1),
    "no index": head(side="no index"),
    "no version": head(version="../x"),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_head_that_another_wrote_asks_for_nothing(client, service, store, head):
    client.run(store.write, [record(store, "b", "small")])
    client.put_vectors([{"key": "a", "data": [1, 2], "metadata": {"_record": head}}])
    service.seen.clear()
    with pytest.raises(DecodeError, match="'a'"):
        read(client, store, ["a"])
    assert set(service.seen) == {"getVectors"}
    assert len(service.seen) <= 6
    client.run(store.write, [record(store, "a", "small")])
    client.run(store.delete, ["a"])


def test_the_parts_of_an_index_that_is_gone_are_swept(client, store):
    client.run(store.write, [record(store, "a", noise(50_000))])
    client.delete_vector_index(index="vectors")
    assert client.run(store.sweep, 0, removes=False) == 2
    assert len(parts(client)) == 2
    assert client.run(store.sweep, 0) == 2
    assert parts(client) == []


DENIED = (403, "AccessDenied")
REFUSED = (400, "VectorIndexParameterInvalid")
BROKEN = (500, "InternalError")


def test_where_parts_fail_the_head_is_not_written_and_what_is_small_is(client, service, store):
    client.run(store.write, [record(store, "a", noise(50_000))])
    service.spoil = failing("putVectors", "vectorsside", REFUSED)
    with pytest.raises(PartialWriteError) as caught:
        client.run(store.write, [record(store, "a", noise(50_000, 2)), record(store, "b", "small")])
    assert caught.value.report.failed == ("a",)
    assert caught.value.report.written == ("b",)
    service.spoil = Spoiling.spoil
    assert {key: one.text for key, one in read(client, store, ["a", "b"]).items()} == {
        "a": noise(50_000),
        "b": "small",
    }
    assert client.run(store.sweep, 0) == 0


def test_of_parts_in_several_calls_those_that_were_written_go_again(
    client, service, store, monkeypatch
):
    monkeypatch.setattr(cutting, "_PARTS_PER_PUT", 1)
    client.run(store.write, [record(store, "b", "small")])
    service.spoil = failing("putVectors", "vectorsside", REFUSED, times=1)
    with pytest.raises(PartialWriteError):
        client.run(store.write, [record(store, "a", noise(200_000))])
    assert parts(client) == []


@pytest.mark.parametrize(
    ("failure", "acts"),
    [(REFUSED, False), (BROKEN, False), (BROKEN, True)],
    ids=["refused", "broken", "broken and done"],
)
def test_parts_stay_where_nobody_knows_whether_their_head_is_written(
    client, service, store, failure, acts
):
    client.run(store.write, [record(store, "b", "small")])
    service.spoil = failing("putVectors", "vectors", failure, acts=acts)
    with pytest.raises(PartialWriteError):
        client.run(store.write, [record(store, "a", noise(50_000))])
    service.spoil = Spoiling.spoil
    assert bool(parts(client)) == (failure is BROKEN)
    assert list(read(client, store, ["a"])) == (["a"] if acts else [])
    assert bool(client.run(store.sweep, 0)) == (failure is BROKEN and not acts)
    assert list(read(client, store, ["a"])) == (["a"] if acts else [])


def test_copies_that_do_not_fit_leave_no_parts(client, store):
    # an index of another program's: all 2 KB are taken by what filters see
    client.put_vector_index(dimension=2)
    with pytest.raises(InvalidRequestError, match="filterable"):
        client.run(store.write, [record(store, "a", noise(50_000), kind="x" * 1990)])
    assert parts(client) == []


def test_who_may_not_read_writes_and_deletes_and_leaves_parts_to_a_sweep(client, service, store):
    client.run(store.write, [record(store, "a", noise(50_000))])
    service.spoil = failing("getVectors", "vectors", DENIED)
    client.run(store.write, [record(store, "a", noise(60_000, 2))])
    client.run(store.write, [record(store, "b", noise(60_000, 3))])
    client.run(store.delete, ["b"])
    with pytest.raises(AccessDeniedError):
        client.run(store.sweep, 0)
    service.spoil = Spoiling.spoil
    assert read(client, store, ["a"])["a"].text == noise(60_000, 2)
    assert client.run(store.sweep, 0) > 0
    assert read(client, store, ["a"])["a"].text == noise(60_000, 2)
    client.run(store.delete, ["a"])
    assert parts(client) == []


def test_who_may_not_read_the_side_index_is_told_which(client, service, store):
    client.run(store.write, [record(store, "a", noise(50_000))])
    service.spoil = failing("getVectors", "vectorsside", DENIED)
    with pytest.raises(AccessDeniedError, match="vectorsside"):
        read(client, store, ["a"])


def test_who_may_not_make_the_side_index_is_told_what_to_do(client, service, store):
    service.spoil = failing("putVectorIndex", "vectorsside", DENIED)
    with pytest.raises(AccessDeniedError, match=r"vectorsside.*side_index="):
        client.run(store.write, [record(store, "a", noise(50_000))])


def test_a_side_index_that_others_delete_is_made_again(client, service, store):
    client.run(store.write, [record(store, "a", noise(50_000))])
    other = embedded(service)  # neither closed nor dropped: the service would be, too
    other.delete_vector_index(index="vectorsside")
    client.run(store.write, [record(store, "a", noise(50_000, 2))])
    assert read(client, store, ["a"])["a"].text == noise(50_000, 2)
    other.delete_vector_index(index="vectorsside")
    fixed = RecordStore(StoreSettings(create_index=False))
    with pytest.raises(PartialWriteError, match="the side index 'vectorsside' is not there"):
        client.run(fixed.write, [record(store, "a", noise(50_000, 3))])


def test_a_value_that_is_overwritten_as_it_is_read_comes_whole(client, service, store):
    client.run(store.write, [record(store, "a", noise(50_000))])
    left, writer = itertools.count(5, -1), RecordStore(StoreSettings())

    def overwrite(operation, index):
        # between the head and its parts, again and again: more often than a head is read twice
        if (operation, index) == ("getVectors", "vectorsside") and next(left) > 0:
            service.spoil = Spoiling.spoil
            text = noise(50_000, random.randrange(2**32))
            client.run(writer.write, [record(writer, "a", text)])
            texts.append(text)
            service.spoil = overwrite

    texts = []
    service.spoil = overwrite
    found = read(client, store, ["a"])["a"]
    assert (found.text, list(found.embedding)) == (texts[-1], [1.0, 2.0])
    assert len(texts) == 5

    def delete(operation, index):
        if (operation, index) == ("getVectors", "vectorsside"):
            service.spoil = Spoiling.spoil
            client.run(writer.delete, ["a"])

    service.spoil = delete
    assert client.run(store.fetch, ["a"]).missing == ("a",)


def test_all_is_over_at_the_deadline(service, store):
    with embedded(service, timeout=0.4) as client:
        client.run(store.write, [record(store, "a", noise(50_000))])
        began = time.monotonic()

        def delay(*_):
            time.sleep(0.25)

        service.spoil = delay
        with pytest.raises(DeadlineExceededError):
            read(client, store, ["a"])
        with pytest.raises((DeadlineExceededError, PartialWriteError)):
            client.run(store.write, [record(store, "a", noise(50_000, 2))])
        assert time.monotonic() - began < 3
        time.sleep(0.3)  # until the service has done what nobody waits for any longer


def test_many_large_values_are_put_together_a_few_at_a_time(client, store, monkeypatch):
    monkeypatch.setattr(parts_module, "_PARTS_AT_ONCE", 4)
    written = {f"k{n}": noise(70_000, n) for n in range(6)}
    client.run(store.write, [record(store, key, text) for key, text in written.items()])
    before = client.stats().operations["GetVectors"].calls
    found = read(client, store, list(written))
    assert {key: one.text for key, one in found.items()} == written
    assert client.stats().operations["GetVectors"].calls - before > 3


def test_a_listing_has_a_bounded_part_of_large_values_in_memory(client, store, monkeypatch):
    monkeypatch.setattr(parts_module, "_BYTES_AT_ONCE", 100_000)
    written = {f"k{n}": noise(60_000, n) for n in range(5)}
    client.run(store.write, [record(store, key, text) for key, text in written.items()])
    side = SideIndex(store.settings)
    rows = [Row("note", key, {"text": text}) for key, text in written.items()]
    client.run(side.put_rows, rows)
    pages, found = Pages(store, segments=1), []
    while not pages.is_done:
        read_now = client.run(pages.read)
        assert len(read_now) <= 2
        found += [store.decode(vector) for vector in read_now]
    assert {one.key: one.text for one in found} == written
    listed = client.run(side.list_rows, "note")
    assert {row.key: row.value["text"] for row in listed} == written


def test_another_value_of_the_same_size_is_refused(client, store):
    client.run(store.write, [record(store, "a", noise(50_000))])
    found = client.list_vectors(index="vectorsside", return_data=True, return_metadata=True)
    first, *others = sorted(found, key=lambda part: part.key)
    joined = "".join(part.metadata["_record_text"] for part in (first, *others))
    payload = zlib.decompress(base64.b64decode(joined))
    other = payload.replace(noise(50_000)[:20].encode(), b"twenty letters so it")
    assert payload != other
    assert len(payload) == len(other)
    whole = base64.b64encode(zlib.compress(other)).decode()
    half = len(whole) // 2
    changed = [with_text(first, whole[:half]), with_text(others[0], whole[half:])]
    client.upsert(changed, index="vectorsside")
    with pytest.raises(DecodeError, match=r"'a'.*not what was written"):
        read(client, store, ["a"])
