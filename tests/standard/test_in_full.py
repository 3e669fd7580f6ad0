"""Every suite of langchain-tests that fits what we offer is run, whole."""

import inspect
import runpy
from pathlib import Path

import pytest

pytest.importorskip("langchain_tests")

from langchain_tests import integration_tests, unit_tests
from langchain_tests.integration_tests import indexer

OF_MODELS_AND_CACHES = {
    "AsyncCacheTestSuite",
    "ChatModelIntegrationTests",
    "ChatModelUnitTests",
    "EmbeddingsIntegrationTests",
    "EmbeddingsUnitTests",
    "SandboxIntegrationTests",
    "SyncCacheTestSuite",
}


def suites():
    """Return the suites of the installed release, by name."""
    return {
        name: member
        for module in (integration_tests, unit_tests, indexer)
        for name, member in vars(module).items()
        if inspect.isclass(member) and any(part.startswith("test_") for part in dir(member))
    }


def ours():
    """Return the test classes of this folder."""
    for path in Path(__file__).parent.glob("test_langchain_*.py"):
        for name, member in runpy.run_path(str(path)).items():
            if name.startswith("Test") and inspect.isclass(member):
                yield member


def test_every_suite_that_fits_is_run():
    run = {base.__name__ for kind in ours() for base in kind.__mro__}
    left = {name for name in suites() if name not in run}
    assert left - OF_MODELS_AND_CACHES == set()


def test_no_standard_test_is_replaced_or_switched_off():
    count = 0
    for kind in ours():
        for name in dir(kind):
            if name.startswith(("test_", "has_")):
                owner = next(base for base in kind.__mro__ if name in vars(base))
                assert owner.__module__.startswith("langchain_tests."), f"{kind.__name__}.{name}"
                count += 1
    assert count > 200
