"""Proxies: used where the environment or the caller names one, never for this machine."""

import traceback

import pytest
import trustme
from support import faults
from support.calls import run, settings
from support.fault_server import FaultServer
from support.proxy_server import ProxyServer
from support.socket_server import server_context

from oss_vector_retriever.client.errors import ConfigurationError, TransportError

pytestmark = [pytest.mark.usefixtures("library"), pytest.mark.plain]

HOST = "examplebucket-123456.vectors.test"
NAMED = {"endpoint": "http://vectors.test", "allow_http": True}


def fetched(client):
    return client.fetch(["key-1"])


def check(result):
    assert [vector.key for vector in result] == ["key-1"]


def test_this_machine_is_reached_without_the_proxy_of_the_environment(mode, monkeypatch):
    with ProxyServer() as proxy, FaultServer() as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.endpoint)
        (result,) = run(mode, settings(server.endpoint), fetched)
    check(result)
    assert proxy.connections == 0


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_proxy_of_the_environment_is_asked_for_a_named_host(variable, mode, monkeypatch):
    with ProxyServer() as proxy:
        monkeypatch.setenv(variable, proxy.endpoint)
        (result,) = run(mode, settings(**NAMED), fetched)
    check(result)
    (request,) = proxy.requests
    assert request.target == f"http://{HOST}/?getVectors"
    assert request.headers["host"] == HOST


def test_a_proxy_may_be_named_without_its_scheme(mode, monkeypatch):
    with ProxyServer() as proxy:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
        (result,) = run(mode, settings(**NAMED), fetched)
    check(result)


@pytest.mark.parametrize("exception", ["vectors.test", ".vectors.test", "*"])
def test_no_proxy_leads_around_the_proxy(exception, mode, monkeypatch):
    with ProxyServer() as proxy:
        monkeypatch.setenv("http_proxy", proxy.endpoint)
        monkeypatch.setenv("no_proxy", exception)
        named = {**NAMED, "endpoint": "http://vectors.test.invalid"} if exception == "*" else NAMED
        (error,) = run(mode, settings(**named, retry=1), fetched)
    assert isinstance(error, TransportError)
    assert error.kind == "connect"
    assert proxy.connections == 0


def test_the_proxy_of_the_caller_is_asked_whatever_the_environment_says(mode, monkeypatch):
    with ProxyServer() as ours, ProxyServer() as theirs:
        monkeypatch.setenv("http_proxy", theirs.endpoint)
        monkeypatch.setenv("no_proxy", "*")
        (result,) = run(mode, settings(**NAMED, proxy=ours.endpoint), fetched)
    check(result)
    assert theirs.connections == 0


def test_https_goes_through_a_tunnel_and_is_verified_end_to_end(mode, tmp_path):
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    tls = server_context(authority.issue_cert(HOST))
    with FaultServer(tls=tls) as server, ProxyServer(leads_to=server.port) as proxy:
        options = settings("https://vectors.test", proxy=proxy.endpoint, ca_file=str(ca_file))
        results = run(mode, options, fetched, fetched)
    for result in results:
        check(result)
    (connect,) = proxy.requests
    assert (connect.method, connect.target) == ("CONNECT", f"{HOST}:443")
    assert "authorization" not in connect.headers
    assert [request.target for request in server.requests] == ["/?getVectors"] * 2


def test_the_password_of_a_proxy_is_given_to_it(mode):
    with ProxyServer(user_and_password="us er:p@ss") as proxy:
        address = proxy.endpoint.replace("http://", "http://us%20er:p%40ss@")
        (result,) = run(mode, settings(**NAMED, proxy=address), fetched)
    check(result)


@pytest.mark.parametrize("endpoint", ["http://vectors.test", "https://vectors.test"])
def test_a_proxy_that_wants_a_password_is_an_error_without_it(endpoint, mode):
    with ProxyServer(user_and_password="user:secret-password") as proxy:
        address = proxy.endpoint.replace("http://", "http://user:wrong-password@")
        options = settings(endpoint, allow_http=True, proxy=address)
        (error,) = run(mode, options, fetched)
    check_refusal(error, proxy, "HTTP 407 Proxy Authentication Required")
    assert "password" not in str(error)
    assert proxy.connections == 1  # no second try: some proxies lock out who fails too often


def check_refusal(error, proxy, said):
    assert isinstance(error, TransportError)
    assert (error.kind, error.attempts) == ("proxy", 1)
    assert f"the proxy {proxy.endpoint} (ProxyError) refused to pass the request on" in str(error)
    assert said in str(error)


def test_a_proxy_that_refuses_the_way_is_named(mode):
    with ProxyServer(refusal=403) as proxy:
        options = settings("https://vectors.test", proxy=with_password(proxy))
        (error,) = run(mode, options, fetched)
    check_refusal(error, proxy, "HTTP 403 Forbidden")
    assert_no_password(error)


def with_password(proxy):
    return proxy.endpoint.replace("://", "://canary-user:canary-password@")


def assert_no_password(error):
    for text in (str(error), repr(error), *traceback.format_exception(error)):
        assert "canary" not in text


