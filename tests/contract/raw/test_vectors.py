"""Vectors, their metadata and filters: sections 4, 5 and 14."""

import json
import math
from itertools import chain

import pytest
from support.raw_rules import (
    GONE,
    INVALID,
    MALFORMED,
    NO_BUCKET,
    NO_INDEX,
    OK,
    Row,
    check,
    keys_of,
    post,
    put,
    table,
    vector,
)

TEXTS = ["x" * 1024, "x" * 1025, "д" * 1024]


def get(*keys, **members):
    return post("getVectors", "flat", keys=list(keys), **members)


def ask_all(index="flat", **members):
    return post("getVectors", index, returnData=True, returnMetadata=True, **members)


def raw(query, text):
    return post(query, body=text.encode())


GET = [
    Row(4.1, "a key gives its vector, and nothing else of it", get("a"), OK,
        {"vectors": [{"key": "a"}]}),
    Row(4.1, "returnData shows the numbers", get("b", returnData=True), OK,
        {"vectors": [{"key": "b", "data": {"float32": [0, 2]}}]}),
    Row(4.1, "returnMetadata shows them, the non-filterable too, in their shapes",
        get("a", returnMetadata=True), OK,
        {"vectors": [{"key": "a",
                      "metadata": {"kind": "x", "tags": ["p", "q"], "text": "long"}}]}),
    Row(4.1, "false is the default said aloud", get("a", returnData=False, returnMetadata=False),
        OK, {"vectors": [{"key": "a"}]}),
    Row(4.1, "a vector without metadata", get("c", returnMetadata=True), OK,
        {"vectors": [{"key": "c"}]}, differs="vector without metadata, or with `{}`"),
    Row(4.1, "keys that do not exist are left out", get("a", "no", "b"), OK, ["a", "b"], keys_of),
    Row(4.1, "no key exists", get("no", "nor this"), OK, {"vectors": []},
        differs="no key exists"),
    Row(4.1, "the order of the reply", get("c", "a", "b"), OK, ["c", "a", "b"], keys_of,
        differs="order of GetVectors results"),
    Row(4.1, "a key may be asked for twice", get("a", "a"), OK, ["a"], keys_of,
        differs="a key asked for twice"),
    Row(4.1, "100 keys", get(*map(str, range(99)), "a"), OK, ["a"], keys_of),
    Row(4.1, "101 keys", get(*map(str, range(101))), INVALID),
    Row(4.1, "101 keys, 100 of them distinct", get("0", *map(str, range(100))), INVALID,
        differs="over 100 keys, fewer without duplicates"),
    Row(4.1, "no keys", get(), INVALID),
    Row(4.1, "keys left out", post("getVectors"), INVALID),
    Row(4.1, "keys null", post("getVectors", keys=None), INVALID,
        differs="a JSON member that is null"),
    Row(4.1, "keys no array", post("getVectors", keys="a"), INVALID),
    Row(4.1, "a key that is a number", get("a", 1), INVALID),
    Row(4.1, "a key of 1,024 characters", get(TEXTS[0]), OK, [], keys_of),
    Row(4.1, "a key of 1,025 characters", get(TEXTS[1]), INVALID),
    Row(4.1, "a key of 1,024 characters of two bytes", get(TEXTS[2]), OK, [], keys_of,
        differs="unit of key length"),
    Row(4.1, "an empty key", get("a", ""), INVALID),
    Row(4.1, "a key in Cyrillic", get("д", returnMetadata=True), OK,
        {"vectors": [{"key": "д", "metadata": {"kind": "д"}}]}),
    Row(15, "returnData as text", get("a", returnData="true"), INVALID,
        differs="unknown JSON members"),
    Row(15, "returnMetadata as a number", get("a", returnMetadata=1), INVALID,
        differs="unknown JSON members"),
    Row(15, "returnData null", get("a", returnData=None), OK, {"vectors": [{"key": "a"}]},
        differs="a JSON member that is null"),
    Row(15, "an unknown member", get("a", colour="red"), OK, {"vectors": [{"key": "a"}]},
        differs="unknown JSON members"),
    Row(4.1, "indexName left out", post("getVectors", None, keys=["a"]), INVALID),
    Row(4.1, "indexName a number", post("getVectors", 7, keys=["a"]), INVALID),
    Row(4.1, "an index that is not there", post("getVectors", "none", keys=["a"]), NO_INDEX),
    Row(4.1, "a bucket that is not there", post("getVectors", keys=["a"], bucket="no-bucket"),
        NO_BUCKET),
    Row(4.1, "a body that is no JSON", raw("getVectors", "{"), MALFORMED),
    Row(4.1, "a body that is an array", raw("getVectors", "[]"), MALFORMED),
    Row(4.1, "a body that is text", raw("getVectors", '"a"'), MALFORMED),
    Row(3, "no body", raw("getVectors", ""), MALFORMED, differs="no body"),
    Row(15, "a member twice", raw("getVectors", '{"indexName":"flat","keys":["a"],"keys":["b"]}'),
        MALFORMED, differs="a JSON member twice"),
    Row(15, "a number beyond doubles", raw("getVectors", '{"indexName":"flat","n":1e999}'),
        MALFORMED, differs="a JSON number beyond the range of doubles"),
]  # fmt: skip


