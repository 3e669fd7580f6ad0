"""The README's Python as type checkers read it: a file for each section, with the same lines."""

from __future__ import annotations

import ast
import builtins
import re
from dataclasses import dataclass, field

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass
class Section:
    """The Python of one section; every line stands where it stands in the README."""

    title: str
    lines: list[str] = field(default_factory=list)

    @property
    def module(self) -> str:
        return f"readme_{re.sub(r'[^a-z0-9]+', '_', self.title.lower()).strip('_')}"

    @property
    def tree(self) -> ast.Module:
        return ast.parse("\n".join(self.lines))


def python_sections(text: str) -> list[Section]:
    """Return the sections that hold Python, each with what it takes from those above it.

    The blocks run one after the other, but a name may mean another framework's class in another
    section. So each section is a module, and begins, in lines that hold no code, with imports of
    the names that it uses and does not bind.
    """
    sections: dict[str, Section] = {}
    for block in _BLOCK.finditer(text):
        section = sections.setdefault(title := _title_at(text, block.start()), Section(title))
        first = text.count("\n", 0, block.start(1))
        section.lines += [""] * (first - len(section.lines)) + block[1].splitlines()
    bound: dict[str, str] = {}
    for section in sections.values():
        preamble = [bound[name] for name in sorted(_free_names(section.tree)) if name in bound]
        for name in _bound_names(section.tree):
            bound[name] = f"from {section.module} import {name}"
        bound |= _imports(section.tree)
        assert not any(section.lines[: len(preamble)]), "no room above the first block"
        section.lines[: len(preamble)] = preamble
    return list(sections.values())


def _title_at(text: str, position: int) -> str:
    above = _SECTION.findall(text, 0, position)
    return above[-1] if above else "start"


def _imports(tree: ast.Module) -> dict[str, str]:
    """Return the names that a section imports, each with the statement that imports it."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                one = ast.Import([alias])
                if isinstance(node, ast.ImportFrom):
                    one = ast.ImportFrom(node.module, [alias], node.level)
                found[alias.asname or alias.name.split(".")[0]] = ast.unparse(one)
    return found


def _bound_names(tree: ast.Module) -> set[str]:
    """Return the names that a section binds itself, outside its functions."""
    bound = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                bound.add(node.name)
                continue
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound.add(node.id)
            waiting.append(node)
    return bound


def _free_names(tree: ast.Module) -> set[str]:
    """Return the names that a section uses and does not bind, where they could be another's."""
    loaded = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    return loaded - _bound_names(tree) - set(_imports(tree)) - set(dir(builtins))
