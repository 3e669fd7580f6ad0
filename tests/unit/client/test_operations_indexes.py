"""Operations on indexes and buckets: requests as the API pages write them, replies as values."""

import json

import pytest

from oss_vector_retriever import ConfigurationError, InvalidRequestError, ResponseError
from oss_vector_retriever.client.config import resolve_config
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.operations import buckets, indexes

HOST = "examplebucket-123456.cn-hangzhou.oss-vectors.aliyuncs.com"
REGION_HOST = "cn-hangzhou.oss-vectors.aliyuncs.com"


def played(machine, body, operation, **options):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = Reply(200, {"x-oss-request-id": "R1", "content-length": str(len(text))}, text)
    return machine.play(operation(machine.context(), **options), [reply])


def request_of(machine, operation, body=b"", **options):
    done = played(machine, body, operation, **options)
    assert done.error is None
    (request,) = done.requests
    return request


INDEX = {"indexName": "i", "dimension": 3, "distanceMetric": "cosine", "status": "enable"}


class TestPutVectorIndex:
    def test_asks_as_the_page_does(self, machine):
        request = request_of(machine, indexes.put_vector_index, dimension=3)
        assert request.target == "/?putVectorIndex"
        assert json.loads(request.body) == {
            "indexName": "vectorindex1",
            "dataType": "float32",
            "dimension": 3,
            "distanceMetric": "cosine",
        }

    def test_names_what_cannot_be_searched_by(self, machine):
        request = request_of(
            machine,
            indexes.put_vector_index,
            dimension=4096,
            index="Other1",
            distance_metric="euclidean",
            non_filterable_metadata_keys=(name for name in ("text", "_node_content")),
        )
        body = json.loads(request.body)
        assert (body["indexName"], body["dimension"]) == ("Other1", 4096)
        assert body["distanceMetric"] == "euclidean"
        assert body["metadata"] == {"nonFilterableMetadataKeys": ["text", "_node_content"]}

    @pytest.mark.parametrize("dimension", [0, 4097, -1, 3.0, True, "3", None])
    def test_takes_a_dimension_of_1_to_4096(self, machine, dimension):
        with pytest.raises(InvalidRequestError, match=r"dimension must be .* from 1 to 4096"):
            indexes.put_vector_index(machine.context(), dimension=dimension)

    @pytest.mark.parametrize("metric", ["dot", "Cosine", "", None, 5, ["cosine"]])
    def test_takes_one_of_two_metrics(self, machine, metric):
        with pytest.raises(InvalidRequestError, match="must be cosine or euclidean"):
            indexes.put_vector_index(machine.context(), dimension=3, distance_metric=metric)

    @pytest.mark.parametrize(
        "names",
        ["text", ["1st"], ["a-b"], ["a b"], [""], ["a" * 64], [5], [None], ["\N{MICRO SIGN}"]],
    )
    def test_refuses_what_is_no_list_of_names(self, machine, names):
        with pytest.raises(InvalidRequestError, match="must be a list of names"):
            indexes.put_vector_index(
                machine.context(), dimension=3, non_filterable_metadata_keys=names
            )

    def test_takes_at_most_ten_names(self, machine):
        with pytest.raises(InvalidRequestError, match="at most 10 non-filterable keys, not 11"):
            indexes.put_vector_index(
                machine.context(), dimension=3, non_filterable_metadata_keys=list("abcdefghijk")
            )

    @pytest.mark.parametrize("name", ["my-index", "my_index", "1st", "", "a" * 64, "a\n", 5])
    def test_refuses_what_is_no_index_name(self, machine, name):
        with pytest.raises(InvalidRequestError, match="is not an index name"):
            indexes.put_vector_index(machine.context(), dimension=3, index=name)


class TestGetVectorIndex:
    def test_asks_and_describes(self, machine):
        done = played(machine, {"index": INDEX}, indexes.get_vector_index, index="i")
        assert done.requests[0].target == "/?getVectorIndex"
        assert json.loads(done.requests[0].body) == {"indexName": "i"}
        assert (done.value.index_name, done.value.dimension) == ("i", 3)

    def test_knows_the_name_where_the_service_leaves_it_out(self, machine):
        body = {"index": {"dimension": 3}}
        assert played(machine, body, indexes.get_vector_index).value.index_name == "vectorindex1"

    @pytest.mark.parametrize(
        "body", [{}, {"index": None}, {"index": []}, {"index": {"dimension": "many"}}, [], b"null"]
    )
    def test_refuses_what_is_no_description(self, machine, body):
        error = played(machine, body, indexes.get_vector_index).error
        assert isinstance(error, ResponseError)
        assert error.request_id == "R1"


