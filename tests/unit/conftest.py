"""Unit tests open no socket and start no process; whatever needs one is in another folder.

They stay quick and independent of the machine that way. A test that reaches for either fails, also
where the error that it gets is caught on the way.
"""

import contextlib
import errno
import multiprocessing.process
import os
import socket
import subprocess
import sys

import pytest

with contextlib.suppress(ImportError):
    import urllib3  # noqa: F401 - as it is loaded it binds a socket, to see whether there is IPv6

SOCKETS = ("bind", "listen", "connect", "connect_ex", "sendto")
LOOK_UPS = ("getaddrinfo", "gethostbyname")
PROCESSES = ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system")
# where the system has no pairs of sockets (Windows), an event loop's own is made on loopback
PAIRS = {"socketpair", "_fallback_socketpair"}


class Refusals:
    """What a test reached for and did not get."""

    def __init__(self):
        self.names = []

    def refuse(self, name):
        self.names.append(name)
        raise PermissionError(errno.EPERM, self.reason(name))

    @staticmethod
    def reason(name):
        return f"{name}: a unit test opens no socket and starts no process; see tests/process"


@pytest.fixture(autouse=True)
def refusals(monkeypatch):
    refusals = Refusals()
    for name in SOCKETS:
        monkeypatch.setattr(socket.socket, name, _guard(name, refusals), raising=False)
    for name in LOOK_UPS:
        monkeypatch.setattr(socket, name, _refusal_of(f"socket.{name}", refusals))
    for name in PROCESSES:
        if hasattr(os, name):
            monkeypatch.setattr(os, name, _refusal_of(f"os.{name}", refusals))
    monkeypatch.setattr(subprocess.Popen, "__init__", _refusal_of("subprocess.Popen", refusals))
    start = _refusal_of("Process.start", refusals)
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", start)
    yield refusals
    assert not refusals.names, Refusals.reason(refusals.names[0])


def _guard(name, refusals):
    original = getattr(socket.socket, name)

    def call(self, *args):
        if sys._getframe(1).f_code.co_name not in PAIRS:
            refusals.refuse(f"socket.{name}")
        return original(self, *args)

    return call


def _refusal_of(name, refusals):
    def call(*_, **__):
        refusals.refuse(name)

    return call
