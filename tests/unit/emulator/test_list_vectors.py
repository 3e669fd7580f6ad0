from itertools import chain

import pytest

from oss_vector_retriever.client.models.limits import Limits

INVALID = (400, "VectorIndexParameterInvalid")


def page(caller, index="index1", **members):
    status, parsed = caller.post("listVectors", {"indexName": index, **members})
    assert status == 200, parsed
    return [v["key"] for v in parsed["vectors"]], parsed.get("nextToken")


def pages(caller, index="index1", **members):
    """Return the keys of every page."""
    found, token = [], None
    while True:
        keys, token = page(caller, index, **members, **({"nextToken": token} if token else {}))
        found.append(keys)
        if not token:
            return found


def flat(lists):
    return list(chain.from_iterable(lists))


def fill(caller, count, index="index1"):
    keys = [f"k{(i * 7919) % 100003}" for i in range(count)]
    for start in range(0, count, 500):
        part = keys[start : start + 500]
        caller.put(
            *((key, [i, 0, 1], {"n": str(i % 3)}) for i, key in enumerate(part)), index=index
        )
    return keys


@pytest.mark.parametrize(
    ("count", "most", "sizes"), [(10, 5, [5, 5]), (3, 1, [1, 1, 1]), (7, 5, [5, 2])]
)
def test_pages_are_full_and_none_is_empty_at_the_end(caller, count, most, sizes):
    keys = fill(caller, count)
    found = pages(caller, maxResults=most)
    assert [len(keys) for keys in found] == sizes
    assert flat(found) == keys


def test_an_empty_index_has_one_empty_page(caller):
    assert pages(caller) == [[]]


def test_a_page_has_five_hundred_by_default_and_a_thousand_at_most(caller):
    fill(caller, 1001)
    assert [len(keys) for keys in pages(caller)] == [500, 500, 1]
    assert [len(keys) for keys in pages(caller, maxResults=1000)] == [1000, 1]


@pytest.mark.parametrize(
    "members",
    [
        {"maxResults": 0},
        {"maxResults": 1001},
        {"maxResults": "5"},
        {"maxResults": 5.0},
        {"maxResults": True},
        {"nextToken": 5},
        {"nextToken": "x" * 2049},
        {"nextToken": "not ours"},
        {"nextToken": "AAAA"},
        {"nextToken": "é"},
        {"segmentCount": 0},
        {"segmentCount": 17},
        {"segmentCount": 2, "segmentIndex": 2},
        {"segmentIndex": 1},
        {"segmentIndex": -1},
        {"returnData": "yes"},
        {"filter": []},
        {"filter": {"n": {"$what": 1}}},
    ],
)
def test_parameters_outside_their_limits_are_refused(caller, members):
    caller.put(("a", [1, 2, 3]))
    assert caller.code("listVectors", {"indexName": "index1", **members}) == INVALID


def test_a_token_is_for_its_own_index(caller):
    caller.make_index("index2")
    for index in ("index1", "index2"):
        caller.put(("a", [1, 2, 3]), ("b", [1, 2, 3]), index=index)
    _, token = page(caller, maxResults=1)
    members = {"indexName": "index2", "nextToken": token}
    assert caller.code("listVectors", members) == INVALID
    assert "another listing" in caller.message("listVectors", members)


def test_an_empty_token_starts_at_the_beginning(caller):
    keys = fill(caller, 3)
    assert page(caller, nextToken="") == (keys, None)


def test_a_token_is_short_however_long_the_key(caller):
    caller.put(*((chr(0x4E00 + i) * 1024, [1, 2, 3]) for i in range(3)))
    _, token = page(caller, maxResults=1)
    assert len(token.encode()) <= 512


def test_a_listing_survives_writes_and_deletes(caller):
    keys = fill(caller, 20)
    first, token = page(caller, maxResults=10)
    caller.post("deleteVectors", {"indexName": "index1", "keys": [keys[9], keys[0], keys[12]]})
    caller.put((keys[5], [9, 9, 9]), (keys[15], [9, 9, 9]), ("new", [1, 2, 3]))
    second, token = page(caller, maxResults=100, nextToken=token)
    assert first == keys[:10]
    assert second == [*keys[10:12], *keys[13:], "new"]
    assert token is None


