import logging
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import orjson
import pytest

from oss_vector_retriever.client.models.messages import Request
from oss_vector_retriever.emulator import DEVELOPMENT_ACCOUNT_ID, Service
from oss_vector_retriever.emulator.operations import table


def test_every_reply_carries_the_common_headers(make_caller, clock):
    caller = make_caller(index=False, clock=clock)
    good = caller.send("GET", "bucketInfo", now=clock.now)
    bad = caller.send("GET", "bucketInfo", now=clock.now, bucket="another-bucket")
    assert (good.status, bad.status) == (200, 404)
    for reply in (good, bad):
        assert re.fullmatch(r"[0-9A-F]{24}", reply.headers["x-oss-request-id"])
        assert reply.headers["date"] == "Tue, 01 Sep 2026 12:00:00 GMT"
        assert reply.headers["server"] == "AliyunOSS"
        assert reply.headers["connection"] == "keep-alive"
        assert reply.headers["content-type"] == "application/json"
    assert good.request_id != bad.request_id


def test_an_error_has_the_documented_shape(caller):
    reply = caller.send("GET", "bucketInfo", bucket="another-bucket")
    assert orjson.loads(reply.body) == {
        "Error": {
            "Code": "NoSuchBucket",
            "Message": "The specified bucket does not exist.",
            "RequestId": reply.request_id,
            "HostId": "127.0.0.1:9000",
            "EC": "0015-00000101",
            "BucketName": "another-bucket",
        }
    }
    assert reply.headers["x-oss-ec"] == "0015-00000101"


def test_a_reply_without_a_body_has_no_content_type(caller):
    caller.put(("a", [1, 2, 3]))
    body = orjson.dumps({"indexName": "index1", "keys": ["a"]})
    reply = caller.send("POST", "deleteVectors", body)
    assert (reply.status, reply.body) == (204, b"")
    assert "content-type" not in reply.headers


def test_a_head_request_gets_its_error_in_a_header(caller):
    reply = caller.send("HEAD")
    assert (reply.status, reply.body) == (405, b"")
    assert reply.headers["x-oss-err"]


def test_authentication_comes_before_the_bucket_and_the_bucket_before_the_parameters(caller):
    nonsense = b"{not json"
    unsigned = Request("POST", "http://127.0.0.1:9000", "/no-such-bucket/", "putVectorIndex")
    assert orjson.loads(caller.service.handle(unsigned).body)["Error"]["Code"] == "AccessDenied"
    missing = {"bucket": "no-such-bucket"}
    assert caller.code("putVectorIndex", nonsense, **missing) == (404, "NoSuchBucket")
    wrong = {"indexName": "a", "dataType": "demo", "distanceMetric": "oss", "dimension": 1}
    assert caller.code("putVectorIndex", wrong, **missing) == (404, "NoSuchBucket")


def test_json_comes_before_the_form_the_form_before_the_index_and_the_index_before_the_rest(caller):
    bad_dimension = [{"key": "a", "data": {"float32": [1.0]}}]
    assert caller.code("putVectors", b'{"indexName": ') == (400, "MalformedJson")
    assert caller.code("putVectors", {"indexName": "missing", "vectors": []}) == (
        400,
        "VectorIndexParameterInvalid",
    )
    assert caller.code("putVectors", {"indexName": "missing", "vectors": bad_dimension}) == (
        404,
        "NoSuchVectorIndex",
    )
    assert caller.code("putVectors", {"indexName": "index1", "vectors": bad_dimension}) == (
        400,
        "VectorIndexParameterInvalid",
    )


def test_a_body_over_the_cap_is_refused_before_anything_else(make_caller):
    caller = make_caller(max_body_bytes=100)
    unsigned = Request("POST", "http://127.0.0.1:9000", "/b/", "getVectors", {}, b"x" * 101)
    reply = caller.service.handle(unsigned)
    assert reply.status == 400
    assert orjson.loads(reply.body)["Error"]["Code"] == "EntityTooLarge"


def test_an_unexpected_exception_becomes_an_internal_error(caller, monkeypatch, caplog):
    def fail(_):
        raise ZeroDivisionError

    broken = table.Operation("GetVectors", "POST", "getVectors", fail, "vectors")
    monkeypatch.setitem(table._BY_REQUEST, ("POST", "getVectors"), broken)
    with caplog.at_level(logging.ERROR):
        reply = caller.send("POST", "getVectors", b"{}")
    error = orjson.loads(reply.body)["Error"]
    assert (reply.status, error["Code"]) == (500, "InternalError")
    assert error["RequestId"] in caplog.text
    assert caller.key.secret not in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/\ud800/"},
        {"origin": "http://\udfff", "query": "policy"},
        {"query": "\ud800=1"},
        {"headers": {"authorization": "\ud800"}},
    ],
)
def test_text_that_is_no_unicode_is_refused(caller, change):
    reply = caller.service.handle(replace(caller.sign("GET", "bucketInfo"), **change))
    error = orjson.loads(reply.body)["Error"]
    assert (reply.status, error["Code"]) == (400, "InvalidArgument")
    assert error["RequestId"] == reply.request_id


def test_a_closed_service_answers_with_an_internal_error(caller):
    caller.service.close()
    caller.service.close()
    assert caller.code("getVectors", {"indexName": "index1", "keys": ["a"]}) == (
        500,
        "InternalError",
    )


def test_a_bucket_can_be_made_without_a_request():
    with Service.in_memory() as service:
        assert service.create_bucket(DEVELOPMENT_ACCOUNT_ID, "bucket-a") is True
        assert service.create_bucket(DEVELOPMENT_ACCOUNT_ID, "bucket-a") is False
        assert service.create_bucket(DEVELOPMENT_ACCOUNT_ID, "bucket-a", region="us-east-1") is True
        with pytest.raises(ValueError, match="3 to 32"):
            service.create_bucket(DEVELOPMENT_ACCOUNT_ID, "Bucket")


def test_a_clock_in_another_time_zone_is_understood(make_caller):
    east = timezone(timedelta(hours=8))
    now = datetime(2026, 9, 1, 20, 0, 0, tzinfo=east)
    caller = make_caller(clock=lambda: now)
    reply = caller.send("GET", "bucketInfo", now=now)
    assert reply.status == 200
    assert reply.headers["date"] == "Tue, 01 Sep 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("PUT", "getVectors"),
        ("POST", ""),
        ("POST", "unheardOf"),
        ("DELETE", "unheardOf"),
        ("GET", ""),
        ("PATCH", "policy"),
    ],
)
def test_a_request_for_no_operation_is_refused_and_does_nothing(caller, method, query):
    reply = caller.send(method, query, b"{}")
    assert (reply.status, orjson.loads(reply.body)["Error"]["Code"]) == (405, "MethodNotAllowed")
    assert caller.send("GET", "bucketInfo").status == 200


def test_two_operations_in_one_query_are_refused(caller):
    members = {"indexName": "index1", "keys": ["a"]}
    assert caller.code("getVectors&deleteVectors", members) == (400, "InvalidArgument")


@pytest.mark.parametrize("query", ["getVectors", "getVectors="])
def test_the_operation_may_have_an_equals_sign(caller, query):
    caller.put(("a", [1, 2, 3]))
    answer = caller.post(query, {"indexName": "index1", "keys": ["a"]})
    assert answer == (200, {"vectors": [{"key": "a"}]})


@pytest.mark.parametrize("operation", ["putVectorIndexFusion", "queryVectorsFusion"])
def test_fusion_mode_is_said_to_be_missing(caller, operation):
    assert caller.code(operation, {}) == (501, "NotImplemented")
