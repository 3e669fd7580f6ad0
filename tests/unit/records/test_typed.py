"""Values that JSON lacks: exact in the envelope, plain to readers that do not know their types."""

# ruff: noqa: DTZ001, DTZ901 - metadata have dates without a zone, too

import datetime as dt
import enum
import json
import math
import sys
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.records import DecodeError, decode, encode, filterable_value
from oss_vector_retriever.records.typed import moment_of

BERLIN = ZoneInfo("Europe/Berlin")
INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30))


class Colour(enum.Enum):
    RED = "red"
    DATE = dt.date(2024, 1, 2)


def there_and_back(value):
    return decode(encode("k", None, text="t", metadata={"m": value})).metadata["m"]


def shown(value):
    """Return a value as text that tells its type, zone and fold, and 1 from True."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__}{sorted(map(shown, value))}"
    return f"{value!r} {getattr(value, 'fold', '')}"


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime(2024, 1, 2),
        dt.datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC),
        dt.datetime(2024, 1, 2, 3, 4, tzinfo=INDIA),
        dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=-3661, microseconds=7))),
        dt.datetime.max,
        dt.datetime(2024, 7, 1, 12, tzinfo=BERLIN),
        dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN),
        dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
        dt.datetime(2024, 10, 27, 2, 30, fold=1),
        dt.date(2024, 2, 29),
        dt.time(23, 59, 59, 1),
        dt.time(1, 2, tzinfo=INDIA),
        dt.time(1, 2, tzinfo=BERLIN, fold=1),
        dt.timedelta(-1, 3, 7),
        dt.timedelta.max,
        Decimal("1.50"),
        Decimal("-0E+7"),
        Decimal("1E+999999"),
        Decimal("NaN123"),
        Decimal("-Infinity"),
        Decimal(3) / 7,
        UUID(int=5),
        (),
        ("a", 1, (True, None)),
        {"a", 1.5, None},
        frozenset({dt.date(2024, 1, 2), (1, "x"), frozenset({2})}),
        math.nan,
        math.inf,
        -math.inf,
        [[], {"": {"": dt.date(2024, 1, 2)}}, [UUID(int=1), {"x": (1,)}]],
        {"$date": "2024-01-02", "types": {"m": "date"}},
        ["datetime", "2024-01-02", 1],
    ],
    ids=shown,
)
def test_a_value_comes_back_exactly(value):
    back = there_and_back(value)
    assert type(back) is type(value)
    assert shown(back) == shown(value)


def test_members_of_enums_come_back_as_their_values():
    assert there_and_back([Colour.RED, Colour.DATE]) == ["red", dt.date(2024, 1, 2)]


def test_scalars_of_numpy_come_back_as_pythons():
    numpy = pytest.importorskip("numpy")
    given = {
        "flag": (numpy.bool_(True), True),
        "whole": (numpy.int64(7), 7),
        "large": (numpy.uint64(2**64 - 1), 2**64 - 1),
        "half": (numpy.float32(0.5), 0.5),
        "long": (numpy.longdouble(0.5), 0.5),
        "text": (numpy.str_("x"), "x"),
        "day": (numpy.datetime64("2024-01-02"), dt.date(2024, 1, 2)),
        "ns": (
            numpy.datetime64("2024-01-02T03:04:05.123456789"),
            dt.datetime(2024, 1, 2, 3, 4, 5, 123456),
        ),
        "none": (numpy.datetime64("NaT", "us"), None),
        "span": (numpy.timedelta64(1500, "ns"), dt.timedelta(microseconds=1)),
        "nan": (numpy.float32("nan"), math.nan),
    }
    back = there_and_back({name: value for name, (value, _) in given.items()})
    assert repr(back) == repr({name: expected for name, (_, expected) in given.items()})


def test_scalars_and_rows_of_pandas_come_back_as_pythons():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(
        {
            "when": [pandas.Timestamp("2024-01-02", tz="Europe/Berlin"), pandas.NaT],
            "n": [1, 2],
            "x": [0.5, math.nan],
            "kind": pandas.Categorical(["a", "b"]),
            "maybe": pandas.array([1, None], dtype="Int64"),
            "span": [pandas.Timedelta("1h"), pandas.NaT],
        }
    )
    expected = [
        {
            "when": dt.datetime(2024, 1, 2, tzinfo=BERLIN),
            "n": 1,
            "x": 0.5,
            "kind": "a",
            "maybe": 1,
            "span": dt.timedelta(hours=1),
        },
        {"when": None, "n": 2, "x": math.nan, "kind": "b", "maybe": None, "span": None},
    ]
    for number, row in enumerate(table.to_dict("records")):
        assert repr(there_and_back(row)) == repr(expected[number])
    for number, (_, row) in enumerate(table.iterrows()):
        back = decode(encode("k", None, text="t", metadata=row)).metadata
        assert repr(back) == repr(expected[number])


def test_the_envelope_is_plain_to_a_reader_that_does_not_know_types():
    metadata = {"day": dt.date(2024, 1, 2), "price": Decimal("1.50"), "tags": {"b", "a"}, "n": 1}
    stored = encode("k", None, text="t", metadata=metadata).metadata
    assert json.loads(stored["_record"]) == {
        "v": 2,
        "metadata": {"day": "2024-01-02", "price": "1.50", "tags": ["a", "b"], "n": 1},
        "types": {"metadata": {"day": "date", "price": "decimal", "tags": "set"}},
    }


def test_an_envelope_without_such_values_is_what_it_was():
    stored = encode("k", None, text="t", metadata={"a": [1, {"types": "date"}]}).metadata
    assert stored["_record"] == '{"v":2,"metadata":{"a":[1,{"types":"date"}]}}'


def record_of(metadata, types):
    envelope = {"v": 2, "metadata": metadata, "types": types}
    return Vector("k", None, {"_record": json.dumps(envelope), "_record_text": "t"})


@pytest.mark.parametrize(
    ("value", "tree"),
    [
        ("x", "date"),
        (5, "date"),
        ("2024-01-02", "os.system"),
        ("2024-01-02", ["date", 1, 2]),
        ("2024-01-02", []),
        ("2024-01-02", [["date"]]),
        ("2024-01-02", None),
        ("2024-01-02", {"0": "date"}),
        ("2024-01-02T00:00:00", ["datetime", 5]),
        ("2024-01-02T00:00:00", ["datetime", "UTC", 7]),
        ("2024-01-02T00:00:00", ["datetime", "UTC", "x"]),
        ("1", ["time", "", None]),
        ("1e9999999999999999999999", "decimal"),
        ([0, [1], 2], "decimal"),
        ("x" * 40, "uuid"),
        (5, "uuid"),
        (10**30, "timedelta"),
        (True, "timedelta"),
        ("abc", "set"),
        ([[1]], "set"),
        ([1], {"": "list"}),
        ([1], {"": ["set"]}),
        ([1], {"7": "date"}),
        ([1], {"x": "date"}),
        ([1], {"9" * 5000: "date"}),
        ({"a": 1}, {"b": "date"}),
        ({"a": 1}, "tuple"),
        (None, "tuple"),
    ],
    ids=repr,
)
def test_types_that_do_not_fit_are_a_decode_error(value, tree):
    for hostile in ({"metadata": {"m": tree}}, {"metadata": tree} if tree != {"": "list"} else 5):
        with pytest.raises(DecodeError, match=r"record 'k': _record\.types"):
            decode(record_of({"m": value}, hostile))
    assert (
        decode(record_of({"m": value}, {"metadata": {"m": tree}}), on_decode_error="raw").text
        == "t"
    )


@pytest.mark.parametrize(
    "types", [5, None, [], "date", {"v": "uuid"}, {"node": {}}, {"metadata": []}]
)
def test_types_of_no_part_are_a_decode_error(types):
    with pytest.raises(DecodeError, match=r"_record\.types"):
        decode(record_of({"m": 1}, types))


def test_types_that_are_nested_deep_are_a_decode_error():
    tree, value = "date", "2024-01-02"
    for _ in range(150):
        tree, value = {"a": tree}, {"a": value}
    with pytest.raises(DecodeError, match="nested too deep"):
        decode(record_of({"a": value}, {"metadata": {"a": tree}}))


@pytest.mark.parametrize(
    "zone", ["Mars/Base", "../../etc/passwd", "/etc/passwd", "os/path", "", "x" * 999, "tzdata.zi"]
)
def test_a_zone_that_is_not_known_leaves_the_offset(zone):
    text = "2024-01-02T03:04:05+02:00"
    found = decode(record_of({"m": text}, {"metadata": {"m": ["datetime", zone, 0]}})).metadata["m"]
    assert shown(found) == shown(dt.datetime.fromisoformat(text))


def test_a_record_that_names_a_class_or_a_module_imports_nothing():
    names = ["antigravity.X", "this", "tzdata.zoneinfo.Mars", "sndhdr/what", "builtins.exec"]
    before = set(sys.modules)
    for name in names:
        for tree in (name, [name], [name, 1], ["datetime", name, 0], {"": name}):
            for value in ("2024-01-02", [1], {"__class__": name, "py/object": name}):
                decode(record_of({"m": value}, {"metadata": {"m": tree}}), on_decode_error="raw")
    assert set(sys.modules) == before
    assert before.isdisjoint({"antigravity", "this", "sndhdr"})


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (dt.date(1970, 1, 2), 86_400_000_000),
        (dt.datetime(1970, 1, 1, 0, 0, 0, 5), 5),
        (dt.datetime(1970, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))), 0),
        (dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=dt.UTC), -1_000_000),
        (dt.datetime(2024, 7, 1, 2, tzinfo=BERLIN), 1_719_792_000_000_000),
        ("2024-07-01T00:00:00Z", 1_719_792_000_000_000),
        ("2024-07-01 00:00", 1_719_792_000_000_000),
        ("2024-07-01", 1_719_792_000_000_000),
        ("2024-07", None),
        ("20240701", None),
        ("2024-13-01", None),
        ("2024-07-01 is no date", None),
        (5, None),
    ],
)
def test_a_moment_is_its_microseconds_in_utc(value, moment):
    assert moment_of(value) == moment
    if not isinstance(value, str | int):
        assert filterable_value(value, scalars="native") == moment
        assert filterable_value(value) == str(moment)
        assert moment_of(value.isoformat()) == moment


def test_copies_of_other_types_are_what_they_equal():
    assert filterable_value(UUID(int=5)) == str(UUID(int=5))
    assert filterable_value(Decimal("19.99"), scalars="native") == 19.99
    assert repr(filterable_value(Decimal("5.0"), scalars="native")) == "5"
    assert filterable_value(("b", 1, UUID(int=5))) == ["b", "1", str(UUID(int=5))]
    assert filterable_value({"b", "a"}) == ["a", "b"]
    assert filterable_value(Colour.RED) == "red"
    assert filterable_value(dt.time(1, 2)) == "01:02:00"
    assert filterable_value(dt.timedelta(seconds=1), scalars="native") == 1_000_000


def test_the_mark_says_which_copies_can_be_judged_and_by_what():
    metadata = {
        "day": dt.date(2024, 1, 2),
        "far": dt.date(2300, 1, 1),
        "text": "2024-01-02",
        "id": UUID(int=5),
        "price": Decimal("19.99"),
        "long": Decimal("0.12345678901234567891"),
        "nan": math.nan,
        "span": dt.timedelta(1),
        "tags": ("a", "b"),
    }
    stored = encode(
        "k", None, text="t", metadata=metadata, filterable=None, scalars="native"
    ).metadata
    assert stored["_unsure"] == ["day@", "far", "text~", "long", "nan", "span"]
    copied = {name: stored[name] for name in metadata if name in stored}
    assert copied == {
        "day": 1_704_153_600_000_000,
        "far": 10_413_792_000_000_000,
        "text": "2024-01-02",
        "id": str(UUID(int=5)),
        "price": 19.99,
        "long": 0.12345678901234568,
        "tags": ["a", "b"],
    }
