import os
from dataclasses import fields
from pathlib import Path

import pytest

from oss_vector_retriever import emulator
from oss_vector_retriever.emulator import Behaviour

PAGE = Path(__file__).parents[3] / "docs" / "known-differences.md"
HEAD = """# The emulator and the service: known differences

The embedded service keeps the documented rules of OSS Vectors: signatures, clocks, limits, error
codes and their order. Nothing was measured against the live service. Where its documentation is
silent, this is what the emulator does. A switch is a field of `emulator.Behaviour`, so that you can
test against each possibility; sections are those of the project's API reference.

```python
from oss_vector_retriever import emulator

behaviour = emulator.Behaviour(order="shuffled", strings_only=True, query_delay_seconds=3)
with emulator.Service.in_memory(behaviour=behaviour) as service, emulator.Server(service) as server:
    print(server.endpoint)
```

"""


def table():
    """Return the lines of the table in the package's docstring."""
    return [line for line in emulator.__doc__.splitlines() if line.startswith("|")]


def rows():
    """Return the rows of the table, as lists of cells."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table()[2:]]


def test_every_switch_is_in_the_table_of_known_differences():
    named = [name.strip() for row in rows() for name in row[3].split(",") if name.strip() != "-"]
    assert sorted(named) == sorted(field.name for field in fields(Behaviour))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_every_row_cites_its_section(row):
    topic, here, section, _ = row
    assert topic
    assert here
    assert 1 <= float(section) <= 15


def test_the_page_shows_the_same_table():
    expected = HEAD + "\n".join(table()) + "\n"
    if "WRITE_DOCS" in os.environ:
        PAGE.write_text(expected, encoding="utf-8")
    shown = PAGE.read_text(encoding="utf-8")
    assert shown == expected, f"WRITE_DOCS=1 pytest {Path(__file__).name} writes {PAGE.name} anew"


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
