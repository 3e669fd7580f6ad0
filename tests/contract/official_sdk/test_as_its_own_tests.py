"""Replies about logging, policies, segments and pages, as the SDKs' integration tests assert them.

Those tests run on the real service. What they put and what they assert is said anew here; the SDK
for Python reads the replies, also those that the tests for Go and Java are about.
"""

import contextlib
import json

import alibabacloud_oss_v2 as oss
import pytest

BUCKET = "own-tests"
LOGGED = {"target_bucket": "logs", "target_prefix": "log-prefix", "logging_role": "a-role"}
MISSING = (404, "NoSuchBucket", "The specified bucket does not exist.")
ON_ONE_LINE = (
    '{"Version":"1","Statement":[{"Action":["ossvector:PutVectors","ossvector:GetVectors"],'
    '"Effect":"Deny","Principal":["1234567890"],'
    '"Resource": ["acs:ossvector:*:*:own-tests","acs:oss:*:*:own-tests/*"]}]}'
)
ON_LINES = json.dumps(json.loads(ON_ONE_LINE), indent=2)
HIDDEN = {"nonFilterableMetadataKeys": ["key1", "key2"]}
FIRST = {
    "key": "vector-key-1",
    "data": {"float32": [0.1, 0.2]},
    "metadata": {"key1": "value1", "key2": "value2"},
}


def outcome(result):
    id_ = result.request_id
    return result.status_code, result.status, len(id_), id_ == result.headers["x-oss-request-id"]


class Life:
    """The calls of their tests in one bucket, and what each brought, by its name."""

    def __init__(self, sdk):
        self.sdk = sdk
        self.found = {}

    def call(self, operation, **members):
        return self.sdk.call(operation, **{"bucket": BUCKET, "index_name": "first"} | members)

    def logging(self, **enabled):
        part = self.sdk.model("LoggingEnabled", **enabled)
        return {
            "bucket_logging_status": self.sdk.model("BucketLoggingStatus", logging_enabled=part)
        }

    def logged(self):
        enabled = self.call("GetBucketLogging").bucket_logging_status.logging_enabled
        return enabled.target_bucket, enabled.target_prefix, enabled.logging_role

    def sizes(self, operation, member, limit, **members):
        kind = "".join(map(str.capitalize, operation.split("_")))
        request = self.sdk.request(kind, bucket=BUCKET, **members)
        paginator = getattr(self.sdk.client, f"{operation}_paginator")(limit=limit)
        return [len(getattr(page, member)) for page in paginator.iter_page(request)]

    def log(self):
        put = self.call("PutBucketLogging", **self.logging(**LOGGED))
        self.found["logging is put"] = outcome(put)
        self.found["logging is got"] = outcome(self.call("GetBucketLogging"))
        names = ("its target bucket", "its target prefix", "its role")
        self.found |= zip(names, self.logged(), strict=True)
        for name, part in (
            ("logging without a role", {"target_bucket": "b", "target_prefix": "TargetPrefix"}),
            ("logging with a bucket alone", {"target_bucket": "c"}),
        ):
            self.call("PutBucketLogging", **self.logging(**part))
            self.found[name] = self.logged()
        self.found["logging is deleted"] = outcome(self.call("DeleteBucketLogging"))
        after = self.call("GetBucketLogging")
        self.found["logging that was deleted is got"] = outcome(after)
        self.found["it has a status"] = after.bucket_logging_status is not None
        self.found["whose members are none"] = self.logged()

    def permit(self):
        for name, text in (("a policy", ON_ONE_LINE), ("a policy with line breaks", ON_LINES)):
            self.found[f"{name} is put"] = outcome(self.call("PutBucketPolicy", body=text))
            got = self.call("GetBucketPolicy")
            self.found[f"{name} is got"] = outcome(got)
            self.found[f"{name} is the text that was put"] = got.body == text
        self.found["a policy is deleted"] = outcome(self.call("DeleteBucketPolicy"))

    def miss(self):
        for setting, given in (("Logging", self.logging(**LOGGED)), ("Policy", {"body": ON_LINES})):
            for verb in ("Put", "Get", "Delete"):
                members = given if verb == "Put" else {}
                name = f"{verb}Bucket{setting}"
                error = self.sdk.failure(name, bucket="not-exist", **members)
                self.found[f"{name} of no bucket"] = error.status_code, error.code, error.message

    def divide(self):
        form = {"data_type": "float32", "dimension": 2, "distance_metric": "cosine"}
        self.call("PutVectorIndex", **form, metadata=HIDDEN)
        self.call("PutVectors", vectors=[FIRST])
        shown = {"return_data": True, "return_metadata": True, "max_results": 100}
        for segment, name in enumerate(("the first segment of two", "the second segment of two")):
            part = {"segment_count": 2, "segment_index": segment}
            self.found[name] = self.call("ListVectors", **shown, **part).vectors

    def page(self):
        form = {"data_type": "float32", "dimension": 2, "distance_metric": "cosine"}
        for name in ("second", "third"):
            self.call("PutVectorIndex", **form, index_name=name)
        of_index = ("list_vector_indexes", "indexes")
        self.found["3 indexes by 1"] = self.sizes(*of_index, 1)
        for n in range(8):
            self.call("PutVectorIndex", **form, index_name=f"index{n}")
        self.found["11 indexes by 5"] = self.sizes(*of_index, 5)
        for count, limit, name in ((3, 1, "second"), (10, 5, "third")):
            vectors = [{"key": f"vector{n}", "data": {"float32": [1.2, n]}} for n in range(count)]
            self.call("PutVectors", vectors=vectors, index_name=name)
            sizes = self.sizes("list_vectors", "vectors", limit, index_name=name)
            self.found[f"{count} vectors by {limit}"] = sizes


