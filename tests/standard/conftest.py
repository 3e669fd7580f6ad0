"""A standard test that is skipped, or expected to fail, is one that is not passed."""

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    expected = hasattr(report, "wasxfail")
    if (report.skipped or expected) and not (expected and is_argued(item, report.wasxfail)):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was not run to its end: {report.longrepr}"
    return report


def is_argued(item, reason):
    """Tell whether a test has to fail, since its class says what the store lacks, and why."""
    return reason in getattr(item.cls, "lacks", {}).values()
