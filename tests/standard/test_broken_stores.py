"""The suites fail where a store is broken: each of the defects of `broken_stores.py` is seen."""

import os
from collections import defaultdict
from pathlib import Path

import pytest

pytest.importorskip("llama_index.core")

from support.promises import FULL_SIZE

HERE = Path(__file__).parent


class Run:
    """One run of pytest in this process: what passed and what failed, by the name of the class."""

    def __init__(self):
        self.seen_by = {}
        self.passed, self.failed = defaultdict(set), defaultdict(set)

    def pytest_pycollect_makeitem(self, collector, name):
        if isinstance(collector, pytest.Class):
            own = collector.obj.seen_by
            self.seen_by[collector.name] = own
            suites = vars(collector.getparent(pytest.Module).obj).values()
            needed = {getattr(suite, "seen_by", None) for suite in suites} if own is None else {own}
            # an empty list: nothing is made of it, which is far cheaper than to deselect it
            return None if FULL_SIZE or name in needed else []
        return None

    def pytest_collection_modifyitems(self, items):
        if not FULL_SIZE:
            items[:] = [one for one in items if one.cls.seen_by or "[awaited" not in one.name]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        if not FULL_SIZE and item.originalname in self.failed[item.cls.__name__]:
            pytest.skip("one failure is enough")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item, call):
        error = call.excinfo
        if error is None and call.when == "call":
            self.passed[item.cls.__name__].add(item.originalname)
        elif error is not None and not error.errisinstance(pytest.skip.Exception):
            self.failed[item.cls.__name__].add(item.originalname)
        # in place of pytest's own, which would write a page about each failure
        outcome = "passed" if error is None else "failed"
        return pytest.TestReport(item.nodeid, item.location, {}, outcome, None, call.when)


@pytest.fixture(scope="module")
def results():
    run = Run()
    options = ["-c", os.devnull, f"--rootdir={HERE}", "--noconftest", "--import-mode=importlib"]
    options += ["-p", "no:cacheprovider", "-p", "no:terminal", "-p", "no:asyncio"]
    pytest.main([*options, str(HERE / "broken_stores.py")], plugins=[run])
    return run


def test_each_defect_is_seen_by_the_test_that_is_to_see_it(results):
    broken = {name: seen_by for name, seen_by in results.seen_by.items() if seen_by}
    assert len(broken) >= 80
    unseen = {name for name, seen_by in broken.items() if seen_by not in results.failed[name]}
    assert unseen == set()


def test_the_sound_stores_that_the_broken_ones_are_made_of_pass(results):
    sound = [name for name, seen_by in results.seen_by.items() if seen_by is None]
    assert sound == ["TestKeeping", "TestSoundChat"]
    assert [results.failed[name] for name in sound] == [set(), set()]
    assert all(results.passed[name] for name in sound)
