"""A service, and a caller that signs requests to it with the client's own signing."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from support.caller_fixtures import caller, make_caller  # noqa: F401 - fixtures
from support.shelf import Shelf


class Clock:
    """Tell a time that tests set."""

    def __init__(self):
        self.now = datetime(2026, 9, 1, 12, 0, 0, tzinfo=UTC)

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shelf():
    """Return a database with indexes made straight in it."""
    made = Shelf()
    yield made
    made.database.close()


@pytest.fixture
def digest():
    """Return a function that gives the Content-MD5 of a body."""
    return lambda body: base64.b64encode(hashlib.md5(body).digest()).decode()