@pytest.mark.parametrize("endpoint", ["http://vectors.test", "https://vectors.test"])
def test_a_proxy_on_which_nobody_listens_is_named(endpoint, mode):
    with ProxyServer() as proxy:
        pass
    options = settings(endpoint, allow_http=True, proxy=with_password(proxy))
    (error,) = run(mode, options, fetched)
    assert (error.kind, error.attempts) == ("connect", 3)
    assert f"could not connect through the proxy {proxy.endpoint} (" in str(error)
    assert "check the proxy" in str(error)
    assert "vectors.test" not in str(error)
    assert_no_password(error)


def test_a_proxy_that_cannot_reach_the_service_may_do_so_later(mode):
    with ProxyServer(refusal=502) as proxy:
        (error,) = run(mode, settings("https://vectors.test", proxy=proxy.endpoint), fetched)
    assert (error.kind, error.attempts) == ("connect", 3)
    assert f"through the proxy {proxy.endpoint} (ProxyError)" in str(error)
    assert "HTTP 502 Bad Gateway" in str(error)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


@pytest.mark.parametrize("endpoint", ["http://vectors.test", "https://vectors.test"])
def test_a_proxy_may_speak_tls_itself(endpoint, authority, ca_file, mode):
    tls = server_context(authority.issue_cert("127.0.0.1"))
    of_service = server_context(authority.issue_cert(HOST))
    with FaultServer(tls=of_service) as server, ProxyServer(leads_to=server.port, tls=tls) as proxy:
        options = settings(endpoint, allow_http=True, proxy=with_password(proxy), ca_file=ca_file)
        results = run(mode, options, fetched, fetched)
    for result in results:
        check(result)


@pytest.mark.parametrize("endpoint", ["http://vectors.test", "https://vectors.test"])
def test_a_bad_certificate_of_a_proxy_names_the_proxy(endpoint, authority, ca_file, mode):
    tls = server_context(authority.issue_cert("elsewhere.test"))
    with ProxyServer(tls=tls) as proxy:
        options = settings(endpoint, allow_http=True, proxy=with_password(proxy), ca_file=ca_file)
        (error,) = run(mode, options, fetched)
    assert (error.kind, error.attempts) == ("tls", 1)
    assert f"could not agree on TLS with the proxy {proxy.endpoint} (" in str(error)
    assert "certificate is not valid for '127.0.0.1'" in str(error)
    assert "vectors.test" not in str(error)
    assert_no_password(error)


@pytest.mark.parametrize("of_proxy", [False, True], ids=["http proxy", "https proxy"])
def test_a_bad_certificate_of_the_service_names_the_service(of_proxy, authority, ca_file, mode):
    tls = server_context(authority.issue_cert("127.0.0.1")) if of_proxy else None
    theirs = server_context(trustme.CA().issue_cert(HOST))
    with FaultServer(tls=theirs) as server, ProxyServer(leads_to=server.port, tls=tls) as proxy:
        options = settings("https://vectors.test", proxy=with_password(proxy), ca_file=ca_file)
        (error,) = run(mode, options, fetched)
    assert (error.kind, error.attempts) == ("tls", 1)
    assert f"could not agree on TLS with https://{HOST} (" in str(error)
    assert "unable to get local issuer certificate" in str(error)
    assert_no_password(error)


def test_a_tunnel_that_breaks_before_it_is_there_has_carried_nothing(mode):
    """So even what may not be repeated is tried again."""

    class Breaking(ProxyServer):
        def handle(self, connection):
            connection.wait_for_bytes()
            connection.read_request()

    with Breaking() as proxy:
        options = settings("https://vectors.test", proxy=proxy.endpoint)
        (error,) = run(mode, options, lambda client: client.put_vector_index(dimension=3))
    assert (error.kind, error.attempts) == ("connect", 3)
    assert f"through the proxy {proxy.endpoint} (" in str(error)


@pytest.mark.parametrize("of_proxy", [False, True], ids=["http proxy", "https proxy"])
def test_a_tunnel_that_died_while_it_was_kept_costs_no_attempt(of_proxy, authority, ca_file, mode):
    tls = server_context(authority.issue_cert("127.0.0.1")) if of_proxy else None
    of_service = server_context(authority.issue_cert(HOST))
    script = [faults.proper, faults.reset]
    with (
        FaultServer(script, tls=of_service) as server,
        ProxyServer(leads_to=server.port, tls=tls) as proxy,
    ):
        options = settings("https://vectors.test", proxy=proxy.endpoint, ca_file=ca_file, retry=1)
        results = run(mode, options, fetched, fetched)
    for result in results:
        check(result)
    assert [request.connection for request in server.requests] == [1, 1, 2]


@pytest.mark.parametrize("proxy", ["ftp://p:1", "http://", "http://[1", "http://p:99999", "://"])
def test_a_proxy_that_is_none_is_told_at_once(proxy, mode):
    with pytest.raises(ConfigurationError, match="proxy"):
        run(mode, settings(**NAMED, proxy=proxy), fetched)
