"""What takes its time, by a clock that tests move, in memory and on a file."""

import random
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import orjson
import pytest
from support.caller_fixtures import on_files

from oss_vector_retriever import ConfigurationError
from oss_vector_retriever.emulator import AccessKey, Behaviour, ManualClock, Request, Service
from oss_vector_retriever.emulator.clock import RequestRate

FAILED = (500, "InternalError")
INDEX = {"dataType": "float32", "dimension": 3, "distanceMetric": "euclidean"}


@pytest.fixture(params=["memory", "file"])
def make_caller(make_caller, request, tmp_path):
    return make_caller if request.param == "memory" else on_files(make_caller, tmp_path)


@pytest.fixture
def clock():
    return ManualClock(datetime(2026, 9, 1, 12, tzinfo=UTC))


@pytest.fixture
def make(make_caller, clock):
    """Return a function that makes a caller of a service of such a behaviour, by the clock."""

    def make(**switches):
        return make_caller(index=True, clock=clock, behaviour=Behaviour(**switches))

    return make


def keys_of(vectors):
    return [vector["key"] for vector in vectors]


def listed(caller, **members):
    status, parsed = caller.post("listVectors", {"indexName": "index1", **members})
    assert status == 200, parsed
    return keys_of(parsed["vectors"])


def vector(*metadata):
    return {"key": "a", "data": {"float32": [1, 0, 0]}} | dict(*metadata)


# the clock


def test_a_manual_clock_stands_until_it_is_moved():
    start = datetime(2026, 9, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    clock = ManualClock(start)
    assert clock() == clock() == start
    clock.advance(0.25)
    clock.advance(3600)
    assert clock() - start == timedelta(hours=1, milliseconds=250)
    before = datetime.now(UTC)
    assert before <= ManualClock()() <= datetime.now(UTC)


def test_or_it_goes_on_by_itself():
    clock = ManualClock(datetime(2030, 1, 1, tzinfo=UTC), runs=True)
    first = clock()
    while clock() == first:  # the machine's clock goes on
        pass
    clock.advance(3600)
    assert timedelta(hours=1) < clock() - first < timedelta(hours=2)


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), "3", True, None, 1e300])
def test_it_goes_forward_only(wrong):
    clock = ManualClock()
    before = clock()
    with pytest.raises(ConfigurationError, match="seconds must be a number from 0 to"):
        clock.advance(wrong)
    assert clock() == before


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ConfigurationError, match="start must have a time zone"):
        ManualClock(datetime(2026, 9, 1))  # noqa: DTZ001 - that is what is refused


def test_requests_are_accepted_however_far_it_is_moved(make, clock):
    caller = make()
    for seconds in (0, 899, 3600, 30 * 24 * 3600):
        clock.advance(seconds)
        reply = caller.send("GET", "bucketInfo")  # signed by the machine's clock
        assert reply.status == 200
        date = parsedate_to_datetime(reply.headers["date"])
        assert abs(date - datetime.now(UTC)) < timedelta(minutes=5)
    for wrong in (timedelta(hours=1), timedelta(hours=-1)):
        reply = caller.send("GET", "bucketInfo", now=datetime.now(UTC) + wrong)
        assert b"RequestTimeTooSkewed" in reply.body


def test_what_is_made_is_dated_by_it(make, clock):
    caller = make()
    clock.advance(60)
    caller.make_index("later")
    created = [
        caller.post("getVectorIndex", {"indexName": name})[1]["index"]["createTime"]
        for name in ("index1", "later")
    ]
    assert created == ["2026-09-01T12:00:00.000Z", "2026-09-01T12:01:00.000Z"]


def test_keys_expire_by_it(make, clock):
    caller = make()
    ends = clock() + timedelta(hours=1)
    caller.key = AccessKey("sts", "s", caller.key.account_id, security_token="t", expires=ends)
    caller.service.set_access_keys([caller.key])
    assert caller.post("listVectorIndexes", token="t")[0] == 200
    clock.advance(3599)
    assert caller.post("listVectorIndexes", token="t")[0] == 200
    clock.advance(1)
    assert caller.code("listVectorIndexes", token="t") == (403, "SecurityTokenExpired")


# indexes and buckets


def test_an_index_that_is_being_made_can_refuse_writes(make, clock):
    caller = make(index_creation_seconds=10, creating_refuses_writes=True)
    members = {"indexName": "index1", "vectors": [vector()]}

    def status():
        return caller.post("getVectorIndex", {"indexName": "index1"})[1]["index"]["status"]

    assert caller.code("putVectors", members) == FAILED
    assert caller.get(["a"]) == []
    clock.advance(9.999)
    assert status() == "creating"
    assert caller.code("putVectors", members) == FAILED
    clock.advance(0.001)
    assert status() == "enable"
    assert caller.post("putVectors", members) == (200, None)


