"""`invoke-operation`: the call that is asked for, signed, and whatever is answered."""

import json

import pytest
from support.command_line import call

from oss_vector_retriever.client.models import Reply
from oss_vector_retriever.emulator import Service

GET = ("--op-name", "getVectors", "--method", "POST", "--parameters", "getVectors")


@pytest.fixture
def requests(monkeypatch):
    """Give the requests that reach the service."""
    seen, handle = [], Service.handle

    def record(self, request):
        seen.append(request)
        return handle(self, request)

    monkeypatch.setattr(Service, "handle", record)
    return seen


@pytest.fixture
def answer(monkeypatch):
    """Give a function that sets what the service answers."""

    def set_answer(body, content_type="application/json"):
        reply = Reply(200, {"content-type": content_type, "date": "x"}, body)
        monkeypatch.setattr(Service, "handle", lambda *_: reply)

    return set_answer


@pytest.mark.parametrize("prefix", [(), ("vectors-api",)])
def test_an_operation_is_made_as_asked_and_answered_as_it_stands(stored, requests, prefix):
    body = '{"indexName": "notes", "keys": ["c"],  "returnData": true}'
    done = call(*prefix, "invoke-operation", *GET, "--body", body, *stored[:2])
    assert done.status == 0, done.errors
    assert done.json == {"vectors": [{"key": "c", "data": {"float32": [3, 4]}}]}
    (request,) = requests
    assert (request.method, request.query, request.body) == ("POST", "getVectors", body.encode())
    assert done.output == json.dumps(done.json, separators=(",", ":")) + "\n"


def test_a_body_comes_from_a_file_or_standard_input(stored, requests, tmp_path):
    body = '{"indexName":"notes","keys":["gone"]}'
    (tmp_path / "b.json").write_text(body)
    for value in (f"file://{tmp_path}/b.json", "-"):
        done = call("invoke-operation", *GET, "--body", value, *stored[:2], stdin=body)
        assert done.json == {"vectors": []}
    assert {request.body for request in requests} == {body.encode()}


def test_parameters_are_encoded_each_by_itself_and_signed(stored, requests):
    words = ("--parameters", "prefix=a&b=c,d é", "--parameters", "max-keys=5")
    listing = ("--op-name", "ListVectorBuckets", "--method", "get", "--no-bucket")
    done = call("invoke-operation", *listing, *words, *stored[:2])
    assert done.status == 0, done.errors  # the service has checked the signature
    assert requests[0].query == "prefix=a%26b%3Dc%2Cd%20%C3%A9&max-keys=5"
    assert requests[0].path == "/"
    assert done.json["ListAllMyBucketsResult"]["Buckets"] == []


def test_headers_are_sent_and_those_of_oss_are_signed(stored, requests):
    words = ("--headers", "x-oss-resource-group-id: rg-1", "--headers", "X-Other:  two  words ")
    made = ("--op-name", "putVectorBucket", "--method", "PUT", "--bucket", "made-here")
    assert call("invoke-operation", *made, *words, *stored[:2]).status == 0
    headers = requests[0].headers
    assert headers["x-oss-resource-group-id"] == "rg-1"
    assert headers["x-other"] == "two  words"
    info = call("get-vector-bucket", "--bucket", "made-here", *stored[:2]).json["BucketInfo"]
    assert info["ResourceGroupId"] == "rg-1"


def test_an_empty_answer_prints_nothing(stored):
    words = ("--op-name", "deleteVectorIndex", "--method", "POST", "--parameters")
    done = call(
        *("invoke-operation", *words, "deleteVectorIndex", *stored[:2]),
        *("--body", '{"indexName": "notes"}', "--output-format", "table"),
    )
    assert (done.status, done.output, done.errors) == (0, "", "")
    assert call("list-vector-indexes", *stored[:2]).json == {"indexes": []}


def test_an_answer_that_is_no_json_is_shown_as_it_is_and_commands_no_terminal(stored, answer):
    answer(b"<Error>\x1b[31m\r\n\xff</Error>\r\n", "application/xml")
    words = ("invoke-operation", "--op-name", "x", "--method", "GET", *stored[:2])
    assert call(*words).output == "<Error>\\u001b[31m\\u000d\n\ufffd</Error>\n"
    done = call(*words, "--output-query", "a")
    assert (done.status, done.output) == (1, "")
    assert "no JSON" in done.errors


def test_an_answer_takes_every_form(stored, answer):
    answer(b'{"a": [1, 2]}')
    words = ("invoke-operation", "--op-name", "x", "--method", "GET", *stored[:2])
    assert call(*words).output == '{"a": [1, 2]}\n'
    assert call(*words, "--output-query", "a[1]").json == 2
    assert call(*words, "--output-format", "yaml").output == "a:\n- 1\n- 2\n"


def test_a_refusal_names_the_operation_that_was_asked_for(stored):
    words = ("--method", "POST", "--parameters", "frobnicate", *stored[:2])
    done = call("invoke-operation", "--op-name", "frobnicate-it", *words)
    assert (done.status, done.output) == (1, "")
    assert done.errors.startswith("oss-vectors: invoke-operation FrobnicateIt of bucket")
    done = call(
        "invoke-operation", *GET, "--body", '{"indexName": "no", "keys": ["a"]}', *stored[:2]
    )
    assert done.errors.startswith("oss-vectors: GetVectors of bucket")
    assert "NoSuchVectorIndex" in done.errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--op-name", "a b"], "'--op-name'"),
        (["--op-name", ""], "'--op-name'"),
        (["--method", "PATCH"], "'--method'"),
        (["--parameters", "=x"], "'--parameters'"),
        (["--parameters", "a", "--parameters", "a=1"], "'--parameters'"),
        (["--parameters", "\udc80"], "'--parameters'"),
        (["--headers", "no colon"], "'--headers'"),
        (["--headers", "x: a\r\nhost: b"], "'--headers'"),
        (["--headers", "x: é"], "'--headers'"),
        (["--headers", "x y: a"], "'--headers'"),
        (["--headers", "x: 1", "--headers", "X: 2"], "stands twice"),
        *(
            (["--headers", f"{name}: x"], "is set by the client")
            for name in (
                *("Host", "Authorization", "Date", "Content-Length", "Content-Type"),
                *("Transfer-Encoding", "x-oss-date", "x-oss-security-token", "Connection"),
                "x-oss-content-sha256",
            )
        ),
        (["--body", "{"], "it is not JSON"),
        (["--body", "1"], "must be an object or an array"),
        (["--body", "file:///nowhere"], "cannot be read"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_refused_before_any_call(stored, requests, words, said):
    good = {"--op-name": "x", "--method": "GET"}
    given = [part for flag, value in good.items() if flag not in words for part in (flag, value)]
    done = call("invoke-operation", *given, *words, *stored[:2])
    assert (done.status, done.output) == (2, "")
    assert said in done.errors
    assert requests == []


def test_no_header_that_the_client_sets_can_be_set(stored, requests):
    call("get-vectors", *stored, "--keys", "c")
    for name in requests[0].headers:
        done = call(
            *("invoke-operation", "--op-name", "x", "--method", "GET", *stored[:2]),
            *("--headers", f"{name}: x"),
        )
        # what kinds of answers a client takes changes nothing
        assert ("is set by the client" in done.errors) == (name != "accept"), name
