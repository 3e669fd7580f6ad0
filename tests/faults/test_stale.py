"""Connections that died while they were kept: a call meets at most one of them, and is answered."""

import asyncio
import select
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.calls import run, settings
from support.replies import http, vectors_body
from support.socket_server import SocketServer

from oss_vector_retriever import RetryPolicy
from oss_vector_retriever.client.errors import TransportError

pytestmark = [
    pytest.mark.usefixtures("library"),
    pytest.mark.over_tls("always"),
    pytest.mark.promise("P8"),
]

WIDTH = 8
KEYS = [f"key-{n}" for n in range(WIDTH)]


def reset_on_reuse(connection):
    """Answer what comes with a reset, as a load balancer does that has forgotten the connection."""
    connection.server.met(connection.sock.recv(1))
    connection.reset()


def closed_on_reuse(connection):
    """Read the request and close."""
    connection.server.met(connection.sock.recv(65536))


def reset_while_idle(connection):
    connection.reset()


def closed_while_idle(connection):
    del connection


def half_closed(connection):
    """End the sending side alone, and take what comes."""
    socket.socket.shutdown(connection.sock, socket.SHUT_WR)
    while data := connection.sock.recv(65536):
        connection.server.met(data)


def goodbye_of_tls(connection):
    """End TLS with its own close_notify, and leave the TCP connection open."""
    connection.sock.settimeout(0)
    with pytest.raises(ssl.SSLWantReadError):
        connection.sock.unwrap()
    connection.sock.settimeout(None)
    while data := socket.socket.recv(connection.sock, 65536):
        connection.server.met(data)


DEATHS = {
    death.__name__: death
    for death in (
        reset_on_reuse,
        closed_on_reuse,
        reset_while_idle,
        closed_while_idle,
        half_closed,
        goodbye_of_tls,
    )
}
NOT_SEEN = ("reset_on_reuse", "closed_on_reuse")


class MortalServer(SocketServer):
    """Answer, until all connections that are open die in some way; new ones live.

    The first requests are answered together, so that each has a connection of its own. `met` counts
    what came to dead ones.
    """

    def __init__(self):
        self.refused = 0
        self._death = None
        self._dead = 0
        self._gate = threading.Barrier(WIDTH)
        self._waiting, self._ending = socket.socketpair()
        super().__init__()

    def met(self, data):
        if data:
            with self._lock:
                self.refused += 1

    def handle(self, connection):
        mortal = self._death is None
        while self._waits(connection, mortal=mortal):
            keys = connection.read_request().json().get("keys", [])
            if self._death is None:
                self._gate.wait(5)
            connection.send(http(vectors_body(keys)))
        if mortal and self._death is not None:
            with self._lock:
                self._dead += 1
            self._death(connection)

    def _waits(self, connection, *, mortal):
        """Return whether a request comes to a connection that lives."""
        if mortal:
            select.select([connection.sock, self._waiting], [], [])
        return (self._death is None or not mortal) and connection.wait_for_bytes()

    def die(self, death):
        """Let all connections die; those that close have done so when this returns."""
        self._death = DEATHS[death]
        self._ending.close()
        self._wait(lambda: self._dead >= WIDTH, "connections are still alive")
        if death not in NOT_SEEN:
            time.sleep(0.01)  # for the thread that has counted to close, and the client to see it

    def close(self):
        super().close()
        self._waiting.close()
        self._ending.close()


def fetched(key):
    return lambda client: client.get_vectors([key])


def all_at_once(mode, keys=KEYS):
    """Return work that asks for each key by a call of its own, all at once."""

    def on_threads(client):
        with ThreadPoolExecutor(len(keys)) as pool:
            return list(pool.map(lambda key: client.get_vectors([key]), keys))

    async def on_a_loop(client):
        return await asyncio.gather(*(client.get_vectors([key]) for key in keys))

    return on_a_loop if mode == "async" else on_threads


def keys_of(results):
    return [[vector.key for vector in result.vectors] for result in results]


@pytest.fixture(params=DEATHS)
def death(request):
    return request.param


def check_next_calls(mode, death, attempts):
    with MortalServer() as server:
        options = settings(server.endpoint, retry=RetryPolicy(attempts), max_concurrency=WIDTH)
        works = [all_at_once(mode), lambda _: server.die(death), fetched("key-1"), fetched("key-2")]
        opened, _, first, second = run(mode, options, *works)
    assert keys_of(opened) == [[key] for key in KEYS]
    assert keys_of([first, second]) == [["key-1"], ["key-2"]]
    assert server.refused <= 1
    assert server.refused == 1 or death not in NOT_SEEN
    # two calls on one connection, which is new
    assert len({request.connection for request in server.requests[-2:]}) == 1
    assert server.connections == WIDTH + 1


def test_the_next_call_meets_at_most_one(death, mode):
    check_next_calls(mode, death, 2)


@pytest.mark.parametrize("attempts", [1, 3])
def test_that_one_costs_no_attempt(attempts, mode):
    check_next_calls(mode, "reset_on_reuse", attempts)


def test_of_calls_at_once_each_meets_at_most_one(death, mode):
    with MortalServer() as server:
        options = settings(server.endpoint, retry=RetryPolicy(2), max_concurrency=WIDTH)
        works = [all_at_once(mode), lambda _: server.die(death), all_at_once(mode)]
        _, _, results, again = run(mode, options, *works, all_at_once(mode))
        assert keys_of(results) == keys_of(again) == [[key] for key in KEYS]
        assert server.refused <= WIDTH


def test_what_may_not_be_repeated_meets_none(death, mode):
    with MortalServer() as server:
        options = settings(server.endpoint, max_concurrency=WIDTH)
        made = run(
            mode,
            options,
            all_at_once(mode),
            lambda _: server.die(death),
            lambda client: client.put_vector_index(dimension=3),
        )[-1]
        assert not isinstance(made, Exception), made
        assert server.refused == 0
    assert len(server.requests) == WIDTH + 1


def test_a_new_connection_that_breaks_is_no_dead_one(mode):
    """The count of attempts stays that of the policy where the service itself is what breaks."""

    class Breaking(SocketServer):
        def handle(self, connection):
            connection.wait_for_bytes()
            connection.read_request()

    with Breaking() as server:
        (error,) = run(mode, settings(server.endpoint), fetched("key-1"))
    assert isinstance(error, TransportError)
    assert error.attempts == len(server.requests) == 3


def test_a_reply_that_breaks_off_on_a_kept_connection_costs_an_attempt(mode):
    """The service was there, and had begun to answer: the others are not dropped for that."""

    class HalfWay(MortalServer):
        def handle(self, connection):
            served = 0
            while connection.wait_for_bytes():
                body = vectors_body(connection.read_request().json()["keys"])
                if not served:
                    self._gate.wait(5)
                elif served == 1 and not self.refused:
                    self.met(b"x")
                    connection.send(http(body[:5], length=len(body)))
                    return
                served += 1
                connection.send(http(body))

    with HalfWay() as server:
        options = settings(server.endpoint, retry=RetryPolicy(1), max_concurrency=WIDTH)
        _, error, result = run(mode, options, all_at_once(mode), fetched("key-1"), fetched("key-2"))
    assert isinstance(error, TransportError)
    assert error.attempts == 1
    assert keys_of([result]) == [["key-2"]]
    assert server.connections == WIDTH