@pytest.mark.parametrize("creation", [0, 2])
@pytest.mark.parametrize("refuses", [False, True])
def test_one_that_has_turned_enable_can_fail_for_a_while(make, clock, creation, refuses):
    caller = make(
        index_creation_seconds=creation, creating_refuses_writes=refuses, enable_failure_seconds=10
    )
    members = {"indexName": "index1", "vectors": [vector()]}
    if creation:
        status, _ = caller.post("putVectors", members)
        assert status == (500 if refuses else 200)
        caller.post("deleteVectors", {"indexName": "index1", "keys": ["a"]})
        clock.advance(creation)
    for _ in range(2):
        assert caller.code("putVectors", members) == FAILED
        deletion = {"indexName": "index1", "keys": ["a"]}
        assert caller.post("deleteVectors", deletion) == (204, None)  # writes alone fail
        assert caller.query([1, 0, 0]) == []
        clock.advance(4.999)
    assert caller.code("putVectors", members) == FAILED
    clock.advance(0.002)
    assert caller.post("putVectors", members) == (200, None)


def test_a_new_bucket_can_take_its_time_to_be_listed(make, clock):
    caller = make(bucket_list_delay_seconds=3)

    def is_listed():
        reply = caller.send("GET", bucket=None)
        assert reply.status == 200
        return b"development-bucket" in reply.body

    assert not is_listed()
    assert caller.send("GET", "bucketInfo").status == 200
    clock.advance(2.999)
    assert not is_listed()
    clock.advance(0.001)
    assert is_listed()


def test_the_name_of_a_deleted_bucket_can_be_kept(make, clock):
    caller = make(bucket_name_kept_seconds=3600)
    assert caller.send("PUT", bucket="other").status == 200
    assert caller.send("DELETE", bucket="other").status == 204
    clock.advance(3599)
    refused = caller.send("PUT", bucket="other")
    assert (refused.status, b"BucketNameNotAvailable" in refused.body) == (409, True)
    clock.advance(1)
    assert caller.send("PUT", bucket="other").status == 200


# reads that lag


def test_reads_by_key_can_see_writes_and_deletions_later(make, clock):
    caller = make(get_delay_seconds=5)

    def seen():
        found = {one["key"]: one["metadata"]["v"] for one in caller.get(["a", "b"])}
        assert listed(caller) == sorted(found)
        odd = {"v": {"$in": ["1", "3"]}}
        assert listed(caller, filter=odd) == [k for k in sorted(found) if found[k] in "13"]
        return found

    caller.put(("a", [1, 0, 0], {"v": "1"}))
    assert seen() == {}
    assert keys_of(caller.query([1, 0, 0])) == ["a"]  # searches do not lag by that
    clock.advance(5)
    assert seen() == {"a": "1"}
    caller.put(("a", [1, 0, 0], {"v": "2"}), ("b", [1, 0, 0], {"v": "1"}))
    clock.advance(2)
    caller.put(("a", [1, 0, 0], {"v": "3"}))
    caller.post("deleteVectors", {"indexName": "index1", "keys": ["b", "gone"]})
    assert seen() == {"a": "1"}
    clock.advance(3)
    assert seen() == {"a": "2", "b": "1"}
    clock.advance(2)
    assert seen() == {"a": "3"}
    caller.post("deleteVectors", {"indexName": "index1", "keys": ["a"]})
    clock.advance(4.999)
    assert seen() == {"a": "3"}
    clock.advance(0.001)
    assert seen() == {}


def test_a_deleted_index_is_gone_at_once_with_all_that_it_was(make, clock):
    caller = make(get_delay_seconds=5, query_delay_seconds=5)
    caller.put(("a", [1, 0, 0]))
    clock.advance(1)
    caller.post("deleteVectors", {"indexName": "index1", "keys": ["a"]})
    caller.post("deleteVectorIndex", {"indexName": "index1"})
    caller.make_index()
    assert caller.get(["a"]) == []
    assert caller.query([1, 0, 0]) == []
    with caller.service._database.read() as db:
        assert db.execute("SELECT count(*) FROM former_vectors").fetchone() == (0,)