def float_of(index, key):
    return ask_all(index, keys=[key])


BAD = vector("bad", 1)
PUT = [
    Row(4.2, "a vector is there at once", float_of("scratch", "p1"), OK,
        {"vectors": [{"key": "p1", "data": {"float32": [1.5, -2]}, "metadata": {"k": "v"}}]},
        before=(put("scratch", vector("p1", 1.5, -2, k="v")),)),
    Row(4.2, "a key put again is overwritten, its metadata too", float_of("scratch", "p2"), OK,
        {"vectors": [{"key": "p2", "data": {"float32": [2, 2]}}]},
        before=(put("scratch", vector("p2", 1, 1, k="v")), put("scratch", vector("p2", 2, 2)))),
    Row(4.2, "success has no body", put("scratch", vector("p3", 1, 1)), OK),
    Row(4.2, "500 vectors", put("scratch", *(vector(f"q{n}", n, 1) for n in range(500))), OK),
    Row(4.2, "501 vectors", put("scratch", *(vector(f"q{n}", n, 1) for n in range(501))), INVALID),
    Row(4.2, "no vectors", put("scratch"), INVALID),
    Row(4.2, "vectors left out", post("putVectors", "scratch"), INVALID),
    Row(4.2, "a vector that is no object", post("putVectors", "scratch", vectors=["a"]), INVALID),
    Row(4.2, "a key twice in one batch", put("scratch", vector("w", 1, 1), vector("w", 2, 2)),
        INVALID),
    Row(4.2, "of a batch that fails nothing is written", float_of("scratch", "r1"), OK,
        {"vectors": []}, differs="batch with one bad vector"),
    Row(4.2, "a key left out", put("scratch", {"data": {"float32": [1, 1]}}), INVALID),
    Row(4.2, "an empty key", put("scratch", vector("", 1, 1)), INVALID),
    Row(4.2, "a key of 1,024 characters", put("scratch", vector(TEXTS[0], 1, 1)), OK),
    Row(4.2, "a key of 1,025 characters", put("scratch", vector(TEXTS[1], 1, 1)), INVALID),
    Row(4.2, "too few numbers", put("scratch", BAD), INVALID),
    Row(4.2, "too many numbers", put("scratch", vector("w", 1, 2, 3)), INVALID),
    Row(4.2, "no numbers", put("scratch", vector("w")), INVALID),
    Row(4.2, "data left out", put("scratch", {"key": "w"}), INVALID),
    Row(4.2, "data of another type",
        put("scratch", {"key": "w", "data": {"float64": [1, 1]}}), INVALID),
    Row(4.2, "data an array", put("scratch", {"key": "w", "data": [1, 1]}), INVALID),
    Row(4.2, "text for a number", put("scratch", vector("w", "1", 1)), INVALID),
    Row(4.2, "true for a number", put("scratch", vector("w", True, 1)), INVALID),
    Row(4.2, "NaN", put("scratch", vector("w", math.nan, 1)), MALFORMED,
        differs="NaN, infinity, zero under cosine"),
    Row(4.2, "infinity", put("scratch", vector("w", math.inf, 1)), MALFORMED,
        differs="NaN, infinity, zero under cosine"),
    Row(4.2, "a number beyond float32", put("scratch", vector("w", 1e39, 1)), INVALID),
    Row(4.2, "the largest float32", put("scratch", vector("p4", 3.4028234663852886e38, 1)), OK),
    Row(4.2, "all zero under cosine", put("angle", vector("w", 0, -0.0)), INVALID,
        differs="NaN, infinity, zero under cosine"),
    Row(4.2, "all zero under euclidean", put("scratch", vector("p5", 0, 0)), OK),
    Row(4.2, "0.1 comes back as the float32 that it was stored as", float_of("scratch", "p6"), OK,
        [0.1, 0.2], lambda found: found["vectors"][0]["data"]["float32"],
        before=(put("scratch", vector("p6", 0.1, 0.2)),), differs="float text"),
    Row(4.2, "an index that is not there", put("none", vector("w", 1, 1)), NO_INDEX),
    Row(4.2, "a bucket that is not there", put("flat", vector("w", 1, 1), bucket="no-bucket"),
        NO_BUCKET),
    Row(4.2, "a body that is no JSON", raw("putVectors", "{]"), MALFORMED),
]  # fmt: skip


