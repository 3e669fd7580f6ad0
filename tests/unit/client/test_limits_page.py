"""docs/limits-and-costs.md has the limits of `Limits`; `WRITE_DOCS=1` writes them there."""

import os
import re
from dataclasses import fields
from pathlib import Path

from oss_vector_retriever import Limits

PAGE = Path(__file__).parents[3] / "docs" / "limits-and-costs.md"
HEAD = "| `Limits` | value |\n|---|---|\n"
TABLE = re.compile(re.escape(HEAD) + r"(?:\|.*\n)+|LIMITS\n")


def table():
    lines = [f"| `{one.name}` | {getattr(Limits(), one.name):,} |" for one in fields(Limits)]
    return HEAD + "\n".join(lines) + "\n"


def test_the_page_has_every_limit():
    page = PAGE.read_text(encoding="utf-8")
    if "WRITE_DOCS" in os.environ:
        PAGE.write_text(page := TABLE.sub(table(), page), encoding="utf-8")
    assert table() in page
