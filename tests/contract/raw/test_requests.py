"""How a request is made: addresses, headers, signatures and refusals; sections 1, 2, 3, 6, 11."""

import base64
import hashlib
import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from support.raw_rules import (
    ARGUMENT,
    DENIED,
    INVALID,
    MALFORMED,
    NO_BUCKET,
    NO_METHOD,
    OK,
    UNSIGNED,
    Row,
    check,
    keys_of,
    post,
    put,
    table,
    vector,
)
from support.raw_wire import EMPTY_MD5, Ask, Signer

REAL = "oss-vectors.aliyuncs.com"
BUCKET, NORTH = "rules-1230000000000001", "North-1230000000000001"
READ = ["a"]
IMPORT = re.compile(r"^ *(from|import) oss_vector_retriever", re.MULTILINE)
SKEWED = (403, "RequestTimeTooSkewed", "0002-00000504")
NO_KEY = (403, "InvalidAccessKeyId")


def get(*, query="getVectors", **own):
    body = json.dumps({"indexName": "flat", "keys": ["a"]}).encode()
    return Ask(query=query, **{"body": body} | own)


def gives(section, says, ask, differs=""):
    return Row(section, says, ask, OK, READ, keys_of, differs=differs)


ADDRESSES = [
    gives(1, "the operation alone", get()),
    gives(1, "the operation with an equals sign", get(query="getVectors=")),
    gives(2, "the bucket's public host", get(host=f"{BUCKET}.cn-hangzhou.{REAL}")),
    gives(2, "the bucket's internal host", get(host=f"{BUCKET}.cn-hangzhou-internal.{REAL}")),
    gives(2, "the bucket before any other host", get(host=f"{BUCKET}.127.0.0.1:9000")),
    gives(2, "the bucket before a name of this machine", get(host=f"{BUCKET}.x.localhost")),
    gives(2, "the region of the host", get(bucket="north", as_key="north")),
    gives(2, "a host in capitals",
          get(bucket="north", as_key="north", host=f"{NORTH}.CN-Beijing.OSS-vectors.ALIYUNCS.com")),
    Row(2, "a bucket of another region", get(bucket="north"), NO_BUCKET),
    gives(2, "a host with a port", get(host=f"{BUCKET}.cn-hangzhou.{REAL}:80")),
    gives(2, "path style", get(style="path", host="127.0.0.1:9000")),
    gives(2, "path style at the region's host", get(style="path")),
    gives(2, "absolute form, as a proxy is asked", get(style="absolute")),
    Row(2, "a bucket that is not there, in path style",
        get(style="path", host="127.0.0.1", bucket="no-bucket"), NO_BUCKET),
    Row(1, "an operation by GET", get(method="GET"), NO_METHOD,
        differs="a request that no operation answers"),
    Row(1, "an operation by PUT", get(method="PUT"), NO_METHOD,
        differs="a request that no operation answers"),
    Row(1, "an operation that is not there", get(query="getVector"), NO_METHOD,
        differs="a request that no operation answers"),
    Row(1, "names of operations have capitals", get(query="getvectors"), NO_METHOD,
        differs="a request that no operation answers"),
    Row(1, "an operation on vectors without a bucket", get(bucket=None), NO_METHOD,
        differs="a request that no operation answers"),
    Row(1, "two operations", get(query="getVectors&listVectors"), ARGUMENT,
        differs="a request that names two operations"),
    Row(1, "DELETE with an unknown parameter deletes no bucket",
        Ask("DELETE", "unheardOf", bucket="aa1", as_key="lister"), NO_METHOD,
        differs="a request that no operation answers"),
]  # fmt: skip


def with_headers(**headers):
    return get(headers={name.replace("_", "-"): value for name, value in headers.items()})


