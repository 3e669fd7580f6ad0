"""ossutil's documented lines run as they stand: those of the table in docs/command-line.md.

Only the program's name is another. Where the service is, the environment says, as a user's would.
"""

import json
import re
import shlex
import xml.etree.ElementTree as ET
from itertools import count
from pathlib import Path

import pytest
import yaml
from support.command_line import call, run

from oss_vector_retriever import OSSVectorClient, emulator

PAGE = Path(__file__).parents[3] / "docs" / "command-line.md"
ROW = re.compile(r"^\| `ossutil (vectors-api .+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)
LINES = {line: page for line, page, _ in ROW.findall(PAGE.read_text(encoding="utf-8"))}
REGION = emulator.DEVELOPMENT_REGION
VECTORS = [
    {"key": "key", "data": [1], "metadata": {"type": "comedy"}},
    {"key": "key1", "data": [30], "metadata": {"type": "documentary"}},
    {"key": "other", "data": [32], "metadata": {"type": "drama"}},
]
POLICY = {
    "Version": "1",
    "Statement": [
        {
            "Action": ["oss:PutVectors", "oss:GetVectors"],
            "Effect": "Deny",
            "Principal": ["1234567890"],
            "Resource": ["acs:ossvector:cn-hangzhou:1234567890:*"],
        }
    ],
}
LOGGING = {
    "BucketLoggingStatus": {
        "LoggingEnabled": {
            "TargetBucket": "examplebucket",
            "TargetPrefix": "MyLog-",
            "LoggingRole": "AliyunOSSLoggingDefaultRole",
        }
    }
}
# the pages' own files, under the names that their lines have
FILES = {
    "vectors.json": [{"data": {"float32": [1]}, "key": "vector1", "metadata": {"Key1": "32"}}],
    "vector-policy.json": POLICY,
    "bucket-logging-status.json": LOGGING,
}
numbers = count()


@pytest.fixture(scope="module")
def server():
    with emulator.Service.in_memory() as service, emulator.Server(service) as server:
        yield server


@pytest.fixture
def place(server, monkeypatch, tmp_path):
    """Give an account of its own to each line, which the environment names."""
    account = str(7000000000000000 + next(numbers))
    key = emulator.AccessKey(f"id-{account}", "a-secret", account)
    service = server.service
    service.set_access_keys([*service.access_keys.values(), key])
    for name, value in {
        "OSS_ENDPOINT": server.endpoint,
        "OSS_REGION": REGION,
        "OSS_ACCOUNT_ID": account,
        "OSS_ACCESS_KEY_ID": key.id,
        "OSS_ACCESS_KEY_SECRET": "a-secret",
    }.items():
        monkeypatch.setenv(name, value)
    for name, content in FILES.items():
        (tmp_path / name).write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    return service, account


def prepare(words, place):
    """Make what a line is about, and return the bucket's client."""
    service, account = place
    name = words[1]
    bucket = words[words.index("--bucket") + 1] if "--bucket" in words else "mybucket"
    client = OSSVectorClient(bucket=bucket, index="index")
    if name == "put-vector-bucket":
        return client
    service.create_bucket(account, bucket)
    if name == "list-vector-buckets":
        service.create_bucket(account, "another")
    if name == "delete-vector-bucket":
        return client
    client.put_vector_index(dimension=1, distance_metric="euclidean", index="example1")
    if name != "put-vector-index":
        client.put_vector_index(dimension=1, distance_metric="euclidean")
        client.put_vectors(VECTORS)
    if "policy" in name and not name.startswith("put"):
        client.put_bucket_policy(POLICY)
    if "logging" in name and not name.startswith("put"):
        client.put_bucket_logging(target_bucket="examplebucket")
    return client


def keys_of(client):
    return sorted(vector.key for vector in client.iter_vectors())


def indexes_of(client):
    return sorted(index.index_name for index in client.iter_vector_indexes())


def members(vectors, *names):
    """Return what is answered of vectors, with those members besides the key."""
    api = [{**vector, "data": {"float32": vector["data"]}} for vector in vectors]
    return [{name: vector[name] for name in ("key", *names)} for vector in api]


def shown_indexes(done):
    return [index["indexName"] for index in done.json["indexes"]]


def shown_buckets(done):
    found = done.json["ListAllMyBucketsResult"]["Buckets"]
    return [bucket["Name"].rpartition(":")[2] for bucket in found]


def bucket_named(info, client):
    account = client.config.account_id
    return info["Name"] == f"acs:ossvector:{REGION}:{account}:examplebucket"


def new_index(client, hidden=()):
    found = client.get_vector_index()
    shape = (found.dimension, found.distance_metric, found.data_type)
    return shape == (512, "euclidean", "float32") and found.non_filterable_metadata_keys == hidden


def written(client):
    (vector,) = client.fetch(["vector1"], return_data=True, return_metadata=True)
    return vector.data.tolist() == [1.0] and vector.metadata == {"Key1": "32"}


def fetched(done, *names):
    return done.json == {"vectors": members(VECTORS[:2], *names), "missing": []}


def logged(client):
    found = client.get_bucket_logging()
    return (found.target_bucket, found.target_prefix) == ("examplebucket", "MyLog-")


def resources(client):
    return [one for part in client.get_bucket_policy()["Statement"] for one in part["Resource"]]


def refused(done, said):
    return done.status == 1 and said in done.errors and done.output == ""


_B, _I = "--bucket examplebucket", "--bucket examplebucket --index-name index"
# What has come of a line when it has run: each by the beginning of the line, and what it has in it.
OUTCOMES = [
    ("put-vector-bucket", "", lambda _, c: bucket_named(c.get_vector_bucket().to_api(), c)),
    ("get-vector-bucket", "xml", lambda d, c: bucket_named(
        {e.tag: e.text for e in ET.fromstring(d.output).find("BucketInfo")}, c)),
    ("get-vector-bucket", "yaml", lambda d, c: bucket_named(
        yaml.safe_load(d.output)["BucketInfo"], c)),
    ("get-vector-bucket", "", lambda d, c: bucket_named(d.json["BucketInfo"], c)),
    ("list-vector-buckets", "--prefix my", lambda d, _: shown_buckets(d) == ["mybucket"]),
    ("list-vector-buckets", "", lambda d, _: shown_buckets(d) == ["another", "mybucket"]),
    ("delete-vector-bucket", "", lambda _, c: [*c.iter_vector_buckets()] == []),
    ("put-vector-index", "--metadata", lambda _, c: new_index(c, ("owner", "createdBy"))),
    ("put-vector-index", "", lambda _, c: new_index(c)),
    ("get-vector-index", "", lambda d, _: (
        d.json["index"]["indexName"], d.json["index"]["dimension"]) == ("index", 1)),
    ("list-vector-indexes", "--prefix example", lambda d, _: shown_indexes(d) == ["example1"]),
    ("list-vector-indexes", "", lambda d, _: shown_indexes(d) == ["example1", "index"]),
    ("delete-vector-index", "", lambda _, c: indexes_of(c) == ["example1"]),
    ("put-vectors", "", lambda _, c: written(c)),
    ("get-vectors", "--return-data --return-metadata",
     lambda d, _: fetched(d, "data", "metadata")),
    ("get-vectors", "--return-data", lambda d, _: fetched(d, "data")),
    ("get-vectors", "--return-metadata", lambda d, _: fetched(d, "metadata")),
    ("get-vectors", "", lambda d, _: fetched(d)),
    ("list-vectors", "--next-token example", lambda d, _: refused(d, "VectorIndexParameterInv")),
    ("list-vectors", "--return-data", lambda d, _: d.json["vectors"] == members(VECTORS, "data")),
    ("list-vectors", "--return-metadata",
     lambda d, _: d.json["vectors"] == members(VECTORS, "metadata")),
    ("list-vectors", "", lambda d, _: d.json["vectors"] == members(VECTORS)),
    ("query-vectors", "", lambda d, _: [v["key"] for v in d.json["vectors"]] == ["key1", "key"]),
    ("delete-vectors", "", lambda _, c: keys_of(c) == ["other"]),
    ("put-bucket-policy", "file://", lambda _, c: c.get_bucket_policy() == POLICY),
    ("put-bucket-policy", "", lambda _, c: resources(c) == [
        "acs:ossvector:cn-hangzhou:1234567890:bucket/vector-example/*"]),
    ("get-bucket-policy", "", lambda d, _: d.json == POLICY),
    ("delete-bucket-policy", "", lambda _, c: call(
        "get-bucket-policy", "--bucket", c.config.bucket).status == 1),
    ("put-bucket-logging", "", lambda _, c: logged(c)),
    ("delete-bucket-logging", "", lambda _, c: c.get_bucket_logging() is None),
    ("invoke-operation", "queryVectorsFusion", lambda d, _: refused(d, "QueryVectorsFusion")),
]  # fmt: skip
REFUSED = ("--next-token example", "queryVectorsFusion")


def outcome_of(line):
    return next(
        outcome
        for name, inside, outcome in OUTCOMES
        if f"{line} ".startswith(f"vectors-api {name} ") and inside in line
    )


@pytest.mark.parametrize("line", LINES)
def test_a_documented_line_runs_as_it_stands(place, line):
    words = shlex.split(line)
    with prepare(words, place) as client:
        done = call(*words)
        refusal = any(part in line for part in REFUSED) and "list-vector-indexes" not in line
        assert done.status == (1 if refusal else 0), done.errors
        assert outcome_of(line)(done, client)


def test_there_are_enough_lines_and_an_outcome_for_each_kind():
    assert len(LINES) - len(REFUSED) >= 25
    used = {id(outcome_of(line)) for line in LINES}
    assert used == {id(outcome) for _, _, outcome in OUTCOMES}
    assert all(LINES.values())  # each says its page


def test_a_line_runs_as_a_process_of_its_own(place):
    line = next(line for line in LINES if "--keys key,key1 --return-data" in line)
    with prepare(shlex.split(line), place):
        assert fetched(run(*shlex.split(line)), "data")