def test_searches_can_see_writes_and_deletions_later(make, clock):
    caller = make(query_delay_seconds=3)

    def nearest(*values):
        hits = caller.query(list(values), 1, returnMetadata=True, returnDistance=True)
        return [(hit["key"], hit["distance"], hit["metadata"]["v"]) for hit in hits]

    caller.put(("a", [1, 0, 0], {"v": "1"}))
    assert nearest(1, 0, 0) == []
    assert keys_of(caller.get(["a"])) == ["a"]
    clock.advance(3)
    assert nearest(1, 0, 0) == [("a", 0, "1")]
    caller.put(("a", [5, 0, 0], {"v": "2"}))
    assert nearest(1, 0, 0) == [("a", 0, "1")]  # as it was, not as it is
    assert caller.query([1, 0, 0], filter={"v": "2"}) == []
    clock.advance(3)
    assert nearest(1, 0, 0) == [("a", 4, "2")]
    caller.post("deleteVectors", {"indexName": "index1", "keys": ["a"]})
    assert caller.get(["a"]) == []
    assert nearest(5, 0, 0) == [("a", 0, "2")]
    clock.advance(3)
    assert nearest(5, 0, 0) == []


def test_nothing_is_kept_longer_than_anybody_sees_it(make, clock):
    caller = make(get_delay_seconds=1, query_delay_seconds=4)
    for number in range(50):
        caller.put(("a", [number, 0, 0]), ("b", [number, 0, 0]))
        clock.advance(0.5)
    with caller.service._database.read() as db:
        (kept,) = db.execute("SELECT count(*) FROM former_vectors").fetchone()
    assert kept <= 2 * 9


def test_without_a_delay_nothing_is_kept(make):
    caller = make()
    for number in range(3):
        caller.put(("a", [number, 0, 0]))
    with caller.service._database.read() as db:
        assert db.execute("SELECT count(*) FROM former_vectors").fetchone() == (0,)


@pytest.mark.parametrize("seed", range(4))
def test_every_reader_sees_the_index_as_it_was(make, clock, seed):
    """Random writes and deletions against a list of what the index held at each moment."""
    chance = random.Random(seed)
    delays = {"get": chance.choice([0, 1.5, 4]), "query": chance.choice([0, 2.5, 6])}
    caller = make(get_delay_seconds=delays["get"], query_delay_seconds=delays["query"])
    keys, history, held = [f"k{n}" for n in range(8)], [(clock(), {})], {}

    def as_of(seconds):
        moment = clock() - timedelta(seconds=seconds)
        return next((held for at, held in reversed(history) if at <= moment), {})

    for step in range(120):
        chosen = chance.sample(keys, chance.randint(1, 4))
        if chance.random() < 0.7:
            caller.put(*((key, [step, n, 0], {"v": str(step)}) for n, key in enumerate(chosen)))
            held = held | {key: (step, n) for n, key in enumerate(chosen)}
        else:
            caller.post("deleteVectors", {"indexName": "index1", "keys": chosen})
            held = {key: value for key, value in held.items() if key not in chosen}
        history.append((clock(), held))
        clock.advance(chance.choice([0, 0.001, 0.5, 1, 3]))
        then = as_of(delays["get"])
        found = {v["key"]: tuple(map(int, v["data"]["float32"][:2])) for v in caller.get(keys)}
        assert found == then, f"seed {seed}, step {step}"
        assert sorted(listed(caller)) == sorted(then)
        near = {
            hit["key"]: hit["metadata"]["v"]
            for hit in caller.query([step, 0, 0], 20, returnMetadata=True)
        }
        then = as_of(delays["query"])
        assert near == {key: str(at) for key, (at, _) in then.items()}, f"seed {seed}, step {step}"


# the rate


def test_more_requests_than_it_takes_in_a_second_are_refused(make, clock):
    caller = make(requests_per_second=4)  # one of them has made the index
    members = {"indexName": "index1", "keys": ["a"]}
    assert [caller.post("getVectors", members)[0] for _ in range(5)] == [200, 200, 200, 503, 503]
    clock.advance(0.25)
    assert [caller.post("getVectors", members)[0] for _ in range(2)] == [200, 503]
    clock.advance(3600)  # no more than a second's worth is saved up
    assert [caller.post("getVectors", members)[0] for _ in range(5)] == [200] * 4 + [503]


def test_it_is_refused_in_the_documented_form(make):
    caller = make(requests_per_second=1)
    reply = caller.send("GET", "bucketInfo")
    assert (reply.status, reply.headers["content-type"]) == (503, "application/json")
    error = orjson.loads(reply.body)["Error"]
    assert error["Code"] == "QpsLimitExceeded"
    assert error["RequestId"] == reply.headers["x-oss-request-id"]
    assert error.keys() == {"Code", "Message", "RequestId", "HostId"}


