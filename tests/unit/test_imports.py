"""Who may import whom."""

import ast
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from support.packages import FRAMEWORKS, HTTP_LIBRARIES

import oss_vector_retriever

ROOT = Path(oss_vector_retriever.__file__).parent
NAME = "oss_vector_retriever"
BASE = {f"{NAME}.codes", f"{NAME}.lazy", f"{NAME}.version"}
ADAPTERS = ("langchain", "langgraph", "llama_index")
ABOVE = ("emulator", "corpus", "ray", "testing", "mcp", "cli")
PARTS = ("client", "records", "embeddings", *ADAPTERS, *ABOVE)
MAY_IMPORT = {
    "client": {"client"},
    "records": {"client", "records"},
    "embeddings": {"client", "embeddings"},
    "langchain": {"client", "records", "embeddings", "langchain"},
    "langgraph": {"client", "records", "langchain", "langgraph"},
    "llama_index": {"client", "records", "embeddings", "llama_index"},
    "corpus": {"corpus", "client.models"},
    "ray": {"client", "ray"},
    "testing": {"testing"},
    # of the emulator the rules that keep pages in browsers out, and HTTP with its limits of time
    "mcp": {
        "client",
        "records",
        "embeddings",
        "langchain.embedder",
        "emulator.http.admission",
        "emulator.http.server",
        "mcp",
    },
    "emulator": {"emulator", "client.models", "client.signing", "client.errors"},
    "studio": {"client", "records", "langchain", "llama_index", "emulator", "studio"},
    "cli": {*PARTS, "studio"},
}
# The way to an embedded service, and `local()`, which takes the emulator's types.
NAMES_THE_EMULATOR = {f"{NAME}.client.local", f"{NAME}.client.base"}


@dataclass(frozen=True)
class Import:
    """One import of a module; `at_once` when it runs with the module that holds it."""

    importer: str
    target: str
    at_once: bool
    for_types: bool


def modules(part=""):
    for path in sorted((ROOT / part).rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        package = parts if path.stem != "__init__" else parts[:-1]
        yield ".".join(package), path


@cache
def imports(part="") -> list[Import]:
    return [one for name, path in modules(part) for one in _imports_of(name, path)]


@cache
def _imports_of(name, path) -> list[Import]:
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return list(_imports(tree, name, package, at_once=True, for_types=False))


def _imports(node, name, package, *, at_once, for_types):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            for target in _targets(child, package):
                yield Import(name, target, at_once, for_types)
        lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typed = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        yield from _imports(
            child, name, package, at_once=at_once and not lazy, for_types=for_types or typed
        )


def _targets(node, package):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        above = package.rsplit(".", node.level - 1)[0]
        base = f"{above}.{base}" if base else above
    return [f"{base}.{alias.name}" for alias in node.names]


def within(target, names):
    """Tell whether a module is one of some parts of this package, or inside one."""
    return any(target == part or target.startswith(f"{part}.") for part in names)


def test_the_walk_sees_absolute_and_relative_imports_and_lazy_ones():
    tree = ast.parse("from . import a\nfrom ..b import c\nimport d.e\ndef f():\n    import g\n")
    found = list(_imports(tree, "p.q.r", "p.q", at_once=True, for_types=False))
    assert [(one.target, one.at_once) for one in found] == [
        ("p.q.a", True),
        ("p.b.c", True),
        ("d.e", True),
        ("g", False),
    ]


@pytest.mark.parametrize("part", PARTS)
def test_imports_point_one_way(part):
    allowed = {f"{NAME}.{below}" for below in MAY_IMPORT[part]} | BASE
    own = [one for one in imports(part) if one.target.split(".")[0] == NAME]
    wrong = {
        f"{one.importer} -> {one.target}"
        for one in own
        if not within(one.target, allowed)
        and not (one.for_types and one.importer in NAMES_THE_EMULATOR)
    }
    assert wrong == set()


def test_the_emulator_is_known_to_the_client_by_name_only():
    above = [one for one in imports("client") if within(one.target, [f"{NAME}.emulator"])]
    assert {one.importer for one in above} <= NAMES_THE_EMULATOR
    assert all(one.for_types for one in above)


def test_only_the_transport_knows_an_http_library():
    for one in imports():
        known = one.target.split(".")[0] in HTTP_LIBRARIES
        assert not known or one.importer.startswith(f"{NAME}.client.transport"), one


def test_no_other_module_names_an_http_library_to_load_it():
    for name, path in modules():
        if name.startswith(f"{NAME}.client.transport"):
            continue
        text = path.read_text(encoding="utf-8")
        # most have no such call, and to parse them all takes a second
        for node in ast.walk(ast.parse(text if "import_module" in text else "")):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                assert not HTTP_LIBRARIES & {
                    argument.value for argument in node.args if isinstance(argument, ast.Constant)
                }


@pytest.mark.parametrize("owner", FRAMEWORKS)
def test_a_framework_is_known_to_its_own_folder_only(owner):
    for one in imports():
        known = one.target.split(".")[0] in FRAMEWORKS[owner]
        part = one.importer.removeprefix(f"{NAME}.").split(".")[0]
        # langgraph is LangChain's own layer above; the suites are for stores of LlamaIndex; the
        # protocol's library brings the server that the emulator has too
        above = {"langchain": {"langgraph"}, "llama_index": {"testing"}, "emulator": {"mcp"}}
        assert not known or part in {owner, "cli", *above.get(owner, ())}, one


@pytest.mark.parametrize("part", ["client", "records"])
def test_numpy_is_optional_for_who_must_do_without(part):
    for one in imports(part):
        assert one.target.split(".")[0] != "numpy" or one.for_types or not one.at_once, one


def test_the_suites_need_pytest_and_llama_index_and_nothing_else_of_others():
    others = {one.target.split(".")[0] for one in imports("testing")} - sys.stdlib_module_names
    assert others == {NAME, "pytest", "llama_index"}
