"""The benchmarks themselves: contenders at a tiny job, the table drawn, what pages quote."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "tests" / "benchmarks"
QUOTING = ("README.md", "docs/promises.md")
SPEED = re.compile(r"\b(cpu|faster|slower|ratio|speed)\b|\| time ", re.IGNORECASE)
JOB = {"index": "short", "keys": 3}


@pytest.fixture
def suite(monkeypatch):
    """Give the modules of the suite, which runs from its own folder."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import matrix  # noqa: PLC0415
    import report  # noqa: PLC0415
    import runner  # noqa: PLC0415

    return matrix, report, runner


def test_contenders_do_the_same_work_and_their_ratio_is_drawn(suite):
    matrix, report, runner = suite
    contenders = (matrix.PURE, matrix.RAW, runner.Contender("absent", code="import not_there_"))
    service = {"dimension": 4}
    group = runner.Group("tiny", contenders, JOB, service, calls=2, rounds=(1, 1))
    taken = runner.run(group, full=False)
    assert [len(one.rounds) for one in taken.values()] == [1, 1, 0]
    for one in (taken["pure"], taken[matrix.RAW.name]):
        assert one.figures("requests") == [1.0]
        assert min(one.figures("cpu") + one.figures("wall")) > 0
    row = matrix.Row("a-row", "{keys} keys", "tiny", "pure", matrix.RAW.name, target="1/1000")
    lost = matrix.Row("lost", "nothing", "tiny", "pure", "absent", target="1")
    drawn = [report.draw(one, taken, JOB) for one in (row, lost)]
    ratio = taken["pure"].figures("cpu")[0] / taken[matrix.RAW.name].figures("cpu")[0]
    assert drawn[0]["median"] == drawn[0]["cpu"] == ratio
    assert [one["reached"] for one in drawn] == [False, None]
    machine = report.describe_machine()
    found = {"date": report.today(), "command": "make bench", "machine": machine, "rows": drawn}
    page = report.write_page({**found, "groups": {"tiny": report.describe(taken)}})
    assert f'<a id="a-row"></a>3 keys | {matrix.RAW.name} | CPU | {ratio:.2f} (' in page
    assert "| <= 1/1000 | **not reached** |" in page
    assert "not measured: not_there_" in page


def test_results_that_differ_are_no_contest(suite):
    matrix, _, runner = suite
    other = runner.Contender("other", "rivals/floors.py", "raw", {"index": "whole"})
    group = runner.Group("tiny", (matrix.RAW, other), JOB, {"dimension": 4}, rounds=(1, 1))
    with pytest.raises(AssertionError, match="the results differ"):
        runner.run(group, full=False)


def test_figures_of_rounds(suite):
    _, report, runner = suite
    rounds = [{"cpu": value, "wall": 0, "memory": 0, "requests": 0} for value in (1, 2, 3, 4, 5)]
    taken = {"a": runner.Taken(rounds), "b": runner.Taken(rounds[:1] * 5)}
    assert report.spread(taken["a"].figures("cpu")) == {
        "median": 3,
        "low": 2,
        "high": 4,
        "rounds": 5,
    }
    assert report.spread([3, 1]) == {"median": 2, "low": 1, "high": 3, "rounds": 2}
    assert report.figures("a - b", taken, "cpu") == [0, 1, 2, 3, 4]
    assert report.as_number("1/4") == report.as_number("0.25") == 0.25


def test_every_row_is_drawn_of_contenders_that_there_are(suite):
    matrix, report, _ = suite
    groups = {group.name: {one.name for one in group.contenders} for group in matrix.GROUPS}
    names = [row.name for row in matrix.ROWS]
    assert len(names) == len(set(names))
    assert len(groups) == len(matrix.GROUPS)
    for row in matrix.ROWS:
        assert set(filter(None, report.sides(row))) <= groups[row.group], row
        assert re.fullmatch("[a-z0-9-]+", row.name)


def test_what_judges_us_imports_nothing_of_ours():
    judges = [*(BENCHMARKS / "rivals").glob("*.py")]
    judges += [BENCHMARKS / name for name in ("service.py", "worker.py", "content.py")]
    assert len(judges) >= 7
    for path in judges:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in getattr(node, "names", [])]
            told = [*names, getattr(node, "module", None) or "", getattr(node, "value", "")]
            found = [name for name in told if "oss_vector" in str(name)]
            assert not found, path.name


@pytest.mark.parametrize("page", QUOTING)
def test_pages_quote_ratios_of_the_table_alone(page, suite):
    _, report, _ = suite
    rows = json.loads((ROOT / "docs/benchmarks.json").read_text())["rows"]
    text = (ROOT / page).read_text()
    assert len(report.QUOTED.findall(text)) >= 2
    assert report.quote_in(text, rows) == text  # the figures are those of their rows
    named = {row["name"] for row in rows if "median" in row}
    assert {name for *_, name in report.QUOTED.findall(text)} <= named
    # and there is no other
    for line in text.splitlines():
        if SPEED.search(line) and re.search(r"\d\.\d", report.QUOTED.sub("", line)):
            pytest.fail(f"a ratio that is no link to its row: {line}")


def test_the_page_is_written_of_the_data_beside_it(suite):
    _, report, _ = suite
    found = json.loads((ROOT / "docs/benchmarks.json").read_text())
    assert (ROOT / "docs/benchmarks.md").read_text() == report.write_page(found)
    assert (ROOT / "docs/benchmarks.json").read_text() == report.write_data(found)
