"""How much a search asks for, when it is completed, and what it says where it is not."""

import json
import math
import warnings
from dataclasses import replace

import pytest
from support.embedded import embedded
from support.promises import sized
from support.watched_service import Watched

from oss_vector_retriever import (
    AccountRecord,
    IncompleteSearchWarning,
    InvalidRequestError,
    OSSVectorError,
    ResponseError,
    VectorIndexParameterInvalidError,
    emulator,
)
from oss_vector_retriever.client.models import Limits
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.pair import ClientPair
from oss_vector_retriever.records.completion import traits_of
from oss_vector_retriever.records.filters import read_filter
from oss_vector_retriever.records.search import Restriction, find_nearest, search
from oss_vector_retriever.records.settings import Completion, StoreSettings
from oss_vector_retriever.records.store import RecordStore

# A tenth of the service's own limits, so that a tenth of the records is enough.
LIMITS = Limits(top_k=50, list_page=100)
QUERY = [1.0, 0.0]
INVALID = Reply(
    400,
    {"content-type": "application/json"},
    b'{"Error":{"Code":"VectorIndexParameterInvalid","Message":"no"}}',
)


class Measured(Watched):
    """Note what is in each request too, and how much is answered; refuse some operations."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.received = self.refusals = 0
        self.refused = set()

    def note_of(self, request):
        return request.query, json.loads(request.body or b"{}")

    def handle(self, request):
        reply = super().handle(request)
        if request.query in self.refused:
            reply = INVALID
        self.received += len(reply.body)
        self.refusals += reply.status == 400
        return reply

    def names(self):
        return [name for name, _ in self.seen]

    def asked(self):
        return [body["topK"] for name, body in self.seen if name == "queryVectors"]


class Place:
    """A store over a service of some behaviour, with `count` records of which some match.

    They stand at distances that grow with their number; those in `matching` have the tag `rare`.
    """

    def __init__(self, behaviour, count, matching, *, limits=LIMITS, text="t", **settings):
        self.service = Measured.in_memory(behaviour=behaviour, limits=limits)
        self.service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        self.client = embedded(self.service, timeout=20.0, limits=limits)
        self.run = ClientPair(self.client).run
        self.store = RecordStore(StoreSettings(filterable=["tag"], **settings))
        self.matching = set(matching)
        self.write(range(count), text)
        self.service.seen.clear()

    def write(self, numbers, text="t"):
        vectors = [
            self.store.encode(
                f"k{n:05}",
                place(n),
                text=text,
                metadata={"tag": "rare" if n in self.matching else "common"},
            )
            for n in numbers
        ]
        self.run(self.store.write, vectors)

    def find(self, k=4, wanted="rare", **how):
        condition = None if wanted is None else read_filter({"tag": wanted})
        completion = Completion(**how) if how else None
        return self.run(search, self.store, QUERY, k, condition=condition, completion=completion)

    def add_sizes(self):
        self.store = RecordStore(replace(self.store.settings, filterable=["size"]))
        vectors = [
            self.store.encode(f"s{n:03}", place(n), text="t", metadata={"size": n})
            for n in range(200)
        ]
        self.run(self.store.write, vectors)

    def keys_of(self, condition, k=4):
        return [
            hit.record.key
            for hit in self.run(search, self.store, QUERY, k, condition=condition).hits
        ]

    def keys(self, k=4, wanted="rare", **how):
        return [hit.record.key for hit in self.find(k, wanted, **how).hits]


def place(number):
    return [1.0, 0.01 * (number + 1)]


@pytest.fixture
def make(request):
    """Give a function that makes a place, closed at the end."""

    def made(count=200, matching=range(190, 200), behaviour=None, **settings):
        where = Place(behaviour or emulator.Behaviour(), count, matching, **settings)
        request.addfinalizer(where.service.close)
        request.addfinalizer(where.client.close)
        return where

    return made


def first(numbers, k=4):
    return [f"k{n:05}" for n in sorted(numbers)[:k]]


FAR = range(190, 200)
FILTERS_FIRST = emulator.Behaviour(filter_after_ranking=False)


# How much is asked for


def test_a_search_for_anything_asks_for_what_it_wants(make):
    where = make()
    assert where.keys(wanted=None) == first(range(4))
    assert where.service.asked() == [4]
    assert where.service.names() == ["queryVectors"]


def test_what_half_passes_is_one_call_and_a_hundred_kilobytes(make):
    where = make(matching=range(0, 200, 2), text="x" * 2048)
    where.service.received = 0
    assert where.keys() == first(range(0, 200, 2))
    assert where.service.names() == ["queryVectors"]
    assert where.service.asked() == [40]
    assert where.service.received <= 100_000


def test_many_wanted_are_asked_for_four_times_over_and_never_beyond_the_cap(make):
    where = make(matching=range(200), limits=Limits(top_k=150))
    assert len(where.keys(30)) == 30
    assert len(where.keys(40)) == 40
    assert where.service.asked() == [120, 150]


def test_what_is_not_among_the_first_is_looked_for_among_all_that_the_service_gives(make):
    where = make(matching=[42, 44, 46, 48])
    assert where.keys() == first([42, 44, 46, 48])
    assert where.service.asked() == [40, 50]
    assert set(where.service.names()) == {"queryVectors"}


@pytest.mark.parametrize(("limit", "k", "asked"), [(30, 4, [40, 30]), (100, 60, [240, 100])])
def test_a_lower_cap_is_found_out_once_an_index(make, limit, k, asked):
    where = make(
        behaviour=emulator.Behaviour(top_k_limit=limit), limits=Limits(), matching=range(200)
    )
    assert len(where.keys(k)) == k
    assert where.service.asked() == asked
    where.service.seen.clear()
    assert len(where.keys(k)) == k
    assert where.service.asked() == asked[1:]


def test_a_lower_cap_is_found_from_the_highest_down(make):
    behaviour = emulator.Behaviour(top_k_limit=30)
    where = make(behaviour=behaviour, limits=Limits(), matching=range(200))
    assert where.keys(60) == first(range(200), 60)
    assert where.service.asked() == [240, 100, 30, 30]


def test_what_is_refused_for_another_reason_teaches_nothing(make):
    where = make()
    where.service.refused = {"queryVectors"}
    with pytest.raises(VectorIndexParameterInvalidError):
        where.find()
    assert where.service.asked() == [40, 30, 30]  # the last one without the filter
    traits = traits_of(where.client._context, None)
    assert (traits.top_k, traits.forms) == (None, "all")


def test_a_query_of_another_dimension_is_known_without_a_further_call(make):
    where = make()
    with pytest.raises(InvalidRequestError, match="has dimension 2, and the query has 3"):
        where.run(search, where.store, [1.0, 2.0, 3.0])
    assert where.service.names() == ["queryVectors"]


# Forms of filters that an account refuses

RANGE = read_filter({"size": {"$gt": 150}, "tag": None})
SIZED_FAR = range(151, 155)


@pytest.mark.parametrize("cap", [30, 500])
@pytest.mark.parametrize(
    ("refused", "forms"),
    [("no_ranges", "plain"), ("no_exists", "simple"), ("no_or", "simple"), ("flat", "simple")],
)
def test_a_filter_of_a_refused_form_is_left_out_or_weakened_and_that_is_remembered(
    make, refused, forms, cap
):
    where = make(behaviour=emulator.Behaviour(filter_forms=refused, top_k_limit=cap))
    where.add_sizes()
    assert where.keys_of(RANGE) == [f"s{n:03}" for n in SIZED_FAR]
    traits = traits_of(where.client._context, None)
    assert (traits.forms, traits.top_k) == (forms, 30 if cap == 30 else None)
    where.service.seen.clear()
    where.service.refusals = 0
    assert where.keys_of(RANGE) == [f"s{n:03}" for n in SIZED_FAR]
    pushed = [body.get("filter") for name, body in where.service.seen if name == "queryVectors"]
    assert (pushed[0] is not None) is (forms == "plain")
    assert "$gt" not in str(pushed)
    assert where.service.refusals == 0


@pytest.mark.parametrize("refused", ["no_exists", "no_or", "flat"])
def test_equalities_of_our_own_fields_are_pushed_though_nothing_else_is(make, refused):
    behaviour = emulator.Behaviour(filter_forms=refused)
    where = make(behaviour=behaviour)
    own = {
        "$and": [
            {"tag": {"$eq": "rare"}},
            {"$or": [{"a": {"$exists": False}}, {"b": {"$eq": "x"}}]},
        ]
    }

    def restrict():
        return Restriction(lambda one: one.key if one.metadata["tag"] == "rare" else None, own)

    for _ in range(2):
        found = where.run(find_nearest, where.store, QUERY, 4, restrict).hits
        assert [hit.record for hit in found] == first(FAR)
    assert traits_of(where.client._context, None).forms == "simple"
    asked = [body for name, body in where.service.seen if name == "queryVectors"]
    assert asked[-2]["filter"] == {"tag": {"$eq": "rare"}}
    assert where.service.refusals == 2  # of two sizes


# What an account's record tells


def told(where, **behaviour):
    """Have the client of a place know a record, as of a new process; return what is learnt."""
    record = AccountRecord(
        region=emulator.DEVELOPMENT_REGION,
        recorded="2026-09-01T00:00:00+00:00",
        package="1",
        behaviour=behaviour,
    )
    where.client = embedded(where.service, timeout=20.0, limits=LIMITS, record=record)
    where.run = ClientPair(where.client).run
    where.run(where.store.describe)
    where.service.seen.clear()
    where.service.refusals = 0
    return traits_of(where.client._context, None)


@pytest.mark.parametrize("list_filter", ["ignored", "refused"])
@pytest.mark.parametrize("forms", ["no_ranges", "no_exists", "no_or", "flat"])
@pytest.mark.parametrize("squared", [True, False])
def test_with_a_record_nothing_is_refused_and_nothing_tried(make, list_filter, forms, squared):
    switches = {"list_filter": list_filter, "filter_forms": forms, "squared_euclidean": squared}
    switches |= {"top_k_limit": 30, "filter_after_ranking": True}
    where = make(behaviour=emulator.Behaviour(**switches), distance_metric="euclidean")
    where.add_sizes()
    traits = told(where, scalars="kept", **switches)
    assert where.keys_of(RANGE) == [f"s{n:03}" for n in SIZED_FAR]
    assert where.service.refusals == 0
    names = where.service.names()
    assert set(where.service.asked()) == {30}
    listed = [body for name, body in where.service.seen if name == "listVectors"]
    assert listed
    assert not any("filter" in body for body in listed)
    # nothing but what is ranked is fetched, and no distance is compared with the service's
    assert names.index("listVectors") < names.index("getVectors")
    assert (traits.euclidean, traits.formula) == ("squared" if squared else "euclidean", None)
    assert traits.filters_first is False


def test_with_a_record_a_service_that_filters_first_is_asked_once(make):
    where = make(behaviour=FILTERS_FIRST, count=60, matching=[3, 59])
    told(where, filter_after_ranking=False)
    assert where.keys() == first([3, 59])
    assert where.service.names() == ["queryVectors"]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_a_record_tells_nothing_of_a_metric_that_nobody_may_look_at(make, metric):
    where = make(distance_metric=metric, behaviour=emulator.Behaviour(squared_euclidean=True))
    where.store = RecordStore(StoreSettings(filterable=["tag"], distance_metric=None))
    where.service.denied = {"getVectorIndex"}
    told(where, squared_euclidean=True)
    far = [0.01 * (n + 1) for n in FAR]
    expected = [one**2 if metric == "euclidean" else 1 - 1 / math.hypot(1, one) for one in far]
    assert [hit.distance for hit in where.find(20).hits] == pytest.approx(expected, rel=1e-5)


# Complete, or say so


@pytest.mark.parametrize("list_filter", ["honoured", "ignored", "refused"])
@pytest.mark.parametrize("cap", [30, 500])
def test_what_is_beyond_the_cap_is_found_all_the_same(make, list_filter, cap):
    where = make(behaviour=emulator.Behaviour(list_filter=list_filter, top_k_limit=cap))
    assert where.keys() == first(FAR)
    assert where.keys(50) == first(FAR, 50)


def test_an_index_that_fits_into_a_reply_is_whole_without_a_listing(make):
    where = make(count=45, matching=[3, 44])
    assert where.keys() == first([3, 44])
    assert where.service.asked() == [40, 50, 50]
    assert set(where.service.names()) == {"queryVectors"}


def test_where_nothing_restricts_fewer_hits_than_asked_for_are_all(make):
    where = make(count=3)
    assert len(where.keys(wanted=None)) == 3
    assert where.service.names() == ["queryVectors"]


def test_more_than_the_service_gives_are_listed(make):
    where = make(behaviour=emulator.Behaviour(top_k_limit=30))
    assert where.keys(45, wanted=None) == first(range(200), 45)


def test_a_service_that_filters_first_is_known_by_what_it_finds_and_never_listed(make):
    where = make(behaviour=FILTERS_FIRST)
    assert where.keys(20) == first(FAR, 20)
    assert "listVectors" not in where.service.names()
    where.service.seen.clear()
    assert where.keys(20) == first(FAR, 20)  # it is remembered
    assert where.service.names() == ["queryVectors"]


def test_a_service_can_be_said_to_filter_first(make):
    where = make(count=60, matching=[3], behaviour=FILTERS_FIRST, filters_first=True)
    assert where.keys() == first([3])
    assert where.service.names() == ["queryVectors"]


def test_a_service_that_chooses_among_the_nearest_is_never_taken_for_one_that_filters_first(make):
    where = make(matching=[5, 35, 48, *FAR])
    for k in (2, 4, 20):
        assert where.keys(k) == first([5, 35, 48, *FAR], k)
    assert traits_of(where.client._context, None).filters_first is None


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("look", [True, False])
def test_distances_made_here_are_those_that_the_service_makes(make, metric, squared, look):
    where = make(distance_metric=metric, behaviour=emulator.Behaviour(squared_euclidean=squared))
    if not look:  # a role may search and not look at the index
        where.store = RecordStore(StoreSettings(filterable=["tag"], distance_metric=None))
        where.service.denied = {"getVectorIndex"}
    hits = where.find(20).hits
    plain = [0.01 * (n + 1) for n in FAR]
    expected = {
        "cosine": [1 - 1 / math.hypot(1, far) for far in plain],
        "euclidean": [far**2 for far in plain] if squared else plain,
    }[metric]
    assert [hit.distance for hit in hits] == pytest.approx(expected, rel=1e-5)


def test_equally_far_records_come_by_their_keys(make):
    where = make()
    twins = [
        where.store.encode(f"twin{n}", [1.0, 5.0], text="t", metadata={"tag": "twin"})
        for n in (3, 1, 2)
    ]
    where.run(where.store.write, twins)
    assert where.keys(wanted="twin") == ["twin1", "twin2", "twin3"]


def test_no_more_than_k_are_kept_and_all_pages_are_read(make):
    where = make(count=1000, matching=range(60, 1000, 3))
    assert where.keys(5) == first(range(60, 1000, 3), 5)
    segments = {
        body.get("segmentIndex") for name, body in where.service.seen if name == "listVectors"
    }
    assert segments == {None, 0, 1, 2, 3}


def test_a_listing_that_one_page_holds_is_one_call(make):
    where = make(count=1)
    where.client.delete_vector_index(index="vectors")
    where.client.put_vector_index(dimension=2)
    where.client.upsert(
        [
            {"key": f"f{n:04}", "data": place(n), "metadata": {"tag": "rare" if n > 989 else "no"}}
            for n in range(1000)
        ]
    )
    where.store = RecordStore(StoreSettings(filterable=None))
    where.service.seen.clear()
    assert where.keys(4) == [f"f{n:04}" for n in range(990, 994)]
    assert where.service.names().count("listVectors") == 1


@pytest.mark.parametrize("list_filter", ["honoured", "ignored", "refused"])
def test_as_many_listings_are_made_as_readme_says(make, list_filter):
    count = sized(2_000, 100_000)
    behaviour = emulator.Behaviour(list_filter=list_filter)
    where = make(count=count, matching=[count - 1], behaviour=behaviour, limits=Limits())
    assert where.keys(4, exhaustive=True) == first([count - 1])
    listings = where.service.names().count("listVectors")
    least = 1 if list_filter == "honoured" else 1 + count // 1000
    assert least <= listings <= (1 if list_filter == "honoured" else least + 5)
    assert where.service.names().count("queryVectors") == 3
    assert where.service.names().count("getVectors") == 1


@pytest.mark.parametrize("list_filter", ["ignored", "refused"])
def test_a_listing_stops_at_its_limit_and_says_so(make, list_filter):
    where = make(count=1000, behaviour=emulator.Behaviour(list_filter=list_filter))
    with pytest.warns(IncompleteSearchWarning, match="scan_limit") as caught:
        found = where.find(20, scan_limit=300)
    said = caught[0].message
    assert (said.index, said.wanted, said.found) == ("vectors", 20, len(found.hits))
    assert said.nearest == 50
    assert 300 <= said.listed <= 304
    assert "exhaustive=True" in str(said)
    assert where.keys(20, exhaustive=True, scan_limit=300) == first(FAR, 20)


def test_an_index_as_large_as_the_limit_is_whole(make):
    where = make(count=200, behaviour=emulator.Behaviour(list_filter="ignored"))
    assert where.keys(20, scan_limit=200) == first(FAR, 20)


def test_without_listing_the_answer_says_what_it_may_lack(make):
    where = make(matching=[3, *FAR])
    with pytest.warns(IncompleteSearchWarning, match=r'Pass exhaustive="auto"'):
        found = where.find(exhaustive=False)
    assert [hit.record.key for hit in found.hits] == first([3])
    assert found.incomplete is not None
    assert "listVectors" not in where.service.names()


def test_an_incomplete_answer_can_be_an_error_of_ours(make):
    where = make()
    with pytest.raises(OSSVectorError, match="more may match") as caught:
        where.find(exhaustive=False, on_incomplete="raise")
    assert isinstance(caught.value, IncompleteSearchWarning)


def test_an_incomplete_answer_can_be_left_unsaid(make):
    where = make()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert where.find(exhaustive=False, on_incomplete="ignore").incomplete is None
    assert not caught


def test_the_log_says_it_once_a_minute(make, caplog):
    where = make()
    for _ in range(3):
        with pytest.warns(IncompleteSearchWarning):
            where.find(exhaustive=False)
    [said] = [record.getMessage() for record in caplog.records]
    assert said == (
        "a search in index 'vectors' may lack records: 0 of 4 found; exhaustive=False leaves it "
        "at that"
    )


@pytest.mark.parametrize("denied", ["listVectors", "getVectors"])
def test_who_may_search_and_not_list_has_what_the_search_found_and_is_told(make, denied):
    where = make(matching=[3, *FAR])
    where.service.denied = {denied}
    with pytest.warns(IncompleteSearchWarning, match="not permitted"):
        assert where.keys() == first([3])


def test_a_listing_that_goes_round_in_a_circle_is_an_error(make):
    where = make(matching=[3, *FAR])
    following = {None: "a", "a": "b", "b": "c", "c": "a"}
    handle = where.service.handle

    def circle(request):
        if request.query != "listVectors":
            return handle(request)
        assert len(where.service.names()) < 100, "an endless loop"
        where.service.seen.append(where.service.note_of(request))
        token = following[json.loads(request.body).get("nextToken")]
        body = json.dumps({"vectors": [], "nextToken": token}).encode()
        return Reply(200, {"content-type": "application/json"}, body)

    where.service.handle = circle
    with pytest.raises(ResponseError, match="so that no page is last"):
        where.find(exhaustive=True)


def test_what_takes_too_long_ends_with_the_time_and_says_so(make):
    where = make(matching=[3, *FAR])
    where.service.faults.add(emulator.faults.Delay(seconds=3.0, operation="ListVectors"))
    where.run = ClientPair(where.client.with_options(timeout=0.5)).run
    with pytest.warns(IncompleteSearchWarning, match="time was up"):
        assert where.keys() == first([3])


def test_impossible_settings_are_named():
    for name, value in (("exhaustive", "yes"), ("scan_limit", 0), ("on_incomplete", "log")):
        with pytest.raises(InvalidRequestError, match=name):
            StoreSettings(**{name: value})


def test_a_search_that_nothing_can_pass_is_no_call(make):
    where = make()
    nothing = read_filter({"tag": {"$in": []}})
    assert where.run(search, where.store, QUERY, 4, condition=nothing).hits == []
    assert where.service.seen == []


def test_a_broken_record_that_is_not_needed_harms_nobody(make):
    where = make(matching=range(10))
    where.client.put_vectors(
        [{"key": "broken", "data": place(30), "metadata": {"_record": "?", "tag": "rare"}}]
    )
    assert where.keys() == first(range(10))


@pytest.mark.parametrize("ignores", [True, False])
@pytest.mark.parametrize("filters_first", [True, False])
def test_a_field_that_the_index_hides_is_filtered_on_all_the_same(make, ignores, filters_first):
    where = make(
        behaviour=emulator.Behaviour(
            ignore_non_filterable=ignores, filter_after_ranking=not filters_first
        )
    )
    where.client.put_vector_index(index="hiding", dimension=2, non_filterable_metadata_keys=["tag"])
    where.client.upsert(
        [
            {"key": f"h{n:03}", "data": place(n), "metadata": {"tag": "rare" if n > 95 else "no"}}
            for n in range(100)
        ],
        index="hiding",
    )
    where.store = RecordStore(
        StoreSettings(index="hiding", filterable=None, filters_first=filters_first)
    )
    assert where.keys() == ["h096", "h097", "h098", "h099"]
