"""Signatures equal those of the official SDK, for whatever a request may hold.

Left out is what the two do not both define: `+` in a query, a name twice in it, and header values
with white space around them (the Python SDK signs them as they are, the Go SDK and we trim).
"""

from datetime import UTC, datetime, timedelta
from string import ascii_lowercase, digits
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

import pytest
from alibabacloud_oss_v2.signer.vectors_v4 import VectorsSignerV4
from alibabacloud_oss_v2.types import Credentials, HttpRequest, SigningContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.presigning import presigned_query
from support.promises import sized

from oss_vector_retriever.client import signing
from oss_vector_retriever.client.config import resolve_config
from oss_vector_retriever.client.credentials import Credentials as OurCredentials
from oss_vector_retriever.client.flow import Operation, signed_request
from oss_vector_retriever.client.signing import Scope, Signable

EXAMPLES = settings(
    max_examples=sized(300, 2000),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
RESERVED = {"date", "authorization", "x-oss-date", "x-oss-content-sha256", "x-oss-security-token"}
SMALL = ascii_lowercase + digits
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=12)
VALUES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=8).map(str.strip)
NAMES = st.one_of(
    st.sampled_from(["content-type", "content-md5", "host", "range", "user-agent", "x-oss-"]),
    st.text(f"{SMALL}-", min_size=1, max_size=8).map("x-oss-{}".format),
    st.text(f"{SMALL}!#$%&'*^_`|~-", min_size=1, max_size=8),
).filter(lambda name: name not in RESERVED)
QUERY_NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda name: not name.startswith("x-oss-")
)
SOME_MOMENT = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=UTC)
)


def query_of(pairs):
    """Write a query as it goes into a URL: encoded, a name without a value bare."""
    encoded = ((quote(name, safe=""), quote(value, safe="~,")) for name, value in pairs.items())
    return "&".join(f"{name}={value}" if value else name for name, value in encoded)


@st.composite
def requests(draw):
    headers = draw(st.dictionaries(NAMES, VALUES, max_size=4))
    wanted = st.sampled_from([*headers, "date", "x-oss-date", "Not-There"])
    additional = draw(st.lists(wanted, max_size=3))
    shout = draw(st.booleans())
    return SimpleNamespace(
        method=draw(st.sampled_from(["POST", "PUT", "GET", "DELETE", "HEAD"])),
        region=draw(st.text(f"{SMALL}-", min_size=1, max_size=12)),
        account_id=draw(st.integers(0, 10**20).map(str)),
        bucket=draw(st.none() | st.text(f"{SMALL}-+%/~ é", min_size=1, max_size=12)),
        product=draw(st.sampled_from(["oss", "oss", "oss-cloudbox"])),
        query=query_of(draw(st.dictionaries(QUERY_NAMES, ANY_TEXT, max_size=4))),
        headers=headers,
        additional=tuple(name.upper() if shout else name for name in additional),
        key=draw(PRINTABLE),
        secret=draw(PRINTABLE),
        token=draw(st.none() | PRINTABLE),
        moment=draw(SOME_MOMENT),
    )


def theirs(request, *, expires=None):
    """Sign a request with the SDK; return what it signed and the string to sign."""
    spelled = {name.title(): value for name, value in request.headers.items()}
    signed = HttpRequest(request.method, f"https://host.test/?{request.query}", spelled)
    context = SigningContext(
        product=request.product,
        region=request.region,
        bucket=request.bucket,
        request=signed,
        credentials=Credentials(request.key, request.secret, request.token),
        signing_time=request.moment,
        additional_headers=set(request.additional),
    )
    if expires is not None:
        context.auth_method_query = True
        context.expiration_time = request.moment + timedelta(seconds=expires)
    VectorsSignerV4(request.account_id).sign(context)
    return signed, context.string_to_sign


def ours(request, headers):
    resource = signing.resource_name(request.region, request.account_id, request.bucket)
    stamp = signing.timestamp(request.moment)
    signable = Signable(request.method, resource, request.query, headers, request.additional)
    return signable, stamp, Scope(stamp[:8], request.region, request.product)


@pytest.mark.promise(
    "R12", figure="2,000 requests signed as the official SDK signs them: 0 differences"
)
@EXAMPLES
@given(requests(), st.integers(1, 604_800))
def test_both_forms_of_a_signature_are_the_official_ones(request, expires):
    check_header(request)
    check_presigned(request, expires)


def check_header(request):
    signed, their_text = theirs(request)
    headers = {**request.headers, **signing.dated_headers(request.moment, request.token)}
    signable, stamp, scope = ours(request, headers)
    assert signing.string_to_sign(stamp, scope, signable.canonical_request()) == their_text
    header = signing.authorization(signable, request.key, request.secret, stamp, scope)
    assert header == signed.headers["authorization"]
    assert {name: signed.headers[name] for name in headers} == headers


def check_presigned(request, expires):
    signed, _ = theirs(request, expires=expires)
    signable, stamp, scope = ours(request, request.headers)
    query = presigned_query(
        signable,
        request.key,
        request.secret,
        stamp,
        scope,
        expires=expires,
        security_token=request.token,
    )
    assert query == urlsplit(signed.url).query


@st.composite
def operations(draw):
    queries = ["getVectors", "putVectors", "listVectorIndexes", "max-keys=2&prefix=a%2Fb"]
    return Operation(
        "Any",
        lambda reply: reply,
        draw(st.sampled_from(["POST", "PUT", "GET"])),
        draw(st.sampled_from(queries)),
        draw(st.binary(max_size=40)),
        on_bucket=draw(st.booleans()),
    )


@settings(EXAMPLES, max_examples=sized(100, 300))
@given(
    operations(),
    st.sampled_from([(), ("host", "User-Agent", "content-length")]),
    st.sampled_from([None, "my-app/1.2 a!#$%&'*+.^_`|~b/1"]),
    SOME_MOMENT,
)
def test_a_whole_request_is_signed_as_the_sdk_would(operation, additional, extra, moment):
    config = resolve_config(
        bucket="examplebucket",
        account_id="123456",
        region="cn-hangzhou",
        credentials=("id", "secret", "token"),
        additional_headers=additional,
        user_agent_extra=extra,
        environment={},
    )
    credentials = OurCredentials("id", "secret", "token")
    headers = dict(signed_request(config, operation, credentials, moment).headers)
    authorization = headers.pop("authorization")
    same = SimpleNamespace(
        method=operation.method,
        region="cn-hangzhou",
        account_id="123456",
        bucket="examplebucket" if operation.on_bucket else None,
        product="oss",
        query=operation.query,
        headers=headers,
        additional=additional,
        key="id",
        secret="secret",
        token="token",
        moment=moment,
    )
    signed, _ = theirs(same)
    assert authorization == signed.headers["authorization"]
    assert dict(signed.headers.lower_items()) == {**headers, "authorization": authorization}
