from dataclasses import fields

import pytest

from oss_vector_retriever import emulator
from oss_vector_retriever.emulator import Behaviour


def rows():
    """Return the rows of the table in the package's docstring."""
    lines = [line for line in emulator.__doc__.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_switch_is_in_the_table_of_known_differences():
    named = [name.strip() for row in rows() for name in row[3].split(",") if name.strip() != "-"]
    assert sorted(named) == sorted(field.name for field in fields(Behaviour))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_every_row_cites_its_section(row):
    topic, here, section, _ = row
    assert topic
    assert here
    assert 1 <= float(section) <= 15


def test_there_is_one_door():
    assert sorted(emulator.__all__, key=lambda n: (not n.isupper(), n)) == emulator.__all__
    for name in emulator.__all__:
        assert getattr(emulator, name) is not None
    assert emulator.DEVELOPMENT_KEY.id == emulator.DEVELOPMENT_ACCESS_KEY_ID
    assert emulator.DEVELOPMENT_KEY.secret == emulator.DEVELOPMENT_ACCESS_KEY_SECRET
    with pytest.raises(AttributeError, match="nothing_of_the_sort"):
        _ = emulator.nothing_of_the_sort


@pytest.mark.parametrize("wrong", [{"order": "random"}, {"duplicates": "twice"}])
def test_a_switch_has_no_other_positions(wrong):
    with pytest.raises(ValueError, match="order must be"):
        Behaviour(**wrong)


def test_the_development_keys_are_plainly_no_real_ones():
    assert emulator.DEVELOPMENT_ACCOUNT_ID.isdigit()
    for name in ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "BUCKET"):
        assert getattr(emulator, f"DEVELOPMENT_{name}").startswith("development-")