def listed(index="flat", **members):
    return post("listVectors", index, **members)


def count(found):
    return len(found["vectors"]), "nextToken" in found


LIST = [
    Row(4.3, "everything, and no token on the last page", listed(), OK,
        ["a", "b", "c", "д"], lambda f: sorted(keys_of(f)) if "nextToken" not in f else f),
    Row(4.3, "in which order", listed(), OK, ["a", "b", "c", "д"], keys_of,
        differs="order of ListVectors"),
    Row(4.3, "500 by default", listed("many"), OK, (500, True), count),
    Row(4.3, "1,000 at most", listed("many", maxResults=1000), OK, (1000, True), count),
    Row(4.3, "over 1,000", listed("many", maxResults=1001), INVALID),
    Row(4.3, "one", listed(maxResults=1), OK, (1, True), count),
    Row(4.3, "none", listed(maxResults=0), INVALID),
    Row(4.3, "maxResults as text", listed(maxResults="5"), INVALID),
    Row(4.3, "maxResults with a fraction", listed(maxResults=1.5), INVALID),
    Row(4.3, "no empty page at the end", listed(maxResults=4), OK, (4, False), count),
    Row(4.3, "with data and metadata", listed(returnData=True, returnMetadata=True), OK,
        {"key": "b", "data": {"float32": [0, 2]}, "metadata": {"kind": "y"}},
        lambda found: found["vectors"][1]),
    Row(4.3, "an empty token is the first page", listed(nextToken=""), OK, (4, False), count),
    Row(4.3, "a token of 2,048 bytes is not too long, but none", listed(nextToken="x" * 2048),
        INVALID, differs="a token that no page gave"),
    Row(4.3, "a token of 2,049 bytes", listed(nextToken="x" * 2049), INVALID),
    Row(4.3, "a token that is a number", listed(nextToken=1), INVALID),
    Row(4.3, "16 segments", listed("many", segmentCount=16, segmentIndex=15, maxResults=1), OK,
        (1, True), count),
    Row(4.3, "17 segments", listed(segmentCount=17, segmentIndex=0), INVALID),
    Row(4.3, "no segments", listed(segmentCount=0), INVALID),
    Row(4.3, "a segment past the last", listed(segmentCount=2, segmentIndex=2), INVALID),
    Row(4.3, "a segment below the first", listed(segmentCount=2, segmentIndex=-1), INVALID),
    Row(4.3, "one segment is all", listed(segmentCount=1, segmentIndex=0), OK, (4, False), count),
    Row(16, "vector-key-1 is in segment 1 of 2", listed("lone", segmentCount=2, segmentIndex=1),
        OK, ["vector-key-1"], keys_of, differs="segments of ListVectors"),
    Row(16, "and not in segment 0", listed("lone", segmentCount=2, segmentIndex=0), OK, [],
        keys_of),
    Row(4.3, "a filter chooses", listed(filter={"kind": {"$eq": "y"}}), OK, ["b"], keys_of),
    Row(4.3, "a filter of no kind", listed(filter={"kind": {"$like": "y"}}), INVALID),
    Row(4.3, "an index that is not there", listed("none"), NO_INDEX),
    Row(4.3, "indexName left out", post("listVectors", None), INVALID),
]  # fmt: skip


