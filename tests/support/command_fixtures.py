"""Fixtures of tests of the command line, imported by the conftest files of several folders."""

import os
import socket

import pytest

from oss_vector_retriever import OSSVectorClient


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in [name for name in os.environ if name.startswith("OSS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def stored(tmp_path):
    """Give the flags that lead to a file with two vectors."""
    path = tmp_path / "vectors.db"
    with OSSVectorClient.local(path, index="notes") as client:
        client.put_vector_index(dimension=2)
        client.put_vectors(
            [
                {"key": "a,b", "data": [1, 2], "metadata": {"title": "[red]markup[/red]"}},
                {"key": "c", "data": [3, 4]},
            ]
        )
    return ("--local", str(path), "--index-name", "notes")


class Silent:
    """Listen, and say nothing to whoever comes."""

    def __init__(self, listener):
        self.listener = listener
        self.endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def wait_for_somebody(self):
        self.visitor, _ = self.listener.accept()
        self.visitor.recv(1)


@pytest.fixture
def socket_that_never_answers():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        silent = Silent(listener)
        yield silent
        silent.visitor.close()