@pytest.mark.parametrize(
    ("operation", "body", "found"),
    [
        (indexes.get_vector_index, {"index": INDEX}, "i"),
        (indexes.list_vector_indexes, {"indexes": [INDEX]}, 1),
        (buckets.list_vector_buckets, {"ListAllMyBucketsResult": {"Buckets": [{"Name": "b"}]}}, 1),
        (buckets.get_bucket_policy, {"Version": "1"}, 1),
    ],
)
@pytest.mark.parametrize("nothing", [b"", b" \r\n"])
def test_a_reply_without_a_byte_is_asked_for_again(machine, operation, body, found, nothing):
    whole = json.dumps(body).encode()
    replies = [Reply(200, {"content-length": str(len(text))}, text) for text in (nothing, whole)]
    done = machine.play(operation(machine.context()), replies)
    assert len(done.requests) == 2
    value = done.value
    assert (value.index_name if hasattr(value, "index_name") else len(value)) == found


class TestListVectorIndexes:
    def test_asks_and_lists(self, machine):
        body = {"indexes": [INDEX], "nextToken": "i"}
        done = played(
            machine, body, indexes.list_vector_indexes, prefix="p", max_results=5, next_token="a"
        )
        assert done.requests[0].target == "/?listVectorIndexes"
        assert json.loads(done.requests[0].body) == {
            "maxResults": 5,
            "nextToken": "a",
            "prefix": "p",
        }
        assert [index.index_name for index in done.value] == ["i"]
        assert (done.value.next_token, done.value.request_id) == ("i", "R1")

    @pytest.mark.parametrize("body", [{}, {"indexes": None}, {"indexes": [], "nextToken": ""}])
    def test_finds_none(self, machine, body):
        done = played(machine, body, indexes.list_vector_indexes)
        assert (len(done.value), done.value.next_token) == (0, None)
        assert json.loads(done.requests[0].body) == {}

    @pytest.mark.parametrize("most", [0, 501, True, "5"])
    def test_takes_a_page_of_1_to_500(self, machine, most):
        with pytest.raises(InvalidRequestError, match="from 1 to 500"):
            indexes.list_vector_indexes(machine.context(), max_results=most)

    @pytest.mark.parametrize("items", [5, "x", {"a": 1}, True, [5], ["x"], [None], [[]]])
    def test_refuses_what_is_no_list_of_descriptions(self, machine, items):
        error = played(machine, {"indexes": items}, indexes.list_vector_indexes).error
        assert isinstance(error, ResponseError)


class TestDeleteVectorIndex:
    def test_asks_as_the_page_does(self, machine):
        request = request_of(machine, indexes.delete_vector_index, index="i")
        assert (request.target, request.body) == ("/?deleteVectorIndex", b'{"indexName":"i"}')

    @pytest.mark.parametrize("name", [None, "", "my-index"])
    def test_never_falls_back_to_the_clients_own_index(self, machine, name):
        with pytest.raises(InvalidRequestError, match="is not an index name"):
            indexes.delete_vector_index(machine.context(), index=name)


