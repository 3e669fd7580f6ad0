"""Unit tests get no socket and no process, and those that ask for one fail."""

import asyncio
import multiprocessing
import os
import socket
import subprocess
import sys
import urllib.request

import pytest

LISTEN = {
    "bind": lambda: socket.create_server(("127.0.0.1", 0)),
    "connect": lambda: socket.socket().connect(("127.0.0.1", 9)),
    "connect_ex": lambda: socket.socket().connect_ex(("127.0.0.1", 9)),
    "look-up": lambda: socket.getaddrinfo("localhost", 80),
    "urllib": lambda: urllib.request.urlopen("http://127.0.0.1:9"),
    "a loop's client": lambda: asyncio.run(asyncio.open_connection("127.0.0.1", 9)),
    "a loop's server": lambda: asyncio.run(asyncio.start_server(print, "127.0.0.1", 0)),
}
START = {
    "run": lambda: subprocess.run([sys.executable, "-V"], check=False),
    "system": lambda: os.system("true"),
    "spawn": lambda: multiprocessing.get_context("spawn").Process().start(),
    "a loop's": lambda: asyncio.run(asyncio.create_subprocess_exec(sys.executable, "-V")),
}
if hasattr(os, "fork"):
    START["fork"] = lambda: multiprocessing.get_context("fork").Process().start()
    START["os.fork"] = lambda: os.fork()  # noqa: PLW0108 - it is replaced later


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("how", [*LISTEN, *START])
def test_what_a_unit_test_must_not_do_is_refused_and_remembered(refusals, how):
    with pytest.raises((OSError, ExceptionGroup), match="a unit test opens no socket"):
        {**LISTEN, **START}[how]()
    assert refusals.names
    refusals.names.clear()


async def test_an_event_loop_has_its_own_pair_of_sockets():
    asyncio.get_running_loop().call_soon_threadsafe(print)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(b"x")
        assert theirs.recv(1) == b"x"
