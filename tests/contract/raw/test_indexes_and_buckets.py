"""Indexes, buckets, their settings and policies: sections 1, 7, 8, 9 and 10."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from support.raw_rules import (
    ARGUMENT,
    DENIED,
    GONE,
    INVALID,
    MALFORMED,
    NO_BUCKET,
    NO_INDEX,
    OK,
    Row,
    check,
    post,
    table,
    vector,
)
from support.raw_rules import put as put_vectors
from support.raw_wire import Ask

OWNER, OTHER = "1230000000000001", "4560000000000002"
FORM = {"dataType": "float32", "dimension": 2, "distanceMetric": "cosine"}
EXISTS = (409, "VectorBucketIndexAlreadyExist")
MAXIMAL = "x" * 63


def make(name, **members):
    return post("putVectorIndex", name, **FORM | members)


def without(member):
    kept = {name: value for name, value in FORM.items() if name != member}
    return post("putVectorIndex", "without", **kept)


def hiding(name, *names):
    return make(name, metadata={"nonFilterableMetadataKeys": list(names)})


def shown(name, **own):
    return post("getVectorIndex", name, **own)


def fixed(found):
    """Return an index as shown, its time aside, which is of now."""
    index = dict(found["index"])
    made = index.pop("createTime")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(made)) < timedelta(minutes=5)
    return index


BASIC = {
    "dataType": "float32",
    "status": "enable",
    "mode": "standard",
    "vectorBucketName": "rules",
    "bucketArn": f"acs:ossvector:cn-hangzhou:{OWNER}:rules",
}
PUT_INDEX = [
    Row(7.1, "an index is described as it was made", shown("made"), OK,
        BASIC | {"indexName": "made", "dimension": 3, "distanceMetric": "euclidean",
                 "metadata": {"nonFilterableMetadataKeys": ["text", "_x1"]}}, fixed,
        before=(make("made", dimension=3, distanceMetric="euclidean",
                     metadata={"nonFilterableMetadataKeys": ["text", "_x1"]}),),
        differs="new index"),
    Row(7.1, "one without non-filterable keys shows no metadata", shown("angle"), OK,
        BASIC | {"indexName": "angle", "dimension": 2, "distanceMetric": "cosine"}, fixed),
    Row(7.1, "a second time", make("flat"), EXISTS),
    Row(7.1, "a second time, with other settings", make("flat", dimension=9), EXISTS),
    Row(7.1, "a name of one letter", make("x"), OK),
    Row(7.1, "a name of 63", make(MAXIMAL), OK),
    Row(7.1, "a name of 64", make("x" * 64), INVALID),
    Row(7.1, "an empty name", make(""), INVALID),
    Row(7.1, "no name", post("putVectorIndex", None, **FORM), INVALID),
    Row(7.1, "capitals and digits", make("testIndexForIntegrationVector1"), OK),
    Row(7.1, "a digit first", make("1x"), INVALID),
    Row(7.1, "a hyphen", make("my-index"), INVALID),
    Row(7.1, "an underscore", make("my_index"), INVALID),
    Row(7.1, "a letter that is not ASCII", make("é"), INVALID),
    Row(7.1, "a line break behind a name", make("x1\n"), INVALID),
    Row(7.1, "names tell capitals from small letters", make("FLAT"), OK,
        differs="names of indexes"),
    Row(7.1, "a dimension of 1", make("d1", dimension=1), OK),
    Row(7.1, "a dimension of 4,096", make("d2", dimension=4096), OK),
    Row(7.1, "a dimension of 0", make("d3", dimension=0), INVALID),
    Row(7.1, "a dimension of 4,097", make("d3", dimension=4097), INVALID),
    Row(7.1, "a dimension as text", make("d3", dimension="2"), INVALID),
    Row(7.1, "a dimension of 2.0", make("d3", dimension=2.0), INVALID,
        differs="unknown JSON members"),
    Row(7.1, "no dimension", without("dimension"), INVALID,
        differs="PutVectorIndex without dimension or distanceMetric"),
    Row(7.1, "no distanceMetric", without("distanceMetric"), INVALID,
        differs="PutVectorIndex without dimension or distanceMetric"),
    Row(7.1, "no dataType", without("dataType"), INVALID),
    Row(7.1, "euclidean", make("m1", distanceMetric="euclidean"), OK),
    Row(7.1, "another metric", make("m2", distanceMetric="dot_product"), INVALID),
    Row(7.1, "a metric in capitals", make("m2", distanceMetric="COSINE"), INVALID),
    Row(7.1, "another type of data", make("m2", dataType="float64"), INVALID),
    Row(7.1, "10 non-filterable keys", hiding("n1", *(f"k{n}" for n in range(10))), OK),
    Row(7.1, "11 non-filterable keys", hiding("n2", *(f"k{n}" for n in range(11))), INVALID),
    Row(7.1, "no non-filterable keys in the array", hiding("n2"), INVALID),
    Row(7.1, "a key of 63", hiding("n3", "_" + "x" * 62), OK),
    Row(7.1, "a key of 64", hiding("n2", "x" * 64), INVALID),
    Row(7.1, "a key with a hyphen", hiding("n2", "a-b"), INVALID),
    Row(7.1, "a key that begins with a digit", hiding("n2", "1a"), INVALID),
    Row(7.1, "a key twice", hiding("n2", "a", "a"), INVALID,
        differs="a non-filterable key named twice"),
    Row(7.1, "a 101st index", make("more", bucket="full"), (400, "VectorBucketIndexExceedLimit")),
    Row(7.1, "a body that is no JSON", post("putVectorIndex", body=b"{"), MALFORMED),
    Row(7.1, "a bucket that is not there", make("x", bucket="no-bucket"), NO_BUCKET),
    Row(6, "which comes before the parameters",
        make("index", dataType="demo", distanceMetric="oss", bucket="no-bucket"), NO_BUCKET),
    Row(7.2, "an index that is not there", shown("none"), NO_INDEX),
    Row(7.2, "a name that breaks the rule", shown("my-index"), INVALID),
    Row(7.2, "without a Content-Type", shown("angle", headers={"content-type": None}), OK),
    Row(7.4, "a deleted index is gone", shown("gone"), NO_INDEX,
        before=(make("gone"), post("deleteVectorIndex", "gone"))),
    Row(7.4, "with its vectors", post("listVectors", "anew"), OK, {"vectors": []},
        before=(make("anew"), put_vectors("anew", vector("a", 1, 1)),
                post("deleteVectorIndex", "anew"), make("anew"))),
    Row(7.4, "success is 204 without a body", post("deleteVectorIndex", "brief"), GONE,
        before=(make("brief"),)),
    Row(7.4, "of none", post("deleteVectorIndex", "none"), NO_INDEX),
    Row(7.4, "without a name", post("deleteVectorIndex", None), INVALID),
]  # fmt: skip


def indexes(bucket="full", **members):
    return post("listVectorIndexes", None, bucket=bucket, **members)


def names(found):
    return [index["indexName"] for index in found["indexes"]]


def ends(found):
    listed = names(found)
    return listed[0], listed[-1], len(listed), found.get("nextToken", "")


LIST_INDEXES = [
    Row(7.3, "100 by default, in alphabetical order", indexes(), OK, ("i000", "i099", 100, ""),
        ends),
    Row(7.3, "0 is the default", indexes(maxResults=0), OK, ("i000", "i099", 100, ""), ends),
    Row(3, "no body is no arguments",
        Ask(query="listVectorIndexes", bucket="full"), OK, 100, lambda f: len(names(f))),
    Row(7.3, "the token is the last name of the page", indexes(maxResults=5), OK,
        ("i000", "i004", 5, "i004"), ends),
    Row(7.3, "from behind the token", indexes(maxResults=5, nextToken="i004"), OK,
        ("i005", "i009", 5, "i009"), ends),
    Row(7.3, "the last page has no token", indexes(maxResults=5, nextToken="i094"), OK,
        ("i095", "i099", 5, ""), ends),
    Row(7.3, "500", indexes(maxResults=500), OK, 100, lambda f: len(names(f))),
    Row(7.3, "501", indexes(maxResults=501), INVALID),
    Row(7.3, "below 0", indexes(maxResults=-1), INVALID),
    Row(7.3, "by prefix", indexes(prefix="i01"), OK, ("i010", "i019", 10, ""), ends),
    Row(7.3, "a token of 512 bytes", indexes(nextToken="x" * 512), OK, {"indexes": []}),
    Row(7.3, "a token of 513 bytes", indexes(nextToken="x" * 513), INVALID),
    Row(7.3, "of a bucket that is not there", indexes("no-bucket"), NO_BUCKET),
]  # fmt: skip


def bucket_(method="PUT", name="rules", **own):
    return Ask(method, bucket=name, **own)


def info(name, **own):
    return Ask("GET", "bucketInfo", bucket=name, **own)


def buckets(query="", **own):
    return Ask("GET", query, bucket=None, as_key=own.pop("as_key", "lister"), **own)


def plain(found):
    return [one["Name"].split(":")[4] for one in found["ListAllMyBucketsResult"]["Buckets"]]


def pages(found):
    inner = found["ListAllMyBucketsResult"]
    return plain(found), {name: value for name, value in inner.items() if name != "Buckets"}


def described(found):
    inner = dict(found["BucketInfo"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", inner.pop("CreationDate"))
    return inner


BAD_NAME = (400, "InvalidVectorBucketName")
BUCKETS = [
    Row(8, "a bucket is described", info("rules"), OK,
        {"Name": f"acs:ossvector:cn-hangzhou:{OWNER}:rules", "Location": "oss-cn-hangzhou",
         "Region": "cn-hangzhou", "ExtranetEndpoint": "cn-hangzhou.oss-vectors.aliyuncs.com",
         "IntranetEndpoint": "cn-hangzhou-internal.oss-vectors.aliyuncs.com"}, described),
    Row(8, "its resource group is shown", info("aa2", as_key="lister"), OK, "rg-1",
        lambda found: found["BucketInfo"]["ResourceGroupId"]),
    Row(3, "its tags are not", info("aa1", as_key="lister"), OK, False,
        lambda found: "k1" in json.dumps(found), differs="tags of a bucket"),
    Row(8, "a name of 3", bucket_(name="b12"), OK),
    Row(8, "a name of 32", bucket_(name="b" * 32), OK),
    Row(8, "a name of 2", bucket_(name="bb"), BAD_NAME),
    Row(8, "a name of 33", bucket_(name="b" * 33), BAD_NAME),
    Row(8, "a hyphen within", bucket_(name="b-1"), OK),
    Row(8, "a hyphen first", bucket_(name="-bb"), BAD_NAME),
    Row(8, "a hyphen last", bucket_(name="bb-"), BAD_NAME),
    Row(8, "an underscore", bucket_(name="b_b"), BAD_NAME),
    Row(8, "one's own bucket again", bucket_(), (409, "BucketAlreadyExists", "0015-00000104"),
        differs="PutVectorBucket of one's own bucket"),
    Row(8, "the name of another account's", bucket_(as_key="stranger"), OK),
    Row(8, "in another region", bucket_(name="rules", region="cn-beijing", as_key="owner"),
        (403, "SignatureDoesNotMatch", "0002-00000201"),
        differs="a signature of another day, region or product"),
    Row(8, "a 101st bucket", bucket_(name="rich-100", as_key="rich"), (400, "TooManyBuckets")),
    Row(8, "a bucket without indexes is deleted", bucket_("DELETE", "brief"), GONE,
        before=(bucket_(name="brief"),)),
    Row(8, "one with an index is not", bucket_("DELETE"), (409, "VectorBucketNotEmpty")),
    Row(8, "one that is not there is not", bucket_("DELETE", "no-bucket"), NO_BUCKET),
    Row(8, "the name of a deleted bucket is not free for hours", bucket_(name="twice"),
        (409, "BucketNameNotAvailable"),
        before=(bucket_(name="twice"), bucket_("DELETE", "twice")),
        differs="name of a deleted bucket"),
    Row(8, "what is not there is not described", info("no-bucket"), NO_BUCKET),
    Row(8, "a whole listing has no members of pages", buckets(), OK,
        (["aa1", "aa2", "bb1"], {}), pages),
    Row(8, "names in it are ARNs", buckets("max-keys=1"), OK,
        "acs:ossvector:cn-hangzhou:7890000000000003:aa1",
        lambda found: found["ListAllMyBucketsResult"]["Buckets"][0]["Name"]),
    Row(8, "a page tells where it ends", buckets("max-keys=2"), OK,
        (["aa1", "aa2"], {"Prefix": "", "Marker": "", "MaxKeys": 2, "IsTruncated": True,
                          "NextMarker": "aa2"}), pages),
    Row(8, "from behind a marker", buckets("marker=aa2"), OK, ["bb1"], plain),
    Row(8, "by prefix", buckets("prefix=aa"), OK, ["aa1", "aa2"], plain),
    Row(8, "100 by default", buckets(as_key="rich"), OK, 100, lambda found: len(plain(found))),
    Row(8, "1,000", buckets("max-keys=1000"), OK, ["aa1", "aa2", "bb1"], plain),
    Row(8, "1,001", buckets("max-keys=1001"), ARGUMENT, differs="max-keys out of its range"),
    Row(8, "0", buckets("max-keys=0"), ARGUMENT, differs="max-keys out of its range"),
    Row(8, "of one resource group", buckets(headers={"x-oss-resource-group-id": "rg-1"}), OK,
        ["aa2"], plain),
    Row(8, "of a resource group without buckets",
        buckets(headers={"x-oss-resource-group-id": "rg-2"}), OK, [], plain),
    Row(8, "of every resource group", buckets(), OK, ["aa1", "aa2", "bb1"], plain,
        differs="a listing of buckets that names no resource group"),
    Row(1, "as the SDK for Java asks", buckets("max-keys=1&prefix=bb&vector="), OK, ["bb1"],
        plain),
]  # fmt: skip


def logging(enabled, bucket="rules"):
    body = json.dumps({"BucketLoggingStatus": {"LoggingEnabled": enabled}}).encode()
    return Ask("PUT", "logging", body, bucket)


TARGET = {"TargetBucket": "logs", "TargetPrefix": "log-prefix", "LoggingRole": "role"}
STATEMENT = {"Effect": "Deny", "Action": ["oss:PutVectors"], "Principal": ["9"], "Resource": ["*"]}


def policy(bucket="rules", version="1", **members):
    text = json.dumps({"Version": version, "Statement": [STATEMENT | members]}, indent=1)
    return Ask("PUT", "policy", text.encode(), bucket)


def setting(method, name, bucket="rules"):
    return Ask(method, name, bucket=bucket)


BAD_POLICY, MISSING = (400, "InvalidPolicyDocument"), (501, "NotImplemented")
SETTINGS = [
    Row(1, "logging is kept", setting("GET", "logging"), OK,
        {"BucketLoggingStatus": {"LoggingEnabled": TARGET}}, before=(logging(TARGET),),
        differs="access logging"),
    Row(1, "logging off is there and empty", setting("GET", "logging"), OK,
        {"BucketLoggingStatus": {"LoggingEnabled": {}}}, before=(setting("DELETE", "logging"),)),
    Row(1, "deleting it is 204, also twice", setting("DELETE", "logging"), GONE,
        before=(setting("DELETE", "logging"),)),
    Row(1, "a body that is no JSON", Ask("PUT", "logging", b"<a/>"), MALFORMED),
    Row(1, "logging without a status", Ask("PUT", "logging", b"{}"), ARGUMENT,
        differs="logging settings without BucketLoggingStatus"),
    Row(1, "logging of a bucket that is not there", logging(TARGET, "no-bucket"), NO_BUCKET),
    Row(10, "a policy comes back as it was put", setting("GET", "policy"), OK,
        {"Version": "1", "Statement": [STATEMENT]}, before=(policy(),)),
    Row(10, "a policy is deleted", setting("GET", "policy"), (404, "NoSuchBucketPolicy"),
        before=(policy(), setting("DELETE", "policy")), differs="a bucket without a policy"),
    Row(10, "deleting none is 204", setting("DELETE", "policy"), GONE,
        before=(setting("DELETE", "policy"),)),
    Row(10, "another version", policy(version="2"), BAD_POLICY, differs="a policy of another form"),
    Row(10, "another effect", policy(Effect="Maybe"), BAD_POLICY,
        differs="a policy of another form"),
    Row(10, "no action", policy(Action=[]), BAD_POLICY, differs="a policy of another form"),
    Row(10, "a condition", policy(Condition={"Bool": {"acs:SecureTransport": "true"}}), MISSING,
        differs="a Condition or negated element in a policy"),
    Row(10, "no JSON", Ask("PUT", "policy", b"no JSON"), MALFORMED),
    Row(10, "of a bucket that is not there", policy("no-bucket"), NO_BUCKET),
    Row(9, "a Fusion index", post("putVectorIndexFusion", "fusion", mode="fusion"), MISSING,
        differs="Fusion mode"),
    Row(9, "a Fusion query", post("queryVectorsFusion", "fusion", limit=1), MISSING,
        differs="Fusion mode"),
]  # fmt: skip


def reading(bucket, as_key="owner", **own):
    return post("getVectors", "flat", keys=["a"], bucket=bucket, as_key=as_key, **own)


def writing(bucket, as_key="owner"):
    return post("deleteVectors", "flat", keys=["a"], bucket=bucket, as_key=as_key)


NONE = {"vectors": []}
POLICIES = [
    Row(10, "oss: denies", reading("deny-oss"), DENIED, differs="a Deny in a policy"),
    Row(10, "and nothing else than what it names", writing("deny-oss"), GONE),
    Row(10, "ossvector: denies, the account by its id", reading("deny-vector"), DENIED),
    Row(10, "what is about an index", post("getVectorIndex", "flat", bucket="deny-index"), DENIED),
    Row(10, "and what is about its vectors not", reading("deny-index"), OK, NONE),
    Row(16, "the resource with bucket/ denies", reading("deny-slash"), DENIED),
    Row(10, "of another region it does not", reading("deny-region"), OK, NONE),
    Row(10, "everything denied", info("deny-all"), DENIED),
    Row(10, "the owner takes the policy away all the same", setting("GET", "policy", "deny-all"),
        OK, differs="a Deny in a policy"),
    Row(10, "a RAM user may do nothing unless it is allowed", reading("rules", "user"), DENIED,
        differs="RAM users"),
    Row(10, "a RAM user by name", reading("allow-user", "user"), OK, NONE,
        differs="a bare user name in a policy"),
    Row(10, "for what is allowed alone", writing("allow-user", "user"), DENIED),
    Row(10, "a RAM user by ARN", reading("allow-arn", "user"), OK, NONE),
    Row(10, "another account by id", reading("allow-guest", "guest"), OK, NONE),
    Row(10, "and not where it is not named", reading("rules", "guest"), DENIED),
    Row(16, "anybody, signed", reading("allow-all", "guest"), OK, NONE),
    Row(16, "anybody, not signed", reading("allow-all", sign=False), OK, NONE,
        differs="anonymous callers"),
    Row(16, "not signed, for what is not allowed",
        Ask("GET", "bucketInfo", bucket="allow-all", sign=False), DENIED),
    Row(10, "a pattern of actions", writing("allow-all", "guest"), GONE),
    Row(10, "Deny beats Allow", writing("mixed", "guest"), DENIED),
    Row(10, "Allow where nothing denies", reading("mixed", "guest"), OK, NONE),
]  # fmt: skip

pytestmark = pytest.mark.promise("R16")


@table(*PUT_INDEX, *LIST_INDEXES, *BUCKETS, *SETTINGS, *POLICIES)
def test_of_indexes_and_buckets(wire, row):
    check(wire, row)


def test_a_made_bucket_says_where_it_is(wire):
    assert wire.send(bucket_(name="located")).headers["location"] == "/located"


def test_a_policy_comes_back_byte_for_byte(wire):
    put = policy()
    assert wire.send(put).status == 200
    assert wire.send(setting("GET", "policy")).body == put.body
    assert wire.send(setting("DELETE", "policy")).status == 204