@pytest.fixture(scope="module")
def life(empty_sdk):
    """Return what the calls of their tests brought."""
    life = Life(empty_sdk)
    life.call("PutVectorBucket")
    for step in (life.log, life.permit, life.miss, life.divide, life.page):
        step()
    yield life.found
    for index in life.call("ListVectorIndexes").indexes:
        life.call("DeleteVectorIndex", index_name=index["indexName"])
    life.call("DeleteVectorBucket")


DONE, GONE = (200, "OK", 24, True), (204, "No Content", 24, True)
ASSERTED = {
    "logging is put": DONE,
    "logging is got": DONE,
    "its target bucket": "logs",
    "its target prefix": "log-prefix",
    "its role": "a-role",
    "logging without a role": ("b", "TargetPrefix", None),
    "logging with a bucket alone": ("c", None, None),
    "logging is deleted": GONE,
    "logging that was deleted is got": DONE,
    "it has a status": True,
    "whose members are none": (None, None, None),
    "a policy is put": DONE,
    "a policy is got": DONE,
    "a policy is the text that was put": True,
    "a policy with line breaks is put": DONE,
    "a policy with line breaks is got": DONE,
    "a policy with line breaks is the text that was put": True,
    "a policy is deleted": GONE,
    "PutBucketLogging of no bucket": MISSING,
    "GetBucketLogging of no bucket": MISSING,
    "DeleteBucketLogging of no bucket": MISSING,
    "PutBucketPolicy of no bucket": MISSING,
    "GetBucketPolicy of no bucket": MISSING,
    "DeleteBucketPolicy of no bucket": MISSING,
    "the first segment of two": [],
    "the second segment of two": [FIRST],
    "3 indexes by 1": [1, 1, 1],
    "11 indexes by 5": [5, 5, 1],
    "3 vectors by 1": [1, 1, 1],
    "10 vectors by 5": [5, 5],
}


@pytest.mark.parametrize("name", ASSERTED)
def test_a_reply_is_as_their_own_tests_assert(life, name):
    assert life[name] == ASSERTED[name]


def test_nothing_was_left_out(life):
    assert life.keys() == ASSERTED.keys()


def test_a_resource_group_is_kept_and_chosen_by(empty_sdk):
    made = {"bucket": "sdk-grouped", "resource_group_id": "rg-aek27tc"}
    try:
        assert empty_sdk.call("PutVectorBucket", **made, bucket_tagging="k1=v1").status_code == 200
        info = empty_sdk.call("GetVectorBucket", bucket="sdk-grouped").bucket_info
        assert info.resource_group_id == "rg-aek27tc"
        for group, count in (("rg-aek27tc", 1), ("rg-another", 0)):
            found = empty_sdk.call("ListVectorBuckets", resource_group_id=group).buckets
            assert len(found or []) == count
    finally:
        with contextlib.suppress(oss.exceptions.OperationError):
            empty_sdk.call("DeleteVectorBucket", bucket="sdk-grouped")
