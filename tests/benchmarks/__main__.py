"""Measure against the rivals, and write what was found.

    make bench               the whole, up to 20 minutes; writes docs/benchmarks.md and .json, and
                             the ratios that README and others quote
    make bench BENCH=quick   fewer rounds of less, up to 4 minutes; prints only
    make bench ROWS=nodes    only the groups whose names match; prints only
    make bench OUT=folder    writes benchmarks.md and .json there, and nothing else

`make fast` before it builds the compiled scan, whose rows are not measured otherwise.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

import matrix
import report
import runner

DOCS = Path(__file__).parents[2] / "docs"
QUOTING = (DOCS.parent / "README.md", DOCS / "promises.md")


def measure(groups, *, full):
    """Return what was measured: the rows of the table, and the figures of each group."""
    rows, figures = [], {}
    for group in groups:
        began = time.perf_counter()
        taken = runner.run(group, full=full)
        figures[group.name] = report.describe(taken)
        print(f"\n{group.name}, {time.perf_counter() - began:.0f} s")
        for row in matrix.ROWS:
            if row.group == group.name:
                rows.append(report.draw(row, taken, group.job_in(full=full)))
                print("  " + " | ".join(filter(None, report.line_of(rows[-1]))), flush=True)
    found = {
        "date": report.today(),
        "command": "make bench" if full else "make bench BENCH=quick",
        "machine": report.describe_machine(),
        "rows": rows,
        "groups": figures,
    }
    return report.shorten(found)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", default="", help="a regular expression on names of groups")
    parser.add_argument("--out", type=Path, help="the folder to write to")
    words = parser.parse_args()
    chosen = [
        group
        for group in matrix.GROUPS
        if re.search(words.rows, group.name) and (group.quick or words.rows or not words.quick)
    ]
    out = words.out or (None if words.quick or words.rows else DOCS)
    began = time.perf_counter()
    found = measure(chosen, full=not words.quick)
    short = [row["name"] for row in found["rows"] if row["reached"] is False]
    print(f"\nnot reached: {', '.join(short) or 'none'}")
    print(f"{time.perf_counter() - began:.0f} s, load {os.getloadavg()[0]:.1f}")
    if out:
        (out / "benchmarks.json").write_text(report.write_data(found))
        (out / "benchmarks.md").write_text(report.write_page(found))
    if out == DOCS:
        for page in QUOTING:
            page.write_text(report.quote_in(page.read_text(), found["rows"]))


if __name__ == "__main__":
    sys.exit(main())
