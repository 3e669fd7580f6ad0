"""A standard test that is skipped, or expected to fail, is one that is not passed.

The suites for LlamaIndex stores run each test in two manners. In the default run they take turns,
so that each test is run once on each store; at full size all are.
"""

import pytest
from support.documented_service import client, documented
from support.promises import FULL_SIZE

__all__ = ["client", "documented"]  # fixtures


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


def pytest_collection_modifyitems(config, items):
    if FULL_SIZE:
        return
    pairs = {}
    for item in items:  # those of other folders too
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if (manner := parameters.get("manner")) and hasattr(item.cls, "lacks"):
            pairs.setdefault(item.nodeid.replace(manner, "", 1), []).append(item)
    # of one that is asked for alone there is no other
    left = [both[turn % 2] for turn, both in enumerate(pairs.values()) if len(both) == 2]
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)
