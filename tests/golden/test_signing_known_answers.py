"""The signing answers of the reference, sections 11.1 and 11.2, intermediates included."""

from datetime import UTC, datetime
from hashlib import sha256

import pytest
from support.presigning import presigned_query

from oss_vector_retriever import Credentials
from oss_vector_retriever.client import signing
from oss_vector_retriever.client.signing import Scope, Signable

pytestmark = pytest.mark.promise("R12")

QUERY = "param1=value1&%2Bparam1=value3&%7Cparam1=value4&%2Bparam2=&%7Cparam2=&param2="
CANONICAL_QUERY = "%2Bparam1=value3&%2Bparam2&%7Cparam1=value4&%7Cparam2&param1=value1&param2"
CANONICAL_HASH = "f4613657f1b108998e8dbd10a1aa5da621dc2c6e02c9ddec0f163664848704c4"
GENERAL_HEADERS = {
    "x-oss-head1": "value",
    "abc": "value",
    "zabc": "value",
    "xyz": "value",
    "content-type": "text/plain",
}


def general(epoch, *, token=None, additional=(), region="cn-hangzhou", product="oss"):
    moment = datetime.fromtimestamp(epoch, UTC)
    headers = {**GENERAL_HEADERS, **signing.dated_headers(moment, token)}
    signable = Signable("PUT", "/bucket/1234+-/123/1.txt", QUERY, headers, additional)
    stamp = signing.timestamp(moment)
    return signable, stamp, Scope(stamp[:8], region, product)


GENERAL = {
    "A": (
        {"epoch": 1702743657},
        "20231216/cn-hangzhou/oss",
        "",
        "e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe",
    ),
    "B": (
        {"epoch": 1702784856, "token": "token"},
        "20231217/cn-hangzhou/oss",
        "",
        "b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea",
    ),
    "C": (
        {"epoch": 1702747512, "additional": ("ZAbc", "abc")},
        "20231216/cn-hangzhou/oss",
        ",AdditionalHeaders=abc;zabc",
        "4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f",
    ),
    "C with headers that do not count": (
        {"epoch": 1702747512, "additional": ("x-oss-no-exist", "ZAbc", "x-oss-head1", "abc")},
        "20231216/cn-hangzhou/oss",
        ",AdditionalHeaders=abc;zabc",
        "4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f",
    ),
    "D": (
        {"epoch": 1702743657, "region": "cb-123", "product": "oss-cloudbox"},
        "20231216/cb-123/oss-cloudbox",
        "",
        "94ce1f12c17d148ea681030275a94449d3357f5b5b21133996eec80af3e08a43",
    ),
}


@pytest.mark.parametrize("name", GENERAL)
def test_general_answers(name):
    given, scope_text, additional, expected = GENERAL[name]
    signable, stamp, scope = general(**given)
    header = signing.authorization(signable, "ak", "sk", stamp, scope)
    assert header == (
        f"OSS4-HMAC-SHA256 Credential=ak/{scope_text}/aliyun_v4_request"
        f"{additional},Signature={expected}"
    )


def test_intermediates_of_a():
    signable, stamp, scope = general(1702743657)
    canonical = signable.canonical_request()
    assert signing.canonical_query(QUERY) == CANONICAL_QUERY
    assert canonical.splitlines()[1] == "/bucket/1234%2B-/123/1.txt"
    assert sha256(canonical.encode()).hexdigest() == CANONICAL_HASH
    assert signing.string_to_sign(stamp, scope, canonical) == (
        f"OSS4-HMAC-SHA256\n20231216T162057Z\n{scope}\n{CANONICAL_HASH}"
    )


