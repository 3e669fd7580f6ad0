"""mypy --strict and pyright accept the pages and the examples, and refuse what is wrong."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)  # the first run of mypy reads both frameworks

MISTAKES = Path(__file__).with_name("mistakes.py").read_text("utf-8").splitlines()
WRONG = {
    number: line.strip() for number, line in enumerate(MISTAKES, 1) if line.endswith("# mistake")
}


def problems_in(problems, prefix):
    """Return what was said against the files of one kind, as text."""
    return "\n".join(sorted(str(one) for one in problems if one.file.startswith(prefix)))


@pytest.mark.parametrize("kind", ["page_", "example_", "api"])
def test_what_users_are_shown_has_the_right_types(problems, kind):
    found = problems_in(problems, kind)
    assert not found, f"\n{found}"


@pytest.mark.parametrize("line", WRONG, ids=[text.partition("  #")[0] for text in WRONG.values()])
def test_a_mistake_is_refused_where_it_stands(problems, line):
    assert line in {one.line for one in problems if one.file == "mistakes.py"}, WRONG[line]


def test_there_are_twelve_mistakes_and_nothing_else_is_refused(problems):
    assert len(WRONG) == 12
    said = [str(one) for one in problems if one.file == "mistakes.py" and one.line not in WRONG]
    assert said == []
