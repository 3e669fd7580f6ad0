"""From an operation to a request: address, headers, signature."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest

from oss_vector_retriever import Credentials
from oss_vector_retriever.client.flow import Operation, signed_request
from oss_vector_retriever.version import __version__

MOMENT = datetime(2023, 12, 16, 16, 20, 57, tzinfo=UTC)
BODY = b'{"indexName": "vectorindex1", "keys": ["doc-001"]}'


def operation(**more):
    return Operation("GetVectors", lambda reply: reply, query="getVectors", **more)


def request(machine, what, *, token=None, moment=MOMENT, **options):
    config = machine.config(bucket="bucket1", account_id="123", **options)
    return signed_request(config, what, Credentials("ak", "sk", token), moment)


def test_a_request_has_these_headers_and_no_others(machine):
    headers = request(machine, operation(body=BODY)).headers
    assert headers == {
        "host": "bucket1-123.cn-hangzhou.oss-vectors.aliyuncs.com",
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": f"oss-vector-retriever/{__version__}",
        "date": "Sat, 16 Dec 2023 16:20:57 GMT",
        "x-oss-date": "20231216T162057Z",
        "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
        "content-type": "application/json",
        "content-md5": base64.b64encode(hashlib.md5(BODY).digest()).decode(),
        "content-length": str(len(BODY)),
        "authorization": headers["authorization"],
    }
    assert headers["authorization"].startswith(
        "OSS4-HMAC-SHA256 Credential=ak/20231216/cn-hangzhou/oss/aliyun_v4_request,Signature="
    )


def test_a_token_is_sent_and_signed(machine):
    without, with_token = (request(machine, operation(), token=t) for t in (None, "token"))
    assert "x-oss-security-token" not in without.headers
    assert with_token.headers["x-oss-security-token"] == "token"
    assert with_token.headers["authorization"] != without.headers["authorization"]


def test_an_additional_header_is_signed_and_named(machine):
    headers = request(machine, operation(), additional_headers=["Host", "Absent"]).headers
    assert ",AdditionalHeaders=host,Signature=" in headers["authorization"]


def test_products_of_the_users_stand_behind_the_packages_own(machine):
    headers = request(machine, operation(), user_agent_extra="my-app/1.2 b").headers
    assert headers["user-agent"] == f"oss-vector-retriever/{__version__} my-app/1.2 b"


def test_the_date_is_utc_wherever_the_machine_stands(machine):
    elsewhere = MOMENT.astimezone(timezone(timedelta(hours=8)))
    assert request(machine, operation(), moment=elsewhere) == request(machine, operation())


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [("POST", b"", "0"), ("PUT", b"", "0"), ("GET", b"", None), ("DELETE", b"", None)],
)
def test_a_request_without_a_body_says_so_where_one_is_usual(machine, method, body, length):
    headers = request(machine, operation(method=method, body=body)).headers
    assert headers.get("content-length") == length
    assert "content-type" not in headers
    assert "content-md5" not in headers


def test_at_an_address_the_bucket_goes_into_the_path_but_not_into_the_signature(machine):
    at_host = request(machine, operation(body=BODY))
    at_address = request(machine, operation(body=BODY), endpoint="http://127.0.0.1:9000")
    assert at_address.url == "http://127.0.0.1:9000/bucket1/?getVectors"
    assert at_address.headers["host"] == "127.0.0.1:9000"
    assert at_address.headers["authorization"] == at_host.headers["authorization"]


def test_headers_of_the_operation_are_sent(machine):
    headers = request(machine, operation(headers=(("x-oss-resource-group-id", "rg"),))).headers
    assert headers["x-oss-resource-group-id"] == "rg"
    assert headers["authorization"] != request(machine, operation()).headers["authorization"]