def query(*values, index="flat", top=10, **members):
    return post("queryVectors", index, queryVector={"float32": list(values)}, topK=top, **members)


def distances(found):
    return {each["key"]: round(each["distance"], 5) for each in found["vectors"]}


QUERY = [
    Row(4.4, "the closest first", query(1, 0, index="angle"), OK, ["e", "f", "g"], keys_of),
    Row(4.4, "no distance and no metadata unless asked for", query(1, 0, top=1), OK,
        {"vectors": [{"key": "a"}]}),
    Row(4.4, "cosine distances", query(2, 0, index="angle", returnDistance=True), OK,
        {"e": 0, "f": 1, "g": 2}, distances, differs="cosine distance"),
    Row(4.4, "euclidean distances", query(0, 0, returnDistance=True, top=3), OK,
        {"a": 1, "b": 2, "c": 5}, distances, differs="euclidean distance"),
    Row(4.4, "metadata", query(0, 2, top=1, returnMetadata=True), OK,
        {"vectors": [{"key": "b", "metadata": {"kind": "y"}}]}),
    Row(4.4, "topK of 1", query(0, 0, top=1), OK, ["a"], keys_of),
    Row(4.4, "topK of 500", query(0, index="many", top=500), OK, 500, lambda f: len(keys_of(f))),
    Row(4.4, "topK of 501", query(0, index="many", top=501), INVALID),
    Row(4.4, "topK of 0", query(0, 0, top=0), INVALID),
    Row(4.4, "topK as text", query(0, 0, top="5"), INVALID),
    Row(4.4, "topK left out", post("queryVectors", queryVector={"float32": [1, 1]}), INVALID),
    Row(4.4, "queryVector left out", post("queryVectors", topK=1), INVALID),
    Row(4.4, "queryVector wrapped in data",
        post("queryVectors", queryVector={"data": {"float32": [1, 1]}}, topK=1), INVALID),
    Row(4.4, "queryVector an array", post("queryVectors", queryVector=[1, 1], topK=1), INVALID),
    Row(4.4, "another dimension", query(1), INVALID),
    Row(4.4, "a zero vector under cosine", query(0, 0, index="angle"), INVALID,
        differs="NaN, infinity, zero under cosine"),
    Row(4.4, "an empty filter", query(1, 0, top=1, filter={}), OK, ["a"], keys_of),
    Row(4.4, "a key that no vector has", query(1, 0, filter={"type": {"$in": ["comedy"]}}), OK, [],
        keys_of),
    Row(16, "the filter narrows what was found", query(1, 0, top=1, filter={"kind": {"$eq": "y"}}),
        OK, [], keys_of, differs="QueryVectors"),
    Row(4.4, "an index that is not there", query(1, 0, index="none"), NO_INDEX),
    Row(4.4, "a bucket that is not there", query(1, 0, bucket="no-bucket"), NO_BUCKET),
]  # fmt: skip


def delete(*keys, index="scratch", **members):
    return post("deleteVectors", index, keys=list(keys), **members)


DELETE = [
    Row(4.5, "a deleted vector is gone at once", float_of("scratch", "d1"), OK, {"vectors": []},
        before=(put("scratch", vector("d1", 1, 1)), delete("d1"))),
    Row(4.5, "success is 204 without a body", delete("d2"), GONE),
    Row(4.5, "keys that never were", delete("no", "nor this"), GONE),
    Row(4.5, "500 keys", delete(*map(str, range(500))), GONE),
    Row(4.5, "501 keys", delete(*map(str, range(501))), INVALID),
    Row(4.5, "501 keys, 500 of them distinct", delete("0", *map(str, range(500))), GONE),
    Row(4.5, "no keys", delete(), INVALID),
    Row(4.5, "keys left out", post("deleteVectors", "scratch"), INVALID),
    Row(4.5, "an empty key", delete(""), INVALID),
    Row(4.5, "an index that is not there", delete("a", index="none"), NO_INDEX),
]  # fmt: skip


