"""Endpoints: where a request goes, and what is refused before it could go elsewhere."""

import pytest
from support.places import ACCOUNT, ARN, PUBLIC, REGIONAL, SHOWN

from oss_vector_retriever import ConfigurationError
from oss_vector_retriever.client.endpoint import (
    check_region,
    parse_endpoint,
    public_endpoint,
    read_bucket,
    read_endpoint,
    remove_bucket,
)


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
        ("127.0.0.1", "http://127.0.0.1", "/examplebucket/"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000", "/examplebucket/"),
        ("[::1]:9000", "http://[::1]:9000", "/examplebucket/"),
        ("localhost:9000", "http://localhost:9000", "/examplebucket/"),
        ("https://localhost:9000", "https://localhost:9000", "/examplebucket/"),
        ("10.1.2.3:9000", "https://10.1.2.3:9000", "/examplebucket/"),
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
    "text",
    [
        "oss-cn-hangzhou.aliyuncs.com",
        "https://bucket.oss-cn-hangzhou-internal.aliyuncs.com",
        "https://xoss-vectors.aliyuncs.com",
    ],
)
def test_an_endpoint_of_plain_oss_is_refused_with_the_right_one(text):
    with pytest.raises(ConfigurationError, match=r"those end in oss-vectors\.aliyuncs\.com"):
        parse_endpoint(text)


OF_BUCKET = {"bucket": "my-bucket", "account_id": ACCOUNT, "region": "cn-beijing"}


class TestAnAddressOfOssVectors:
    @pytest.mark.parametrize(
        ("text", "origin", "said"),
        [
            (
                SHOWN,
                "https://cn-beijing-internal.oss-vectors.aliyuncs.com",
                {**OF_BUCKET, "internal": True},
            ),
            (PUBLIC, REGIONAL, {**OF_BUCKET, "internal": False}),
            (f"{PUBLIC.upper()}/", REGIONAL, {**OF_BUCKET, "internal": False}),
            (
                f"{PUBLIC.removeprefix('https://')}:8443",
                f"{REGIONAL}:8443",
                {**OF_BUCKET, "internal": False},
            ),
            (REGIONAL, REGIONAL, {"region": "cn-beijing", "internal": False}),
            (
                "oss-cn-beijing-internal.oss-vectors.aliyuncs.com",
                "https://cn-beijing-internal.oss-vectors.aliyuncs.com",
                {"region": "cn-beijing", "internal": True},
            ),
            (
                "b-2024-01-7.ap-southeast-1.oss-vectors.aliyuncs.com",
                "https://ap-southeast-1.oss-vectors.aliyuncs.com",
                {
                    "bucket": "b-2024-01",
                    "account_id": "7",
                    "region": "ap-southeast-1",
                    "internal": False,
                },
            ),
        ],
    )
    def test_says_where_it_leads(self, text, origin, said):
        given = read_endpoint(text)
        assert str(given.pop("endpoint")) == origin
        assert given == said

    @pytest.mark.parametrize(
        "host",
        [
            "oss-vectors.aliyuncs.com",
            "my-bucket.cn-beijing.oss-vectors.aliyuncs.com",
            f"a.my-bucket-{ACCOUNT}.cn-beijing.oss-vectors.aliyuncs.com",
            f"-{ACCOUNT}.cn-beijing.oss-vectors.aliyuncs.com",
            f"my-bucket-{'1' * 21}.cn-beijing.oss-vectors.aliyuncs.com",
            f"{'b' * 33}-1.cn-beijing.oss-vectors.aliyuncs.com",
            "ab-1.oss-oss-cn.oss-vectors.aliyuncs.com",
            "b--internal.oss-vectors.aliyuncs.com",
        ],
    )
    def test_of_another_form_is_refused(self, host):
        with pytest.raises(ConfigurationError):
            read_endpoint(f"https://{host}")

    @pytest.mark.parametrize(
        "text",
        [
            "https://oss.example",
            f"https://my-bucket-{ACCOUNT}.oss.example",
            "http://127.0.0.1:9000",
            "https://cn-beijing.oss-vectors.aliyuncs.com.example",
        ],
    )
    def test_is_none_of_somebody_elses(self, text):
        assert read_endpoint(text).keys() == {"endpoint"}

    def test_is_plain_only_where_that_was_asked_for(self):
        plain = PUBLIC.replace("https", "http")
        with pytest.raises(ConfigurationError, match="allow_http=True"):
            read_endpoint(plain)
        given = read_endpoint(plain, allow_http=True)
        assert str(given["endpoint"]) == REGIONAL.replace("https", "http")


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://my-bucket-7.oss.example", "https://my-bucket-7.oss.example"),
        ("http://my-bucket-7.x.localhost:9000", "http://my-bucket-7.x.localhost:9000"),
        ("http://my-bucket-7.localhost:9000", "http://localhost:9000"),
        ("https://other-7.oss.example", "https://my-bucket-7.other-7.oss.example"),
        ("https://my-bucket-77.oss.example", "https://my-bucket-7.my-bucket-77.oss.example"),
    ],
)
def test_a_bucket_stands_in_a_host_once(text, origin):
    endpoint = remove_bucket(parse_endpoint(text), "my-bucket", "7")
    assert endpoint.locate("my-bucket", "7")[0] == origin


class TestAnArn:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (ARN, OF_BUCKET),
            (f"{ARN}/notes", {**OF_BUCKET, "index": "notes"}),
            (ARN.replace("cn-beijing", "oss-cn-beijing"), OF_BUCKET),
            (
                "acs:ossvector:cn-beijing:1:bucket",
                {**OF_BUCKET, "bucket": "bucket"} | {"account_id": "1"},
            ),
            ("my-bucket", {"bucket": "my-bucket"}),
            ("acs", {"bucket": "acs"}),
        ],
    )
    def test_says_bucket_account_and_region(self, text, said):
        assert read_bucket(text) == said

    @pytest.mark.parametrize(
        "text",
        [
            "acs:",
            f"{ARN}:more",
            f"{ARN}/notes/*",
            f"{ARN}/",
            f"{ARN}/my-index",
            f"{ARN}\n",
            f" {ARN}",
            ARN.replace("ossvector", "oss"),
            ARN.replace("cn-beijing", "*"),
            ARN.replace("cn-beijing", ""),
            ARN.replace(ACCOUNT, "*"),
            ARN.replace("my-bucket", "*"),
            ARN.replace("my-bucket", "My-bucket"),
            ARN.replace("my-bucket", "b@evil.com"),
            # an index of the bucket `bucket`, or the older form of a bucket
            ARN.replace("my-bucket", "bucket/notes"),
        ],
    )
    def test_that_is_none_is_refused(self, text):
        with pytest.raises(ConfigurationError, match=r"bucket .* vector bucket"):
            read_bucket(text)


@pytest.mark.parametrize("region", ["cn-beijing", "oss-cn-beijing"])
def test_an_oss_id_means_its_region(region):
    assert check_region(region) == "cn-beijing"
