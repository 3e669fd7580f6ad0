"""Copies of metadata fields that the service's filters see, and the mark of what they cannot judge.

The mark, `_unsure`, is a list of names: of each field that has no copy, whatever the reason, and of
each whose copy is not the value itself (a number written as a string). It is "*" alone where the
names do not fit, and "-" alone where there is none. So a filter on a field that lets through what
is marked, too, loses nothing.

Two more marks say that a copy can be judged by some filters alone:

    day@    the copy is the value's moment, a number: for filters that compare moments
    day~    the copy is the value, a text that is also a date: for all but those
"""

import datetime as dt
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import takewhile
from math import isfinite
from typing import Any, Final, Literal
from uuid import UUID

from ..client.errors import InvalidRequestError, quote
from ..client.models import Limits, dump, largest, metadata_bytes
from .bad_records import InvalidRecordError
from .decode import ENVELOPE_KEYS, RESERVED_FIELDS, UNSURE_FIELD, UNSURE_OF_ALL, UNSURE_OF_NONE
from .typed import JSON_TYPES, as_python, moment_of, nearest_number, plain_form, scalar_of

Form = Literal["native", "strings"]

IS_MOMENT: Final = "@"
IS_DATED_TEXT: Final = "~"
EXACT_INTEGERS: Final = 2**53  # a float holds each integer below it, and a service may keep floats
_WIDEST: Final = 2**63  # the service's integers
# What the pages say of names: others are not copied unasked, lest the record be refused for them.
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def filterable_value(value: object, *, scalars: Form = "strings") -> object:
    """Return the form in which a value's filterable copy is stored.

    A string stays, a list, tuple or set becomes a list of strings. A number or a boolean becomes
    the string that JSON would write, whole floats as integers: equal numbers have one form (2024
    and 2024.0 are "2024"). A date or datetime is a number: microseconds since 1970 in UTC, which is
    taken for the zone of what has none; so is a Decimal, the nearest one, and a timedelta, in
    microseconds. A UUID is its text. None and an empty list have no copy: the form is None.

    Args:
        value: a metadata value.
        scalars: "native" keeps a boolean, a float, an integer of 64 bits as it is, outside of
            lists.

    Raises:
        TypeError: a dict, a nested list or a list with None; no filter can see into these.
        ValueError: a float that is not finite.

    Examples:
        >>> filterable_value(2024.0), filterable_value({"a"}), filterable_value(7, scalars="native")
        ('2024', ['a'], 7)
    """
    value = _number_or_text(value)
    if isinstance(value, list | tuple | set | frozenset):
        strings = [_as_string(_number_or_text(item)) for item in value]
        return (sorted(strings) if isinstance(value, set | frozenset) else strings) or None
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"{value} is no number that JSON has")
    short = isinstance(value, int) and -_WIDEST <= value < _WIDEST
    if value is None or (scalars == "native" and (short or isinstance(value, float))):
        return value
    return _as_string(value)


def _number_or_text(value: object) -> object:
    """Return the number or text by which a value that JSON lacks is filtered; others as they are.

    Raises:
        TypeError: there is none.
    """
    if value.__class__ in JSON_TYPES:
        return value
    value = as_python(value)
    if isinstance(value, dt.date):
        return moment_of(value)
    if isinstance(value, Decimal):
        return nearest_number(value)
    typed = None if isinstance(value, float) else plain_form(value)
    return value if typed is None else typed[0]


def _as_string(value: object) -> str:
    if isinstance(value, str):
        return value
    # JSON of other programs has 2024.0 where Python has 2024; a filter must find both
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_INTEGERS:
        return dump(int(value))
    if isinstance(value, int | float):
        return dump(value)
    raise TypeError(f"filters cannot see into {type(value).__name__}")


def is_scalar(value: object) -> bool:
    """Tell whether a value is a number or a boolean, which not every account stores."""
    return isinstance(value, int | float)


