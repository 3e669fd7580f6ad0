"""Endpoints: where a request goes, and what is refused before it could go elsewhere."""

import pytest

from oss_vector_retriever import ConfigurationError
from oss_vector_retriever.client.endpoint import parse_endpoint, public_endpoint


def located(endpoint, bucket="examplebucket"):
    return endpoint.locate(bucket, "123456")


@pytest.mark.parametrize(
    ("internal", "host"),
    [
        (False, "cn-hangzhou.oss-vectors.aliyuncs.com"),
        (True, "cn-hangzhou-internal.oss-vectors.aliyuncs.com"),
    ],
)
def test_a_region_has_its_own_endpoint(internal, host):
    endpoint = public_endpoint("cn-hangzhou", internal=internal)
    assert str(endpoint) == f"https://{host}"
    assert located(endpoint) == (f"https://examplebucket-123456.{host}", "/")
    assert located(endpoint, None) == (f"https://{host}", "/")


@pytest.mark.parametrize(
    ("text", "origin", "path"),
    [
        ("https://oss.example", "https://examplebucket-123456.oss.example", "/"),
        ("oss.example", "https://examplebucket-123456.oss.example", "/"),
        ("HTTPS://OSS.Example/", "https://examplebucket-123456.oss.example", "/"),
        ("https://oss.example:8443", "https://examplebucket-123456.oss.example:8443", "/"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000", "/examplebucket/"),
        ("http://localhost:9000/", "http://localhost:9000", "/examplebucket/"),
        ("http://[::1]:9000", "http://[::1]:9000", "/examplebucket/"),
        ("127.0.0.1", "https://127.0.0.1", "/examplebucket/"),
        ("https://10.1.2.3:9000", "https://10.1.2.3:9000", "/examplebucket/"),
        ("http://oss.localhost:9000", "http://examplebucket-123456.oss.localhost:9000", "/"),
        (
            "cn-hangzhou-internal.oss-vectors.aliyuncs.com",
            "https://examplebucket-123456.cn-hangzhou-internal.oss-vectors.aliyuncs.com",
            "/",
        ),
    ],
)
def test_an_endpoint_is_scheme_host_and_port(text, origin, path):
    assert located(parse_endpoint(text)) == (origin, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "https://",
        "b@evil.com/",
        "https://user@oss.example",
        "https://user:password@oss.example",
        "https://oss.example/path",
        "https://oss.example?query",
        "https://oss.example#fragment",
        "https://oss.example\r\nHost: evil.example",
        "https://oss.example\n",
        "https://oss.example\x00",
        "https://oss .example",
        "https://oss.example\\@evil.example",
        "https://oss..example",
        "https://.example",
        "https://oss.example.",
        "https://-oss.example",
        "https://oss_.example",
        "https://%6fss.example",
        "https://*.example",
        "https://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cket.example",
        "https://oss\N{IDEOGRAPHIC FULL STOP}example",
        "https://\N{KELVIN SIGN}elvin.example",
        "https://oss.example\N{NO-BREAK SPACE}",
        "https://\N{FULLWIDTH DIGIT ONE}27.0.0.1",
        f"https://{'a' * 64}.example",
        f"https://{'a.' * 130}example",
        "https://oss.example:0",
        "https://oss.example:65536",
        "https://oss.example:http",
        "https://oss.example:-1",
        "https://oss.example:\N{ARABIC-INDIC DIGIT ONE}",
        "https://oss.example:80:80",
        "https://256.1.1.1",
        "https://1.2.3",
        "https://2130706433",
        "https://[::1",
        "https://::1",
        "https://[127.0.0.1]",
        "https://[fe80::1%25eth0]",
        "ftp://oss.example",
        "file:///etc/passwd",
        "unix:/run/socket",
        "//oss.example",
        "https:/oss.example",
        "..",
        "../..",
        None,
        42,
        b"https://oss.example",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ConfigurationError, match="endpoint"):
        parse_endpoint(text)


class TestPlainHttp:
    @pytest.mark.parametrize(
        "text",
        ["http://oss.example", "http://10.0.0.1:9000", "http://[::2]", "http://localhost.example"],
    )
    def test_is_refused_where_others_could_read_it(self, text):
        with pytest.raises(ConfigurationError, match="allow_http=True"):
            parse_endpoint(text)

    @pytest.mark.parametrize("text", ["http://oss.example", "http://10.0.0.1:9000"])
    def test_is_allowed_where_it_was_asked_for_by_name(self, text):
        assert str(parse_endpoint(text, allow_http=True)) == text

    @pytest.mark.parametrize(
        "text", ["http://127.0.0.1", "http://127.9.9.9", "http://localhost", "http://[::1]"]
    )
    def test_is_fine_on_this_machine(self, text):
        assert str(parse_endpoint(text)) == text


@pytest.mark.parametrize(
    "text", ["oss-cn-hangzhou.aliyuncs.com", "https://bucket.oss-cn-hangzhou-internal.aliyuncs.com"]
)
def test_an_endpoint_of_plain_oss_is_refused_with_the_right_one(text):
    with pytest.raises(ConfigurationError, match=r"those end in oss-vectors\.aliyuncs\.com"):
        parse_endpoint(text)
