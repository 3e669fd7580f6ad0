import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from oss_vector_retriever.client import signing
from oss_vector_retriever.client.models.messages import Request
from oss_vector_retriever.emulator import AccessKey

ACCOUNT = "1000000000000001"


@pytest.fixture
def still(make_caller, clock):
    """Return a caller whose service's clock stands still."""
    return make_caller(clock=clock)


def outcome(reply):
    error = orjson.loads(reply.body).get("Error", {})
    return reply.status, error.get("Code"), error.get("EC")


def ask(caller, request):
    return outcome(caller.service.handle(request))


def info(caller, clock, **other):
    return caller.sign("GET", "bucketInfo", now=clock.now, **other)


def with_header(request, name, change):
    headers = dict(request.headers)
    headers[name] = change(headers.get(name, ""))
    return replace(request, headers=headers)


def test_a_signed_request_is_answered(still, clock):
    assert ask(still, info(still, clock))[0] == 200


def test_an_unsigned_request_is_denied(still):
    request = Request("GET", "http://127.0.0.1:9000", "/development-bucket/", "bucketInfo")
    assert ask(still, request) == (403, "AccessDenied", None)


def test_an_unknown_key_is_named_so(still, clock):
    still.key = AccessKey("unknown", still.key.secret, ACCOUNT)
    assert ask(still, info(still, clock)) == (403, "InvalidAccessKeyId", None)


def test_a_wrong_secret_does_not_match(still, clock):
    still.key = AccessKey(still.key.id, "wrong", ACCOUNT)
    assert ask(still, info(still, clock)) == (403, "SignatureDoesNotMatch", "0002-00000201")


@pytest.mark.parametrize(
    "change",
    [
        lambda r: replace(r, method="DELETE", query="policy"),
        lambda r: replace(r, query="policy"),
        lambda r: replace(r, path="/another-bucket/"),
        lambda r: with_header(r, "content-type", lambda _: "text/plain"),
        lambda r: with_header(r, "x-oss-resource-group-id", lambda _: "group"),
        lambda r: with_header(
            r, "authorization", lambda v: v[:-1] + ("0" if v[-1] != "0" else "1")
        ),
    ],
    ids=["method", "query", "bucket", "content-type", "added x-oss header", "signature"],
)
def test_whatever_is_signed_cannot_be_changed(still, clock, change):
    request = change(info(still, clock))
    assert ask(still, request) == (403, "SignatureDoesNotMatch", "0002-00000201")


def test_what_is_not_signed_may_change(still, clock):
    request = with_header(info(still, clock), "user-agent", lambda _: "another")
    assert ask(still, request)[0] == 200


@pytest.mark.parametrize(("seconds", "status"), [(900, 200), (-900, 200), (901, 403), (-901, 403)])
def test_the_clock_may_be_fifteen_minutes_off(still, clock, seconds, status):
    moment = clock.now + timedelta(seconds=seconds)
    reply = still.send("GET", "bucketInfo", now=moment)
    assert reply.status == status
    if status == 403:
        assert outcome(reply)[1:] == ("RequestTimeTooSkewed", "0002-00000504")


def test_the_scope_must_be_of_the_day_and_the_region(still, clock):
    def swap(old, new):
        return with_header(info(still, clock), "authorization", lambda v: v.replace(old, new))

    for request in (
        info(still, clock, region="us-east-1"),
        swap("/20260901/", "/20260831/"),
        swap("/oss/", "/ecs/"),
    ):
        assert ask(still, request)[:2] == (403, "SignatureDoesNotMatch")


def test_the_account_in_the_host_is_part_of_the_signature(still, clock):
    origin = "http://development-bucket-42.cn-hangzhou.oss-vectors.aliyuncs.com"
    mine = info(still, clock, origin=origin, path="/")
    assert ask(still, mine)[:2] == (403, "SignatureDoesNotMatch")
    theirs = info(still, clock, origin=origin, path="/", account="42")
    assert ask(still, theirs)[:2] == (403, "AccessDenied")


def test_spaces_after_the_commas_are_fine(still, clock):
    request = with_header(info(still, clock), "authorization", lambda v: v.replace(",", ",  "))
    assert ask(still, request)[0] == 200


def test_additional_headers_are_verified(still, clock):
    signed = {"headers": {"host": "127.0.0.1:9000"}, "additional": ["host"]}
    request = info(still, clock, **signed)
    assert ",AdditionalHeaders=host," in request.headers["authorization"]
    assert ask(still, request)[0] == 200
    moved = with_header(request, "host", lambda _: "127.0.0.1:9001")
    assert ask(still, moved)[:2] == (403, "SignatureDoesNotMatch")


def test_the_host_is_known_without_a_host_header(still, clock):
    request = info(still, clock, headers={"host": "127.0.0.1:9000"}, additional=["host"])
    headers = {k: v for k, v in request.headers.items() if k != "host"}
    assert ask(still, replace(request, headers=headers))[0] == 200


@pytest.mark.parametrize(
    ("pattern", "replacement", "ec"),
    [
        (",Signature.*", "", "0002-00000202"),
        ("Credential=[^,]*,", "", "0002-00000205"),
        ("Signature=.*", "Signature=", "0002-00000208"),
        (",Signature", ",AdditionalHeaders=,Signature", "0002-00000209"),
        ("aliyun_v4_request", "abc", "0002-00000213"),
    ],
)
def test_a_faulty_authorization_is_refused_with_its_ec(still, clock, pattern, replacement, ec):
    def spoil(value):
        return re.sub(pattern, replacement, value)

    request = with_header(info(still, clock), "authorization", spoil)
    assert ask(still, request) == (400, "InvalidArgument", ec)


