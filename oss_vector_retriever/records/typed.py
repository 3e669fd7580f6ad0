"""Values that JSON lacks: how a record holds them, and as what they come back.

In the metadata stands a plain form that any reader understands; beside them stands a tree of the
same shape, `types`, that says what was what. So nothing that a user writes can be taken for a tag,
and a release that does not know the tree reads the plain forms.

    datetime, date, time      ISO 8601 text; a time zone's IANA name and the fold with its type
    timedelta                 whole microseconds
    Decimal, UUID             their text
    set, frozenset, tuple     a list; of a set in the order of its items' JSON
    NaN and the infinities    null

A node of the tree is a type's name; a list of the name and what else there is to know; or an object
with the nodes of an object's members or a list's items, which has a list's own type under "".

Enum members come back as their values, scalars of numpy and pandas as Python's. What a record names
is looked up here, in a table or among the time zones of this machine, and never imported.
"""

import datetime as dt
import re
import sys
import zoneinfo
from collections.abc import Callable
from contextlib import suppress
from decimal import Context, Decimal, InvalidOperation
from enum import Enum
from functools import lru_cache
from importlib.util import find_spec
from math import inf, nan
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_jsonable_python

Types = str | list[Any] | dict[str, Any]

# nearly all values are of these, and need no second look
JSON_TYPES: Final = frozenset({str, int, float, bool, type(None), dict, list})
DEEPEST: Final = 100  # levels of nesting; the JSON reader of the way back stops at 200
_OWN: Final = ""  # where a list's own type stands among those of its items
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_ZONE_NAME: Final = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}")
_STRICT: Final = Context(traps=[InvalidOperation])  # whatever the caller's own context traps
_EXACT_DIGITS: Final = 15  # an integer of so many digits is a float, too
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DAY: Final = 24 * 60 * 60 * 10**6
_ISO_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d|$)", re.ASCII)
_BUILTIN: Final = (bool, int, float, str, dt.date, dt.timedelta)


def as_python(value: Any) -> Any:
    """Return Python's own value for an enum's member or a scalar of numpy or pandas.

    NaT and NA are None; nanoseconds are cut. Other values are returned as they are.
    """
    if value.__class__ in JSON_TYPES:
        return value
    for _ in range(DEEPEST):
        if not isinstance(value, Enum):
            break
        value = value.value
    library = type(value).__module__.partition(".")[0]
    if library == "pandas":
        return _from_pandas(value)
    return _from_numpy(value) if library == "numpy" else value


def python_values(value: Any) -> Any:
    """Return a value in which, at any depth, each is what `as_python` says."""
    value = as_python(value)
    if isinstance(value, dict):
        return {as_python(name): python_values(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [python_values(item) for item in value]
    return value


def json_form(value: Any) -> Any:
    """Return a value as pydantic, and so LlamaIndex, writes it: a date as its text, NaN as None.

    Raises:
        ValueError: there is no such form.
    """
    return to_jsonable_python(python_values(value), inf_nan_mode="null")


def _from_pandas(value: Any) -> Any:
    # by their names: pandas is imported by whoever has such a value
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, dt.datetime):
        return value.to_pydatetime(warn=False)  # type: ignore[attr-defined]
    return value.to_pytimedelta() if isinstance(value, dt.timedelta) else value  # type: ignore[attr-defined]


def _from_numpy(value: Any) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.generic):
        return value
    found = value.item()
    # what counts nanoseconds comes as their number
    if value.dtype.kind in "mM" and isinstance(found, int):
        with suppress(TypeError, ValueError, OverflowError):
            found = value.astype(f"{value.dtype.kind}8[us]").item()
        return value if isinstance(found, int) else found
    if value.dtype.kind == "f" and not isinstance(found, float):
        return float(value)  # longer than Python's
    return found if found is None or isinstance(found, _BUILTIN) else value


def moment_of(value: object) -> int | None:
    """Return a date, a datetime or the ISO text of one as microseconds since 1970; else None.

    A date is its midnight, and what has no time zone is in UTC.
    """
    if isinstance(value, str) and _ISO_DATE.match(value):
        with suppress(ValueError):
            value = dt.datetime.fromisoformat(value)
    if isinstance(value, dt.datetime):
        aware = value if value.utcoffset() is not None else value.replace(tzinfo=dt.UTC)
        return (aware - _EPOCH) // _MICROSECOND
    return (value.toordinal() - _EPOCH.toordinal()) * _DAY if isinstance(value, dt.date) else None


def scalar_of(value: object) -> object:
    """Return the text or number that a value equals to filters; itself where there is none.

    Of a Decimal it is the number that is written with the same digits, if a float holds them.
    """
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal) and value.is_finite():
        near = nearest_number(value)
        return near if Decimal(repr(near)) == value else value
    return value


def nearest_number(value: Decimal) -> float:
    """Return the integer or float that is nearest to a Decimal."""
    # no integer of a billion digits is made
    if (
        value.is_finite()
        and value.adjusted() < _EXACT_DIGITS
        and value == value.to_integral_value()
    ):
        return int(value)
    return float(value) if not value.is_snan() else nan


def align(one: object, other: object) -> tuple[Any, Any]:
    """Return two values in a form in which they compare; NaN or None is equal to nothing there.

    Dates, datetimes and ISO texts are moments, a UUID is its text, and a Decimal compares with a
    float by the digits that the float is written with.
    """
    if isinstance(one, dt.date) or isinstance(other, dt.date):
        return _or_nan(moment_of(one)), _or_nan(moment_of(other))
    if isinstance(one, Decimal) or isinstance(other, Decimal):
        first, second = _as_decimal(one), _as_decimal(other)
        return (nan, nan) if first is None or second is None else (first, second)
    return scalar_of(one), scalar_of(other)


