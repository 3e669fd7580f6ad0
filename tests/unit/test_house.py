"""How the package reads, in numbers; `make house` prints them all."""

import ast
from pathlib import Path

import house
import pytest
from support.english import begins_with_verb, is_participle_or_adverb

MOST_IMPORTS = 0.06  # of all lines; the best-read packages of the field have 4 %
LEAST_COMMENTS = 0.03


@pytest.fixture(scope="module")
def modules():
    return house.read_package()


def lines(found):
    """Return findings as one text, so that a failure shows every one of them."""
    return "\n".join([str(len(found)), *found])


def test_few_lines_are_imports(modules):
    assert house.count_import_lines(modules) / house.count_lines(modules) <= MOST_IMPORTS


def test_enough_lines_say_why(modules):
    assert house.count_comments(modules).total / house.count_lines(modules) >= LEAST_COMMENTS


def test_no_imports_run_in_a_circle_not_even_for_types(modules):
    found = [" <-> ".join(circle) for circle in house.circles(modules)]
    assert not found, lines(found)


def test_no_short_file_stands_apart_from_its_only_importer(modules):
    found = house.lonely_files(modules)
    assert not found, lines(found)


def test_no_function_is_named_by_a_bare_participle_or_adverb(modules):
    found = house.participle_names(modules)
    assert not found, lines(found)


def test_no_class_docstring_begins_with_a_verb(modules):
    found = house.verb_docstrings(modules)
    assert not found, lines(found)


# The rules themselves


def module(text, name="package.part", stem="part"):
    return house.Module(name, house.PACKAGE / f"{stem}.py", text, ast.parse(text))


@pytest.mark.parametrize(
    "word", ["told", "made", "late", "kept", "atold", "rebuilt", "checked", "lazily"]
)
def test_participles_and_adverbs_are_known(word):
    assert is_participle_or_adverb(word)


@pytest.mark.parametrize(
    "word", ["embed", "need", "apply", "token", "feed", "read", "put", "close", "seed", "speed"]
)
def test_other_words_are_no_participles(word):
    assert not is_participle_or_adverb(word)


@pytest.mark.parametrize(
    "text",
    [
        "Be a client.",
        "Holds the state of a call.",
        "Say what failed.",
        "Answer what was asked.",
        "Score hits by their distance.",
        "Tries again.",
        "Add, change and delete.",
    ],
)
def test_docstrings_that_begin_with_a_verb(text):
    assert begins_with_verb(text)


@pytest.mark.parametrize(
    "text",
    [
        "One API call that serves several pending fetches.",
        "Settings of a client.",
        "Result of a fetch.",
        "Store of nodes.",
        "Retry policy of a client.",
        "Answers for agents.",
        "The client has left.",
        "Writes that are not done yet.",
        "Root of all errors.",
        "Call.",
    ],
)
def test_docstrings_that_begin_with_a_noun(text):
    assert not begins_with_verb(text)


def test_properties_predicates_and_special_methods_may_be_adjectives():
    found = house.participle_names(
        [
            module(
                "class A:\n"
                "    @property\n"
                "    def told(self): ...\n"
                "    @functools.cached_property\n"
                "    def made(self): ...\n"
                "    def wanted(self) -> bool: ...\n"
                "    def __told__(self): ...\n"
                "    def told_twice(self): ...\n"
                "    def aligned(self): ...\n"
                "    async def _kept(self): ...\n"
            )
        ]
    )
    assert found == ["part.py:10 _kept"]


def test_marks_for_tools_are_no_comments():
    text = "# why\na = 1  # because\nb = a  # noqa: X1 - quiet\nc = '# text'\n"
    counted = house.count_comments([module(text)])
    assert (counted.whole_lines, counted.trailing, counted.tool_marks) == (1, 1, 1)


def test_imports_of_several_lines_count_whole():
    assert house.count_import_lines([module("import a\nfrom b import (\n    c,\n    d,\n)\n")]) == 5


def test_a_circle_is_found_through_imports_for_types_and_in_functions(monkeypatch):
    monkeypatch.setattr(house, "_file_of", {"p.a", "p.b", "p.c"}.__contains__)
    parts = [
        module("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.b import B", "p.a"),
        module("from . import c", "p.b"),
        module("def f():\n    import p.a", "p.c"),
        module("from p.c import f", "p.d"),
    ]
    assert house.circles(parts) == [["p.a", "p.b", "p.c"]]


def test_the_projects_doors_are_known(modules):
    doors = {part.shown_path for part in modules if part.is_door}
    assert {"__init__.py", "pytest_plugin.py"} <= doors
    assert any(Path(door).name == "main.py" for door in doors)
