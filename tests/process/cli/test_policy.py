"""Who follows the advice of a refusal may do, from then on, what was refused, and nothing else."""

import shlex

import pytest
from support.command_line import call

from oss_vector_retriever import OSSVectorClient, emulator
from oss_vector_retriever.cli.catalogue import LEVELS

ACCOUNT, BUCKET = emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET
USER = emulator.AccessKey("worker-key", "worker-secret", ACCOUNT, user="worker")
LOGGING = '{"LoggingEnabled": {"TargetBucket": "b"}}'
COMMANDS = {
    "GetVectors": "get-vectors --keys a",
    "PutVectors": """put-vectors --vectors '[{"key": "b", "data": [1, 2]}]'""",
    "ListVectors": "list-vectors",
    "QueryVectors": "query-vectors --query-vector '[1, 2]'",
    "DeleteVectors": "delete-vectors --keys a",
    "GetVectorIndex": "get-vector-index",
    "PutVectorIndex": "vectors-api put-vector-index --index-name other",
    "DeleteVectorIndex": "delete-vector-index --index-name notes",
    "ListVectorIndexes": "list-vector-indexes",
    "GetVectorBucket": "get-vector-bucket",
    "DeleteVectorBucket": "delete-vector-bucket",
    "GetBucketPolicy": "get-bucket-policy",
    "PutBucketPolicy": "put-bucket-policy --body file://policy.json",
    "DeleteBucketPolicy": "delete-bucket-policy",
    "GetBucketLogging": "get-bucket-logging",
    "PutBucketLogging": f"put-bucket-logging --bucket-logging-status '{LOGGING}'",
    "DeleteBucketLogging": "delete-bucket-logging",
}
# a bucket's policy cannot grant these, and there is no Fusion here
OTHERS = {"ListVectorBuckets", "PutVectorBucket", "PutVectorIndexFusion", "QueryVectorsFusion"}


@pytest.fixture(scope="module")
def server():
    keys = [emulator.DEVELOPMENT_KEY, USER]
    service = emulator.Service.in_memory(access_keys=keys)
    with service, emulator.Server(service) as server:
        yield server


@pytest.fixture
def owner(server, monkeypatch):
    """Give the owner's client of a bucket with one index, and let the environment be the user's."""
    server.service.create_bucket(ACCOUNT, BUCKET)
    place = {
        "OSS_ENDPOINT": server.endpoint,
        "OSS_REGION": emulator.DEVELOPMENT_REGION,
        "OSS_ACCOUNT_ID": ACCOUNT,
        "OSS_VECTORS_BUCKET": BUCKET,
        "OSS_VECTORS_INDEX": "notes",
        "OSS_ACCESS_KEY_ID": USER.id,
        "OSS_ACCESS_KEY_SECRET": "worker-secret",
    }
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    key = (emulator.DEVELOPMENT_ACCESS_KEY_ID, emulator.DEVELOPMENT_ACCESS_KEY_SECRET)
    with OSSVectorClient(credentials=key) as owner:
        owner.put_vector_index(dimension=2)
        owner.put_vectors([{"key": "a", "data": [1, 2]}])
        yield owner
    with OSSVectorClient(credentials=key) as owner:
        if BUCKET in [bucket.name for bucket in owner.iter_vector_buckets()]:
            owner.delete_bucket_policy()
            for index in owner.list_vector_indexes():
                owner.delete_vector_index(index=index.index_name)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_that_a_refusal_names_prints_what_lets_it_pass(
    owner, tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.json").write_text('{"Version": "1", "Statement": []}')
    words = shlex.split(COMMANDS[name])
    refused = call(*words)
    assert refused.status == 1
    _, advised, _ = refused.errors.split("`")
    assert advised.startswith("oss-vectors policy --for ")
    index = ("--index-name", "other") if name == "PutVectorIndex" else ()
    granted = call(*advised.split()[1:], "--principal", "worker", *index)
    assert granted.status == 0, granted.errors
    (tmp_path / "policy.json").write_text(granted.output)
    owner.put_bucket_policy(granted.json)
    others = {other: call(*shlex.split(line)).status for other, line in COMMANDS.items()
              if other != name and LEVELS[other] != "bucket"}  # fmt: skip
    assert set(others.values()) <= {1}, others
    if name == "DeleteVectorBucket":
        owner.delete_vector_index(index="notes")
    passed = call(*words)
    assert passed.status == 0, passed.errors


def test_there_is_a_command_for_each_operation():
    assert set(COMMANDS) | OTHERS == set(LEVELS)


def test_a_python_program_is_told_the_same(owner):
    del owner
    with (
        OSSVectorClient() as client,
        pytest.raises(Exception, match="`oss-vectors policy --for get-vectors` prints what to"),
    ):
        client.fetch(["a"])
