"""A service with one thing of each kind that the rules speak of, asked in raw bytes alone."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from support.raw_rules import post, put, vector
from support.raw_wire import Ask, Signer, Wire

from oss_vector_retriever import emulator
from oss_vector_retriever.emulator import faults

REGION = "cn-hangzhou"
SIGNERS = {
    "owner": Signer("owner-id", "owner-secret", "1230000000000001", REGION),
    "user": Signer("user-id", "user-secret", "1230000000000001", REGION),
    "stranger": Signer("stranger-id", "stranger-secret", "4560000000000002", REGION),
    # of another account, asking for a bucket of the owner's
    "guest": Signer("stranger-id", "stranger-secret", "1230000000000001", REGION),
    "temporary": Signer("temporary-id", "temporary-secret", "1230000000000001", REGION, "token"),
    "ended": Signer("ended-id", "ended-secret", "1230000000000001", REGION, "token"),
    "disabled": Signer("disabled-id", "disabled-secret", "1230000000000001", REGION),
    "unknown": Signer("unknown-id", "unknown-secret", "1230000000000001", REGION),
    "forger": Signer("owner-id", "another-secret", "1230000000000001", REGION),
    "lister": Signer("lister-id", "lister-secret", "7890000000000003", REGION),
    "north": Signer("owner-id", "owner-secret", "1230000000000001", "cn-beijing"),
    "rich": Signer("rich-id", "rich-secret", "9990000000000004", REGION),
}
KNOWN = {
    "user": {"user": "alice"},
    "temporary": {"security_token": "token"},
    "ended": {"security_token": "token", "expires": datetime.now(UTC) - timedelta(hours=1)},
    "disabled": {"enabled": False},
}
MEGABYTE = 1024 * 1024


def statement(effect, action, resource, principal="*", **more):
    """Return a statement of a policy."""
    own = {"Effect": effect, "Action": [action], "Principal": [principal], "Resource": [resource]}
    return own | more


# Each in a bucket of its own, beside an empty index `flat`.
OWNER, STRANGER = SIGNERS["owner"].account, SIGNERS["stranger"].account
ARN = f"acs:ossvector:{REGION}:{OWNER}"
POLICIES = {
    "deny-oss": [statement("Deny", "oss:GetVectors", f"{ARN}:deny-oss/*")],
    "deny-vector": [statement("Deny", "ossvector:GetVectors", "acs:ossvector:*:*:*", OWNER)],
    "deny-index": [statement("Deny", "oss:*", f"{ARN}:deny-index/flat")],
    "deny-slash": [statement("Deny", "oss:GetVectors", f"{ARN}:bucket/deny-slash/*")],
    "deny-region": [statement("Deny", "oss:GetVectors", "acs:ossvector:cn-beijing:*:*")],
    "deny-all": [statement("Deny", "oss:*", "*")],
    "allow-user": [statement("Allow", "oss:GetVectors", f"{ARN}:allow-user/*", "alice")],
    "allow-arn": [
        statement("Allow", "oss:GetVectors", "acs:ossvector:*:*:*", f"acs:ram::{OWNER}:user/alice")
    ],
    "allow-guest": [statement("Allow", "oss:GetVectors", f"{ARN}:allow-guest/*", STRANGER)],
    "allow-all": [statement("Allow", "oss:*Vectors", f"{ARN}:allow-all/*")],
    "mixed": [
        statement("Allow", "oss:*", f"{ARN}:mixed*"),
        statement("Deny", "oss:DeleteVectors", f"{ARN}:mixed/*"),
    ],
}


def make_index(name, dimension=2, metric="euclidean", hidden=(), **own):
    """Return a PutVectorIndex request."""
    members = {"dataType": "float32", "dimension": dimension, "distanceMetric": metric}
    if hidden:
        members["metadata"] = {"nonFilterableMetadataKeys": list(hidden)}
    return post("putVectorIndex", name, **members, **own)


def policy(statements, bucket, **own):
    """Return a PutBucketPolicy request."""
    body = json.dumps({"Version": "1", "Statement": statements}).encode()
    return Ask("PUT", "policy", body, bucket, **own)


def things():
    """Yield the requests that make everything."""
    yield Ask("PUT", bucket="rules")
    yield make_index("flat", hidden=["text"])
    yield put(
        "flat",
        vector("a", 1, 0, kind="x", tags=["p", "q"], text="long"),
        vector("b", 0, 2, kind="y"),
        vector("c", 3, 4),
        vector("д", 5, 5, kind="д"),
    )
    yield make_index("angle", metric="cosine")
    yield put("angle", vector("e", 1, 0), vector("f", 0, 2), vector("g", -3, 0))
    yield make_index("many", 1)
    for start in (0, 500, 1000):
        end = min(start + 500, 1001)
        yield put("many", *(vector(f"k{n:04}", n) for n in range(start, end)))
    yield make_index("lone", 1)
    yield put("lone", vector("vector-key-1", 1))
    yield make_index("scratch", hidden=["text"])
    yield make_index("typed")
    yield put("typed", vector("one", 1, 0, n=1, yes=True), vector("ten", 1, 1, n=10, yes=False))
    yield Ask("PUT", bucket="full")
    for n in range(100):
        yield make_index(f"i{n:03}", 1, bucket="full")
    yield Ask("PUT", bucket="north", as_key="north")
    yield make_index("flat", bucket="north", as_key="north")
    yield put("flat", vector("a", 1, 0), bucket="north", as_key="north")
    for bucket, statements in POLICIES.items():
        yield Ask("PUT", bucket=bucket)
        yield make_index("flat", bucket=bucket)
        yield policy(statements, bucket)
    for bucket, group in (("aa1", None), ("aa2", "rg-1"), ("bb1", None)):
        headers = {"x-oss-resource-group-id": group, "x-oss-bucket-tagging": "k1=v1&k2=v2"}
        yield Ask("PUT", bucket=bucket, headers=headers, as_key="lister")
    for n in range(100):
        yield Ask("PUT", bucket=f"rich-{n:02}", as_key="rich")


@pytest.fixture(scope="session")
def raw_server():
    """Return a server whose switches stand as the documentation has it."""
    keys = [
        emulator.AccessKey(one.key, one.secret, one.account, **KNOWN.get(name, {}))
        for name, one in SIGNERS.items()
        if name not in ("guest", "unknown", "forger", "north")
    ]
    behaviour = emulator.Behaviour(filter_after_ranking=True, bucket_name_kept_seconds=4 * 3600)
    options = {"access_keys": keys, "behaviour": behaviour, "max_body_bytes": 2 * MEGABYTE}
    with emulator.Service(**options) as service, emulator.Server(service) as running:
        yield running


@pytest.fixture
def break_once(raw_server):
    """Return a function that has the next request refused with a code."""
    service_faults = raw_server.service.faults
    kinds = {"QpsLimitExceeded": faults.Throttle, "InternalError": faults.ServerError}
    yield lambda code: service_faults.add(kinds[code]())
    service_faults.clear()


@pytest.fixture(scope="session")
def wire(raw_server):
    """Return a connection to a service with everything that the rules speak of."""
    wire = Wire(raw_server.endpoint, SIGNERS)
    for ask in things():
        reply = wire.send(ask)
        assert reply.status == 200, (ask, reply)
    yield wire
    wire.close()
