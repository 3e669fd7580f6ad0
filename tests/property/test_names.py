"""No input can move a request to another host, or add a header to it."""

import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.promises import sized

from oss_vector_retriever import ConfigurationError, Credentials, OSSVectorError
from oss_vector_retriever.client.config import resolve_config
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.operations.buckets import list_vector_buckets
from oss_vector_retriever.client.operations.vectors import get_vectors

pytestmark = pytest.mark.promise("R6")

NASTY = [
    "@", "/", "\\", "#", "?", "%", "%2f", "%40", ":", "..", ".", "-", "_", " ", "\r", "\n", "\0",
    "\t", "[", "]", "//", "://", "&", "=", ";", ",", "*", "evil.com", "b@evil.com/",
    "\N{FULLWIDTH COMMERCIAL AT}", "\N{KELVIN SIGN}", "\N{IDEOGRAPHIC FULL STOP}",
    "\N{LATIN SMALL LETTER U WITH DIAERESIS}", "xn--bcher-kva", "\N{RIGHT-TO-LEFT OVERRIDE}",
    "\N{ARABIC-INDIC DIGIT ONE}", "\N{NO-BREAK SPACE}", "\ud800", "localhost", "127.0.0.1", "[::1]",
]  # fmt: skip
GOOD = {
    "bucket": ["examplebucket", "a-1", "a" * 32],
    "account_id": ["123456", "1", "9" * 20],
    "region": ["cn-hangzhou", "ap-southeast-5", "cn"],
    "endpoint": [
        "https://oss.example",
        "http://127.0.0.1:9000",
        "https://10.1.2.3",
        "localhost:9000",
        "cn-hangzhou-internal.oss-vectors.aliyuncs.com",
        "http://[::1]:9000",
        "HTTP://Oss.Example:80/",
    ],
}
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
BUCKET_HOST = re.compile(rf"[a-z0-9-]{{3,32}}-[0-9]{{1,20}}\.(?:{_LABEL}\.)*{_LABEL}(?::[0-9]+)?")
BARE_HOST = re.compile(r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|localhost|\[[0-9a-f:.]+\])(?::[0-9]+)?")
OWN_DOMAIN = re.compile(r"[a-z0-9-]+\.oss-vectors\.aliyuncs\.com")
HEADERS = {
    "host", "accept", "accept-encoding", "user-agent", "date", "x-oss-content-sha256", "x-oss-date",
    "x-oss-security-token", "content-type", "content-md5", "content-length", "authorization",
}  # fmt: skip


def value(random, name):
    """Return a good value, a good one with something nasty in it, or nonsense."""
    good, nasty = random.choice(GOOD[name]), random.choice(NASTY)
    place = random.randrange(len(good) + 1)
    anything = "".join(chr(random.randrange(0x10FFFF)) for _ in range(random.randrange(9)))
    spoiled = [good[:place] + nasty + good[place:], nasty + random.choice(NASTY), anything]
    return good if random.random() < 0.6 else random.choice(spoiled)


def request_for(given_settings, **more):
    config = resolve_config(**given_settings, **more, environment={})
    return next(get_vectors(Context(config), ["a"], index="i")).request, config


@pytest.mark.parametrize("seed", range(10))
def test_a_request_goes_where_it_was_meant_to_or_nowhere(seed):
    random, made = Random(seed), 0
    for _ in range(1000):
        values = {name: value(random, name) for name in GOOD}
        if random.random() < 0.5:
            values["endpoint"] = None
        made += goes_where_it_was_meant_to(values, allow_http=random.random() < 0.5)
    assert 100 < made < 900  # neither all refused nor all fine


def goes_where_it_was_meant_to(values, *, allow_http):
    """Return whether there was a request at all; if so, it went to where the settings say."""
    try:
        request, config = request_for(values, credentials=("ak", "sk"), allow_http=allow_http)
    except ConfigurationError:
        return False
    scheme, _, host = request.origin.partition("://")
    assert request.headers["host"] == host, values
    assert request.target in {"/?getVectors", f"/{config.bucket}/?getVectors"}, values
    assert BUCKET_HOST.fullmatch(host) or BARE_HOST.fullmatch(host), values
    if values["endpoint"] is None:
        expected = f"{values['bucket']}-{values['account_id']}.{values['region']}"
        assert (scheme, host) == ("https", f"{expected}.oss-vectors.aliyuncs.com"), values
        assert OWN_DOMAIN.fullmatch(host.partition(".")[2]), values
    else:
        owned = host.removeprefix(f"{values['bucket']}-{values['account_id']}.")
        assert owned in values["endpoint"].lower(), values
    on_this_machine = host.startswith(("127.", "localhost", "[::1]"))
    assert scheme == "https" or allow_http or on_this_machine, values
    assert set(request.headers) <= HEADERS, values
    for text in (request.url, *request.headers.values()):
        assert text.isascii(), values
        assert text.isprintable(), values
    return True


@settings(max_examples=sized(200, 700), deadline=None, derandomize=True)
@given(
    st.tuples(*[st.text() | st.sampled_from(NASTY) | st.just("goodvalue")] * 2),
    st.none() | st.text() | st.sampled_from(NASTY) | st.just("token"),
)
def test_no_credential_can_add_a_header(pair, token):
    try:
        credentials = Credentials(*pair, token)
    except ConfigurationError:
        return
    request, _ = request_for({n: v[0] for n, v in GOOD.items()}, credentials=credentials)
    assert set(request.headers) <= HEADERS
    for value in request.headers.values():
        assert value.isascii()
        assert value.isprintable()


@settings(max_examples=sized(200, 700), deadline=None, derandomize=True)
@given(st.text(min_size=1) | st.sampled_from(NASTY), st.none() | st.text())
def test_no_argument_of_a_call_can_change_its_address_or_headers(text, other):
    config = resolve_config(
        **{name: values[0] for name, values in GOOD.items()},
        credentials=("ak", "sk"),
        environment={},
    )
    for start in (
        lambda: get_vectors(Context(config), [text], index="i"),
        lambda: get_vectors(Context(config), ["a"], index=text),
        lambda: list_vector_buckets(Context(config), prefix=text, marker=other),
    ):
        try:
            request = next(start()).request
        except OSSVectorError:
            continue
        assert request.origin.endswith("oss.example")
        assert set(request.headers) <= HEADERS
        assert re.fullmatch(r"/\?[A-Za-z0-9%&=._~-]*", request.target)
