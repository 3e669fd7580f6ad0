"""Fixtures for tests of code that uses OSS Vectors; pytest finds them by itself.

    def test_something(oss_vectors_client):
        oss_vectors_client.put_vector_index(dimension=2)
        oss_vectors_client.put_vectors([{"key": "a", "data": [1, 0]}])
        assert oss_vectors_client.fetch(["a"])[0].data.tolist() == [1, 0]

    def test_a_retry(oss_vectors_server, oss_vectors_client):
        oss_vectors_server.service.faults.add(emulator.faults.Throttle(times=2))
        ...

Each test has a service of its own, in memory, on a port of its own. Needs the extra `emulator`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from . import AsyncOSSVectorClient, OSSVectorClient
    from .emulator import Server

# pytest loads this in every session, also in those that use none of it: what the fixtures need is
# imported by them.
_INDEX = "vectors"


@pytest.fixture
def oss_vectors_options() -> dict[str, Any]:
    """Return the keyword arguments of `emulator.Service`; override it to choose a `Behaviour`."""
    return {}


@pytest.fixture
def oss_vectors_server(oss_vectors_options: dict[str, Any]) -> Iterator["Server"]:
    """Give a running server with an empty bucket.

    Its `endpoint` is the URL, `service` the service behind it (faults are switched on there), and
    `settings` holds the arguments of a client.
    """
    from . import emulator  # noqa: PLC0415 - see above

    with emulator.Service.in_memory(**oss_vectors_options) as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        with emulator.Server(service, allow_faults=True) as server:
            yield server


@pytest.fixture
def oss_vectors_client(oss_vectors_server: "Server") -> Iterator["OSSVectorClient"]:
    """Give a client of the server; its index is `vectors`, which is not made yet."""
    from . import OSSVectorClient  # noqa: PLC0415 - see above

    with OSSVectorClient(index=_INDEX, **oss_vectors_server.settings) as client:
        yield client


@pytest.fixture
def async_oss_vectors_client(oss_vectors_server: "Server") -> "AsyncOSSVectorClient":
    """Return an async client of the server; its connections close with the event loop."""
    from . import AsyncOSSVectorClient  # noqa: PLC0415 - see above

    return AsyncOSSVectorClient(index=_INDEX, **oss_vectors_server.settings)
