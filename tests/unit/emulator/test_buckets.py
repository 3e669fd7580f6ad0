from urllib.parse import quote, unquote

import orjson
import pytest
from support.caller import Caller

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.client.models.limits import Limits
from oss_vector_retriever.emulator import AccessKey, Behaviour, Service

ARN = "acs:ossvector:cn-hangzhou:1000000000000001:"


def error(reply):
    return reply.status, orjson.loads(reply.body)["Error"]["Code"]


def listing(caller, query="", **other):
    reply = caller.send("GET", query, bucket=None, **other)
    assert reply.status == 200, reply.body
    return orjson.loads(reply.body)["ListAllMyBucketsResult"]


def names(listed):
    return [bucket["Name"].rpartition(":")[2] for bucket in listed["Buckets"]]


def test_a_bucket_is_described_as_documented(make_caller, clock):
    caller = make_caller(clock=clock)
    made = caller.send(
        "PUT", bucket="a-b1", now=clock.now, headers={"x-oss-resource-group-id": "group"}
    )
    assert (made.status, made.headers["location"], made.body) == (200, "/a-b1", b"")
    expected = {
        "Name": f"{ARN}a-b1",
        "Location": "oss-cn-hangzhou",
        "Region": "cn-hangzhou",
        "CreationDate": "2026-09-01T12:00:00.000Z",
        "ExtranetEndpoint": "cn-hangzhou.oss-vectors.aliyuncs.com",
        "IntranetEndpoint": "cn-hangzhou-internal.oss-vectors.aliyuncs.com",
        "ResourceGroupId": "group",
    }
    reply = caller.send("GET", "bucketInfo", bucket="a-b1", now=clock.now)
    assert orjson.loads(reply.body) == {"BucketInfo": expected}
    assert listing(caller, now=clock.now)["Buckets"][0] == expected


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "file"])
def test_buckets_are_listed_by_resource_group_page_by_page(make_caller, tmp_path, kept):
    caller = make_caller(tmp_path / "a.db" if kept else None)
    for number in range(6):
        group = {"x-oss-resource-group-id": f"rg-{number % 2}"}
        assert caller.send("PUT", bucket=f"bucket-{number}", headers=group).status == 200
    assert len(names(listing(caller))) == 7
    assert len(names(listing(caller, headers={"x-oss-resource-group-id": ""}))) == 7
    group = {"x-oss-resource-group-id": "rg-1"}
    page = listing(caller, "max-keys=2", headers=group)
    assert names(page) == ["bucket-1", "bucket-3"]
    rest = listing(caller, f"max-keys=2&marker={page['NextMarker']}", headers=group)
    assert names(rest) == ["bucket-5"]
    assert "IsTruncated" not in rest


def test_the_client_makes_and_lists_buckets_of_a_resource_group():
    with OSSVectorClient.local() as client:
        grouped = client.with_options(bucket="grouped")
        grouped.put_vector_bucket(resource_group_id="rg-1", tagging={"team": "search"})
        assert grouped.get_vector_bucket().resource_group_id == "rg-1"
        assert [b.name for b in client.iter_vector_buckets(resource_group_id="rg-1")] == ["grouped"]
        assert list(client.list_vector_buckets(resource_group_id="rg-2")) == []


@pytest.mark.parametrize(
    "name", ["ab", "a" * 33, "-ab", "ab-", "Abc", "a_b", "a.b", "a b", "äbc", "a%0Ab"]
)
def test_a_name_that_breaks_the_rule_is_refused(caller, name):
    reply = caller.send("PUT", bucket=unquote(name), path=f"/{quote(name, safe='%')}/")
    assert error(reply) == (400, "InvalidVectorBucketName")


@pytest.mark.parametrize("name", ["abc", "a" * 32, "a-1", "123", "a--b"])
def test_a_name_that_keeps_the_rule_is_accepted(caller, name):
    assert caller.send("PUT", bucket=name).status == 200


def test_a_bucket_is_not_made_twice(caller):
    assert error(caller.send("PUT")) == (409, "BucketAlreadyExists")


def test_an_account_has_so_many_buckets_and_no_more(make_caller):
    caller = make_caller(limits=Limits(buckets_per_region=2))
    assert caller.send("PUT", bucket="second").status == 200
    assert error(caller.send("PUT", bucket="third")) == (400, "TooManyBuckets")


def test_only_an_empty_bucket_is_deleted(caller):
    assert error(caller.send("DELETE")) == (409, "VectorBucketNotEmpty")
    caller.post("deleteVectorIndex", {"indexName": "index1"})
    assert caller.send("DELETE").status == 204
    assert error(caller.send("DELETE")) == (404, "NoSuchBucket")
    assert error(caller.send("GET", "bucketInfo")) == (404, "NoSuchBucket")


def test_a_deleted_bucket_made_again_starts_empty(make_caller):
    caller = make_caller()
    caller.send("PUT", "policy", b'{"Version":"1","Statement":[{"Effect":"Deny","Action":"*",'
                b'"Principal":"nobody","Resource":"*"}]}')  # fmt: skip
    assert caller.send("GET", "policy").status == 200
    assert caller.send("DELETE").status == 204
    assert caller.send("PUT").status == 200
    assert caller.send("GET", "policy").status == 404


