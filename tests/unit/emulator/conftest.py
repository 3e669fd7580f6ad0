"""A service, and a caller that signs requests to it with the client's own signing."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from support.caller import Caller
from support.shelf import Shelf

from oss_vector_retriever.emulator import DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET, Service


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
def make_caller():
    """Return a function that makes a caller of a new service in memory, with a bucket."""
    opened = []

    def make(path=None, *, index=False, **options):
        service = Service(path, **options)
        opened.append(service)
        service.create_bucket(DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET)
        caller = Caller(service)
        if index:
            caller.make_index()
        return caller

    make.Caller = Caller
    yield make
    for service in opened:
        service.close()


@pytest.fixture
def caller(make_caller):
    """Return a caller of a service with a bucket and an empty euclidean `index1` of 3."""
    return make_caller(index=True)


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