@pytest.mark.parametrize("mark", ["deadbeef", "", "unsigned-payload", hashlib.sha256().hexdigest()])
def test_the_payload_must_be_marked_as_unsigned(still, clock, mark):
    # signed as it is sent: the signature is right
    request = info(still, clock, headers={"x-oss-content-sha256": mark})
    assert ask(still, request) == (400, "InvalidArgument", "0002-00000214")


def test_a_payload_that_is_not_marked_at_all_is_refused_alike(still, clock):
    request = info(still, clock)
    headers = {n: v for n, v in request.headers.items() if n != "x-oss-content-sha256"}
    outcome = ask(still, replace(request, headers=headers))
    assert outcome == (400, "InvalidArgument", "0002-00000214")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "OSS ak:signature",
        "OSS4-HMAC-SHA256",
        "OSS4-HMAC-SHA256 Credential=ak,Signature=0",
        "OSS4-HMAC-SHA256 Credential=ak/20260901/cn-hangzhou/oss/aws4_request,Signature=0",
    ],
)
def test_a_malformed_authorization_is_refused(still, clock, value):
    request = with_header(info(still, clock), "authorization", lambda _: value)
    assert ask(still, request)[:2] == (400, "InvalidArgument")


@pytest.mark.parametrize("date", ["", "yesterday", "20260901"])
def test_a_request_without_a_valid_date_is_denied(still, clock, date):
    request = with_header(info(still, clock), "x-oss-date", lambda _: date)
    headers = {k: v for k, v in request.headers.items() if k != "date"}
    assert ask(still, replace(request, headers=headers))[:2] == (403, "AccessDenied")


def test_the_date_header_stands_in_for_a_missing_x_oss_date(still, clock):
    stamp = signing.timestamp(clock.now)
    headers = {
        "date": "Tue, 01 Sep 2026 12:00:00 GMT",
        "x-oss-content-sha256": signing.UNSIGNED_PAYLOAD,
    }
    resource = signing.resource_name("cn-hangzhou", ACCOUNT, "development-bucket")
    signable = signing.Signable("GET", resource, "bucketInfo", headers)
    scope = signing.Scope(stamp[:8], "cn-hangzhou")
    headers["authorization"] = signing.authorization(
        signable, still.key.id, still.key.secret, stamp, scope
    )
    request = info(still, clock)
    assert ask(still, replace(request, headers=headers))[0] == 200


def test_a_content_md5_must_match_the_body(caller, digest):
    body = b'{"indexName":"index1","keys":["a"]}'
    good = caller.send("POST", "getVectors", body, headers={"content-md5": digest(body)})
    assert good.status == 200
    for wrong in (digest(body + b" "), "!!", "ä"):
        reply = caller.send("POST", "getVectors", body, headers={"content-md5": wrong})
        assert outcome(reply)[:2] == (400, "InvalidDigest")


def test_what_is_known_of_one_body_is_not_taken_for_another_that_came_in_its_place(caller, digest):
    body = b'{"indexName":"index1","keys":["a"]}'
    request = caller.sign("POST", "getVectors", body, headers={"content-md5": digest(body)})
    assert caller.service.handle(request).ok
    assert request.content_md5 == digest(body)
    spoiled = replace(request, body=body.replace(b"a", b"b"))
    assert outcome(caller.service.handle(spoiled))[:2] == (400, "InvalidDigest")
    # What can be changed in place is looked at each time.
    changing = replace(request, body=bytearray(body))
    assert caller.service.handle(changing).ok
    changing.body[-3:-2] = b"b"
    assert outcome(caller.service.handle(changing))[:2] == (400, "InvalidDigest")


@pytest.fixture
def temporary(make_caller, clock):
    ends = clock.now + timedelta(hours=1)
    key = AccessKey("sts", "canary1", ACCOUNT, security_token="canary2", expires=ends)
    disabled = AccessKey("off", "secret", ACCOUNT, enabled=False)
    caller = make_caller(clock=clock, access_keys=[key, disabled])
    caller.key = key
    return caller


def test_temporary_credentials_need_their_token(temporary, clock):
    assert ask(temporary, info(temporary, clock, token="canary2"))[0] == 200
    for token in (None, "another"):
        request = info(temporary, clock, token=token)
        assert ask(temporary, request)[:2] == (403, "InvalidSecurityToken")


def test_temporary_credentials_expire(temporary, clock):
    clock.advance(3600)
    request = info(temporary, clock, token="canary2")
    assert ask(temporary, request)[:2] == (403, "SecurityTokenExpired")


def test_a_disabled_key_is_refused(temporary, clock):
    temporary.key = AccessKey("off", "secret", ACCOUNT)
    assert ask(temporary, info(temporary, clock)) == (403, "UserDisable", "0003-00000801")


def test_nothing_printed_holds_a_secret(temporary):
    shown = repr(temporary.key) + repr(temporary.service.access_keys)
    shown += repr(vars(temporary.service)) + str(temporary.service)
    assert temporary.key.id in shown
    assert "canary" not in shown


def test_an_access_key_is_checked():
    with pytest.raises(ValueError, match="digits"):
        AccessKey("id", "secret", "account")
    with pytest.raises(ValueError, match="needs an id"):
        AccessKey("", "secret", "1")


def test_the_clock_is_utc_by_default(make_caller):
    assert make_caller().send("GET", "bucketInfo", now=datetime.now(UTC)).status == 200
