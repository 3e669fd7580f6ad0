"""Certificates are verified, always: nothing is sent to a server that cannot prove its name."""

import contextlib
import datetime as dt
import os
import socket
import ssl
import threading
import time
import warnings
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from support import faults
from support.calls import QUICK, run, settings
from support.fault_server import FaultServer
from support.replies import data_of
from support.socket_server import server_context

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient
from oss_vector_retriever.client.errors import ConfigurationError, TransportError, quote
from oss_vector_retriever.client.transport.engine import _library_name, _tls_context

pytestmark = [pytest.mark.usefixtures("library"), pytest.mark.plain, pytest.mark.promise("R10")]

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


def refused(mode, tls, kind=FaultServer, **options):
    """Return the error of a call to a server with that TLS context; nothing reached the server."""
    with kind(tls=tls) as server:
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
    assert "its certificate was not accepted: unable to get local issuer certificate" in str(error)
    assert "with https://127.0.0.1:" in str(error)


def test_a_self_signed_certificate_is_refused(authority, mode, tmp_path):
    pem = tmp_path / "self.pem"
    pem.write_bytes(authority.cert_pem.bytes() + authority.private_key_pem.bytes())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    error = refused(mode, tls)
    assert error.kind == "tls"
    assert "self-signed certificate" in str(error)


def test_another_authority_than_the_named_one_is_refused(ca_file, mode):
    other = server_context(trustme.CA().issue_cert("127.0.0.1"))
    assert refused(mode, other, ca_file=ca_file).kind == "tls"


def test_a_certificate_of_another_host_is_refused(authority, ca_file, mode):
    tls = server_context(authority.issue_cert("elsewhere.test", "127.0.0.2"))
    error = refused(mode, tls, ca_file=ca_file)
    assert error.kind == "tls"
    assert "certificate is not valid for '127.0.0.1'" in str(error)


def test_an_expired_certificate_is_refused(authority, ca_file, mode):
    tls = server_context(authority.issue_cert("127.0.0.1", not_after=PAST))
    error = refused(mode, tls, ca_file=ca_file)
    assert error.kind == "tls"
    assert "certificate has expired" in str(error)


def test_a_weak_key_is_refused(mode, tmp_path):
    key = rsa.generate_private_key(65537, 1024)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "weak")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(*form, serialization.NoEncryption())
    pem, trusted = tmp_path / "weak.pem", tmp_path / "ca.pem"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(trusted.read_bytes() + private)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.set_ciphers("DEFAULT@SECLEVEL=0")
    tls.load_cert_chain(pem)
    error = refused(mode, tls, ca_file=str(trusted))
    assert error.kind == "tls"
    assert "key too weak" in str(error)


def test_tls_1_1_is_refused(authority, ca_file, mode):
    tls = server_context(authority.issue_cert("127.0.0.1"))
    tls.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        tls.minimum_version = ssl.TLSVersion.TLSv1
        tls.maximum_version = ssl.TLSVersion.TLSv1_1
    error = refused(mode, tls, ca_file=ca_file)
    assert error.kind == "tls"
    assert "PROTOCOL" in str(error)


def test_plain_http_on_an_https_endpoint_is_refused(mode):
    with FaultServer(then=faults.plain_words) as server:
        secure = server.endpoint.replace("http:", "https:")
        (error,) = run(mode, settings(secure), fetched)
    assert isinstance(error, TransportError)
    assert error.kind == "tls"
    assert f"it answers plain http: use {server.endpoint}" in str(error)


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


# behind the handshake


def raw(connection, data):
    """Send bytes past TLS."""
    socket.socket.sendall(connection.sock, data)


def no_record(connection):
    """Read the request, and answer with what is no TLS at all."""
    connection.read_request()
    raw(connection, b"no TLS record at all")
    return False


def broken_record(connection):
    """Answer with a record that nobody has encrypted."""
    connection.read_request()
    raw(connection, b"\x17\x03\x03\x00\x20" + bytes(32))
    return False