def test_the_name_of_a_deleted_bucket_is_free_again_after_hours(make_caller, clock, tmp_path):
    behaviour = Behaviour(bucket_name_kept_seconds=4 * 3600)
    caller = make_caller(tmp_path / "v.db", clock=clock, behaviour=behaviour)

    def put(caller, bucket="development-bucket"):
        reply = caller.send("PUT", bucket=bucket, now=clock.now)
        return (200, None) if reply.status == 200 else error(reply)

    assert caller.send("DELETE", now=clock.now).status == 204
    assert put(caller) == (409, "BucketNameNotAvailable")
    assert put(caller, "another") == (200, None)
    caller.service.close()
    # the conftest's caller makes its bucket again, as `serve` does, without a request
    service = Service.open(tmp_path / "v.db", clock=clock, behaviour=behaviour)
    with service:
        later = Caller(service)
        clock.advance(4 * 3600 - 1)
        assert put(later) == (409, "BucketNameNotAvailable")
        clock.advance(1)
        assert put(later) == (200, None)
        assert put(later) == (409, "BucketAlreadyExists")


def test_by_default_the_name_of_a_deleted_bucket_is_free_at_once(make_caller):
    caller = make_caller()
    for _ in range(2):
        assert caller.send("DELETE").status == 204
        assert caller.send("PUT").status == 200


@pytest.mark.parametrize("operation", ["getVectors", "putVectorIndex", "listVectorIndexes"])
def test_every_operation_needs_the_bucket(caller, operation):
    assert caller.code(operation, {}, bucket="missing") == (404, "NoSuchBucket")


class TestListing:
    @pytest.fixture
    def many(self, make_caller):
        caller = make_caller()
        for i in range(12):
            assert caller.send("PUT", bucket=f"mybucket{i:02}").status == 200
        return caller

    def test_what_fits_comes_without_page_members(self, many):
        listed = listing(many)
        assert names(listed) == ["development-bucket", *(f"mybucket{i:02}" for i in range(12))]
        assert set(listed) == {"Buckets"}

    def test_pages(self, many):
        first = listing(many, "max-keys=10&prefix=my")
        assert names(first) == [f"mybucket{i:02}" for i in range(10)]
        assert {k: v for k, v in first.items() if k != "Buckets"} == {
            "Prefix": "my",
            "Marker": "",
            "MaxKeys": 10,
            "IsTruncated": True,
            "NextMarker": "mybucket09",
        }
        second = listing(many, "marker=mybucket09&max-keys=10&prefix=my")
        assert names(second) == ["mybucket10", "mybucket11"]
        assert "NextMarker" not in second

    @pytest.mark.parametrize("most", ["0", "1001", "-1", "x", "", "1e2", "٣"])
    def test_a_page_size_outside_its_limits_is_refused(self, many, most):
        query = f"max-keys={quote(most)}"
        assert error(many.send("GET", query, bucket=None)) == (400, "InvalidArgument")

    def test_the_bare_vector_of_the_java_sdk_changes_nothing(self, many):
        for query in ("max-keys=2&prefix=my&vector=", "max-keys=2&prefix=my&vector"):
            assert names(listing(many, query)) == ["mybucket00", "mybucket01"]

    def test_accounts_and_regions_are_kept_apart(self, make_caller):
        keys = [AccessKey("one", "s1", "1000000000000001"), AccessKey("two", "s2", "2")]
        one = make_caller(access_keys=keys)
        one.key = keys[0]
        two = make_caller.Caller(one.service, keys[1])
        assert names(listing(two)) == []
        assert two.send("PUT", bucket="development-bucket").status == 200
        assert two.send("PUT", bucket="second").status == 200
        assert names(listing(one)) == ["development-bucket"]
        assert names(listing(two)) == ["development-bucket", "second"]
        there = {
            "origin": "https://us-east-1.oss-vectors.aliyuncs.com",
            "region": "us-east-1",
            "path": "/",
        }
        assert names(listing(two, **there)) == []


class TestLogging:
    SETTING = b'{"BucketLoggingStatus":{"LoggingEnabled":{"TargetBucket":"t","TargetPrefix":"p"}}}'

    def test_settings_are_kept(self, caller):
        nothing = b'{"BucketLoggingStatus":{"LoggingEnabled":{}}}'
        assert caller.send("GET", "logging").body == nothing
        assert caller.send("PUT", "logging", self.SETTING).status == 200
        assert caller.send("GET", "logging").body == self.SETTING
        assert caller.send("DELETE", "logging").status == 204
        assert caller.send("GET", "logging").body == nothing

    @pytest.mark.parametrize("enabled", [b"", b'"LoggingEnabled":{}', b'"LoggingEnabled":null'])
    def test_nothing_to_log_to_switches_logging_off(self, caller, enabled):
        assert caller.send("PUT", "logging", self.SETTING).status == 200
        body = b'{"BucketLoggingStatus":{%b}}' % enabled
        assert caller.send("PUT", "logging", body).status == 200
        nothing = b'{"BucketLoggingStatus":{"LoggingEnabled":{}}}'
        assert caller.send("GET", "logging").body == nothing

    @pytest.mark.parametrize(
        "body",
        [b"{}", b'{"BucketLoggingStatus":1}', b'{"BucketLoggingStatus":{"LoggingEnabled":[]}}'],
    )
    def test_nonsense_is_refused(self, caller, body):
        assert error(caller.send("PUT", "logging", body)) == (400, "InvalidArgument")
        assert error(caller.send("PUT", "logging", b"<xml/>")) == (400, "MalformedJson")