def bearing(**metadata):
    return put("scratch", vector("m", 1, 1, **metadata))


WHOLE, PART = 40 * 1024 - len('{"text":""}'), 2 * 1024 - len('{"k":""}')
TEN = {f"k{n}": "v" for n in range(10)}
METADATA = [
    Row(5.1, "text", bearing(k="v"), OK),
    Row(5.1, "an array of texts", bearing(k=["v", "w"]), OK),
    Row(5.1, "a number", bearing(k=1), OK, differs="numbers and booleans in metadata"),
    Row(5.1, "a boolean", bearing(k=True), OK, differs="numbers and booleans in metadata"),
    Row(5.1, "a number in an array", bearing(k=["v", 1]), INVALID,
        differs="numbers and booleans in metadata"),
    Row(5.1, "null", bearing(k=None), INVALID, differs="an object or null in metadata"),
    Row(5.1, "an object", bearing(k={"a": "b"}), INVALID, differs="an object or null in metadata"),
    Row(5.1, "no object at all",
        put("scratch", vector("m", 1, 1) | {"metadata": "v"}), INVALID),
    Row(5.1, "40 KB in all", bearing(text="x" * WHOLE), OK, differs="size of metadata"),
    Row(5.1, "a byte more", bearing(text="x" * (WHOLE + 1)), INVALID),
    Row(5.1, "2 KB filterable", bearing(k="x" * PART), OK, differs="filterable metadata"),
    Row(5.1, "a byte more of it", bearing(k="x" * (PART + 1)), INVALID),
    Row(5.1, "10 filterable names", bearing(**TEN), OK, differs="filterable metadata"),
    Row(5.1, "10, and one that is non-filterable", bearing(**TEN, text="x"), OK),
    Row(5.1, "11 filterable names", bearing(**TEN, more="v"), INVALID),
]  # fmt: skip

SPACE = 20 * 1024 - len('{"kind":{"$eq":""}}')


def sorted_keys(found):
    return sorted(keys_of(found))


def chosen(filter_, index="flat"):
    return query(0, 0, index=index, filter=filter_)


def nested(depth):
    condition = {"kind": {"$eq": "x"}}
    for _ in range(depth - 1):
        condition = {"$and": [condition]}
    return condition


def chooses(says, filter_, keys, index="flat", differs=""):
    return Row(5.2, says, chosen(filter_, index), OK, keys, sorted_keys, differs=differs)


