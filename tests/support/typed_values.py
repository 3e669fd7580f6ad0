"""Metadata at random, of all types that come back; and a text that tells any two values apart."""

# ruff: noqa: DTZ001 - metadata have dates without a zone, too

from __future__ import annotations

import datetime as dt
import math
import random
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "UTC", "Asia/Tehran")
_SCALARS = 16


def random_metadata(dice: random.Random) -> dict[str, Any]:
    """Return one to five fields of any type, nested three deep at most."""
    return {f"f{number}": random_value(dice, 3) for number in range(dice.randint(1, 5))}


def random_value(dice: random.Random, depth: int = 0, *, hashable: bool = False) -> Any:
    """Return a value of any type that comes back, of those that a set takes where it has to be."""
    kind = dice.randrange(_SCALARS + (6 if depth else 0))
    if kind < _SCALARS:
        return _scalar(dice, kind)
    items = [
        random_value(dice, depth - 1, hashable=hashable or kind > 19)
        for _ in range(dice.randint(0, 3))
    ]
    if kind == 17 or (hashable and kind < 20):
        return tuple(items)
    if kind == 16:
        return items
    if kind == 20:
        return frozenset(items)
    if kind == 21:
        return frozenset(items) if hashable else set(items)
    return {dice.choice(("", "a", "types", "0", "$date")): item for item in items}


def _scalar(dice: random.Random, kind: int) -> Any:
    seconds = dice.randrange(-(2**35), 2**37)
    moment = dt.datetime(1970, 1, 1) + dt.timedelta(
        seconds=seconds, microseconds=dice.choice((0, 1, 999_999))
    )
    offset = dt.timezone(dt.timedelta(seconds=dice.randrange(-86_399, 86_400)))
    zone = ZoneInfo(dice.choice(ZONES))
    made = [
        lambda: None,
        lambda: dice.random() < 0.5,
        lambda: dice.choice((0, -7, 2**62, 2**80, -(2**64))),
        lambda: dice.choice((0.5, -0.0, 1e300, 2024.0)),
        lambda: dice.choice((math.nan, math.inf, -math.inf)),
        lambda: dice.choice(("", "x", "2024-01-02", "1.5", "日本", '{"v":2}', "date")),
        lambda: moment,
        lambda: moment.replace(tzinfo=offset),
        lambda: moment.replace(tzinfo=zone, fold=dice.randrange(2)),
        lambda: dt.datetime(
            2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=dice.randrange(2)
        ),
        moment.date,
        moment.time,
        lambda: moment.time().replace(tzinfo=dice.choice((offset, zone)), fold=dice.randrange(2)),
        lambda: dt.timedelta(
            dice.randrange(-(10**6), 10**6), seconds % 86_400, dice.randrange(10**6)
        ),
        lambda: Decimal(
            dice.choice(("1.50", "-0", "NaN", "1E+30", "0.1234567890123456789012345", "-Infinity"))
        ),
        lambda: UUID(int=dice.getrandbits(128)),
    ]
    return made[kind]()


def shown(value: Any) -> str:
    """Return a text that tells values of other types apart, and zones and folds, at any depth."""
    name = type(value).__name__
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {shown(item)}' for key, item in value.items())}}}"
    if isinstance(value, set | frozenset):
        return f"{name}({', '.join(sorted(map(shown, value)))})"
    if isinstance(value, list | tuple):
        return f"{name}({', '.join(map(shown, value))})"
    return f"{name} {value!r} {getattr(value, 'fold', '')}"
