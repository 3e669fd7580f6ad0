"""What the package promises, each promise with the tests that show it and with their figure.

A test shows a promise by its mark, `@pytest.mark.promise("R1", figure="3,000 sequences, 0 wrong")`,
or says the figure at its end with the fixture `figure`, where it counts as it runs. `make trust`
runs these tests at full size and prints the table; docs/promises.md shows its lines.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

# "full" for `make trust`, "soak" for `make soak`; a variable and no option, so that the processes
# that tests start see it as well
SIZE = os.environ.get("OSS_VECTORS_TESTS", "small")
FULL_SIZE = SIZE in {"full", "soak"}

PROMISES = {
    "R1": "A call that meets passing faults returns the right data.",
    "R2": "No call outlives its timeout, whatever it waits for.",
    "R3": "Retries do not multiply an outage, nor throttling.",
    "R4": "Memory is bounded, whatever is answered.",
    "R5": "No secret stands in a text, a serialised form or a frame.",
    "R6": "No input moves a request to another host or adds a header.",
    "R7": "Order, duplicates and missing keys are exact.",
    "R8": "Never a silently wrong vector.",
    "R9": "Cancelling is clean.",
    "R10": "TLS is verified, and its faults are cured or named.",
    "R11": "The clock may be wrong.",
    "R12": "Signatures are right.",
    "R13": "Nothing leaks.",
    "R14": "Clients are safe for threads.",
    "R15": "Errors are ours, and say what happened.",
    "R16": "The embedded service keeps the documented rules.",
    "P1": "A used client is right in a forked child, and its parent goes on.",
    "P2": "`close()` ends every call, stream, thread and socket.",
    "P3": "Of calls that share a request each has the outcome that it had alone.",
    "P4": "Credentials are renewed ahead, once, and serve on while they are valid.",
    "P5": "Updates of one process lose nothing; those of others are reported.",
    "P6": "No web page reaches a running emulator.",
    "P7": "A document forges nothing in an agent's answer.",
    "P8": "Connections that died unseen cost one refusal.",
    "P9": "A search with a filter finds all that match, or says that it may not.",
    "P10": "A search finds what its process has just written; what others have done since wins.",
}


def sized(small: T, full: T, soak: T | None = None) -> T:
    """Return how often a test does what it does: in each run, in `make trust`, in `make soak`."""
    if SIZE == "soak" and soak is not None:
        return soak
    return full if FULL_SIZE else small


@dataclass
class Shown:
    """What the tests of one promise came to."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    figures: dict[str, int] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        if self.failed or not self.passed:
            return f"FAILED ({self.failed})" if self.failed else "not shown"
        return f"{self.passed} tests" + (f", {self.skipped} skipped" if self.skipped else "")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return what a test of a promise calls with its figure."""
    return lambda text: request.node.user_properties.append(("figure", text))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let reports carry the promises of their tests, from whatever process."""
    for item in items:
        for mark in item.iter_markers("promise"):
            unknown = [name for name in mark.args if name not in PROMISES]
            if unknown:
                raise pytest.UsageError(f"{item.nodeid}: no promise {', '.join(unknown)}")
            item.user_properties += [("promise", name) for name in mark.args]
            if text := mark.kwargs.get("figure"):
                item.user_properties.append(("figure", text))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table of promises, where it was asked for."""
    if not FULL_SIZE or "promise" not in terminalreporter.config.getoption("markexpr"):
        return
    terminalreporter.section("what you can rely on")
    for line in table(shown_by(terminalreporter.stats)):
        terminalreporter.write_line(line)


def shown_by(stats: dict[str, list[Any]]) -> dict[str, Shown]:
    """Sum up the reports of a run, by promise."""
    shown = {name: Shown() for name in PROMISES}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in stats.get(outcome, ()):
            if outcome == "passed" and report.when != "call":
                continue
            of_test = list(getattr(report, "user_properties", ()))
            for name in dict.fromkeys(value for kind, value in of_test if kind == "promise"):
                one = shown[name]
                one.passed += outcome == "passed"
                one.skipped += outcome == "skipped"
                one.failed += outcome in {"failed", "error"}
                if outcome == "passed":
                    for text in (value for kind, value in of_test if kind == "figure"):
                        one.figures[text] = one.figures.get(text, 0) + 1
    return shown


def table(shown: dict[str, Shown]) -> Iterator[str]:
    """Return the lines of the table, in Markdown."""
    yield "| | promise | shown by |"
    yield "| --- | --- | --- |"
    for name, one in shown.items():
        texts = [
            text if times == 1 else f"{text} ({times} times)" for text, times in one.figures.items()
        ]
        yield f"| {name} | {PROMISES[name]} | {'; '.join([*texts, one.outcome])} |"
