"""Fixtures of tests of the emulator, imported by the conftest files of several folders."""

import itertools

import pytest

from oss_vector_retriever.emulator import DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET, Service
from support.caller import Caller


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


def on_files(make_caller, folder):
    """Return `make_caller` so that each caller's service has a file of its own."""
    numbers = itertools.count()
    return lambda **options: make_caller(folder / f"{next(numbers)}.db", **options)


@pytest.fixture
def caller(make_caller):
    """Return a caller of a service with a bucket and an empty euclidean `index1` of 3."""
    return make_caller(index=True)