def broken_in_the_body(connection):
    """Break TLS in the middle of a reply."""
    received = connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + received.body[:10])
    raw(connection, b"\x17\x03\x03\x00\x20" + bytes(32))
    return False


def an_alert(connection):
    """Send a fatal alert that is not encrypted."""
    connection.read_request()
    raw(connection, b"\x15\x03\x03\x00\x02\x02\x50")
    return False


# not `retry=2`, whose last attempt is patient: two seconds behind the first
TWICE = replace(QUICK, attempts=2)
BEHIND = [no_record, broken_record, broken_in_the_body, an_alert]


@pytest.mark.parametrize("fault", BEHIND)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_fault_of_tls_behind_the_handshake_is_cured_as_a_broken_connection(
    fault, version, authority, ca_file, mode
):
    tls = server_context(authority.issue_cert("127.0.0.1"))
    tls.minimum_version = tls.maximum_version = version
    with FaultServer([fault], tls=tls) as server:
        (result,) = run(mode, settings(server.endpoint, ca_file=ca_file, retry=TWICE), fetched)
    assert [vector.data.tolist() for vector in result] == [data_of("key-1")]
    with FaultServer(then=fault, tls=tls) as server:
        (error,) = run(mode, settings(server.endpoint, ca_file=ca_file), fetched)
    assert isinstance(error, TransportError)
    assert (error.kind, error.attempts, len(server.requests)) == ("closed", 3, 3)
    assert "broke before the reply was whole" in str(error)
    if fault is not an_alert:  # for which OpenSSL may have no word
        assert "whole: " in str(error)
    assert error.__cause__ is None


class Lingering(FaultServer):
    """A server that takes what is still on its way before it closes, as nginx does.

    One that does not resets the connection, and the reset may overtake what it said before.
    """

    @staticmethod
    def hang_up(sock):
        sock.settimeout(1)
        with contextlib.suppress(OSError):
            while socket.socket.recv(sock, 65536):
                pass
        FaultServer.hang_up(sock)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_service_that_wants_a_certificate_of_the_client_is_told_apart(
    version, authority, ca_file, mode
):
    tls = server_context(authority.issue_cert("127.0.0.1"))
    tls.minimum_version = tls.maximum_version = version
    tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls)
    error = refused(mode, tls, Lingering, ca_file=ca_file)
    assert (error.kind, error.attempts) == ("tls", 1)
    said = "certificate of this client" if version is ssl.TLSVersion.TLSv1_3 else "HANDSHAKE"
    assert said in str(error)


def test_closing_ends_a_handshake_and_a_wait_for_a_reply(authority, ca_file):
    tls = server_context(authority.issue_cert("127.0.0.1"))
    with (
        FaultServer(then=faults.silent) as silent,
        FaultServer(then=faults.stall, tls=tls) as stalled,
    ):
        for endpoint in (silent.endpoint.replace("http:", "https:"), stalled.endpoint):
            client = OSSVectorClient(**settings(endpoint, ca_file=ca_file, connect_timeout=20.0))
            told = []

            def call(client=client, told=told):
                with pytest.raises(ConfigurationError, match="is closed") as caught:
                    client.fetch(["key-1"])
                told.append(caught.value)

            thread = threading.Thread(target=call)
            thread.start()
            time.sleep(0.2)
            client.close()
            thread.join(5)
            assert told


# where the authorities come from


