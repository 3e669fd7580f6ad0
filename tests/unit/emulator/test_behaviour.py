"""Each switch in each of its positions, in memory and on a file.

Those of replies stand in test_get_vectors.py, and what takes its time in test_delays.py.
"""

import pytest
from support.caller_fixtures import on_files

from oss_vector_retriever import ConfigurationError
from oss_vector_retriever.client.models import Limits
from oss_vector_retriever.emulator import Behaviour, Service

INVALID = (400, "VectorIndexParameterInvalid")
FAILED = (500, "InternalError")


@pytest.fixture(params=["memory", "file"])
def make_caller(make_caller, request, tmp_path):
    return make_caller if request.param == "memory" else on_files(make_caller, tmp_path)


def keys_of(hits):
    return [hit["key"] for hit in hits]


def test_distinct_keys_can_be_what_counts(make_caller):
    members = {"indexName": "index1", "keys": [f"k{i % 100}" for i in range(250)]}
    assert make_caller(index=True).code("getVectors", members) == INVALID
    counting = make_caller(index=True, behaviour=Behaviour(count_distinct_keys=True))
    assert counting.post("getVectors", members) == (200, {"vectors": []})
    one_more = members | {"keys": [f"k{i % 101}" for i in range(250)]}
    assert counting.code("getVectors", one_more) == INVALID


@pytest.mark.parametrize(
    ("text", "off"),
    [
        (b"[1, NaN]", (400, "MalformedJson")),
        (b"[1, -Infinity]", (400, "MalformedJson")),
        (b"[0, -0.0]", INVALID),
    ],
)
def test_what_cannot_be_stored_can_fail_instead_of_being_refused(make_caller, text, off):
    body = b'{"indexName":"c","vectors":[{"key":"a","data":{"float32":%b}}]}' % text
    for switch, expected in ((False, off), (True, FAILED)):
        caller = make_caller(behaviour=Behaviour(unstorable_fails=switch))
        caller.make_index("c", dimension=2, metric="cosine")
        assert caller.code("putVectors", body) == expected
        assert caller.post("listVectors", {"indexName": "c"})[1] == {"vectors": []}


def test_text_that_is_no_json_at_all_is_malformed_either_way(make_caller):
    caller = make_caller(index=True, behaviour=Behaviour(unstorable_fails=True))
    for body in (b"{NaN", b'{"a": 1' + b"[" * 100_000):
        assert caller.code("putVectors", body) == (400, "MalformedJson")


def test_euclidean_distances_can_be_squared_and_cosine_ones_stay(make_caller):
    caller = make_caller(index=True, behaviour=Behaviour(squared_euclidean=True))
    caller.make_index("cosine", metric="cosine")
    for index, expected in (("index1", 5.0), ("cosine", 1.0)):
        caller.put(("a", [0, 2, 0]), index=index)
        (hit,) = caller.query([1, 0, 0], index=index, returnDistance=True)
        assert hit["distance"] == pytest.approx(expected)


def test_a_filter_can_choose_among_the_nearest_only(make_caller):
    vectors = [(f"k{i}", [i, 0, 0], {"n": str(i % 2)}) for i in range(10)]
    wanted = {"n": {"$eq": "1"}}
    for switch, expected in ((False, ["k1", "k3", "k5"]), (True, ["k1"])):
        caller = make_caller(index=True, behaviour=Behaviour(filter_after_ranking=switch))
        caller.put(*vectors)
        assert keys_of(caller.query([0, 0, 0], 3, filter=wanted)) == expected
        assert len(caller.query([0, 0, 0], 3)) == 3


def test_a_negation_can_need_the_field(make_caller):
    for switch, expected in ((False, {"b", "c"}), (True, {"b"})):
        caller = make_caller(index=True, behaviour=Behaviour(negation_needs_field=switch))
        caller.put(("a", [1, 0, 0], {"n": "1"}), ("b", [1, 0, 0], {"n": "2"}), ("c", [1, 0, 0]))
        for condition in ({"$ne": "1"}, {"$nin": ["1", "3"]}):
            assert set(keys_of(caller.query([1, 0, 0], filter={"n": condition}))) == expected