HEADERS = [
    gives(3, "no Content-Type", with_headers(content_type=None)),
    gives(3, "no Content-MD5", with_headers(content_md5=None)),
    gives(3, "neither", with_headers(content_type=None, content_md5=None)),
    gives(3, "another Content-Type", with_headers(content_type="application/octet-stream")),
    gives(3, "no Date", with_headers(date=None)),
    gives(3, "Accept-Encoding", with_headers(accept_encoding="gzip")),
    gives(3, "a header of its own", with_headers(x_oss_something="else")),
    gives(3, "a body in chunks", get(chunks=True)),
    Row(3, "a digest of something else", with_headers(content_md5=EMPTY_MD5),
        (400, "InvalidDigest"), differs="Content-MD5 of another body"),
    Row(3, "a digest of nothing, where there is none",
        Ask("GET", "bucketInfo", headers={"content-md5": EMPTY_MD5}), OK),
    Row(15, "a body over the cap",
        put("flat", vector("w", 1, 1, text="x" * (2 * 1024 * 1024))), (400, "EntityTooLarge"),
        differs="request body"),
]  # fmt: skip

ORDER = [
    Row(6, "the signature before the bucket", get(bucket="no-bucket", as_key="forger"), UNSIGNED,
        differs="order of refusals"),
    Row(6, "the signature before JSON", get(body=b"{", as_key="forger"), UNSIGNED,
        differs="order of refusals"),
    Row(6, "the signature before the operation", get(query="getVector", as_key="forger"), UNSIGNED,
        differs="order of refusals"),
    Row(6, "the bucket before JSON", get(bucket="no-bucket", body=b"{"), NO_BUCKET,
        differs="order of refusals"),
    Row(6, "the bucket before parameters", get(bucket="no-bucket", body=b"{}"), NO_BUCKET),
    Row(6, "JSON before parameters", post("getVectors", body=b'{"keys":[]'), MALFORMED,
        differs="order of refusals"),
    Row(6, "parameters before the index", post("getVectors", "none", keys=[]), INVALID,
        differs="order of refusals"),
]  # fmt: skip


def changed(pattern, replacement, **own):
    def change(text):
        found, times = re.subn(pattern, replacement, text)
        assert times
        return found

    return get(change=change, **own)


def ec(number):
    return (400, "InvalidArgument", f"0002-{number:08}")


