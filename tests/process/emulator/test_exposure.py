"""A server that others than this machine can reach, and keys that change while it runs."""

import contextlib
import http.client
import socket
import urllib.error
import urllib.request
from datetime import timedelta
from urllib.parse import urlsplit

import orjson
import pytest

from oss_vector_retriever import (
    AccessDeniedError,
    InvalidAccessKeyIdError,
    OSSVectorClient,
    ServiceError,
    SignatureDoesNotMatchError,
)
from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.emulator import (
    DEVELOPMENT_ACCESS_KEY_SECRET,
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_BUCKET,
    DEVELOPMENT_KEY,
    AccessKey,
    ManualClock,
    Server,
    Service,
)

OWN = AccessKey("own-id", "own-secret", DEVELOPMENT_ACCOUNT_ID)
RENAMED = AccessKey("own-id", DEVELOPMENT_ACCESS_KEY_SECRET, DEVELOPMENT_ACCOUNT_ID)


@pytest.fixture
def make_service():
    opened = []

    def make(*keys, **options):
        service = Service.in_memory(access_keys=keys, **options)
        opened.append(service)
        service.create_bucket(DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET)
        return service

    yield make
    for service in opened:
        service.close()


def list_with(server, key, endpoint=None):
    """List the indexes with a key; return how many there are."""
    settings = {**server.settings, "credentials": (key.id, key.secret)}
    settings["endpoint"] = endpoint or settings["endpoint"]
    with OSSVectorClient(index="x", retry=1, allow_http=True, **settings) as client:
        return len(client.list_vector_indexes())


