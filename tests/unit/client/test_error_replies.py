"""From whatever came back to the error that names the cause."""

import base64
import json
from unicodedata import category

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.promises import sized

from oss_vector_retriever import InternalServiceError, ResponseError, ServiceError
from oss_vector_retriever.client import errors, wire
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.wire import error_from

SECRETS = ("secretsecretsecret", "tokentokentoken", "LTAI5tAccessKeyId")
TABLE = {
    "AccessDenied": (403, errors.AccessDeniedError),
    "UserDisable": (403, errors.AccessDeniedError),
    "InvalidAccessKeyId": (403, errors.InvalidAccessKeyIdError),
    "SignatureDoesNotMatch": (403, errors.SignatureDoesNotMatchError),
    "SecurityTokenExpired": (403, errors.SecurityTokenError),
    "InvalidSecurityToken": (403, errors.SecurityTokenError),
    "RequestTimeTooSkewed": (403, errors.RequestTimeTooSkewedError),
    "NoSuchBucket": (404, errors.NoSuchBucketError),
    "NoSuchVectorIndex": (404, errors.NoSuchVectorIndexError),
    "BucketAlreadyExists": (409, errors.BucketAlreadyExistsError),
    "BucketNotEmpty": (409, errors.BucketNotEmptyError),
    "VectorBucketNotEmpty": (409, errors.BucketNotEmptyError),
    "BucketNameNotAvailable": (409, errors.BucketNameNotAvailableError),
    "InvalidBucketName": (400, errors.InvalidBucketNameError),
    "InvalidVectorBucketName": (400, errors.InvalidBucketNameError),
    "TooManyBuckets": (400, errors.TooManyBucketsError),
    "VectorBucketIndexAlreadyExist": (409, errors.VectorIndexAlreadyExistsError),
    "VectorBucketIndexExceedLimit": (400, errors.VectorIndexLimitExceededError),
    "VectorIndexParameterInvalid": (400, errors.VectorIndexParameterInvalidError),
    "MalformedJson": (400, errors.MalformedJsonError),
    "QpsLimitExceeded": (503, errors.QpsLimitExceededError),
    "InternalError": (500, errors.InternalServiceError),
    "BadGateway": (502, errors.InternalServiceError),
    "MissingArgument": (400, errors.ServiceError),
}


def body_of(code, **members):
    return json.dumps({"Error": {"Code": code, "Message": "Said so.", **members}}).encode()


@pytest.mark.parametrize("code", TABLE)
def test_each_code_has_its_class(code):
    status, expected = TABLE[code]
    headers = {"x-oss-request-id": "RH", "x-oss-ec": "0001-00000001"}
    error = error_from(Reply(status, headers, body_of(code)))
    assert type(error) is expected
    assert (error.code, error.status, error.message) == (code, status, "Said so.")
    assert (error.request_id, error.ec) == ("RH", "0001-00000001")
    assert str(error).startswith(f"{code}: Said so.")
    assert str(error).endswith(f"[HTTP {status}, request id RH, EC 0001-00000001]")


def test_every_service_error_can_be_met():
    def below(kind):
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    assert {expected for _, expected in TABLE.values()} == below(ServiceError)


def test_the_bodys_own_request_id_and_ec_go_before_the_headers():
    headers = {"x-oss-request-id": "RH", "x-oss-ec": "EH"}
    error = error_from(Reply(404, headers, body_of("NoSuchBucket", RequestId="RB", EC="EB")))
    assert (error.request_id, error.ec) == ("RB", "EB")


XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error>
  <Code>NoSuchBucket</Code>
  <Message>The &lt;bucket&gt; does not exist.</Message>
  <RequestId>RX</RequestId>
  <EC>0015-00000101</EC>