CODE = "error code of a fault in signing that has an EC"
SIGNED = [
    Row(11, "no signature", get(sign=False), DENIED),
    Row(11, "an unknown key", get(as_key="unknown"), NO_KEY),
    Row(11, "another secret", get(as_key="forger"), UNSIGNED),
    Row(11, "a disabled key", get(as_key="disabled"), (403, "UserDisable", "0003-00000801")),
    gives(11, "a token", get(as_key="temporary")),
    Row(11, "another token",
        get(as_key="temporary", headers={"x-oss-security-token": "another"}),
        (403, "InvalidSecurityToken"), differs="a security token that is wrong, or past its time"),
    Row(11, "a token that is missing",
        get(as_key="temporary", headers={"x-oss-security-token": None}),
        (403, "InvalidSecurityToken"), differs="a security token that is wrong, or past its time"),
    Row(11, "a token past its time", get(as_key="ended"), (403, "SecurityTokenExpired"),
        differs="a security token that is wrong, or past its time"),
    gives(11, "a clock 14 minutes slow", get(late=timedelta(minutes=-14))),
    gives(11, "a clock 14 minutes fast", get(late=timedelta(minutes=14))),
    Row(11, "a clock 16 minutes slow", get(late=timedelta(minutes=-16)), SKEWED),
    Row(11, "a clock 16 minutes fast", get(late=timedelta(minutes=16)), SKEWED),
    Row(11, "no date at all", get(headers={"x-oss-date": None, "date": None}), DENIED,
        differs="a request without a date"),
    gives(11, "spaces behind the commas", changed(",", ", ")),
    gives(11, "host signed", get(additional=("host",))),
    gives(11, "more headers signed", get(additional=("host", "zabc"), headers={"zabc": "1"})),
    Row(11, "a header that is not the signed one",
        changed("AdditionalHeaders=host", "AdditionalHeaders=date", additional=("host",)),
        UNSIGNED),
    Row(11, "AdditionalHeaders empty", changed(",Signature", ",AdditionalHeaders=,Signature"),
        ec(209), differs=CODE),
    Row(16, "Signature empty", changed("Signature=.*", "Signature="), ec(208), differs=CODE),
    Row(16, "Signature left out", changed(",Signature=.*", ""), ec(202), differs=CODE),
    Row(16, "Credential left out", changed("Credential=[^,]*,", ""), ec(205), differs=CODE),
    Row(16, "Credential of another form", changed("/aliyun_v4_request", ""), ec(213),
        differs=CODE),
    Row(11, "another algorithm", changed("OSS4-HMAC-SHA256", "AWS4-HMAC-SHA256"), ARGUMENT,
        differs="an Authorization of another kind"),
    Row(11, "a signature of version 1", get(change=lambda _: "OSS owner-id:abc="), ARGUMENT,
        differs="an Authorization of another kind"),
    Row(11, "another product", changed("/oss/", "/ossvector/"), UNSIGNED,
        differs="a signature of another day, region or product"),
    Row(11, "an OSS id of a region", changed("/cn-hangzhou/", "/oss-cn-hangzhou/"), UNSIGNED,
        differs="a signature of another day, region or product"),
    Row(11, "another day", changed(r"/\d{8}/", "/20200101/"), UNSIGNED,
        differs="a signature of another day, region or product"),
    Row(16, "the hash of the payload",
        with_headers(x_oss_content_sha256=hashlib.sha256(b"x").hexdigest()), ec(214),
        differs=CODE),
    Row(16, "no mark of the payload", with_headers(x_oss_content_sha256=None), ec(214),
        differs="no x-oss-content-sha256"),
]  # fmt: skip


def presigned(**own):
    headers = {"content-type": None, "content-md5": None}
    return get(expires=own.pop("expires", 600), headers=headers, **own)


def spoiled(pattern, replacement=""):
    return presigned(change=changed(pattern, replacement).change)


PRESIGNED = [
    gives(11, "presigned", presigned()),
    gives(11, "presigned with a token", presigned(as_key="temporary")),
    gives(11, "presigned with the host", presigned(additional=("host",))),
    gives(11, "presigned with headers", get(expires=600)),
    gives(11, "presigned for five seconds", presigned(expires=5)),
    gives(11, "presigned for a week", presigned(expires=604800)),
    gives(11, "presigned half an hour ago", presigned(expires=3600, late=timedelta(minutes=-30))),
    Row(11, "presigned for longer", presigned(expires=604801), ARGUMENT,
        differs="how long a presigned URL may hold"),
    Row(11, "presigned for no time", presigned(expires=0), ARGUMENT,
        differs="how long a presigned URL may hold"),
    Row(11, "presigned, and over", presigned(expires=60, late=timedelta(minutes=-2)), DENIED,
        differs="a presigned URL past its time"),
    Row(11, "presigned, and changed", spoiled("x-oss-expires=600", "x-oss-expires=601"), UNSIGNED),
    Row(16, "presigned without x-oss-expires", spoiled("x-oss-expires=[^&]*&"), ec(215),
        differs=CODE),
    Row(16, "presigned without x-oss-credential", spoiled("x-oss-credential=[^&]*&"), ec(217),
        differs=CODE),
    Row(16, "presigned without x-oss-signature", spoiled("&x-oss-signature=.*"), ec(219),
        differs=CODE),
    Row(16, "presigned with an empty x-oss-signature",
        spoiled("x-oss-signature=.*", "x-oss-signature="), ec(220), differs=CODE),
    Row(16, "presigned with a credential of another form",
        spoiled("%2Faliyun_v4_request", ""), ec(224), differs=CODE),
    Row(11, "presigned with an unknown key", presigned(as_key="unknown"), NO_KEY),
]  # fmt: skip