def test_a_changed_ca_file_is_read_by_the_next_client(authority, mode, tmp_path, monkeypatch):
    old, path = trustme.CA(), tmp_path / "ca.pem"
    tls = server_context(authority.issue_cert("127.0.0.1"))
    with FaultServer(tls=tls) as server:
        for named in ({"ca_file": str(path)}, {}):
            if not named:
                monkeypatch.setenv("SSL_CERT_FILE", str(path))
            outcomes = []
            for trusted in (old, authority, old):
                trusted.cert_pem.write_to_path(path)
                os.utime(path, ns=(0, 0))  # as a copy may that keeps the time
                outcomes += run(mode, settings(server.endpoint, **named), fetched)
            assert [isinstance(outcome, TransportError) for outcome in outcomes] == [
                True,
                False,
                True,
            ]
        monkeypatch.delenv("SSL_CERT_FILE")
        (error,) = run(mode, settings(server.endpoint), fetched)
    assert isinstance(error, TransportError)


def test_a_changed_directory_is_read_by_the_next_client(authority, mode, tmp_path, monkeypatch):
    # the hash by which OpenSSL looks for the subject of this authority
    name = f"{_subject_hash(authority)}.0"
    tls = server_context(authority.issue_cert("127.0.0.1"))
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'none'}{os.pathsep}{tmp_path}")
    trustme.CA().cert_pem.write_to_path(tmp_path / "00000000.0")
    outcomes = []
    with FaultServer(tls=tls) as server:
        outcomes += run(mode, settings(server.endpoint), fetched)
        authority.cert_pem.write_to_path(tmp_path / name)
        outcomes += run(mode, settings(server.endpoint), fetched)
        (tmp_path / name).unlink()
        outcomes += run(mode, settings(server.endpoint), fetched)
    assert [isinstance(outcome, TransportError) for outcome in outcomes] == [True, False, True]


def _subject_hash(authority):
    """Return what `openssl x509 -hash` prints: of the name in lower case, without its envelope."""
    found = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    parts = [x509.NameAttribute(part.oid, part.value.lower()) for part in found.subject]
    encoded = b"".join(x509.Name([part]).public_bytes()[2:] for part in parts)
    digest = hashes.Hash(hashes.SHA1())
    digest.update(encoded)
    return f"{int.from_bytes(digest.finalize()[:4], 'little'):08x}"


def test_contexts_are_shared_while_nothing_changed_and_not_kept_without_end(ca_file, tmp_path):
    library = _library_name()
    assert _tls_context(library, ca_file) is _tls_context(library, ca_file)
    first = _tls_context(library, ca_file)
    for number in range(8):
        path = tmp_path / f"{number}.pem"
        trustme.CA().cert_pem.write_to_path(path)
        _tls_context(library, str(path))
    assert _tls_context(library, ca_file) is not first


@pytest.mark.parametrize("make", [OSSVectorClient, AsyncOSSVectorClient])
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"])
@pytest.mark.parametrize("state", ["missing", "empty"])
def test_a_variable_that_names_no_certificates_is_told_by_the_constructor(  # noqa: PLR0917
    make, variable, state, ca_file, tmp_path, monkeypatch
):
    path = tmp_path / "here" / "place"
    if state == "empty":
        path.mkdir(parents=True)
        if variable == "SSL_CERT_FILE":
            path = path / "ca.pem"
            path.write_text("not a certificate")
    monkeypatch.setenv(variable, str(path))
    named = {"ca_file": ca_file} if variable == "SSLKEYLOGFILE" else {}
    with pytest.raises(ConfigurationError) as caught:
        make(**settings("https://127.0.0.1:1", **named))
    text = str(caught.value)
    assert text.startswith(f"{variable} {quote(str(path))} ")
    reasons = {
        ("SSL_CERT_FILE", "empty"): "NO_CERTIFICATE_OR_CRL_FOUND",
        ("SSL_CERT_DIR", "empty"): "none of its files has one",
        ("SSLKEYLOGFILE", "empty"): "Is a directory",
    }
    assert reasons.get((variable, state), "No such file or directory") in text
    # what is named in its place is not looked at, and plain http needs none
    make(**settings("http://127.0.0.1:1"))


def test_a_variable_is_not_looked_at_where_ca_file_names_the_authorities(ca_file, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    OSSVectorClient(**settings("https://127.0.0.1:1", ca_file=ca_file)).close()