def test_who_is_not_known_uses_nothing_up(make):
    caller = make(requests_per_second=2)
    for _ in range(5):
        unsigned = Request("GET", "http://127.0.0.1:9000", "/development-bucket/", "bucketInfo")
        assert caller.service.handle(unsigned).status == 403
    assert caller.send("GET", "bucketInfo").status == 200
    assert caller.send("GET", "bucketInfo").status == 503


def test_each_service_has_a_rate_of_its_own(make):
    one, other = make(requests_per_second=1), make(requests_per_second=1)
    for caller in (one, other):
        assert caller.send("GET", "bucketInfo").status == 503  # the index was the first


def test_less_than_one_a_second_is_one_at_a_time():
    rate, start = RequestRate(0.5), datetime(2026, 9, 1, tzinfo=UTC)
    taken = [rate.take(start + timedelta(seconds=at)) for at in (0, 0, 1, 2, 3, 4, 100, 100)]
    assert taken == [True, False, False, True, False, True, True, False]


def test_a_clock_that_was_set_back_gives_nothing():
    rate, start = RequestRate(1), datetime(2026, 9, 1, tzinfo=UTC)
    taken = [rate.take(start + timedelta(seconds=at)) for at in (0, -3600, -3599, -3599, 0)]
    assert taken == [True, False, True, False, True]


def test_tenths_of_a_second_make_a_whole():
    rate, start = RequestRate(1), datetime(2026, 9, 1, tzinfo=UTC)
    assert rate.take(start)
    taken = [rate.take(start + timedelta(seconds=tenth / 10)) for tenth in range(1, 11)]
    assert taken == [False] * 9 + [True]


# all of it


def test_the_documented_service_lags_and_refuses(make_caller, clock):
    caller = make_caller(index=True, clock=clock, behaviour=Behaviour.documented())
    index = {"indexName": "index1"}
    assert caller.post("getVectorIndex", index)[1]["index"]["status"] == "creating"
    assert b"development-bucket" not in caller.send("GET", bucket=None).body
    caller.put(("a", [1, 0, 0], {"color": "red"}), ("b", [2, 0, 0], {"color": "blue"}))
    assert len(caller.get(["a", "b"])) == len(listed(caller)) == 2
    assert caller.query([1, 0, 0]) == []
    clock.advance(3)
    assert caller.post("getVectorIndex", index)[1]["index"]["status"] == "enable"
    assert b"development-bucket" in caller.send("GET", bucket=None).body
    blue = {"color": {"$eq": "blue"}}
    assert caller.query([1, 0, 0], 1, filter=blue) == []
    assert keys_of(caller.query([1, 0, 0], 2, filter=blue)) == ["b"]
    query = {**index, "queryVector": {"float32": [1, 0, 0]}}
    assert caller.post("queryVectors", {**query, "topK": 500})[0] == 200
    names = [f"n{number}" for number in range(11)]
    for operation, members in (
        ("queryVectors", {**query, "topK": 501}),
        ("queryVectors", {**query, "topK": 1, "filter": {"color": "blue"}}),
        ("putVectors", {**index, "vectors": [vector({"metadata": dict.fromkeys(names, "x")})]}),
        ("putVectors", {**index, "vectors": [vector({"metadata": {"n": 1}})]}),
        ("putVectors", {**index, "vectors": [vector({"metadata": {"flag": True}})]}),
    ):
        assert caller.code(operation, members) == (400, "VectorIndexParameterInvalid")
    assert caller.send("PUT", bucket="other").status == 200
    assert caller.send("DELETE", bucket="other").status == 204
    clock.advance(4 * 3600 - 1)
    assert caller.send("PUT", bucket="other").status == 409
    clock.advance(1)
    assert caller.send("PUT", bucket="other").status == 200


def test_the_quick_one_does_not(make_caller):
    caller = make_caller(index=True)
    assert caller.service.behaviour == Behaviour()
    caller.put(("a", [1, 0, 0], {"n": 1}))
    assert keys_of(caller.query([1, 0, 0], 500, filter={"n": 1})) == ["a"]
    assert b"development-bucket" in caller.send("GET", bucket=None).body


def test_a_file_of_an_older_release_keeps_what_lags_too(tmp_path, clock):
    """The table of what vectors were is made in a file that has none."""
    path = tmp_path / "old.db"
    with Service(path, clock=clock) as service, service._database.write() as db:
        db.execute("DROP TABLE former_vectors")
    with Service(path, clock=clock) as service, service._database.read() as db:
        assert db.execute("SELECT count(*) FROM former_vectors").fetchone() == (0,)