def make_copies(
    key: str,
    fields: Mapping[str, Any],
    *,
    required: Iterable[str],
    wanted: Iterable[str],
    inexact: Iterable[str],
    scalars: Form,
    limits: Limits,
) -> dict[str, Any]:
    """Return the copies of a record's fields, with the mark.

    Args:
        key: of the record, for errors.
        fields: what filters may ask for; None is as absent.
        required: fields that must have a copy, if they are there.
        wanted: further ones, in the order in which they are given room.
        inexact: fields that filters ask for and find other values in.
        scalars: the form of numbers and booleans.
        limits: the service's limits.

    Raises:
        InvalidRequestError: a required field cannot be filterable, or does not fit.
    """
    there = {name: value for name, value in fields.items() if value is not None}
    copies = _Copies()
    for name in required:
        form = _required_form(key, name, there.get(name), scalars)
        if form is not None:
            copies.required[name] = form
    _check_required(key, copies.required, limits)
    for name in wanted:
        form = _wanted_form(name, there.get(name), scalars)
        if form is not None and name not in copies.required:
            copies.wanted[name] = form
    copied = {**copies.wanted, **copies.required}
    others = [mark for name in there for mark in _doubts(name, there[name], copied.get(name))]
    copies.inexact = dict.fromkeys([*inexact, *others])
    return _choose(copies, limits) or {}


def fit_copies(
    stored: Mapping[str, Any], *, scalars: Form, hidden: Collection[str], limits: Limits
) -> dict[str, Any] | None:
    """Return the metadata of an encoded record as an index takes them.

    None where the required copies, which stand before the mark, do not fit.

    Args:
        stored: what `encode` has made.
        scalars: the form of numbers and booleans.
        hidden: fields that the index keeps out of its filters. Where the envelope is not among
            them, copies have the room that it leaves; where that is none, not even the mark stays.
        limits: the service's limits.
    """
    if UNSURE_FIELD not in stored:
        return dict(stored)
    mark, required = stored[UNSURE_FIELD], required_copies(stored)
    inexact = dict.fromkeys(name for name in mark if name != UNSURE_OF_NONE)
    copies = _Copies(inexact=inexact, names_fit=UNSURE_OF_ALL not in mark)
    for name, form in stored.items():
        if name in RESERVED_FIELDS:
            continue
        if name in hidden or (scalars == "strings" and is_scalar(form)):
            inexact[name] = None
            inexact.pop(name + IS_MOMENT, None)
        if name in required:
            copies.required[name] = filterable_value(form, scalars=scalars)
        elif name not in hidden:  # a copy that the index hides is of no use
            copies.wanted[name] = filterable_value(form, scalars=scalars)
    envelope = {name: stored[name] for name in ENVELOPE_KEYS if name in stored}
    visible = {name: value for name, value in envelope.items() if name not in hidden}
    copies.bytes_taken = sum(_entry_bytes(name, value) for name, value in visible.items())
    if (chosen := _choose(copies, limits)) is not None:
        return {**envelope, **chosen}
    return None if copies.required else envelope


def required_copies(stored: Mapping[str, Any]) -> list[str]:
    """Return the fields of an encoded record whose copies must be there."""
    # ours and those that were named come before the mark
    names = list(takewhile(lambda name: name != UNSURE_FIELD, stored))
    return [name for name in names if name not in ENVELOPE_KEYS]


@dataclass(slots=True)
class _Copies:
    """Copies that may be written, and which of their fields the service could not judge."""

    required: dict[str, Any] = field(default_factory=dict)
    wanted: dict[str, Any] = field(default_factory=dict)
    inexact: dict[str, None] = field(default_factory=dict)
    names_fit: bool = True
    bytes_taken: int = 0


def _choose(copies: _Copies, limits: Limits) -> dict[str, Any] | None:
    """Return the copies that have room, and the mark; None where there is too little for these."""
    if limits.filterable_keys < 1:
        return None
    # names first: a mark of all fields makes every copy useless to our own filters
    named = _fill(copies, limits, by_name=True) if copies.names_fit else None
    return _fill(copies, limits, by_name=False) if named is None else named


def _fill(copies: _Copies, limits: Limits, *, by_name: bool) -> dict[str, Any] | None:
    room = limits.filterable_bytes - copies.bytes_taken
    # the pages differ in what they count, so those that nobody named stay within both
    most = min(limits.filterable_keys, limits.metadata_keys - len(ENVELOPE_KEYS))
    most = max(0, most - len(copies.required) - 1)  # of these the mark is one
    # nearly all records are small: one look at the whole, in place of one at each copy
    whole = _with_mark(copies, list(copies.wanted)[:most], by_name=by_name)
    if metadata_bytes(whole) <= room:
        return whole
    bare = _with_mark(copies, [], by_name=by_name)
    if (left := room - metadata_bytes(bare)) < 0:
        return None
    chosen: list[str] = []
    count = len(bare[UNSURE_FIELD])
    for name, form in copies.wanted.items():
        is_judged = by_name and name not in copies.inexact
        needed = _entry_bytes(name, form) - (_freed_bytes(name, count) if is_judged else 0)
        if len(chosen) < most and needed <= left:
            left -= needed
            count -= is_judged
            chosen.append(name)
    return _with_mark(copies, chosen, by_name=by_name)


