"""Which requests are let in, by what no page in a browser can set."""

import logging

import orjson
import pytest

from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.emulator.http.admission import Admission
from oss_vector_retriever.emulator.http.application import Application

BUCKET = "development-bucket-1000000000000001"
DOMAIN = "cn-hangzhou.oss-vectors.aliyuncs.com"
OWN = [
    "127.0.0.1:9000",
    "127.255.255.254",
    "localhost",
    "LocalHost:9000",
    "localhost.:9000",
    "any.localhost:1",
    "[::1]:9000",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]:9000",
    f"{BUCKET}.127.0.0.1:9000",
    f"{BUCKET}.localhost",
    f"{BUCKET}.{DOMAIN}",
    f"{BUCKET}.cn-hangzhou-internal.oss-vectors.aliyuncs.com:80",
    DOMAIN,
    "OSS-VECTORS.aliyuncs.com",
]
FOREIGN = [
    "",
    "evil.test",
    "evil.test:9000",
    "x",
    "192.168.1.7:9000",
    "0.0.0.0:9000",
    "[::]:9000",
    "[fe80::1]",
    "128.0.0.1",
    "127.0.0.1.evil.test",
    "localhost.evil.test",
    "evillocalhost",
    "evil-1.127.0.0.1.test",
    "127.0.a-1.0.1",
    "bucket-1.evil.test",
    "evil.aliyuncs.com",
    "evil-oss-vectors.aliyuncs.com",
    f"{DOMAIN}.evil.test",
    "evil.test@localhost",
    "localhost:9000@evil.test",
    "localhost:port",
    "localhost:123456",
    "localhost evil.test",
    "localhost,evil.test",
    "localhost/evil.test",
    "127.1",
    "2130706433",
    "[::1",
    "[evil]",
    "lokalhöst",
]


def reason(host=("localhost:9000",), target=b"/", allow=(), **headers):
    hosts = [host] if isinstance(host, str) else host
    sent = [(b"host", each.encode("latin-1")) for each in hosts]
    for name, values in headers.items():
        each = [values] if isinstance(values, str) else values
        sent.extend((name.replace("_", "-").encode(), value.encode()) for value in each)
    return Admission(allow).reason_to_refuse(sent, target)


@pytest.mark.parametrize("host", OWN)
def test_loopback_names_and_the_service_s_own_are_let_in(host):
    assert reason(host) is None
    assert reason((), f"http://{host}/b/".encode()) is None


@pytest.mark.parametrize("host", FOREIGN)
def test_any_other_host_is_refused(host):
    assert "its Host is" in reason(host)
    if "/" not in host:  # where the host of a target ends
        assert reason("localhost", f"http://{host}/".encode("latin-1")) is not None
    assert reason(host, b"http://localhost/") is not None


@pytest.mark.parametrize("hosts", [(), ("localhost", "localhost"), ("localhost", "evil.test")])
def test_a_request_has_one_host(hosts):
    assert "Host" in reason(hosts)


@pytest.mark.parametrize(
    ("allowed", "host", "is_let_in"),
    [
        ("host.docker.internal", "host.docker.internal:9000", True),
        ("Host.Docker.Internal.", "host.docker.INTERNAL", True),
        ("host.docker.internal", f"{BUCKET}.host.docker.internal", True),
        ("host.docker.internal", "a.host.docker.internal", False),
        ("host.docker.internal", "docker.internal", False),
        (".tunnel.example", "a.b.tunnel.example", True),
        (".tunnel.example", "tunnel.example", False),
        (".tunnel.example", "eviltunnel.example", False),
        ("192.168.1.7", "192.168.1.7:9000", True),
        ("fd00::7", "[fd00:0::7]:9000", True),
        ("[fd00::7]", "[fd00::7]", True),
        ("emulator", "emulator", True),
    ],
)
def test_names_may_be_allowed(allowed, host, is_let_in):
    assert (reason(host, allow=[allowed]) is None) is is_let_in
    assert reason("evil.test", allow=[allowed]) is not None
    assert reason("localhost", allow=[allowed]) is None


@pytest.mark.parametrize("name", ["", ".", "a b", "http://a", "a:9000", "a/b", "*", "..a", "[x]"])
def test_what_is_no_name_cannot_be_allowed(name):
    with pytest.raises(ConfigurationError, match="cannot be an allowed host"):
        Admission([name])
    with pytest.raises(ConfigurationError, match="must be a list of names"):
        Admission("localhost")


@pytest.mark.parametrize(
    ("site", "is_let_in"),
    [
        ("none", True),
        ("same-origin", True),
        ("same-site", False),
        ("cross-site", False),
        ("", False),
        ("None", False),
        ("unknown", False),
        (("same-origin", "cross-site"), False),
    ],
)
def test_only_a_page_of_its_own_or_none_may_be_behind_a_request(site, is_let_in):
    assert (reason(sec_fetch_site=site) is None) is is_let_in


@pytest.mark.parametrize(
    ("host", "origin", "is_let_in"),
    [
        ("localhost:9000", "http://localhost:9000", True),
        ("LOCALHOST:9000", "http://localhost:9000", True),
        ("localhost", "http://localhost", True),
        ("localhost:80", "http://localhost", True),
        ("[::1]:9000", "http://[::1]:9000", True),
        ("localhost:9000", "http://localhost:9001", False),
        ("localhost:9000", "http://localhost", False),
        ("localhost:9000", "https://localhost:9000", False),
        ("localhost:9000", "http://127.0.0.1:9000", False),
        ("localhost:9000", "http://evil.test", False),
        ("localhost:9000", "http://localhost:9000.evil.test", False),
        ("localhost:9000", "null", False),
        ("localhost:9000", "", False),
        ("localhost:9000", "file://", False),
        ("localhost:9000", "chrome-extension://localhost:9000", False),
        ("localhost:9000", ("http://localhost:9000", "http://evil.test"), False),
    ],
)
def test_an_origin_is_the_server_s_own(host, origin, is_let_in):
    assert (reason(host, origin=origin) is None) is is_let_in


async def ask(service, path, headers, *, method="POST", **options):
    """Return (status, body) of a request whose body must not be asked for before the reply."""
    sent = []

    async def receive():
        assert sent, "the body was read before the request was refused"
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b"secret=1"}
    scope |= {"headers": headers, "client": ("127.0.0.1", 1)}
    await Application(service, **options)(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize("path", ["/", "/b/", "/_emulator/faults", "/openapi.json", "/nowhere"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.parametrize(
    "extra", [(b"host", b"evil.test"), (b"origin", b"null"), (b"sec-fetch-site", b"same-site")]
)
async def test_every_path_is_refused_unread_and_logged(caller, caplog, path, method, extra):
    headers = [extra, (b"content-length", b"1000000000"), (b"content-type", b"application/json")]
    if extra[0] != b"host":
        headers.append((b"host", b"localhost"))
    with caplog.at_level(logging.WARNING):
        status, body = await ask(caller.service, path, headers, method=method, allow_faults=True)
    assert status == 403
    assert method == "HEAD" or orjson.loads(body)["Error"]["Code"] == "AccessDenied"
    (line,) = caplog.messages
    assert line.startswith(f"refused {method} '{path}' from 127.0.0.1: ")
    assert "secret" not in line


async def test_a_line_of_the_log_is_one_line(caller, caplog):
    headers = [(b"host", b"evil\x1b[31m\r\nforged" + b"x" * 1000)]
    assert (await ask(caller.service, "/\r\nforged\x9b" + "y" * 1000, headers))[0] == 403
    (line,) = caplog.messages
    assert line.isprintable()
    assert line.isascii()
    assert len(line) < 600