MOMENT = datetime(2023, 12, 16, 16, 20, 57, tzinfo=UTC)
STAMP = "20231216T162057Z"
SCOPE = Scope("20231216", "cn-hangzhou")
JSON = {"content-type": "application/json"}
HOST = {"host": "bucket-123.cn-hangzhou.oss-vectors.aliyuncs.com"}
EMPTY_MD5 = {"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}


def vectors(method, query, headers, *, token=None, additional=(), bucket="bucket"):
    resource = signing.resource_name("cn-hangzhou", "123", bucket)
    every = {**headers, **signing.dated_headers(MOMENT, token)}
    return Signable(method, resource, query, every, additional)


VECTORS = {
    "V1": (
        vectors("POST", "getVectors", {**JSON, "content-md5": "rb4DbVyK6MfPtzr822P9Zw=="}),
        "3a90e3c02a271bf8eb25e7a4892bdf74157d37d6334cfd7c1f3dab378d6f8014",
    ),
    "V2": (
        vectors("POST", "getVectors", {**JSON, "content-md5": "YjIrYwD+ZgS952+MtT2B7Q=="}),
        "5e4eaa0d3d499c2563718520f32789a3bb4635892a3338570bab5d61a19219d6",
    ),
    "V3": (
        vectors(
            "POST", "getVectors", {**JSON, "content-md5": "YjIrYwD+ZgS952+MtT2B7Q=="}, token="token"
        ),
        "905733e8a8089f4eeffb6181865ac0c9f4fdcb8b22fd5e62ec9467ef2b612c36",
    ),
    "V4": (
        vectors("POST", "getVectors", JSON),
        "7061fb91b2b863e8b7d686b3501ed4b160480882a186db05848df2fdf7e260e1",
    ),
    "V5": (
        vectors("POST", "getVectors", {**JSON, **HOST}, additional=("host",)),
        "01bec772bce9e8459db7d4a67cf6b024da6d7748b68c179af6294605dd82c9b0",
    ),
    "V6": (
        vectors("POST", "getVectors", {**JSON, **HOST}, additional=("host",), token="token"),
        "73375761cd098ec91f2c4c26daed53c9bad4686149901b84450361473fa6f783",
    ),
    "V7": (
        vectors("GET", "", {}, bucket=None),
        "f8b6a3ebd10b36712b945d646c0b92eebc48ae9e6444bf6a2fb11b0133cc839f",
    ),
    "V8": (
        vectors(
            "GET",
            "max-keys=10&prefix=my",
            {"content-type": "application/octet-stream", **EMPTY_MD5},
            bucket=None,
        ),
        "e2c72d5800331bba16e27ed01166cdf0ac4429a441eb8f882f520a576a7c7aef",
    ),
    "V9": (
        vectors("PUT", "", {**JSON, **EMPTY_MD5}),
        "9ced6ea009183c380b02ab57b0369d292fcbdb98885588b12e8c2484e5d7c71c",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_answers(name):
    signable, expected = VECTORS[name]
    header = signing.authorization(signable, "ak", "sk", STAMP, SCOPE)
    additional = ",AdditionalHeaders=host" if name in {"V5", "V6"} else ""
    assert header == (
        "OSS4-HMAC-SHA256 Credential=ak/20231216/cn-hangzhou/oss/aliyun_v4_request"
        f"{additional},Signature={expected}"
    )


def test_intermediates_of_v1():
    signable, _ = VECTORS["V1"]
    canonical = signable.canonical_request()
    assert canonical == (
        "POST\n/acs%3Aossvector%3Acn-hangzhou%3A123%3Abucket/\ngetVectors\n"
        "content-md5:rb4DbVyK6MfPtzr822P9Zw==\ncontent-type:application/json\n"
        "x-oss-content-sha256:UNSIGNED-PAYLOAD\nx-oss-date:20231216T162057Z\n\n\nUNSIGNED-PAYLOAD"
    )
    assert sha256(canonical.encode()).hexdigest() == (
        "a9d3374328c1f9e4fbcfb53729b8f0e050ddfb115a030c8fa7c54a7952e85406"
    )


def test_presigned_answer():
    signable = Signable(
        "POST", signing.resource_name("cn-hangzhou", "123", "bucket"), "getVectors", JSON
    )
    query = presigned_query(signable, "ak", "sk", STAMP, SCOPE, expires=600)
    assert query.endswith(
        "&x-oss-signature=b54eaba75a2c500c9655da67b384473481d97a934104feaaa57bad00f61af412"
    )


@pytest.mark.parametrize("query", ["getVectors", "getVectors="])
def test_a_bare_parameter_and_an_empty_one_sign_alike(query):
    assert signing.canonical_query(query) == "getVectors"


def test_without_a_bucket_the_account_is_left_out():
    assert signing.resource_name("cn-hangzhou", "123", None) == "/acs:ossvector:cn-hangzhou::/"


def test_the_token_of_a_presigned_query_is_signed_and_kept_in_no_cache():
    resource = signing.resource_name("cn-hangzhou", "123", "bucket")
    signable = Signable("POST", resource, "getVectors", JSON)
    kept = signing.canonical_query.cache_info().currsize
    queries = [
        presigned_query(signable, "ak", "sk", STAMP, SCOPE, expires=600, security_token=token)
        for token in (None, "token", "another")
    ]
    assert signing.canonical_query.cache_info().currsize == kept
    signatures = {query.rpartition("&x-oss-signature=")[2] for query in queries}
    assert len(signatures) == 3


class TestTheKeysOfAClient:
    SCOPES = (Scope("20231216", "cn-hangzhou"), Scope("20231217", "cn-hangzhou"))

    def test_serve_all_requests_of_a_day(self):
        keys = signing.SigningKeys()
        first = keys.key_of(Credentials("ak", "sk"), self.SCOPES[0])
        assert keys.key_of(Credentials("ak", "sk"), Scope("20231216", "cn-hangzhou")) is first
        assert repr(first) == "SigningKey(***)"

    def test_are_never_those_of_another_day_region_or_secret(self):
        keys, one, other = signing.SigningKeys(), Credentials("ak", "sk"), Credentials("ak", "SK")
        elsewhere = Scope("20231217", "cn-beijing")
        for credentials, scope in (
            (one, self.SCOPES[0]),
            (one, self.SCOPES[1]),
            (one, elsewhere),
            (other, elsewhere),
            (one, elsewhere),
            (one, self.SCOPES[0]),
        ):
            own = signing.SigningKey(credentials.access_key_secret, scope)
            assert keys.key_of(credentials, scope).sign("text") == own.sign("text")
