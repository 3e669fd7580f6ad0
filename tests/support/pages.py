"""The pages that users read, README, docs/ and notebooks, and the code in them."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STABILITY = ROOT / "docs" / "stability.md"
PACKAGE = "oss_vector_retriever"
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


def python_of_notebook(notebook: dict[str, Any]) -> str:
    """Return the code cells of a notebook as one module."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return "\n".join("".join(cell["source"]) for cell in code)


def names_from_inside(code: str) -> list[str]:
    """Return the names of this package that some code uses and that are not public."""
    tree = compile(code, "code", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    doors: dict[str, str] = {}
    used: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for path, name in imported(node):
                used.append(path)
                doors[name] = path
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            used += attribute(node, doors)
    return [path for path in used if not is_public(path)]


@functools.cache
def public_doors() -> frozenset[str]:
    """Return the modules that docs/stability.md names; public is what `__all__` of these lists."""
    _, named, *_ = STABILITY.read_text(encoding="utf-8").split("\n\n")
    names = set(re.findall(r"`([\w.]+)`", named)) - {"__all__", PACKAGE}
    return frozenset({PACKAGE, *(f"{PACKAGE}.{name}" for name in names)})


def imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """Yield what is imported from this package, by the name that it gets."""
    module = node.module if isinstance(node, ast.ImportFrom) else None
    for alias in node.names:
        path = f"{module}.{alias.name}" if module else alias.name
        if f"{path}.".startswith(f"{PACKAGE}."):
            yield path, alias.asname or (alias.name if module else PACKAGE)


def attribute(node: ast.Attribute, doors: dict[str, str]) -> list[str]:
    """Return the path of an attribute of a door, or the name of a private one of anything."""
    if isinstance(node.value, ast.Name) and doors.get(node.value.id) in public_doors():
        return [f"{doors[node.value.id]}.{node.attr}"]
    # a class's own methods may be private: frameworks have some overridden
    is_own = isinstance(node.value, ast.Name) and node.value.id == "self"
    is_private = node.attr.startswith("_") and not node.attr.endswith("__")
    return [node.attr] if is_private and not is_own else []


def is_public(path: str) -> bool:
    """Whether a door is meant, or a name that a door lists."""
    door, _, name = path.rpartition(".")
    doors = public_doors()
    return path in doors or (door in doors and name in importlib.import_module(door).__all__)


def setting_of_docs(name):
    """Return a constant of docs/generate.py, which needs mkdocs to be imported."""
    tree = ast.parse((ROOT / "docs" / "generate.py").read_text(encoding="utf-8"))
    values = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    ]
    return list(ast.literal_eval(values[0]))
