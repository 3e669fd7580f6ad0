"""A standard test that is skipped, or expected to fail, is one that is not passed."""

import pytest
from support.documented_service import client, documented

__all__ = ["client", "documented"]  # fixtures


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.skipped or hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was not run to its end: {report.longrepr}"
    return report
