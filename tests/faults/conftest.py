"""Every test here leaves no socket and no thread, and sees no proxy or key of its surroundings."""

import gc
import importlib.util
import os

import pytest
from support.calls import LIBRARIES, MODES, collect, open_sockets, threads

from oss_vector_retriever.client.transport.engine import VARIABLE


def _installed(name):
    return importlib.util.find_spec(name) is not None


@pytest.fixture(autouse=True, scope="session")
def _only_new_objects_are_collected():
    collect()
    gc.freeze()
    yield
    gc.unfreeze()


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


_FIGURES = []


@pytest.fixture
def figure(request):
    """Take a measured figure, to be printed when all tests are over."""
    return lambda text: _FIGURES.append(f"{request.node.name}: {text}")


def pytest_terminal_summary(terminalreporter):
    if _FIGURES:
        terminalreporter.section("figures of tests/faults")
        for line in sorted(_FIGURES):
            terminalreporter.write_line(line)