pytestmark = pytest.mark.promise("R16")


@table(*ADDRESSES, *HEADERS, *ORDER, *SIGNED, *PRESIGNED)
def test_of_requests(wire, row):
    check(wire, row)


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "OPTIONS"])
def test_a_method_that_is_not_there(wire, method):
    reply = wire.send(Ask(method, "bucketInfo"))
    assert reply.status == 405
    if method == "HEAD":
        error = json.loads(base64.b64decode(reply.headers["x-oss-err"]))["Error"]
        assert error["Code"] == "MethodNotAllowed"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 403, "AccessDenied"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n", 403, "AccessDenied"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nno colon\r\n\r\n", 400, "InvalidArgument"),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
         400, "InvalidArgument"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "InvalidArgument"),
    ],
    ids=["no host", "two hosts", "no colon", "two lengths", "TLS"],
)  # fmt: skip
def test_what_is_no_http_is_refused_in_the_services_form(wire, data, status, code):
    wire.close()
    reply = wire.exchange(data)
    assert (reply.status, reply.error["Code"]) == (status, code)
    assert reply.headers["x-oss-request-id"] == reply.error["RequestId"]
    assert reply.headers["date"]


@pytest.mark.parametrize(("status", "code"), [(503, "QpsLimitExceeded"), (500, "InternalError")])
def test_a_request_too_many_and_a_fault_of_the_service(wire, break_once, status, code):
    break_once(code)
    check(wire, Row(6, code, get(), (status, code)))
    check(wire, gives(6, "the next one", get()))


@pytest.mark.parametrize("signed", [True, False])
def test_a_refusal_is_read_by_a_client_that_first_writes_its_whole_body(wire, signed):
    ask = put("flat", vector("w", 1, 1, text="x" * (9 * 1024 * 1024)), sign=signed)
    reply = wire.send(ask)
    assert (reply.status, reply.error["Code"]) == (400, "EntityTooLarge")
    smaller = put("flat", vector("w", 1, 1, text="x" * (1024 * 1024)), as_key="forger")
    assert wire.send(smaller).error["Code"] == "SignatureDoesNotMatch"


AUTHORIZED = {"content-type": "application/json", "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
              "x-oss-date": "20231216T162057Z"}  # fmt: skip
HOST = {"host": "bucket-123.cn-hangzhou.oss-vectors.aliyuncs.com"}


@pytest.mark.parametrize(
    ("headers", "additional", "signature"),
    [
        ({"content-md5": "rb4DbVyK6MfPtzr822P9Zw=="}, (),
         "3a90e3c02a271bf8eb25e7a4892bdf74157d37d6334cfd7c1f3dab378d6f8014"),
        ({"content-md5": "YjIrYwD+ZgS952+MtT2B7Q==", "x-oss-security-token": "token"}, (),
         "905733e8a8089f4eeffb6181865ac0c9f4fdcb8b22fd5e62ec9467ef2b612c36"),
        ({}, (), "7061fb91b2b863e8b7d686b3501ed4b160480882a186db05848df2fdf7e260e1"),
        (HOST, ("host",), "01bec772bce9e8459db7d4a67cf6b024da6d7748b68c179af6294605dd82c9b0"),
    ],
    ids=["V1", "V3", "V4", "V5"],
)  # fmt: skip
def test_the_signer_of_these_tests_gives_the_answers_of_the_official_one(
    headers, additional, signature
):
    signer = Signer("ak", "sk", "123", "cn-hangzhou")
    sent = AUTHORIZED | headers
    stamp = "20231216T162057Z"
    assert signer.sign("POST", "bucket", "getVectors", sent, stamp, additional) == signature


def test_nothing_of_the_package_judges_itself_here():
    here = Path(__file__).parent
    files = [*here.glob("test_*.py"), *(here.parents[1] / "support").glob("raw_*.py")]
    assert len(files) == 6
    assert not [file for file in files if IMPORT.search(file.read_text(encoding="utf-8"))]