def own_address():
    """Return an address of this machine that is not loopback, or skip the test."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return probe.getsockname()[0]
        except OSError:
            pytest.skip("this machine has no address but loopback")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
@pytest.mark.parametrize("keys", [[DEVELOPMENT_KEY], [RENAMED], [DEVELOPMENT_KEY, RENAMED], []])
def test_without_keys_of_its_own_it_does_not_serve_others(make_service, host, keys):
    if host == "::" and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    for _ in range(2):  # the port is free again
        with pytest.raises(ConfigurationError, match="needs access keys of its own") as refused:
            Server(make_service(*keys), host)
    text = str(refused.value)
    assert "--access-key-file" in text
    assert "OSS_VECTORS_SERVE_ACCESS_KEY_ID" in text
    assert DEVELOPMENT_ACCESS_KEY_SECRET not in text


def test_published_keys_are_not_honoured_where_others_are_served(make_service, caller):
    service = make_service(DEVELOPMENT_KEY, OWN)
    with Server(service, "0.0.0.0") as exposed, Server(service) as loopback:
        assert exposed.endpoint.startswith("http://127.0.0.1:")
        assert list_with(exposed, OWN) == 0
        with pytest.raises(InvalidAccessKeyIdError, match="loopback only"):
            list_with(exposed, DEVELOPMENT_KEY)
        assert list_with(loopback, DEVELOPMENT_KEY) == 0
        service.set_access_keys([OWN, AccessKey("other", DEVELOPMENT_KEY.secret, "1")])
        with pytest.raises(InvalidAccessKeyIdError):
            list_with(exposed, DEVELOPMENT_KEY)
        # and in no way to sign: in a query as in a header
        caller.key = DEVELOPMENT_KEY
        service.set_access_keys([DEVELOPMENT_KEY])
        request = caller.sign("GET", "policy", origin=exposed.endpoint)
        sent = urllib.request.Request(
            f"{exposed.endpoint}{request.target}", headers=request.headers
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(sent, timeout=10)
        with refused.value as reply:
            assert orjson.loads(reply.read())["Error"]["Code"] == "InvalidAccessKeyId"


def test_the_address_that_is_listened_on_is_let_in_and_other_names_when_allowed(make_service):
    address = own_address()
    service = make_service(OWN)
    with Server(service, address) as server:
        assert list_with(server, OWN) == 0
    with Server(service, "0.0.0.0") as server:
        named = f"http://{address}:{urlsplit(server.endpoint).port}"
        assert list_with(server, OWN) == 0
        with pytest.raises(Exception, match="allow-host"):
            list_with(server, OWN, named)
    with Server(service, "0.0.0.0", allow_hosts=[address]) as server:
        named = f"http://{address}:{urlsplit(server.endpoint).port}"
        assert list_with(server, OWN, named) == 0


def test_a_name_that_is_none_is_refused_and_the_port_is_free_again(make_service):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="cannot be an allowed host"):
            Server(make_service(OWN), port=port, allow_hosts=["http://name"])


def test_settings_name_a_key_that_is_known(make_service):
    temporary = AccessKey("sts", "sts-secret", DEVELOPMENT_ACCOUNT_ID, security_token="token")
    for keys, expected in (
        ([DEVELOPMENT_KEY, OWN], (DEVELOPMENT_KEY.id, DEVELOPMENT_KEY.secret)),
        ([OWN, temporary], ("own-id", "own-secret")),
        ([temporary], ("sts", "sts-secret", "token")),
    ):
        with Server(make_service(*keys)) as server:
            assert server.settings["credentials"] == expected
            with OSSVectorClient(index="x", **server.settings) as client:
                assert client.list_vector_indexes().indexes == ()


def test_settings_name_a_key_that_is_valid(make_service):
    clock = ManualClock()
    later = clock() + timedelta(hours=1)
    disabled = AccessKey(DEVELOPMENT_KEY.id, "other-secret", DEVELOPMENT_ACCOUNT_ID, enabled=False)
    expiring = AccessKey("old", "old-secret", DEVELOPMENT_ACCOUNT_ID, expires=later)
    user = AccessKey("user-id", "user-secret", DEVELOPMENT_ACCOUNT_ID, user="reader")
    service = make_service(disabled, expiring, user, OWN, clock=clock)
    with Server(service) as server:

        def key_id():
            client = OSSVectorClient(index="x", **server.settings)
            with client, contextlib.suppress(AccessDeniedError):  # a user's, without a policy
                client.list_vector_indexes()
            return server.settings["credentials"][0]

        assert key_id() == "old"
        clock.advance(3600)
        assert key_id() == "own-id"
        service.set_access_keys([disabled, expiring, user])
        assert key_id() == "user-id"
        service.set_access_keys([DEVELOPMENT_KEY, OWN])
        assert key_id() == DEVELOPMENT_KEY.id
        service.set_access_keys([disabled, expiring])
        with pytest.raises(ConfigurationError, match=r"set_access_keys\(\)"):
            _ = server.settings
    with Server(make_service(DEVELOPMENT_KEY, OWN), "0.0.0.0") as server:
        assert key_id() == "own-id"


def test_keys_are_added_disabled_and_taken_away_while_it_runs(make_service):
    clock = ManualClock()
    service = make_service(OWN, clock=clock)
    new = AccessKey(
        "new-id", "new-secret", DEVELOPMENT_ACCOUNT_ID, security_token="t",
        expires=clock() + timedelta(minutes=5),
    )  # fmt: skip
    off = AccessKey(OWN.id, OWN.secret, DEVELOPMENT_ACCOUNT_ID, enabled=False)
    with Server(service) as server:
        place = {**server.settings, "index": "x", "retry": 1}
        old_client = OSSVectorClient(**place)
        new_client = OSSVectorClient(
            **{**place, "credentials": (new.id, new.secret, new.security_token)}
        )

        def codes():
            found = []
            for client in (old_client, new_client):
                try:
                    client.list_vector_indexes()
                except ServiceError as error:
                    found.append((error.status, error.code))
                else:
                    found.append(200)
            return found

        with old_client, new_client:
            assert codes() == [200, (403, "InvalidAccessKeyId")]
            service.set_access_keys([OWN, new])
            assert codes() == [200, 200]
            service.set_access_keys([off, new])
            assert codes() == [(403, "UserDisable"), 200]
            clock.advance(5 * 60)
            assert codes() == [(403, "UserDisable"), (403, "SecurityTokenExpired")]
            service.set_access_keys([OWN])
            assert codes() == [200, (403, "InvalidAccessKeyId")]


def test_keys_are_rotated_while_it_runs(make_service):
    service = make_service(OWN)
    new = AccessKey("own-id", "new-secret", DEVELOPMENT_ACCOUNT_ID)
    pair = [(OWN.id, OWN.secret)]
    with Server(service) as server:
        settings = {**server.settings, "credentials": lambda: pair[0]}
        with OSSVectorClient(index="x", retry=1, **settings) as client:
            assert list(client.list_vector_indexes()) == []
            service.set_access_keys([new])
            with pytest.raises(SignatureDoesNotMatchError):
                list_with(server, OWN)
            pair[0] = (new.id, new.secret)
            assert list_with(server, new) == 0
        assert server.settings["credentials"] == (new.id, new.secret)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET / HTTP/1.1\r\n\r\n", 403),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 403),
        ("GET / HTTP/1.0\r\n\r\n", 403),
        ("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", 403),
        ("GET http://evil.test/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 403),
        ("GET http://localhost/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", 403),
        ("CONNECT evil.test:80 HTTP/1.1\r\nHost: evil.test:80\r\n\r\n", 403),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n", 400),
        ("\x16\x03\x01 no HTTP\r\n\r\n", 400),
    ],
)
def test_a_head_that_is_wrong_is_answered_as_the_service_does(caller, caplog, head, status):
    with Server(caller.service) as server:
        parts = urlsplit(server.endpoint)
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as link:
            link.sendall(head.encode("latin-1"))
            received = b""
            while part := link.recv(65536):
                received += part
    first, _, body = received.partition(b"\r\n\r\n")
    assert int(first.split()[1]) == status
    error = orjson.loads(body)["Error"]
    assert error["Code"] == ("AccessDenied" if status == 403 else "InvalidArgument")
    assert any(line.startswith("refused ") for line in caplog.messages)


def test_what_is_forwarded_to_it_does_not_switch_faults_on(caller):
    """A tunnel on this machine speaks for others, and anybody may write such a header."""
    with Server(caller.service, allow_faults=True) as server:
        url = f"{server.endpoint}/_emulator/faults"
        for headers, status in (
            ({}, 200),
            ({"X-Forwarded-For": "10.0.0.1"}, 403),
            ({"Forwarded": "for=10.0.0.1"}, 403),
            ({"X-Forwarded-For": "127.0.0.1"}, 403),
        ):
            found = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
            found.request("GET", urlsplit(url).path, headers=headers)
            with found.getresponse() as reply:
                assert reply.status == status
            found.close()
