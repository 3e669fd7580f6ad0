"""What operations return: sequences that carry what else the reply said."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

from oss_vector_retriever import FetchResult, InvalidRequestError, Vector
from oss_vector_retriever.client.models.results import (
    Acknowledgement,
    BucketLogging,
    FusedVector,
    GetVectorsResult,
    ListVectorBucketsResult,
    ListVectorIndexesResult,
    ListVectorsResult,
    Page,
    QueryVectorsFusionResult,
    QueryVectorsResult,
    ScoredVector,
    VectorBucket,
    VectorIndex,
)

A, B = Vector("a", [1, 2], {"x": "1"}), Vector("b", [3, 4], {})


def fetched(*keys, found=(A, B), **more):
    return FetchResult(keys, {vector.key: vector for vector in found}, **more)


class TestFetchResult:
    def test_is_the_sequence_of_what_was_found_in_the_order_asked(self):
        result = fetched("b", "x", "a", "b", missing=("x",))
        assert list(result) == [B, A, B]
        assert (len(result), result[0], result[-1]) == (3, B, B)
        assert result[:2] == (B, A)
        assert result[5:] == ()
        assert A in result
        assert list(reversed(result)) == [B, A, B]
        assert (result.index(A), result.count(B)) == (1, 2)
        with pytest.raises(IndexError):
            result[3]

    def test_aligns_with_the_keys(self):
        assert fetched("x", "a", "x", "b").aligned() == [None, A, None, B]
        assert fetched().aligned() == []

    def test_finds_by_key(self):
        assert fetched("a", "b").by_key["b"] is B

    def test_is_false_when_nothing_was_found(self):
        assert not fetched("x", found=())
        assert fetched("a")

    def test_says_in_a_few_words_what_it_holds(self):
        result = fetched("a", "x", missing=("x",), calls=1)
        assert repr(result) == "FetchResult(1 of 2 found, 1 missing, calls=1)"

    def test_cannot_be_changed(self):
        with pytest.raises((AttributeError, TypeError)):
            fetched("a").keys = ()


class TestItsMatrix:
    def test_has_a_row_for_each_vector_found(self):
        matrix = fetched("b", "x", "a", "b").matrix()
        assert (matrix.shape, matrix.dtype) == ((3, 2), np.float32)
        assert matrix.tolist() == [[3, 4], [1, 2], [3, 4]]

    def test_is_one_block_of_its_own_that_may_be_written(self):
        result = fetched("a", "b")
        matrix = result.matrix()
        assert matrix.flags.owndata
        assert matrix.flags.c_contiguous
        matrix[:] = 0
        assert result[0].data.tolist() == [1, 2]

    def test_is_the_only_large_thing_that_is_made(self):
        import tracemalloc  # noqa: PLC0415 - only here

        vectors = [Vector(str(n), np.ones(1000, dtype=np.float32)) for n in range(200)]
        result = FetchResult(tuple(v.key for v in vectors), {v.key: v for v in vectors})
        result.matrix()
        tracemalloc.start()
        result.matrix()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert 800_000 <= peak < 820_000

    def test_of_nothing_is_empty(self):
        matrix = fetched("x", found=()).matrix()
        assert (matrix.shape, matrix.dtype) == ((0, 0), np.float32)

    @pytest.mark.parametrize("found", [[Vector("a")], [A, Vector("b")]])
    def test_needs_the_data(self, found):
        with pytest.raises(InvalidRequestError, match="return_data=True"):
            fetched("a", "b", found=found).matrix()


@pytest.mark.parametrize(
    "make",
    [
        GetVectorsResult,
        ListVectorsResult,
        QueryVectorsResult,
        ListVectorIndexesResult,
        ListVectorBucketsResult,
    ],
)
def test_every_list_that_comes_back_is_a_sequence(make):
    kinds = {
        QueryVectorsResult: ScoredVector,
        ListVectorIndexesResult: lambda n: VectorIndex(index_name=n),
        ListVectorBucketsResult: lambda n: VectorBucket(arn=f"acs:ossvector:r:1:{n}"),
    }
    items = tuple(kinds.get(make, Vector)(name) for name in ("a", "b", "c"))
    result = make(items)
    assert (len(result), result[0], result[1:], list(result)) == (3, items[0], items[1:], [*items])
    assert result.request_id is None
    assert not make(())


RESULTS = [
    GetVectorsResult((A,), request_id="R1"),
    ListVectorsResult((A,), "t", "R1"),
    QueryVectorsResult((ScoredVector("a", 0.5),)),
    QueryVectorsFusionResult((FusedVector("a", 0.5),), "t"),
    ListVectorIndexesResult((VectorIndex(index_name="i"),), "t"),
    ListVectorBucketsResult((VectorBucket(arn="acs:b"),), "t"),
    Acknowledgement("R1"),
    BucketLogging(target_bucket="b"),
    VectorIndex(index_name="i", dimension=3),
    VectorBucket(arn="acs:b"),
    fetched("a"),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
class TestEveryResult:
    def test_shows_what_it_is(self, result):
        assert repr(result).startswith(f"{type(result).__name__}(")

    def test_is_equal_to_one_of_its_kind_with_the_same_contents(self, result):
        again = copy.copy(result)
        assert again == result
        assert again is not result
        assert pickle.loads(pickle.dumps(result)) == result
        assert result != Page(())

    def test_is_frozen_and_slotted(self, result):
        assert not hasattr(result, "__dict__")
        with pytest.raises((AttributeError, TypeError)):
            setattr(result, dataclasses.fields(result)[0].name, None)


def test_a_page_of_buckets_names_its_token_as_the_api_does():
    page = ListVectorBucketsResult((), "next")
    assert (page.next_marker, page.next_token) == ("next", "next")


DESCRIBED = {"indexName": "i", "dimension": 3, "status": "enable"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"dimension": "3"},
        {"dimension": True},
        {"createTime": "yesterday"},
        {"createTime": 5},
        {"bucketArn": 5},
        {"metadata": {"nonFilterableMetadataKeys": "text"}},
        {"metadata": {"nonFilterableMetadataKeys": [5]}},
    ],
)
def test_a_member_of_another_type_is_named(wrong):
    name = next(iter(wrong))
    name = "nonFilterableMetadataKeys" if name == "metadata" else name
    with pytest.raises(ValueError, match=f"^{name}$"):
        VectorIndex.from_api({**DESCRIBED, **wrong})


def test_a_member_that_is_null_is_absent():
    names = ["indexName", "createTime", "dimension", "distanceMetric", "status", "bucketArn"]
    nulls = {**dict.fromkeys(names), "metadata": {"nonFilterableMetadataKeys": None}}
    assert VectorIndex.from_api(nulls) == VectorIndex.from_api({})
    assert VectorIndex.from_api({"indexName": "i", "metadata": None}).index_name == "i"


def test_an_index_in_fusion_mode_is_described_by_its_schema():
    schema = [
        {"name": "v", "type": "vector", "dataType": "float32", "dimension": 4},
        {"name": "place", "type": "geoPoint", "isArray": True},
    ]
    members = {"indexName": "f", "mode": "fusion", "schemaConfiguration": {"fields": schema}}
    index = VectorIndex.from_api(members)
    assert (index.mode, index.schema_fields, index.dimension) == ("fusion", tuple(schema), 0)
    assert index.to_api()["schemaConfiguration"] == {"fields": schema}
    assert len({index, VectorIndex.from_api(members)}) == 1
    for nothing in ({}, None, {"fields": None}, {"fields": []}):
        empty = VectorIndex.from_api({**members, "schemaConfiguration": nothing})
        assert empty.schema_fields == ()
        assert "schemaConfiguration" not in empty.to_api()
    for wrong in ([5], "v", {"v": {}}):
        with pytest.raises(ValueError, match=r"^schemaFields$"):
            VectorIndex.from_api({**members, "schemaConfiguration": {"fields": wrong}})


def test_a_description_is_written_as_it_was_read():
    members = {
        **DESCRIBED,
        "distanceMetric": "cosine",
        "dataType": "float32",
        "createTime": "2025-08-02T10:49:17.289372Z",
        "metadata": {"nonFilterableMetadataKeys": ["x", "y"]},
    }
    assert VectorIndex.from_api(members).to_api() == members
    bucket = {"Name": "acs:b", "Region": "r", "Location": "l", "ExtranetEndpoint": "e"}
    assert VectorBucket.from_api({**bucket, "Comment": "new"}).to_api() == bucket


def test_an_index_is_read_as_the_service_writes_it():
    index = VectorIndex.from_api(
        {
            "indexName": "i",
            "dimension": 3,
            "distanceMetric": "cosine",
            "dataType": "float32",
            "status": "enable",
            "createTime": "2025-08-02T10:49:17.289372919Z",
            "bucketArn": "acs:ossvector:cn-hangzhou:1:b",
            "metadata": {"nonFilterableMetadataKeys": ["x", "y"]},
            "newMember": 5,
        }
    )
    assert (index.index_name, index.dimension, index.distance_metric) == ("i", 3, "cosine")
    assert index.non_filterable_metadata_keys == ("x", "y")
    assert index.create_time.isoformat() == "2025-08-02T10:49:17.289372+00:00"


def test_a_buckets_name_is_the_end_of_its_arn():
    bucket = VectorBucket.from_api(
        {"Name": "acs:ossvector:cn-hangzhou:1:examplebucket", "Region": "cn-hangzhou"}
    )
    assert (bucket.name, bucket.region) == ("examplebucket", "cn-hangzhou")
    assert VectorBucket.from_api({"Name": "plain"}).name == "plain"