def _or_nan(moment: int | None) -> float:
    return nan if moment is None else moment


def _as_decimal(value: object) -> Decimal | None:
    if isinstance(value, float):
        value = Decimal(repr(float(value)))
    if isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    return value if isinstance(value, Decimal) and not value.is_nan() else None


def plain_form(value: object) -> tuple[Any, Types] | None:
    """Return the plain form of a typed value that holds no others, and its type; None of others."""
    for kind, write in _WRITERS:
        if isinstance(value, kind):
            return write(value)
    return None


def _write_datetime(value: dt.datetime) -> tuple[str, Types]:
    return value.isoformat(), _moment_type("datetime", value)


def _write_time(value: dt.time) -> tuple[str, Types]:
    return value.isoformat(), _moment_type("time", value)


def _moment_type(name: str, value: dt.datetime | dt.time) -> Types:
    zone = value.tzinfo.key if isinstance(value.tzinfo, zoneinfo.ZoneInfo) else None
    return [name, zone or "", value.fold] if zone or value.fold else name


def _write_float(value: float) -> tuple[Any, Types]:
    name = "nan" if value != value else "inf" if value > 0 else "-inf"  # noqa: PLR0124 - NaN alone
    return None, name


_WRITERS: Final[tuple[tuple[type, Callable[[Any], tuple[Any, Types]]], ...]] = (
    (dt.datetime, _write_datetime),  # which is a date, too
    (dt.date, lambda value: (value.isoformat(), "date")),
    (dt.time, _write_time),
    (dt.timedelta, lambda value: (value // _MICROSECOND, "timedelta")),
    (Decimal, lambda value: (str(value), "decimal")),
    (UUID, lambda value: (str(value), "uuid")),
    (float, _write_float),
)


def container_type(value: object) -> str | None:
    """Return the name of the type of a collection that JSON would make a list of; else None."""
    return next((name for name, kind in _CONTAINERS.items() if isinstance(value, kind)), None)


def join_types(own: str | None, inner: dict[str, Types]) -> Types | None:
    """Return the node of a list from those of its items, and its own type's name, if any."""
    if own is None:
        return inner or None
    return {_OWN: own, **inner} if inner else own


def restore(value: Any, types: Any, depth: int = 0) -> Any:
    """Return a plain value as what `types` says that it was; containers are changed in place.

    Raises:
        ArithmeticError, LookupError, TypeError, ValueError: the two do not fit.
    """
    if depth > DEEPEST:
        raise ValueError("they are nested too deep")
    if type(types) is list:
        name, *details = types
        return _READERS[name](value, *details)
    if type(types) is str:
        return _collect(types, value) if types in _CONTAINERS else _READERS[types](value)
    if type(value) is dict:
        for name, inner in types.items():
            value[name] = restore(value[name], inner, depth + 1)
        return value
    if type(value) is not list:
        raise TypeError(f"{type(value).__name__} holds no others")
    for position, inner in types.items():
        if position != _OWN:
            value[int(position)] = restore(value[int(position)], inner, depth + 1)
    return _collect(types[_OWN], value) if _OWN in types else value


def _collect(name: str, items: Any) -> Any:
    if type(items) is not list:
        raise TypeError(f"{type(items).__name__} is no list")
    return _CONTAINERS[name](items)


def _read_datetime(text: str, zone: str = "", fold: int = 0) -> dt.datetime:
    value = dt.datetime.fromisoformat(text)
    # a zone that this machine does not know leaves the offset, which the text has
    known = _find_zone(zone) if zone else None
    return value.replace(tzinfo=known or value.tzinfo, fold=fold)


def _read_time(text: str, zone: str = "", fold: int = 0) -> dt.time:
    value = dt.time.fromisoformat(text)
    known = _find_zone(zone) if zone else None
    return value.replace(tzinfo=known or value.tzinfo, fold=fold)


@lru_cache(maxsize=1000)
def _find_zone(name: str) -> zoneinfo.ZoneInfo | None:
    if not _ZONE_NAME.fullmatch(name):
        return None
    # ZoneInfo looks for what the machine lacks into the package tzdata, and imports what the name
    # says: so it is asked for what is there alone
    if not any(Path(root, name).is_file() for root in _zone_folders()):
        return None
    try:
        return zoneinfo.ZoneInfo(name)
    except (OSError, ValueError, LookupError):  # another file that lies there
        return None


@lru_cache(maxsize=1)
def _zone_folders() -> list[str]:
    package = find_spec("tzdata")
    packaged = (package and package.submodule_search_locations) or ()
    return [*zoneinfo.TZPATH, *(f"{folder}/zoneinfo" for folder in packaged)]


def _read_decimal(text: object) -> Decimal:
    return Decimal(_text(text), _STRICT)


def _read_uuid(text: object) -> UUID:
    return UUID(_text(text))


def _read_timedelta(value: object) -> dt.timedelta:
    if type(value) is not int:
        raise TypeError(f"{type(value).__name__} counts no microseconds")
    return dt.timedelta(microseconds=value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no text")
    return value


_CONTAINERS: Final[dict[str, type]] = {"tuple": tuple, "set": set, "frozenset": frozenset}
_READERS: Final[dict[str, Callable[..., Any]]] = {
    "datetime": _read_datetime,
    "date": dt.date.fromisoformat,
    "time": _read_time,
    "timedelta": _read_timedelta,
    "decimal": _read_decimal,
    "uuid": _read_uuid,
    "nan": lambda _: nan,
    "inf": lambda _: inf,
    "-inf": lambda _: -inf,
}
