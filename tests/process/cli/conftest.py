"""A server that says nothing, and an index in a file."""

import socket

import pytest
from support.command_fixtures import no_settings, stored  # noqa: F401 - fixtures


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
