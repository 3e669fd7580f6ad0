import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import orjson
import pytest
from support.presigning import presigned_query

from oss_vector_retriever.client import signing
from oss_vector_retriever.client.models.messages import Request
from oss_vector_retriever.emulator import (
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_KEY,
    AccessKey,
    ManualClock,
)


@pytest.fixture
def still(make_caller, clock):
    """Return a caller whose service's clock stands still."""
    return make_caller(clock=clock)


def ask(caller, request):
    reply = caller.service.handle(request)
    return reply.status, orjson.loads(reply.body).get("Error", {}).get("Code")


def presigned(caller, clock, *, method="GET", expires=600, token=None, query="bucketInfo"):
    resource = signing.resource_name("cn-hangzhou", DEVELOPMENT_ACCOUNT_ID, "development-bucket")
    stamp = signing.timestamp(clock.now)
    signed = presigned_query(
        signing.Signable(method, resource, query, {}),
        caller.key.id,
        caller.key.secret,
        stamp,
        signing.Scope(stamp[:8], "cn-hangzhou"),
        expires=expires,
        security_token=token,
    )
    return Request(method, "http://127.0.0.1:9000", "/development-bucket/", signed)


def test_a_presigned_url_works_until_it_expires(still, clock):
    request = presigned(still, clock)
    clock.advance(600)
    assert ask(still, request)[0] == 200
    clock.advance(1)
    assert ask(still, request) == (403, "AccessDenied")


def test_a_presigned_url_is_not_valid_long_before_its_date(still, clock):
    request = presigned(still, clock)
    clock.advance(-901)
    assert ask(still, request) == (403, "AccessDenied")


def test_a_presigned_url_cannot_be_changed(still, clock):
    request = presigned(still, clock)
    longer = replace(request, query=request.query.replace("expires=600", "expires=601"))
    other = replace(request, query=request.query.replace("bucketInfo", "policy"))
    for changed in (longer, other):
        assert ask(still, changed) == (403, "SignatureDoesNotMatch")


def test_a_presigned_url_of_another_version_is_refused(still, clock):
    request = presigned(still, clock)
    query = request.query.replace("OSS4-HMAC-SHA256", "OSS2")
    assert ask(still, replace(request, query=query)) == (400, "InvalidArgument")


@pytest.mark.parametrize("expires", ["0", "604801", "-1", "x", "1e3", "٣"])
def test_a_presigned_url_needs_a_sane_expiry(still, clock, expires):
    request = presigned(still, clock)
    query = request.query.replace("expires=600", f"expires={expires}")
    assert ask(still, replace(request, query=query)) == (400, "InvalidArgument")


@pytest.mark.parametrize(
    ("pattern", "replacement", "ec"),
    [
        ("x-oss-expires=[^&]*&?", "", "0002-00000215"),
        ("x-oss-credential=[^&]*&?", "", "0002-00000217"),
        ("x-oss-signature=[^&]*&?", "", "0002-00000219"),
        ("x-oss-signature=[^&]*", "x-oss-signature=", "0002-00000220"),
        ("aliyun_v4_request", "abc", "0002-00000224"),
    ],
)
def test_a_faulty_presigned_url_is_refused_with_its_ec(still, clock, pattern, replacement, ec):
    request = presigned(still, clock)
    query = re.sub(pattern, replacement, request.query)
    assert query != request.query
    reply = still.service.handle(replace(request, query=query))
    assert (reply.status, reply.headers["x-oss-ec"]) == (400, ec)
    assert orjson.loads(reply.body)["Error"]["EC"] == ec


def test_a_presigned_url_may_be_used_with_the_mark_of_an_unsigned_payload_only(still, clock):
    request = presigned(still, clock)
    for mark, status in (("UNSIGNED-PAYLOAD", 403), ("deadbeef", 400)):
        # what is added is signed too, so the right mark fails at the signature
        marked = replace(request, headers={"x-oss-content-sha256": mark})
        assert ask(still, marked)[0] == status


def test_a_presigned_url_carries_its_token(make_caller, clock):
    key = AccessKey("sts", "secret", DEVELOPMENT_ACCOUNT_ID, security_token="token")
    caller = make_caller(clock=clock, access_keys=[key, DEVELOPMENT_KEY])
    caller.key = key
    assert ask(caller, presigned(caller, clock, token="token"))[0] == 200
    assert ask(caller, presigned(caller, clock)) == (403, "InvalidSecurityToken")


@pytest.mark.parametrize("changed", ["", "x-oss-security-token=other", "x-oss-security-token="])
def test_the_token_of_a_presigned_url_cannot_be_changed(make_caller, clock, changed):
    # the key takes whatever token the URL then has: it is the signature that no longer fits
    key = AccessKey("sts", "secret", DEVELOPMENT_ACCOUNT_ID, security_token="token")
    token = changed.partition("=")[2]
    twin = AccessKey("sts", "secret", DEVELOPMENT_ACCOUNT_ID, security_token=token or None)
    signer, caller = make_caller(access_keys=[key]), make_caller(clock=clock, access_keys=[twin])
    signer.key = key
    request = presigned(signer, clock, token="token")
    query = request.query.replace("x-oss-security-token=token", changed).replace("&&", "&")
    assert ask(caller, replace(request, query=query)) == (403, "SignatureDoesNotMatch")


def test_a_presigned_write_is_carried_out_by_whoever_holds_it(still, clock):
    body = b'{"indexName":"new","dataType":"float32","dimension":1,"distanceMetric":"cosine"}'
    request = replace(presigned(still, clock, query="putVectorIndex", method="POST"), body=body)
    assert still.service.handle(request).status == 200
    assert still.service.handle(request).status == 409


def test_how_long_it_holds_goes_by_the_clock_that_signed_it(make_caller):
    clock = ManualClock()
    caller = make_caller(clock=clock)
    now = datetime.now(UTC)
    for moved in (0, 3600, 30 * 24 * 3600):
        clock.advance(moved)
        for seconds, expected in (
            (0, (200, None)),
            (-590, (200, None)),
            (-610, (403, "AccessDenied")),  # it has expired
            (3600, (403, "AccessDenied")),  # it is not valid yet
        ):
            signed = SimpleNamespace(now=now + timedelta(seconds=seconds))
            assert ask(caller, presigned(caller, signed)) == expected
