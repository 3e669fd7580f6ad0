"""Every test here leaves no socket and no thread, and sees no proxy or key of its surroundings."""

import gc
import importlib.util
import logging
import os

import pytest
import trustme
from support.calls import LIBRARIES, MODES, collect, open_sockets, threads
from support.socket_server import SocketServer, server_context

from oss_vector_retriever.client.transport.engine import VARIABLE


def _installed(name):
    return importlib.util.find_spec(name) is not None


@pytest.fixture(autouse=True, scope="module")
def _only_new_objects_are_collected():
    collect()
    gc.freeze()  # for good: pytest ends with five collections


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("OSS_", "SSL_CERT_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _nothing_left(_no_surroundings):
    sockets, running = open_sockets(), threads()
    yield
    collect()
    assert open_sockets() <= sockets
    for thread in threads() - running:
        thread.join(2)
    assert threads() <= running
    gc.freeze()  # what is left holds nothing, and need not be looked through at each test's end


@pytest.fixture(
    params=[
        pytest.param(
            name, marks=pytest.mark.skipif(not _installed(name), reason=f"{name} is not installed")
        )
        for name in LIBRARIES
    ]
)
def library(request, monkeypatch, _no_surroundings):
    """Name the HTTP library that clients made in the test use."""
    monkeypatch.setenv(VARIABLE, request.param)
    return request.param


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


def pytest_generate_tests(metafunc):
    """Run every test here over TLS as well: whatever goes wrong, its outcome is the same."""
    if "security" in metafunc.fixturenames:
        plain = metafunc.definition.get_closest_marker("plain")
        metafunc.parametrize("security", ["plain"] if plain else ["plain", "tls"], indirect=True)


def over_tls(item):
    """Return when a test is run over TLS; by default with one of the HTTP libraries."""
    marker = item.get_closest_marker("over_tls")
    return marker.args[0] if marker else "one library"


def is_tls_without_tls(item):
    """Tell whether an item would end by TLS a connection that has none."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return parameters.get("security") == "plain" and "_of_tls" in str(parameters.get("death"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Leave to the long run what would cost too much in each, and out what there is only in TLS."""
    items[:] = [item for item in items if not is_tls_without_tls(item)]
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if parameters.get("security") == "tls":
            again = parameters.get("library") == LIBRARIES[0] and over_tls(item) == "one library"
            if again or over_tls(item) == "long":
                item.add_marker(pytest.mark.soak)


@pytest.fixture(autouse=True)
def security(request, monkeypatch, _no_surroundings):
    """Name what servers of the test speak by default, and clients trust."""
    if request.param == "tls":
        context, path = request.getfixturevalue("trusted")
        monkeypatch.setattr(SocketServer, "default_tls", context)
        monkeypatch.setenv("SSL_CERT_FILE", path)
    return request.param


@pytest.fixture(scope="session")
def trusted(tmp_path_factory):
    """Return the TLS context of a server of this machine, and the file that vouches for it."""
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return server_context(authority.issue_cert("127.0.0.1", "localhost", "*.localhost")), str(path)


@pytest.fixture
def everything_logged(caplog):
    """Keep all that is logged at DEBUG, by us and by the libraries below."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpcore", "httpcore2", "httpx", "httpx2", "asyncio", "oss_vector_retriever"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


_FIGURES = []


@pytest.fixture
def measurement(request):
    """Take what was measured, to be printed when all tests are over."""
    return lambda text: _FIGURES.append(f"{request.node.name}: {text}")


def pytest_terminal_summary(terminalreporter):
    if _FIGURES:
        terminalreporter.section("measured in tests/faults")
        for line in sorted(_FIGURES):
            terminalreporter.write_line(line)
