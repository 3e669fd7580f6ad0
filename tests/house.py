"""Counts of the house: how the package reads, in numbers. `make house` prints them.

    python tests/house.py            the counts, and what the rules of CONTRIBUTING find
    python tests/house.py --paths    the way of one key as well, call by call

The counts read the source and import nothing of the package; the paths run it.
`tests/unit/test_house.py` and `tests/contract/test_paths.py` hold the same counts to their limits.
"""

from __future__ import annotations

import argparse
import ast
import functools
import io
import statistics
import sys
import tokenize
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from support.english import begins_with_verb, is_participle_or_adverb

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "oss_vector_retriever"
SHORT = 60  # lines; a shorter file with one importer belongs into that importer

Function = ast.FunctionDef | ast.AsyncFunctionDef

# Functions that may be named by a participle or an adverb, each with its reason.
EXEMPT = {
    "aligned": "public name of the design: FetchResult.aligned()",
}

# Comments that speak to a tool and not to a reader.
TOOL_MARKS = ("# noqa", "# type:", "# pyright:", "# ruff:", "# fmt:", "# pragma:", "#!")


@dataclass(frozen=True, eq=False)
class Module:
    """One file of the package, parsed."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def line_count(self) -> int:
        return len(self.text.splitlines())

    @property
    def is_package(self) -> bool:
        return self.path.stem == "__init__"

    @property
    def is_door(self) -> bool:
        """Whether others open it: an `__init__`, a `main`, or what the project's metadata names."""
        return self.path.stem in {"__init__", "__main__", "main"} or self.name in _entry_points()

    @property
    def shown_path(self) -> str:
        return self.path.relative_to(PACKAGE).as_posix()


def read_package() -> list[Module]:
    """Return every module of the package, in order of its path."""
    return [_read(path) for path in sorted(PACKAGE.rglob("*.py"))]


def _read(path: Path) -> Module:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    name = ".".join(parts[:-1] if path.stem == "__init__" else parts)
    text = path.read_text(encoding="utf-8")
    return Module(name, path, text, ast.parse(text))


@functools.cache
def _entry_points() -> frozenset[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project.get("scripts", {}), *project.get("entry-points", {}).values()]
    return frozenset(target.partition(":")[0] for group in groups for target in group.values())


# Lines


def count_lines(modules: Iterable[Module]) -> int:
    """Return how many lines the package has, blank ones included."""
    return sum(module.line_count for module in modules)


def count_import_lines(modules: Iterable[Module]) -> int:
    """Return how many lines import statements take, all lines of those that take several."""
    return sum(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    )


@dataclass(frozen=True)
class Comments:
    """How many lines hold a comment: alone, after code, or one that only speaks to a tool."""

    whole_lines: int
    trailing: int
    tool_marks: int

    @property
    def total(self) -> int:
        return self.whole_lines + self.trailing


def count_comments(modules: Iterable[Module]) -> Comments:
    """Return the counts of comments; marks for tools (`noqa`, `type: ignore`) count apart."""
    whole_lines = trailing = tool_marks = 0
    for token in _comments(modules):
        if token.string.startswith(TOOL_MARKS):
            tool_marks += 1
        elif token.line.lstrip().startswith("#"):
            whole_lines += 1
        else:
            trailing += 1
    return Comments(whole_lines, trailing, tool_marks)


def _comments(modules: Iterable[Module]) -> Iterator[tokenize.TokenInfo]:
    for module in modules:
        for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
            if token.type == tokenize.COMMENT:
                yield token


def function_lengths(modules: Iterable[Module]) -> list[int]:
    """Return the lines of each function from `def` to its end, shortest first."""
    return sorted(
        (function.end_lineno or function.lineno) - function.lineno + 1
        for module in modules
        for function in ast.walk(module.tree)
        if isinstance(function, Function)
    )


# Imports


def import_graph(modules: Iterable[Module]) -> dict[str, set[str]]:
    """Return which modules of the package each one imports: at once, in a function or for types."""
    by_name = {module.name: module for module in modules}
    return {
        name: {target for target in _imports_of(module) & set(by_name) if target != name}
        for name, module in by_name.items()
    }


def _imports_of(module: Module) -> set[str]:
    names = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= set(_targets(node, module))
    return names


def _targets(node: ast.ImportFrom, module: Module) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        package = module.name.split(".")[: None if module.is_package else -1]
        above = package[: len(package) - node.level + 1]
        base = ".".join([*above, base] if base else above)
    for alias in node.names:
        inner = f"{base}.{alias.name}"
        # `from package import module` imports the module; any other name is of the package.
        yield inner if _file_of(inner) else base