FILTERS = [
    chooses("$eq of a text", {"kind": {"$eq": "x"}}, ["a"]),
    chooses("$eq of one element of an array", {"tags": {"$eq": "q"}}, ["a"]),
    chooses("$eq of no element", {"tags": {"$eq": "z"}}, []),
    chooses("$ne", {"$and": [{"kind": {"$ne": "x"}}, {"kind": {"$exists": True}}]},
            ["b", "д"]),
    chooses("$ne of a missing field", {"kind": {"$ne": "x"}}, ["b", "c", "д"],
            differs="`$ne`, `$nin` on a missing field"),
    chooses("$in", {"kind": {"$in": ["x", "y"]}}, ["a", "b"]),
    chooses("$in over an array", {"tags": {"$in": ["q", "z"]}}, ["a"],
            differs="`$in` on an array"),
    chooses("$nin", {"kind": {"$nin": ["x", "y"]}}, ["c", "д"],
            differs="`$ne`, `$nin` on a missing field"),
    chooses("$exists", {"kind": {"$exists": True}}, ["a", "b", "д"]),
    chooses("not $exists", {"kind": {"$exists": False}}, ["c"]),
    chooses("$and", {"$and": [{"kind": {"$eq": "x"}}, {"tags": {"$eq": "p"}}]}, ["a"]),
    chooses("$or", {"$or": [{"kind": {"$eq": "y"}}, {"tags": {"$eq": "p"}}]}, ["a", "b"]),
    chooses("$or in $and", {"$and": [{"$or": [{"kind": {"$eq": "y"}}]}]}, ["b"]),
    chooses("several fields", {"kind": {"$eq": "x"}, "tags": {"$eq": "z"}}, [],
            differs="several fields or operators in one object"),
    chooses("a value for an operator", {"kind": "x"}, ["a"],
            differs='`{"field": "value"}` in a filter'),
    chooses("$eq of a number", {"n": {"$eq": 10}}, ["ten"], "typed"),
    chooses("$eq of a boolean", {"yes": {"$eq": True}}, ["one"], "typed"),
    chooses("$gt", {"n": {"$gt": 1}}, ["ten"], "typed"),
    chooses("$gte", {"n": {"$gte": 1}}, ["one", "ten"], "typed"),
    chooses("$lt", {"n": {"$lt": 10}}, ["one"], "typed"),
    chooses("$lte", {"n": {"$lte": 1}}, ["one"], "typed"),
    chooses("a text in Cyrillic", {"kind": {"$eq": "д"}}, ["д"]),
    Row(5.2, "a non-filterable key", chosen({"text": {"$eq": "long"}}), INVALID,
        differs="filter on a non-filterable key"),
    Row(5.2, "$in of nothing", chosen({"kind": {"$in": []}}), INVALID),
    Row(5.2, "$in of no array", chosen({"kind": {"$in": "x"}}), INVALID),
    Row(5.2, "$and of nothing", chosen({"$and": []}), INVALID),
    Row(5.2, "$or of no array", chosen({"$or": {"kind": "x"}}), INVALID),
    Row(5.2, "$exists of a text", chosen({"kind": {"$exists": "true"}}), INVALID),
    Row(5.2, "$gt of a text", chosen({"n": {"$gt": "1"}}), INVALID),
    Row(5.2, "an operator that is not there", chosen({"kind": {"$regex": "x"}}), INVALID),
    Row(5.2, "an operator without a field", chosen({"$eq": "x"}), INVALID),
    Row(5.2, "a filter that is text", chosen("kind = x"), INVALID),
    Row(5.2, "8 levels", chosen(nested(8)), OK, differs="depth of a filter"),
    Row(5.2, "9 levels", chosen(nested(9)), INVALID, differs="depth of a filter"),
    Row(5.2, "1,024 items", chosen({"kind": {"$in": ["x"] * 1024}}), OK,
        differs="items of a filter"),
    Row(5.2, "1,025 items", chosen({"kind": {"$in": ["x"] * 1025}}), INVALID,
        differs="items of a filter"),
    Row(5.2, "20 KB", chosen({"kind": {"$eq": "x" * SPACE}}), OK),
    Row(5.2, "a byte more", chosen({"kind": {"$eq": "x" * (SPACE + 1)}}), INVALID),
]  # fmt: skip

pytestmark = pytest.mark.promise("R16")


@table(*GET, *PUT, *LIST, *QUERY, *DELETE, *METADATA, *FILTERS)
def test_of_vectors(wire, row):
    if row.says == "of a batch that fails nothing is written":
        assert wire.send(put("scratch", vector("r1", 1, 1), BAD)).status == 400
    check(wire, row)


def test_pages_hold_every_vector_once(wire):
    found, token = [], ""
    while token is not None:
        page = wire.send(listed("many", maxResults=300, nextToken=token)).json
        found += keys_of(page)
        token = page.get("nextToken")
    assert found == [f"k{n:04}" for n in range(1001)]


def test_segments_hold_every_vector_once(wire):
    parts = [
        keys_of(wire.send(listed("many", maxResults=1000, segmentCount=3, segmentIndex=n)).json)
        for n in range(3)
    ]
    assert all(parts)
    assert sorted(chain.from_iterable(parts)) == [f"k{n:04}" for n in range(1001)]


def test_a_token_that_is_too_long_is_told_from_one_that_is_none(wire):
    texts = [wire.send(listed(nextToken="x" * n)).error["Message"] for n in (2048, 2049)]
    assert ["2048 bytes" in text for text in texts] == [False, True]


def test_a_token_is_of_the_index_that_gave_it(wire):
    token = wire.send(listed("many", maxResults=1)).json["nextToken"]
    assert wire.send(listed("flat", nextToken=token)).error["Code"] == INVALID[1]
    assert json.dumps(token).isascii()