def list_keys(caller, **members):
    status, parsed = caller.post("listVectors", {"indexName": "index1", **members})
    assert status == 200, parsed
    return keys_of(parsed["vectors"])


def test_a_listing_can_keep_to_its_filter_ignore_it_or_refuse_it(make_caller):
    vectors = [(f"k{i}", [i, 0, 0], {"n": str(i % 2)}) for i in range(4)]
    odd, wrong, unknown = {"n": {"$eq": "1"}}, {"n": {"$like": "1"}}, {"$not": "a filter"}
    for switch, expected in (("honoured", ["k1", "k3"]), ("ignored", ["k0", "k1", "k2", "k3"])):
        caller = make_caller(index=True, behaviour=Behaviour(list_filter=switch))
        caller.put(*vectors)
        assert list_keys(caller, filter=odd) == expected
        assert len(list_keys(caller)) == len(list_keys(caller, filter=None)) == 4
        assert list_keys(caller, filter=odd, maxResults=1, returnMetadata=True) == expected[:1]
        for no_filter in (wrong, unknown):
            members = {"indexName": "index1", "filter": no_filter}
            if switch == "ignored":
                assert len(list_keys(caller, filter=no_filter)) == 4
            else:
                assert caller.code("listVectors", members) == INVALID
    caller = make_caller(index=True, behaviour=Behaviour(list_filter="refused"))
    caller.put(*vectors)
    for given in (odd, {}, wrong):
        members = {"indexName": "index1", "filter": given}
        assert caller.code("listVectors", members) == INVALID
        assert "filter is not a parameter of ListVectors" in caller.message("listVectors", members)
    assert len(list_keys(caller)) == len(list_keys(caller, filter=None)) == 4
    assert keys_of(caller.query([0, 0, 0], 4, filter=odd)) == [
        "k1",
        "k3",
    ]  # that one is a parameter


@pytest.mark.parametrize(
    ("limit", "own", "most"),
    [(30, None, 30), (100, None, 100), (500, None, 500), (30, 20, 20), (100, 1000, 100),
     (500, 1000, 1000), (500, 40, 40)],
)  # fmt: skip
def test_top_k_can_be_capped_lower(make_caller, limit, own, most):
    limits = {} if own is None else {"limits": Limits(top_k=own)}
    caller = make_caller(index=True, behaviour=Behaviour(top_k_limit=limit), **limits)
    caller.put(("a", [1, 0, 0]))
    assert keys_of(caller.query([1, 0, 0], most)) == ["a"]
    more = {"indexName": "index1", "queryVector": {"float32": [1, 0, 0]}, "topK": most + 1}
    assert caller.code("queryVectors", more) == INVALID
    assert f"topK must be an integer from 1 to {most}" in caller.message("queryVectors", more)


@pytest.mark.parametrize(
    ("filterable", "hidden", "switch", "passes"),
    [
        (10, 0, "filterable", True),
        (10, 2, "filterable", True),
        (11, 0, "filterable", False),
        (10, 0, "all", True),
        (8, 2, "all", True),
        (9, 2, "all", False),
        (0, 11, "filterable", True),
        (11, 0, "all", False),
    ],
)
def test_names_of_metadata_can_be_counted_in_all(make_caller, filterable, hidden, switch, passes):
    caller = make_caller(behaviour=Behaviour(metadata_names=switch))
    # ten names at most can be declared, so the eleventh hidden one is not hidden
    declared = [f"h{i}" for i in range(min(hidden, 10))]
    caller.make_index(non_filterable=declared)
    names = [f"f{i}" for i in range(filterable)] + [f"h{i}" for i in range(hidden)]
    metadata = dict.fromkeys(names, "x")
    vectors = [{"key": "a", "data": {"float32": [1, 2, 3]}, "metadata": metadata}]
    members = {"indexName": "index1", "vectors": vectors}
    if passes:
        assert caller.post("putVectors", members) == (200, None)
        assert caller.get(["a"])[0]["metadata"] == metadata
    else:
        assert caller.code("putVectors", members) == INVALID
        said = "names" if switch == "all" else "filterable keys"
        assert f"has {len(names)} {said}; at most 10" in caller.message("putVectors", members)


