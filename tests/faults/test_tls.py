"""Certificates are verified, always: nothing is sent to a server that cannot prove its name."""

import ssl
import warnings
from datetime import UTC, datetime

import pytest
import trustme
from support import faults
from support.calls import run, settings
from support.fault_server import FaultServer
from support.socket_server import server_context

from oss_vector_retriever.client.errors import ConfigurationError, TransportError

pytestmark = [pytest.mark.usefixtures("library"), pytest.mark.plain]

PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def fetched(client):
    return client.fetch(["key-1"])


def refused(mode, tls, **options):
    """Return the error of a call to a server with that TLS context; nothing reached the server."""
    with FaultServer(tls=tls) as server:
        (error,) = run(mode, settings(server.endpoint, **options), fetched)
    assert server.requests == []
    assert isinstance(error, TransportError)
    return error


def test_a_certificate_of_a_named_authority_is_accepted(authority, ca_file, mode):
    tls = server_context(authority.issue_cert("127.0.0.1"))
    with FaultServer([faults.cut_by_length], tls=tls) as server:
        results = run(mode, settings(server.endpoint, ca_file=ca_file), fetched, fetched)
    assert [[vector.key for vector in result] for result in results] == [["key-1"]] * 2
    assert [request.connection for request in server.requests] == [1, 2, 2]


def test_an_authority_that_nobody_named_is_refused(authority, mode):
    error = refused(mode, server_context(authority.issue_cert("127.0.0.1")))
    assert error.kind == "tls"
    assert error.attempts == 1
    assert "certificate" in str(error)


def test_a_self_signed_certificate_is_refused(authority, mode, tmp_path):
    pem = tmp_path / "self.pem"
    pem.write_bytes(authority.cert_pem.bytes() + authority.private_key_pem.bytes())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    assert refused(mode, tls).kind == "tls"


def test_another_authority_than_the_named_one_is_refused(ca_file, mode):
    other = server_context(trustme.CA().issue_cert("127.0.0.1"))
    assert refused(mode, other, ca_file=ca_file).kind == "tls"


def test_a_certificate_of_another_host_is_refused(authority, ca_file, mode):
    tls = server_context(authority.issue_cert("elsewhere.test", "127.0.0.2"))
    assert refused(mode, tls, ca_file=ca_file).kind == "tls"


def test_an_expired_certificate_is_refused(authority, ca_file, mode):
    tls = server_context(authority.issue_cert("127.0.0.1", not_after=PAST))
    assert refused(mode, tls, ca_file=ca_file).kind == "tls"


def test_tls_1_1_is_refused(authority, ca_file, mode):
    tls = server_context(authority.issue_cert("127.0.0.1"))
    tls.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        tls.minimum_version = ssl.TLSVersion.TLSv1
        tls.maximum_version = ssl.TLSVersion.TLSv1_1
    assert refused(mode, tls, ca_file=ca_file).kind == "tls"


def test_plain_http_on_an_https_endpoint_is_refused(mode):
    with FaultServer(then=faults.plain_words) as server:
        secure = server.endpoint.replace("http:", "https:")
        (error,) = run(mode, settings(secure), fetched)
    assert isinstance(error, TransportError)
    assert error.kind == "tls"


@pytest.mark.parametrize("fault", [faults.hang_up, faults.hang_up_rudely])
def test_a_connection_closed_in_the_handshake_is_tried_again(fault, mode):
    with FaultServer(then=fault) as server:
        secure = server.endpoint.replace("http:", "https:")
        (error,) = run(mode, settings(secure), fetched)
    assert isinstance(error, TransportError)
    assert error.kind == "connect"
    assert server.connections == error.attempts == 3


@pytest.mark.parametrize("text", ["", "not a certificate"])
def test_a_ca_file_that_is_none_is_told_at_once(text, mode, tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="ca_file"):
        run(mode, settings("https://127.0.0.1:1", ca_file=str(path)), fetched)
