"""The front door: a sorted list of names, all there, all loaded when first used."""

import ast
import importlib.util
import inspect
from pathlib import Path

import pytest
from support.pages import setting_of_docs

import oss_vector_retriever
from oss_vector_retriever.lazy import make_lazy

DOORS = [
    "oss_vector_retriever",
    "oss_vector_retriever.records",
    "oss_vector_retriever.embeddings",
    "oss_vector_retriever.langchain",
    "oss_vector_retriever.langgraph",
    "oss_vector_retriever.llama_index",
    "oss_vector_retriever.emulator",
    "oss_vector_retriever.emulator.faults",
    "oss_vector_retriever.studio",
    "oss_vector_retriever.ray",
    "oss_vector_retriever.testing",
    "oss_vector_retriever.mcp",
]


def listed(door):
    """Return what a door exports; one that does not say fails below, not at collection."""
    return list(getattr(importlib.import_module(door), "__all__", ()))


NAMES = [(door, name) for door in DOORS for name in listed(door)]


def visible(door):
    """Return the public names that `dir()` shows, other than modules."""
    names = {name for name in dir(door) if not name.startswith("_")}
    return {name for name in names if not inspect.ismodule(getattr(door, name))}


def bound_in_source(door):
    """Return the names that a door's source binds, each with the module it imports it from."""
    tree = ast.parse(Path(door.__file__).read_text(encoding="utf-8"))
    bound = {}
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module, names, level):
                source = importlib.util.resolve_name("." * level + module, door.__name__)
                bound |= {alias.asname or alias.name: source for alias in names}
            case ast.ClassDef(name) | ast.FunctionDef(name):
                bound[name] = door.__name__
            case ast.Assign(targets):
                bound |= {ast.unparse(target): door.__name__ for target in targets}
            case ast.AnnAssign(target):
                bound[ast.unparse(target)] = door.__name__
    return bound


def kind_and_name(name):
    """Sort constants first, then classes, then functions, as the linter does."""
    return not name.isupper(), not name[0].isupper(), name


def test_every_door_has_pages_in_the_reference():
    assert sorted(setting_of_docs("DOORS")) == sorted(DOORS)


@pytest.mark.parametrize("name", DOORS)
def test_a_door_lists_its_names_sorted_and_once(name):
    names = listed(name)
    assert names
    assert names == sorted(set(names), key=kind_and_name)


@pytest.mark.parametrize("name", DOORS)
def test_a_door_shows_exactly_the_names_it_lists(name):
    door = importlib.import_module(name)
    assert visible(door) == {name for name in listed(door.__name__) if name[0] != "_"}


@pytest.mark.parametrize(("door", "name"), NAMES)
def test_type_checkers_are_shown_what_is_loaded(door, name):
    module = bound_in_source(importlib.import_module(door))[name]
    assert getattr(importlib.import_module(door), name) is getattr(
        importlib.import_module(module), name
    )


@pytest.mark.parametrize(("door", "name"), NAMES)
def test_each_name_can_be_imported_and_is_documented(door, name):
    value = getattr(importlib.import_module(door), name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__name__ == name
        assert inspect.getdoc(value)


@pytest.mark.parametrize("name", DOORS)
def test_a_star_import_brings_them_all(name):
    names = {}
    exec(f"from {name} import *", names)
    assert set(listed(name)) <= set(names)


@pytest.mark.parametrize("name", DOORS)
def test_an_unknown_name_is_an_attribute_error(name):
    door = importlib.import_module(name)
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'Nonsense'"):
        _ = door.Nonsense
    assert not hasattr(door, "_private")


def test_the_version_is_the_distributions():
    from importlib.metadata import version  # noqa: PLC0415 - only here

    assert oss_vector_retriever.__version__ == version("oss-vector-retriever")


WHERE = {"Thing": "a_framework_that_is_not_there", "Own": "oss_vector_retriever.not_there"}


def test_a_name_whose_extra_is_missing_names_the_extra():
    load, _ = make_lazy("package.langchain", WHERE, extra="langchain")
    with pytest.raises(ImportError) as refused:
        load("Thing")
    assert str(refused.value) == (
        "package.langchain.Thing needs a_framework_that_is_not_there: "
        'pip install "oss-vector-retriever[langchain]"'
    )
    assert refused.value.name == "a_framework_that_is_not_there"


def test_what_another_package_of_ours_lacks_comes_with_the_extra_of_who_needs_it(
    tmp_path, monkeypatch
):
    program = (
        "from oss_vector_retriever.lazy import missing_error\n"
        "try:\n    import a_library_that_is_not_there\n"
        "except ModuleNotFoundError as error:\n    raise missing_error(error, 'other') from error\n"
    )
    (tmp_path / "below_a_door.py").write_text(program, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    load, _ = make_lazy("package.langchain", {"Thing": "below_a_door"}, extra="langchain")
    with pytest.raises(ImportError) as refused:
        load("Thing")
    assert str(refused.value) == (
        "package.langchain.Thing needs a_library_that_is_not_there: "
        'pip install "oss-vector-retriever[langchain]"'
    )


def test_an_import_that_fails_otherwise_is_told_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "half_a_module.py").write_text("from os import nothing_of_it", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    load, _ = make_lazy("package", {"Thing": "half_a_module"}, extra="langchain")
    with pytest.raises(ImportError, match="cannot import name 'nothing_of_it'"):
        load("Thing")


def test_a_module_of_our_own_that_is_missing_is_no_missing_extra():
    load, _ = make_lazy("package", WHERE, extra="langchain")
    with pytest.raises(ModuleNotFoundError, match="not_there"):
        load("Own")


def test_without_an_extra_the_missing_module_is_told_as_it_is():
    load, visible = make_lazy("package", WHERE)
    with pytest.raises(ModuleNotFoundError):
        load("Thing")
    assert visible() == ["Own", "Thing"]