SCALARS = {"text": "x", "list": ["x"], "whole": 5, "half": 0.5, "large": -(10**12), "flag": True}
TEXTS = SCALARS | {"whole": "5", "half": "0.5", "large": "-1000000000000", "flag": "true"}


def test_numbers_and_booleans_can_be_kept_or_refused(make_caller):
    kept = make_caller(index=True)
    kept.put(("a", [1, 2, 3], SCALARS))
    (vector,) = kept.get(["a"])
    assert vector["metadata"] == SCALARS
    assert vector["metadata"]["flag"] is True
    caller = make_caller(index=True, behaviour=Behaviour(scalars="refused"))
    for name in ("whole", "half", "large", "flag"):
        vectors = [{"key": "a", "data": {"float32": [1, 2, 3]}, "metadata": {name: SCALARS[name]}}]
        members = {"indexName": "index1", "vectors": vectors}
        assert caller.code("putVectors", members) == INVALID
        assert f"'{name}' must be a string or an array of str" in caller.message(
            "putVectors", members
        )
    caller.put(("a", [1, 2, 3], {"text": "x", "list": ["x"]}))


def test_numbers_and_booleans_can_become_strings(make_caller):
    caller = make_caller(behaviour=Behaviour(scalars="strings"))
    caller.make_index(non_filterable=["half"])
    caller.put(("a", [1, 2, 3], SCALARS), ("b", [1, 2, 3], {"whole": "5", "flag": False}))
    assert caller.get(["a"])[0]["metadata"] == TEXTS
    assert caller.query([1, 2, 3], returnMetadata=True)[0]["metadata"] == TEXTS
    for condition, expected in (
        ({"whole": {"$eq": 5}}, ["a", "b"]),
        ({"whole": {"$eq": "5"}}, ["a", "b"]),
        ({"whole": 5}, ["a", "b"]),
        ({"whole": {"$in": [5, 7]}}, ["a", "b"]),
        ({"flag": {"$eq": True}}, ["a"]),
        ({"flag": {"$eq": "false"}}, ["b"]),
        ({"flag": {"$ne": True}}, ["b"]),
        ({"flag": {"$nin": ["true"]}}, ["b"]),
        ({"whole": {"$eq": 5.0}}, []),  # "5.0" is another text
        ({"whole": {"$gte": 1}}, []),  # no text is more than a number
        ({"large": {"$eq": -(10**12)}}, ["a"]),
    ):
        assert keys_of(caller.query([1, 2, 3], filter=condition)) == expected, condition
        assert list_keys(caller, filter=condition) == expected, condition


def test_what_becomes_a_string_is_measured_as_one(make_caller):
    limits = Limits(filterable_bytes=len(b'{"n":"5"}'))
    caller = make_caller(index=True, limits=limits, behaviour=Behaviour(scalars="strings"))
    caller.put(("a", [1, 2, 3], {"n": 5}))
    vectors = [{"key": "a", "data": {"float32": [1, 2, 3]}, "metadata": {"n": 55}}]
    assert caller.code("putVectors", {"indexName": "index1", "vectors": vectors}) == INVALID


def test_what_is_no_behaviour_is_refused():
    for wrong in ("quick", None, {"order": "storage"}, Behaviour):
        with pytest.raises(ConfigurationError, match=r"behaviour= takes an emulator\.Behaviour"):
            Service(behaviour=wrong)