@functools.cache
def _file_of(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def importers(modules: Iterable[Module]) -> dict[str, set[str]]:
    """Return who imports each module; to name it in a text, as lazy loading does, counts too."""
    modules = list(modules)
    found: dict[str, set[str]] = {module.name: set() for module in modules}
    for importer, targets in import_graph(modules).items():
        for target in targets:
            found[target].add(importer)
    for module in modules:
        for name in _names_in_texts(module) & set(found) - {module.name}:
            found[name].add(module.name)
    return found


def _names_in_texts(module: Module) -> set[str]:
    texts = {
        node.value
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text.partition(":")[0] for text in texts}


def lonely_files(modules: Iterable[Module]) -> list[str]:
    """Return the short files that are no door and have one importer, or none."""
    modules = list(modules)
    known = importers(modules)
    return [
        f"{module.shown_path} ({module.line_count} lines) <- {' '.join(known[module.name])}"
        for module in modules
        if module.line_count < SHORT and not module.is_door and len(known[module.name]) <= 1
    ]


def circles(modules: Iterable[Module]) -> list[list[str]]:
    """Return the sets of modules that import one another in a circle, those for types included."""
    graph = import_graph(modules)
    reach = {name: _reachable(graph, name) for name in graph}
    found = {
        frozenset(other for other in reach[name] if name in reach[other])
        for name in graph
        if name in reach[name]
    }
    return sorted(sorted(circle) for circle in found)


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for target in graph[waiting.pop()] - seen:
            seen.add(target)
            waiting.append(target)
    return seen


# Words


def participle_names(modules: Iterable[Module]) -> list[str]:
    """Return the functions that a bare participle or adverb names, as `file:line name`."""
    return [
        f"{module.shown_path}:{function.lineno} {function.name}"
        for module in modules
        for function in ast.walk(module.tree)
        if isinstance(function, Function) and _is_named_by_participle(function)
    ]


def _is_named_by_participle(function: Function) -> bool:
    word = function.name.strip("_").lower()
    if function.name.startswith("__") or "_" in word or word in EXEMPT:
        return False
    return is_participle_or_adverb(word) and not _may_be_adjective(function)


def _may_be_adjective(function: Function) -> bool:
    """Properties and predicates may be."""
    decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
    is_property = any(
        name.endswith(("property", ".setter", ".getter", ".deleter")) for name in decorators
    )
    result = ast.unparse(function.returns).strip("'\"") if function.returns else ""
    return is_property or result.startswith(("bool", "TypeGuard", "TypeIs"))


def verb_docstrings(modules: Iterable[Module]) -> list[str]:
    """Return the classes whose docstring begins with a verb, as `file:line class: docstring`."""
    return [
        f"{module.shown_path}:{node.lineno} {node.name}: {docstring.splitlines()[0]}"
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
        and (docstring := ast.get_docstring(node))
        and begins_with_verb(docstring)
    ]


# The table


def print_table(modules: list[Module]) -> None:
    """Print the counts, and below them what they found."""
    lines = count_lines(modules)
    comments = count_comments(modules)
    lengths = function_lengths(modules)
    largest = max(modules, key=lambda module: module.line_count)
    known = importers(modules)
    lists = {
        f"files under {SHORT} lines, no door, at most one importer": lonely_files(modules),
        "circles of imports": [" <-> ".join(circle) for circle in circles(modules)],
        "functions named by a bare participle or adverb": participle_names(modules),
        "class docstrings that begin with a verb": verb_docstrings(modules),
    }
    rows = [
        ("files", len(modules)),
        ("files with exactly one importer", sum(len(one) == 1 for one in known.values())),
        ("lines", f"{lines:,}"),
        ("imports, share of lines", _share(count_import_lines(modules), lines)),
        ("comments, share of lines", _share(comments.total, lines)),
        ("   on lines of their own", comments.whole_lines),
        ("   after code", comments.trailing),
        ("   (marks for tools, not counted)", comments.tool_marks),
        ("functions, median / p95 lines", f"{statistics.median(lengths):.0f} / {_p95(lengths)}"),
        ("largest file", f"{largest.shown_path}, {largest.line_count} lines"),
        *((title, len(found)) for title, found in lists.items()),
    ]
    for title, value in rows:
        _say(f"{title:<58} {value}")
    for title, found in lists.items():
        _say(f"\n{title}: {len(found)}", *(f"  {one}" for one in found), sep="\n")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%} ({part:,})"


def _p95(lengths: list[int]) -> int:
    return lengths[int(0.95 * len(lengths))]


def print_paths(show_walk: bool) -> None:
    """Print what the way of one key crosses in each of three calls, and the way itself."""
    # Measuring runs the package; counting must not even import it.
    from support.walks import measure_walks  # noqa: PLC0415 - see above

    for title, walk in measure_walks().items():
        _say(
            f"\n{title}",
            f"  files {len(walk.files)}, functions {len(walk.functions)}, "
            f"changes of file {walk.file_changes}",
            sep="\n",
        )
        if show_walk:
            _say(*walk.lines(), sep="\n")


def _say(*texts: object, sep: str = " ") -> None:
    sys.stdout.write(sep.join(map(str, texts)) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--paths", action="store_true", help="print each path call by call")
    arguments = parser.parse_args()
    print_table(read_package())
    print_paths(show_walk=arguments.paths)


if __name__ == "__main__":
    main()
