"""Generated examples take as long as a busy machine lets them; tests say what they show."""

import gc
import os
import signal
import sys
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings
from support.promises import figure, pytest_collection_modifyitems, pytest_terminal_summary

__all__ = ["figure", "pytest_collection_modifyitems", "pytest_terminal_summary"]

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# Each process would compile all of the package and of the tests that it imports, four workers and
# hundreds that tests start: a third of a run. It goes into `__pycache__`, as it does by default.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell that starts the tests in its background has them ignore Ctrl-C, and all their processes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the tests without collecting garbage, and leave what they consist of out of it.

    All the frameworks and tests in memory were looked through again and again, in each process: a
    third of the time that collecting takes, and half a second for each `gc.collect()` of a test.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