class TestBuckets:
    @pytest.mark.parametrize(
        ("operation", "method", "target"),
        [
            (buckets.put_vector_bucket, "PUT", "/"),
            (buckets.get_vector_bucket, "GET", "/?bucketInfo"),
            (buckets.delete_vector_bucket, "DELETE", "/"),
        ],
    )
    def test_are_asked_for_at_their_own_host_without_a_body(
        self, machine, operation, method, target
    ):
        body = {"BucketInfo": {"Name": "b"}}
        request = request_of(machine, operation, body)
        assert (request.method, request.target, request.body) == (method, target, b"")
        assert request.headers["host"] == HOST
        assert "content-type" not in request.headers
        assert request.headers.get("content-length") == ("0" if method == "PUT" else None)

    def test_are_described(self, machine):
        body = {"BucketInfo": {"Name": "acs:ossvector:cn-hangzhou:1:b", "Region": "cn-hangzhou"}}
        assert played(machine, body, buckets.get_vector_bucket).value.name == "b"

    @pytest.mark.parametrize("body", [{}, {"BucketInfo": None}, {"BucketInfo": []}])
    def test_that_are_not_described_are_an_error(self, machine, body):
        assert isinstance(played(machine, body, buckets.get_vector_bucket).error, ResponseError)

    def test_are_listed_at_the_regions_host_with_every_argument_encoded(self, machine):
        body = {"ListAllMyBucketsResult": {"Buckets": [{"Name": "a:b"}], "NextMarker": "b"}}
        done = played(
            machine, body, buckets.list_vector_buckets, prefix="a&b=/?#", marker="x y+z", max_keys=9
        )
        request = done.requests[0]
        assert request.headers["host"] == REGION_HOST
        assert request.target == "/?marker=x%20y%2Bz&max-keys=9&prefix=a%26b%3D%2F%3F%23"
        assert ([bucket.name for bucket in done.value], done.value.next_marker) == (["b"], "b")

    def test_are_listed_without_a_bucket_of_the_clients_own(self):
        config = resolve_config(
            account_id="1",
            region="cn-hangzhou",
            credentials=("ak", "sk"),
            environment={},
            bucket_required=False,
        )
        context = Context(config)
        request = next(buckets.list_vector_buckets(context)).request
        assert request.url == f"https://{REGION_HOST}/"
        with pytest.raises(ConfigurationError, match="No bucket"):
            next(buckets.put_vector_bucket(context))

    def test_are_made_in_a_resource_group_and_with_tags_every_sign_of_which_is_encoded(
        self, machine
    ):
        tags = {"team": "a&b=c", "größe": "x y"}
        given = {"resource_group_id": "rg-1_A", "tagging": tags}
        headers = played(machine, {}, buckets.put_vector_bucket, **given).requests[0].headers
        assert headers["x-oss-resource-group-id"] == "rg-1_A"
        assert headers["x-oss-bucket-tagging"] == "team=a%26b%3Dc&gr%C3%B6%C3%9Fe=x%20y"
        plain = played(machine, {}, buckets.put_vector_bucket, tagging={}).requests[0].headers
        assert not {name for name in plain if "group" in name or "tagging" in name}

    def test_are_listed_of_one_resource_group(self, machine):
        given = {"resource_group_id": "rg-1"}
        request = played(machine, {}, buckets.list_vector_buckets, **given).requests[0]
        assert request.headers["x-oss-resource-group-id"] == "rg-1"
        assert request.target == "/"

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"resource_group_id": "rg\r\nx-oss-a: b"}, "resource_group_id must be letters"),
            ({"resource_group_id": ""}, "resource_group_id must be letters"),
            ({"resource_group_id": "rg-ü"}, "resource_group_id must be letters"),
            ({"resource_group_id": 7}, "resource_group_id must be letters"),
            ({"tagging": "k=v"}, "tagging must be a dict of strings to strings, not a str"),
            ({"tagging": {"k": 1}}, "tagging must be a dict of strings"),
            ({"tagging": {1: "v"}}, "tagging must be a dict of strings"),
            ({"tagging": {"k": "\ud800"}}, "tagging .* cannot be written as UTF-8"),
        ],
    )
    def test_are_not_made_with_what_no_header_can_carry(self, machine, wrong, message):
        with pytest.raises(InvalidRequestError, match=message):
            buckets.put_vector_bucket(machine.context(), **wrong)
        if "resource_group_id" in wrong:
            with pytest.raises(InvalidRequestError, match=message):
                buckets.list_vector_buckets(machine.context(), **wrong)

    @pytest.mark.parametrize("body", [{}, {"ListAllMyBucketsResult": None}])
    def test_may_be_none(self, machine, body):
        assert len(played(machine, body, buckets.list_vector_buckets).value) == 0

    @pytest.mark.parametrize(
        "status",
        [
            *({}, None, {"LoggingEnabled": None}, {"LoggingEnabled": {}}, {"LoggingEnabled": ""}),
            {"LoggingEnabled": {"TargetBucket": None, "TargetPrefix": None, "LoggingRole": None}},
            {"LoggingEnabled": {"TargetBucket": "", "TargetPrefix": ""}},
        ],
    )
    def test_are_logged_nowhere(self, machine, status):
        body = {"BucketLoggingStatus": status}
        assert played(machine, body, buckets.get_bucket_logging).value is None

    @pytest.mark.parametrize("target", [5, ["t"], True])
    def test_are_not_logged_to_nonsense(self, machine, target):
        body = {"BucketLoggingStatus": {"LoggingEnabled": {"TargetBucket": target}}}
        assert isinstance(played(machine, body, buckets.get_bucket_logging).error, ResponseError)

    def test_are_logged_where_the_reply_says(self, machine):
        enabled = {"TargetBucket": "t", "TargetPrefix": None, "LoggingRole": "r"}
        body = {"BucketLoggingStatus": {"LoggingEnabled": enabled}}
        found = played(machine, body, buckets.get_bucket_logging).value
        assert (found.target_bucket, found.target_prefix, found.logging_role) == ("t", "", "r")

    @pytest.mark.parametrize(
        "found", [5, "x", ["a"], {"Buckets": 5}, {"Buckets": {"a": 1}}, {"Buckets": ["a"]}]
    )
    def test_in_a_list_that_is_none_are_an_error(self, machine, found):
        body = {"ListAllMyBucketsResult": found}
        error = played(machine, body, buckets.list_vector_buckets).error
        assert isinstance(error, ResponseError)
        assert error.request_id == "R1"

    @pytest.mark.parametrize(
        "wrong", [{"max_keys": 0}, {"max_keys": 1001}, {"prefix": "\ud800"}, {"marker": "\udfff"}]
    )
    def test_are_not_asked_for_with_what_no_query_can_carry(self, machine, wrong):
        with pytest.raises(InvalidRequestError, match=next(iter(wrong))):
            buckets.list_vector_buckets(machine.context(), **wrong)
