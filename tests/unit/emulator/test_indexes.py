import pytest

from oss_vector_retriever.client.models.limits import Limits
from oss_vector_retriever.emulator import Behaviour
from oss_vector_retriever.emulator.rules.parameters import Parameters

INVALID = (400, "VectorIndexParameterInvalid")
GOOD = {"indexName": "new", "dataType": "float32", "dimension": 4, "distanceMetric": "cosine"}


def test_an_index_is_described_as_documented(make_caller, clock):
    caller = make_caller(clock=clock)
    hidden = {"nonFilterableMetadataKeys": ["_text", "b2"]}
    assert caller.post("putVectorIndex", GOOD | {"metadata": hidden}, now=clock.now) == (200, None)
    assert caller.post("getVectorIndex", {"indexName": "new"}, now=clock.now) == (
        200,
        {
            "index": {
                "indexName": "new",
                "createTime": "2026-09-01T12:00:00.000Z",
                "dataType": "float32",
                "dimension": 4,
                "distanceMetric": "cosine",
                "metadata": hidden,
                "status": "enable",
                "mode": "standard",
                "vectorBucketName": "development-bucket",
                "bucketArn": "acs:ossvector:cn-hangzhou:1000000000000001:development-bucket",
            }
        },
    )


def test_an_index_without_non_filterable_keys_shows_no_metadata(caller):
    _, parsed = caller.post("getVectorIndex", {"indexName": "index1"})
    assert "metadata" not in parsed["index"]


@pytest.mark.parametrize(
    "members",
    [
        {"indexName": "a-b"},
        {"indexName": "a_b"},
        {"indexName": "9a"},
        {"indexName": "é"},
        {"indexName": "a" * 64},
        {"dataType": "float64"},
        {"dataType": None},
        {"dimension": 0},
        {"dimension": 4097},
        {"dimension": "4"},
        {"dimension": 4.0},
        {"dimension": True},
        {"dimension": None},
        {"distanceMetric": "dot"},
        {"distanceMetric": None},
        {"distanceMetric": ["cosine"]},
        {"metadata": []},
        {"metadata": {"nonFilterableMetadataKeys": []}},
        {"metadata": {"nonFilterableMetadataKeys": "a"}},
        {"metadata": {"nonFilterableMetadataKeys": ["a", "a"]}},
        {"metadata": {"nonFilterableMetadataKeys": ["a-b"]}},
        {"metadata": {"nonFilterableMetadataKeys": ["1a"]}},
        {"metadata": {"nonFilterableMetadataKeys": [""]}},
        {"metadata": {"nonFilterableMetadataKeys": [1]}},
        {"metadata": {"nonFilterableMetadataKeys": ["a" * 64]}},
        {"metadata": {"nonFilterableMetadataKeys": [f"k{i}" for i in range(11)]}},
    ],
)
def test_parameters_outside_their_limits_are_refused(caller, members):
    assert caller.code("putVectorIndex", GOOD | members) == INVALID
    assert caller.code("getVectorIndex", {"indexName": "new"}) == (404, "NoSuchVectorIndex")


@pytest.mark.parametrize(
    "members",
    [
        {"indexName": "testIndexForIntegrationVector"},
        {"indexName": "a" * 63},
        {"dimension": 1},
        {"dimension": 4096},
        {"distanceMetric": "euclidean"},
        {"metadata": {}},
        {"metadata": {"nonFilterableMetadataKeys": ["a" * 63, *(f"_k{i}" for i in range(9))]}},
    ],
)
def test_parameters_at_their_limits_are_accepted(caller, members):
    assert caller.post("putVectorIndex", GOOD | members) == (200, None)


def test_an_index_is_not_made_twice(caller):
    again = GOOD | {"indexName": "index1"}
    assert caller.code("putVectorIndex", again) == (409, "VectorBucketIndexAlreadyExist")
    _, parsed = caller.post("getVectorIndex", {"indexName": "index1"})
    assert parsed["index"]["distanceMetric"] == "euclidean"


