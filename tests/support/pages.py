"""The pages that users read, README and docs/, and the code in them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# what is not run with the page: of other libraries, or run where an engine is (`make ray`)
APART = ("before", "on Ray", "on Dask", "on Spark")
BLOCK = re.compile(r"^```(\w+)(?: ([^\n]*))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read_pages() -> dict[str, str]:
    """Return the text of each page, by its path in the repository."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def blocks(
    text: str, language: str, *, before: bool = False, marks: tuple[str, ...] = APART
) -> list[str]:
    """Return the blocks of a page in one language; with `before` those marked as apart."""
    return [
        code
        for found, info, code in BLOCK.findall(text)
        if found == language and any(mark in info for mark in marks) is before
    ]


def python_module(text: str) -> str:
    """Return the Python of a page as one module, every line where it stands in the page."""
    lines: list[str] = []
    for block in BLOCK.finditer(text):
        if block[1] == "python" and not any(mark in (block[2] or "") for mark in APART):
            lines += [""] * (text.count("\n", 0, block.start(3)) - len(lines))
            lines += block[3].splitlines()
    return "\n".join([*lines, ""])


def setting_of_docs(name):
    """Return a constant of docs/generate.py, which needs mkdocs to be imported."""
    tree = ast.parse((ROOT / "docs" / "generate.py").read_text(encoding="utf-8"))
    values = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    ]
    return list(ast.literal_eval(values[0]))
