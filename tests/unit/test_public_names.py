"""The front door: a sorted list of names, all there, all loaded when first used."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import oss_vector_retriever
from oss_vector_retriever.lazy import lazily

DOORS = [
    "oss_vector_retriever",
    "oss_vector_retriever.langchain",
    "oss_vector_retriever.langgraph",
    "oss_vector_retriever.llama_index",
]


def for_types(door):
    """Return the names that a door imports for type checkers, with their modules."""
    tree = ast.parse(Path(door.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    return {alias.name: node.module for node in block.body for alias in node.names}


@pytest.mark.parametrize("name", DOORS)
def test_a_door_lists_its_names_sorted_and_once(name):
    names = importlib.import_module(name).__all__
    assert names == sorted(set(names))


@pytest.mark.parametrize("name", DOORS)
def test_a_door_shows_exactly_the_names_it_lists(name):
    door = importlib.import_module(name)
    listed = {name for name in door.__all__ if not name.startswith("_")}
    assert {name for name in dir(door) if not name.startswith("_")} == listed
    assert set(for_types(door)) == listed


@pytest.mark.parametrize("name", DOORS)
def test_type_checkers_are_shown_what_is_loaded(name):
    door = importlib.import_module(name)
    for public, module in for_types(door).items():
        assert getattr(door, public) is getattr(importlib.import_module(module), public)
        assert getattr(door, public).__name__ == public


@pytest.mark.parametrize("name", oss_vector_retriever.__all__)
def test_each_name_can_be_imported_and_is_documented(name):
    value = getattr(oss_vector_retriever, name)
    if name != "__version__":
        assert inspect.isclass(value)
        assert inspect.getdoc(value)


def test_a_star_import_brings_them_all():
    names = {}
    exec("from oss_vector_retriever import *", names)
    assert set(oss_vector_retriever.__all__) <= set(names)


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
    load, _ = lazily("package.langchain", WHERE, extra="langchain")
    with pytest.raises(ImportError) as refused:
        load("Thing")
    assert str(refused.value) == (
        "package.langchain.Thing needs a_framework_that_is_not_there: "
        'pip install "oss-vector-retriever[langchain]"'
    )
    assert refused.value.name == "a_framework_that_is_not_there"


def test_a_module_of_our_own_that_is_missing_is_no_missing_extra():
    load, _ = lazily("package", WHERE, extra="langchain")
    with pytest.raises(ModuleNotFoundError, match="not_there"):
        load("Own")


def test_without_an_extra_the_missing_module_is_told_as_it_is():
    load, visible = lazily("package", WHERE)
    with pytest.raises(ModuleNotFoundError):
        load("Thing")
    assert visible() == ["Own", "Thing"]