def test_a_bucket_deleted_meanwhile_is_said_to_be_missing(make_caller, monkeypatch):
    caller = make_caller()

    def non_filterable(parameters):
        assert caller.send("DELETE").status == 204
        return original(parameters)

    original = Parameters.non_filterable
    monkeypatch.setattr(Parameters, "non_filterable", non_filterable)
    assert caller.code("putVectorIndex", GOOD) == (404, "NoSuchBucket")


def test_names_differ_by_case(caller):
    assert caller.post("putVectorIndex", GOOD | {"indexName": "INDEX1"}) == (200, None)


def test_a_bucket_holds_so_many_indexes_and_no_more(make_caller):
    caller = make_caller(limits=Limits(indexes_per_bucket=2))
    caller.make_index("a")
    caller.make_index("b")
    assert caller.code("putVectorIndex", GOOD) == (400, "VectorBucketIndexExceedLimit")
    existing = GOOD | {"indexName": "a"}
    assert caller.code("putVectorIndex", existing) == (409, "VectorBucketIndexAlreadyExist")


def test_a_new_index_can_take_its_time(make_caller, clock):
    caller = make_caller(clock=clock, behaviour=Behaviour(index_creation_seconds=10))

    def status():
        _, parsed = caller.post("getVectorIndex", {"indexName": "new"}, now=clock.now)
        return parsed["index"]["status"]

    caller.post("putVectorIndex", GOOD, now=clock.now)
    assert status() == "creating"
    clock.advance(9.9)
    assert status() == "creating"
    clock.advance(0.1)
    assert status() == "enable"


def test_a_deleted_index_is_gone_with_its_vectors(caller):
    caller.put(("a", [1, 2, 3]))
    assert len(caller.query([1, 2, 3])) == 1
    assert caller.post("deleteVectorIndex", {"indexName": "index1"}) == (204, None)
    for operation in ("getVectorIndex", "deleteVectorIndex", "listVectors"):
        assert caller.code(operation, {"indexName": "index1"}) == (404, "NoSuchVectorIndex")
    caller.make_index("index1", dimension=2)
    assert caller.get(["a"]) == []
    assert caller.query([1, 2]) == []


class TestListing:
    @pytest.fixture
    def eleven(self, make_caller):
        caller = make_caller()
        for i in reversed(range(11)):
            caller.make_index(f"index{i:02}")
        return caller

    def names(self, caller, members=None, **other):
        status, parsed = caller.post("listVectorIndexes", members, **other)
        assert status == 200
        return [i["indexName"] for i in parsed["indexes"]], parsed.get("nextToken")

    def test_an_empty_body_is_fine(self, eleven):
        names = [f"index{i:02}" for i in range(11)]
        assert self.names(eleven) == (names, None)
        assert self.names(eleven, {}) == (names, None)
        assert self.names(eleven, {"maxResults": 0}) == (names, None)

    def test_pages_follow_the_alphabet_and_the_token_is_a_name(self, eleven):
        first = self.names(eleven, {"maxResults": 5})
        assert first == ([f"index0{i}" for i in range(5)], "index04")
        second = self.names(eleven, {"maxResults": 5, "nextToken": "index04"})
        assert second == ([f"index0{i}" for i in range(5, 10)], "index09")
        third = self.names(eleven, {"maxResults": 5, "nextToken": "index09"})
        assert third == (["index10"], None)

    def test_a_full_last_page_has_no_token(self, eleven):
        assert self.names(eleven, {"maxResults": 11})[1] is None

    def test_a_prefix_chooses(self, eleven):
        assert self.names(eleven, {"prefix": "index1"}) == (["index10"], None)
        assert self.names(eleven, {"prefix": "INDEX"}) == ([], None)
        assert self.names(eleven, {"prefix": "index%"}) == ([], None)

    @pytest.mark.parametrize(
        "members",
        [
            {"maxResults": -1},
            {"maxResults": 501},
            {"maxResults": "1"},
            {"prefix": 1},
            {"nextToken": "x" * 513},
        ],
    )
    def test_parameters_outside_their_limits_are_refused(self, eleven, members):
        assert eleven.code("listVectorIndexes", members) == INVALID
