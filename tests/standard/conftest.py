"""A standard test that is skipped, or expected to fail, is one that is not passed."""

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if (report.skipped and not is_argued(item, report)) or hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was not run to its end: {report.longrepr}"
    return report


def is_argued(item, report):
    """Tell whether a test was skipped for what its class says that the store lacks."""
    lacks = getattr(item.cls, "lacks", {})
    return any(report.longrepr[2].endswith(f"no {name}: {lacks[name]}") for name in lacks)
