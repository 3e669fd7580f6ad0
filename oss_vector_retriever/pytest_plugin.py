"""Fixtures for tests of code that uses OSS Vectors; pytest finds them by itself.

    def test_something(oss_vectors_client):
        oss_vectors_client.put_vector_index(dimension=2)
        oss_vectors_client.put_vectors([{"key": "a", "data": [1, 0]}])
        assert oss_vectors_client.fetch(["a"])[0].data.tolist() == [1, 0]

    def test_a_retry(oss_vectors_server, oss_vectors_client):
        oss_vectors_server.service.faults.add(emulator.faults.Throttle(times=2))
        ...

    def test_against_what_is_documented(strict_oss_vectors_client, oss_vectors_clock):
        strict_oss_vectors_client.put_vector_index(dimension=2)
        strict_oss_vectors_client.put_vectors([{"key": "a", "data": [1, 0]}])
        oss_vectors_clock.advance(3)  # or else wait: a search does not see it before
        assert strict_oss_vectors_client.query_vectors([1, 0], top_k=1)[0].key == "a"

Each test has a service of its own, in memory, on a port of its own. That of the fixtures whose
names begin with `strict` behaves as `emulator.Behaviour.documented()` says, and by a clock that can
be moved. Needs the extra `emulator`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from . import AsyncOSSVectorClient, OSSVectorClient
    from .emulator import ManualClock, Server

# pytest loads this in every session, also in those that use none of it: what the fixtures need is
# imported by them.
_INDEX = "vectors"


@pytest.fixture
def oss_vectors_options() -> dict[str, Any]:
    """Return the keyword arguments of `emulator.Service`; override it to choose a `Behaviour`.

    The strict fixtures take them too, in place of their own.
    """
    return {}


@pytest.fixture
def oss_vectors_clock() -> "ManualClock":
    """Return the clock of the strict service, which goes on by itself and can be moved."""
    from .emulator import ManualClock  # noqa: PLC0415 - see above

    return ManualClock(runs=True)


@pytest.fixture
def oss_vectors_server(oss_vectors_options: dict[str, Any]) -> Iterator["Server"]:
    """Give a running server with an empty bucket.

    Its `endpoint` is the URL, `service` the service behind it (faults are switched on there), and
    `settings` holds the arguments of a client.
    """
    with _open_server(oss_vectors_options) as server:
        yield server


@pytest.fixture
def strict_oss_vectors_server(
    oss_vectors_options: dict[str, Any], oss_vectors_clock: "ManualClock"
) -> Iterator["Server"]:
    """Give a running server that behaves as documented, with an empty bucket."""
    from .emulator import Behaviour  # noqa: PLC0415 - see above

    strict = {"behaviour": Behaviour.documented(), "clock": oss_vectors_clock}
    with _open_server(strict | oss_vectors_options) as server:
        yield server


@contextmanager
def _open_server(options: dict[str, Any]) -> Iterator["Server"]:
    from . import emulator  # noqa: PLC0415 - see above

    with emulator.Service.in_memory(**options) as service:
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
def strict_oss_vectors_client(strict_oss_vectors_server: "Server") -> Iterator["OSSVectorClient"]:
    """Give a client of the strict server; its index is `vectors`, which is not made yet."""
    from . import OSSVectorClient  # noqa: PLC0415 - see above

    with OSSVectorClient(index=_INDEX, **strict_oss_vectors_server.settings) as client:
        yield client


@pytest.fixture
def async_oss_vectors_client(oss_vectors_server: "Server") -> "AsyncOSSVectorClient":
    """Return an async client of the server; its connections close with the event loop."""
    return _async_client(oss_vectors_server)


@pytest.fixture
def strict_async_oss_vectors_client(strict_oss_vectors_server: "Server") -> "AsyncOSSVectorClient":
    """Return an async client of the strict server; its connections close with the event loop."""
    return _async_client(strict_oss_vectors_server)


def _async_client(server: "Server") -> "AsyncOSSVectorClient":
    from . import AsyncOSSVectorClient  # noqa: PLC0415 - see above

    return AsyncOSSVectorClient(index=_INDEX, **server.settings)