def _with_mark(copies: _Copies, chosen: Collection[str], *, by_name: bool) -> dict[str, Any]:
    """Return the required copies, the mark, and those that were chosen."""
    mark = [UNSURE_OF_ALL]
    if by_name:
        without = (name for name in copies.wanted if name not in chosen)
        mark = list(dict.fromkeys([*without, *copies.inexact])) or [UNSURE_OF_NONE]
    others = {name: copies.wanted[name] for name in chosen}
    return {**copies.required, UNSURE_FIELD: mark, **others}


def _entry_bytes(name: str, value: object) -> int:
    return metadata_bytes({name: value}) - len("{}") + len(",")


def _freed_bytes(name: str, count: int) -> int:
    """Return what a mark of so many names shrinks by without this one."""
    return metadata_bytes(name) + (len(",") if count > 1 else -metadata_bytes(UNSURE_OF_NONE))


def _required_form(key: str, name: str, value: object, scalars: Form) -> object:
    try:
        return filterable_value(value, scalars=scalars)
    except ValueError:  # NaN and the like, which need no copy
        return None
    except TypeError as error:
        raise copies_error(
            key,
            f"cannot be filterable: {error}",
            field=f"metadata[{quote(name)}]",
            remedy="Leave it out of {filterable=}, or add a field with a string or a list of "
            "strings",
        ) from error


def _wanted_form(name: str, value: object, scalars: Form) -> object:
    """Return the copy of a field that nobody named; None where the service might refuse it."""
    value = as_python(value)
    texts = isinstance(value, list | tuple | set | frozenset) and all(
        isinstance(item, str) for item in value
    )
    if not (texts or isinstance(value, _COPIED)) or not _NAME.fullmatch(name):
        return None
    try:
        return filterable_value(value, scalars=scalars)
    except ValueError:  # NaN and the like
        return None


_COPIED: Final = (str, int, float, dt.date, Decimal, UUID)


def _doubts(name: str, given: object, copy: object) -> list[str]:
    """Return the marks of a field: none where the copy is the value itself, whoever compares it."""
    value = as_python(given)
    if copy is None or (isinstance(copy, int) and abs(copy) >= EXACT_INTEGERS):
        return [name]
    if isinstance(value, dt.date):
        return [name + IS_MOMENT] if copy == moment_of(value) else [name]
    if isinstance(value, tuple | set | frozenset):
        value = sorted(value, key=str) if not isinstance(value, tuple) else list(value)
    if scalar_of(value) != copy:
        return [name]
    texts = copy if isinstance(copy, list) else [copy]
    is_dated = any(isinstance(text, str) and moment_of(text) is not None for text in texts)
    return [name + IS_DATED_TEXT] if is_dated else []


def _check_required(key: str, copies: Mapping[str, Any], limits: Limits) -> None:
    if not copies:
        return
    marked = {UNSURE_FIELD: [UNSURE_OF_ALL], **copies}
    if len(marked) > limits.filterable_keys:
        raise copies_error(
            key,
            f"{len(marked)} filterable fields ({', '.join(sorted(marked))}); the service takes "
            f"{limits.filterable_keys}",
            limit=limits.filterable_keys,
            remedy="Name fewer in {filterable=}; the record keeps them all the same",
        )
    if (size := metadata_bytes(marked)) > limits.filterable_bytes:
        raise copies_error(
            key,
            f"the filterable copies take {size:,} bytes, over the limit of "
            f"{limits.filterable_bytes:,}; {largest(copies)}",
            limit=limits.filterable_bytes,
            remedy="Leave it out of {filterable=}; the record keeps it all the same",
        )


def copies_error(
    key: str, reason: str, *, field: str = "", limit: int | None = None, remedy: str = ""
) -> InvalidRequestError:
    """Return the error of a record whose filterable fields cannot be written."""
    return InvalidRecordError(
        key, f"{reason}.", field=field, argument="filterable", limit=limit, remedy=remedy
    )
