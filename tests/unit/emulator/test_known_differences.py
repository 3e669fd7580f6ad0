import os
import re
from dataclasses import fields
from inspect import cleandoc
from pathlib import Path

import pytest

from oss_vector_retriever import ConfigurationError, emulator
from oss_vector_retriever.emulator import Behaviour

PAGE = Path(__file__).parents[3] / "docs" / "known-differences.md"
HEAD = """# The emulator and the service: known differences

The embedded service keeps the documented rules of OSS Vectors: signatures, clocks, limits, error
codes and their order. Nothing was measured against the live service. Where its documentation is
silent, or divided, this is what the emulator does by default. A switch is a field of
`emulator.Behaviour`, so that you can test against each possibility; its docstring names the values
and where they are known from. `Behaviour.documented()` has the documented lags and caps, and is how
`oss-vectors serve` begins; `Behaviour.from_record(FILE)` is what `oss-vectors doctor --record` has
found an account's service to do. Sections are those of the project's API reference.

```python
from oss_vector_retriever import ConfigurationError, emulator

behaviour = emulator.Behaviour(order="shuffled", scalars="refused", query_delay_seconds=3)
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


def test_every_switch_has_its_source():
    lines = cleandoc(Behaviour.__doc__).partition("Attributes:")[2].partition("Raises:")[0]
    told = dict(part.split(":", 1) for part in re.split(r"\n {4}(?=\w)", lines.rstrip())[1:])
    assert list(told) == [field.name for field in fields(Behaviour)]
    for name, text in told.items():
        if name != "seed":  # which belongs to the one before it
            assert re.search(r"section \d|\b(Feb|Mar|Sep) 20\d\d", text), name


def test_there_is_one_door():
    assert sorted(emulator.__all__, key=lambda n: (not n.isupper(), n)) == emulator.__all__
    for name in emulator.__all__:
        assert getattr(emulator, name) is not None
    assert emulator.DEVELOPMENT_KEY.id == emulator.DEVELOPMENT_ACCESS_KEY_ID
    assert emulator.DEVELOPMENT_KEY.secret == emulator.DEVELOPMENT_ACCESS_KEY_SECRET
    with pytest.raises(AttributeError, match="nothing_of_the_sort"):
        _ = emulator.nothing_of_the_sort


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"order": "random"}, "order must be request or storage or shuffled, not 'random'"),
        ({"duplicates": "twice"}, "duplicates must be once or each, not 'twice'"),
        ({"seed": True}, "seed must be a whole number or none, not True"),
        ({"seed": 1.0}, "seed must be a whole number or none, not 1.0"),
        ({"list_filter": None}, "list_filter must be honoured or ignored or refused, not None"),
        ({"top_k_limit": 200}, "top_k_limit must be 30 or 100 or 500, not 200"),
        ({"top_k_limit": 30.0}, "top_k_limit must be 30 or 100 or 500, not 30.0"),
        ({"metadata_names": []}, "metadata_names must be filterable or all, not []"),
        ({"scalars": True}, "scalars must be kept or refused or strings, not True"),
        ({"filter_after_ranking": 1}, "filter_after_ranking must be true or false, not 1"),
        ({"get_delay_seconds": -1}, "get_delay_seconds must be a number of seconds from 0 to"),
        ({"query_delay_seconds": float("nan")}, "query_delay_seconds must be a number of seconds"),
        ({"index_creation_seconds": 1e300}, "index_creation_seconds must be a number of seconds"),
        ({"enable_failure_seconds": "3"}, "enable_failure_seconds must be a number of seconds"),
        ({"bucket_list_delay_seconds": True}, "bucket_list_delay_seconds must be a number"),
        ({"requests_per_second": 0}, "requests_per_second must be a number above 0 or none, not 0"),
        ({"requests_per_second": False}, "requests_per_second must be a number above 0 or none"),
    ],
)  # fmt: skip
def test_a_switch_has_no_other_positions(wrong, said):
    with pytest.raises(ConfigurationError, match=re.escape(said)) as caught:
        Behaviour(**wrong)
    assert [caught.value.argument] == list(wrong)


def test_every_switch_says_which_values_it_takes():
    wrong = object()
    for field in fields(Behaviour):
        Behaviour(**{field.name: field.default})
        with pytest.raises(ConfigurationError, match=f"^{field.name} must be [a-z0-9]"):
            Behaviour(**{field.name: wrong})


def test_the_development_keys_are_plainly_no_real_ones():
    assert emulator.DEVELOPMENT_ACCOUNT_ID.isdigit()
    for name in ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "BUCKET"):
        assert getattr(emulator, f"DEVELOPMENT_{name}").startswith("development-")