</Error>"""
SHAPES = {
    "JSON": body_of("NoSuchBucket", RequestId="RX"),
    "flat JSON": b'{"Code":"NoSuchBucket","RequestId":"RX"}',
    "JSON with spaces around": b"\r\n " + body_of("NoSuchBucket", RequestId="RX") + b"\n",
    "XML": XML,
    "XML in one line": b"<Error><Code>NoSuchBucket</Code><RequestId>RX</RequestId></Error>",
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("has_orjson", [True, False])
def test_an_error_is_read_in_every_shape(monkeypatch, shape, has_orjson):
    monkeypatch.setattr(wire, "_HAS_ORJSON", has_orjson)
    error = error_from(Reply(404, {"content-type": "anything"}, SHAPES[shape]))
    assert type(error) is errors.NoSuchBucketError
    assert error.request_id == "RX"


def test_xml_is_unescaped():
    error = error_from(Reply(404, {}, XML))
    assert (error.message, error.ec) == ("The <bucket> does not exist.", "0015-00000101")


@pytest.mark.parametrize("shape", SHAPES)
def test_an_error_without_a_body_is_read_from_its_header(shape):
    header = base64.b64encode(SHAPES[shape]).decode()
    assert error_from(Reply(404, {"x-oss-err": header}, b"")).code == "NoSuchBucket"


@pytest.mark.parametrize("header", ["", "not base64!", "AAAA", "\xff"])
def test_a_header_that_holds_no_error_is_passed_over(header):
    error = error_from(Reply(404, {"x-oss-err": header}, b""))
    assert (type(error), error.code) == (ServiceError, "BadErrorResponse")
    assert "HTTP 404 with an empty body" in str(error)


def test_a_proxys_html_is_told_for_what_it_is():
    page = b"<html><head><TITLE lang='en'>\n502 Bad\tGateway </title></head><body>x</body></html>"
    error = error_from(Reply(502, {"content-type": "text/html"}, page))
    assert type(error) is InternalServiceError
    assert "no OSS error but text/html titled '502 Bad\\tGateway'" in str(error)
    assert "comes from a proxy or gateway on the way" in str(error)


def test_with_a_request_id_of_oss_no_proxy_is_blamed():
    error = error_from(Reply(502, {"x-oss-request-id": "R"}, b"plain words"))
    assert "no content type" in str(error)
    assert "proxy" not in str(error)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{}",
        b"[]",
        b"null",
        b'{"Error":null}',
        b'{"Error":[]}',
        b'{"Error":"NoSuchBucket"}',
        b'{"Error":{"Code":5}}',
        b'{"Error":{"Code":""}}',
        b'{"Error":{"Code":null,"Message":"x"}}',
        b'{"Error":' * 50_000,
        b"<Error><Code></Code></Error>",
        b"<Error>",
        b"\xff\xfe\x00",
        body_of("NoSuchBucket")[:-4],
        b"{" + b" " * 70_000 + body_of("NoSuchBucket")[1:],
    ],
    ids=range(16),
)
def test_a_body_without_a_code_is_an_error_reply_that_cannot_be_read(body):
    error = error_from(Reply(404, {"x-oss-request-id": "R"}, body))
    assert (type(error), error.code) == (ServiceError, "BadErrorResponse")
    assert (error.status, error.request_id) == (404, "R")
    assert len(str(error)) < 700


def test_secrets_are_cut_out_and_control_characters_too():
    said = f"{SECRETS[0]} {SECRETS[1]}\r\n\x1b[31m{SECRETS[2]}\u202e."
    headers = {"x-oss-request-id": SECRETS[1], "x-oss-ec": SECRETS[2] + "\x9b"}
    error = error_from(Reply(403, headers, body_of("AccessDenied", Message=said)), SECRETS)
    assert error.message == "*** *** [31m*** ."
    assert (error.request_id, error.ec) == ("***", "***")


def test_a_word_is_not_taken_for_a_secret_of_two_letters():
    error = error_from(Reply(403, {}, body_of("SecurityTokenExpired")), ("sk", "i"))
    assert type(error) is errors.SecurityTokenError


def test_a_redirection_is_no_service_error():
    error = error_from(Reply(307, {"location": "https://e.example", "x-oss-request-id": "R"}))
    assert isinstance(error, ResponseError)
    assert (error.status, error.request_id) == (307, "R")


def test_a_header_that_is_nearly_base64_is_passed_over():
    header = base64.b64encode(SHAPES["JSON"]).decode()
    assert error_from(Reply(404, {"x-oss-err": f"!{header}"}, b"")).code == "BadErrorResponse"


@pytest.mark.parametrize(
    "body",
    [b"<html><Code>NoSuchBucket</Code></html>", b"see <Error><Code>NoSuchBucket</Code></Error>"],
)
def test_words_in_a_page_are_no_error_of_oss(body):
    assert error_from(Reply(404, {}, body)).code == "BadErrorResponse"


@pytest.mark.parametrize("status", [300, 301, 399])
def test_every_3xx_is_a_redirection(status):
    error = error_from(Reply(status, {}, body_of("NoSuchBucket")))
    assert type(error) is ResponseError
    assert (error.status, error.request_id) == (status, None)
    assert "redirection, which is never followed" in str(error)


@pytest.mark.parametrize("status", [100, 199, 400, 600])
def test_no_other_status_is_one(status):
    assert error_from(Reply(status, {}, body_of("NoSuchBucket"))).code == "NoSuchBucket"


def test_what_an_error_does_not_say_is_empty_or_none():
    error = error_from(Reply(404, {}, b'{"Error":{"Code":"NoSuchBucket"}}'))
    assert (error.message, error.request_id, error.ec) == ("", None, None)


def test_an_error_without_a_code_keeps_what_else_it_says():
    body = b'{"Error":{"RequestId":"RB","EC":"EB"}}'
    error = error_from(Reply(404, {"x-oss-request-id": "RH", "x-oss-ec": "EH"}, body))
    assert (error.code, error.request_id, error.ec) == ("BadErrorResponse", "RB", "EB")


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(404, {}, b""), "HTTP 404 with an empty body"),
        (
            Reply(404, {}, b"<html>"),
            (
                "the error reply is no OSS error but no content type; it comes from a proxy or "
                "gateway on the way, not from OSS"
            ),
        ),
        (
            Reply(404, {"x-oss-request-id": "R", "content-type": "text/html"}, b"<TITLE> x\xff <"),
            "the error reply is no OSS error but text/html",
        ),
        (
            Reply(404, {"x-oss-request-id": "R"}, b"<a><TITLE id=1> x\xff\n </Title>"),
            "the error reply is no OSS error but no content type titled 'x\ufffd'",
        ),
    ],
)
def test_what_is_no_error_of_oss_is_described(reply, message):
    assert error_from(reply).message == message


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("abcdefgh", "an abcdefgh", "an ***"),
        ("abcdefg", "an abcdefg", "an abcdefg"),
        ("abcdefgh", "an abcdefg...", "an ***..."),
        ("abcdefgh", "an abcd...", "an ***..."),
        ("abcdefgh", "an abc...", "an abc..."),
        ("abc'\"\ndef", "an abc'\"\ndef", "an ***"),
        ("abc\\def'ghi", "an abc\\\\def'ghi", "an ***"),
    ],
)
def test_a_secret_is_cut_out_whole_and_where_it_was_cut_and_as_it_is_quoted(secret, text, shown):
    # a second one, so that all are looked for
    error = error_from(Reply(403, {}, body_of("X", Message=text)), ("other-secret", secret))
    assert error.message == shown


def test_a_short_secret_hides_no_other():
    error = error_from(
        Reply(403, {}, body_of("X", Message="the long-secret")), ("a", "long-secret")
    )
    assert error.message == "the ***"


def test_words_of_an_error_are_cut_at_500_characters():
    message = error_from(Reply(403, {}, body_of("X", Message="x" * 1000))).message
    assert message.startswith("x" * 500)
    assert "x" * 501 not in message


def test_secrets_are_cut_out_of_the_error_of_a_reply_that_cannot_be_read():
    error = ResponseError(f"cut in {SECRETS[0]}", 200, SECRETS[1])
    wire.hide_secrets(error, SECRETS)
    assert (str(error).partition(" [")[0], error.request_id) == ("cut in ***", "***")
    error = ResponseError("cut", 200)
    wire.hide_secrets(error, iter(SECRETS))
    assert error.request_id is None


TEXTS = st.text() | st.sampled_from(
    [*SECRETS, "</Code>", "&#0;", "<title>", "\x00\x1b[2J\r\n", "{"]
)
PARTS = st.lists(TEXTS, max_size=5).map("".join)
AS_JSON = st.dictionaries(st.sampled_from(["Code", "Message", "RequestId", "EC"]), PARTS).map(
    lambda error: json.dumps({"Error": error})
)
AS_XML = st.tuples(PARTS, PARTS).map(
    lambda said: f"<Error><Code>{said[0]}</Code><Message>{said[1]}</Message></Error>"
)
BODIES = st.binary() | (PARTS | AS_JSON | AS_XML).map(lambda text: text.encode(errors="replace"))
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "x-oss-request-id", "x-oss-ec", "x-oss-err", "location"]),
    st.text(st.characters(max_codepoint=255)) | st.sampled_from([*SECRETS, "x" * 10_000]),
)


@settings(max_examples=sized(250, 1500), deadline=None, derandomize=True)
@given(status=st.integers(100, 199) | st.integers(300, 999), headers=HEADERS, body=BODIES)
@example(status=500, headers={}, body=b"<title>" + SECRETS[0].encode() + b"</title>")
@example(status=500, headers={"content-type": SECRETS[0] + "\x00" * 600}, body=b"x" * 10**6)
def test_no_hostile_reply_gets_through(status, headers, body):
    error = error_from(Reply(status, headers, body), SECRETS)
    for text in (str(error), repr(error), str(error.args), str(error.request_id)):
        assert not any(secret in text for secret in SECRETS)
        assert not any(category(letter) in {"Cc", "Cs"} for letter in text)
        assert len(text) < 2500
    assert error.status == status