def test_data_and_metadata_come_only_when_asked_for(caller):
    caller.put(("a", [1, 2, 3], {"title": "A"}))
    members = {"indexName": "index1"}
    assert caller.post("listVectors", members) == (200, {"vectors": [{"key": "a"}]})
    members |= {"returnData": True, "returnMetadata": True}
    vector = {"key": "a", "data": {"float32": [1.0, 2.0, 3.0]}, "metadata": {"title": "A"}}
    assert caller.post("listVectors", members) == (200, {"vectors": [vector]})


def test_segments_share_out_the_vectors(caller):
    keys = fill(caller, 1000)
    parts = [flat(pages(caller, segmentCount=16, segmentIndex=i, maxResults=7)) for i in range(16)]
    assert sorted(flat(parts)) == sorted(keys)
    # 62 on average, as a hash deals them out
    assert min(len(part) for part in parts) > 40


def test_the_only_vector_of_a_new_service_is_in_segment_one_of_two(caller):
    caller.put(("vector-key-1", [1, 2, 3]))
    assert page(caller, segmentCount=2, segmentIndex=1)[0] == ["vector-key-1"]
    assert page(caller, segmentCount=2, segmentIndex=0)[0] == []


def test_which_segment_holds_a_vector_depends_on_its_key_alone(caller):
    keys = fill(caller, 40)

    def segments(index):
        shares = [
            flat(pages(caller, index=index, segmentCount=3, segmentIndex=s)) for s in range(3)
        ]
        return [sorted(share) for share in shares]

    first = segments("index1")
    caller.make_index("index2")
    for key in reversed(keys):
        caller.put((key, [1, 2, 3], {"n": "1"}), index="index2")
    assert segments("index2") == first
    # deleted and put again, too
    caller.post("deleteVectors", {"indexName": "index1", "keys": keys[:7]})
    caller.put(*((key, [1, 2, 3]) for key in keys[:7]))
    assert segments("index1") == first
    filtered = [
        sorted(flat(pages(caller, "index2", segmentCount=3, segmentIndex=s, filter={"n": "1"})))
        for s in range(3)
    ]
    assert filtered == first


def test_a_token_may_be_longer_than_that_of_an_index_listing(caller):
    longest = {"indexName": "index1", "nextToken": "x" * 2048}
    assert "not one that this service gave" in caller.message("listVectors", longest)
    longer = {"indexName": "index1", "nextToken": "x" * 2049}
    assert "at most 2048 bytes" in caller.message("listVectors", longer)


def test_a_filter_leaves_out_what_does_not_pass(caller):
    keys = fill(caller, 1500)
    expected = [key for i, key in enumerate(keys) if i % 500 % 3 == 1]
    found = pages(caller, filter={"n": {"$eq": "1"}}, maxResults=167)
    assert flat(found) == expected
    assert [len(p) for p in found] == [167, 167, 167]
    assert flat(pages(caller, filter={"n": "1"}, maxResults=1000)) == expected
    assert pages(caller, filter={"n": "none"}) == [[]]
    assert flat(pages(caller, filter={}, maxResults=1000)) == keys


def test_a_filtered_page_has_data_and_metadata_too(caller):
    caller.make_index("other", non_filterable=["hidden"])
    caller.put(("a", [1, 2, 3], {"n": "1", "hidden": "x"}), ("b", [1, 2, 3]), index="other")
    members = {"indexName": "other", "returnMetadata": True, "filter": {"n": {"$exists": True}}}
    vector = {"key": "a", "metadata": {"n": "1", "hidden": "x"}}
    assert caller.post("listVectors", members) == (200, {"vectors": [vector]})


def test_an_index_that_does_not_exist(caller):
    assert caller.code("listVectors", {"indexName": "other"}) == (404, "NoSuchVectorIndex")


def test_limits_can_be_changed(make_caller):
    caller = make_caller(index=True, limits=Limits(list_page=2, list_page_default=1))
    fill(caller, 3)
    assert [len(keys) for keys in pages(caller)] == [1, 1, 1]
    assert caller.code("listVectors", {"indexName": "index1", "maxResults": 3}) == INVALID
