"""The emulator's switches as text: `NAME=VALUE`, checked against `Behaviour`'s fields and types."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click

from oss_vector_retriever.emulator import Behaviour

_WORDS = {"true": True, "false": False}


def behaviour_of(switches: Iterable[str]) -> Behaviour:
    """Return the behaviour that switches such as `order=shuffled` describe.

    Raises:
        click.BadParameter: one is unknown, or has an impossible value.
    """
    return Behaviour(**dict(map(_read, switches)))


def described() -> str:
    """Return the switches, their values and defaults, for a help text."""
    lines = (
        f"{field.name}={_values(_types()[field.name])} [{_shown(field.default)}]"
        for field in fields(Behaviour)
    )
    return "\b\nSwitches of --behaviour, with their [defaults]:\n" + "\n".join(lines)


@cache
def _types() -> dict[str, Any]:
    return get_type_hints(Behaviour)


def _read(switch: str) -> tuple[str, Any]:
    name, equals, text = switch.partition("=")
    if name not in _types():
        raise click.BadParameter(f"there is no switch {name!r}; there are {', '.join(_types())}.")
    kind = _types()[name]
    try:
        if not equals:
            raise ValueError  # noqa: TRY301 - the same answer
        return name, _value(kind, text)
    except (ValueError, KeyError):
        raise click.BadParameter(f"{name} must be {_values(kind)}, not {text!r}.") from None


def _value(kind: Any, text: str) -> Any:
    if get_origin(kind) is Literal:
        return {choice: choice for choice in get_args(kind)}[text]
    if kind is bool:
        return _WORDS[text.lower()]
    if kind is float:
        return _seconds(text)
    return None if text == "none" else int(text)


def _seconds(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(text)
    return number


def _values(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    if kind is bool:
        return "true or false"
    return "a number of seconds" if kind is float else "a whole number or none"


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
