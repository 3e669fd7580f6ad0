"""Filling of frozen dataclasses with slots, of which a fetch makes many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any


def slot_setters(frozen: type) -> list[Callable[[Any, Any], None]]:
    """Return a function that sets each field of a frozen class, in their order.

    For its `__init__` alone. The usual `object.__setattr__` looks each name up, and takes twice as
    long.
    """
    return [vars(frozen)[field.name].__set__ for field in fields(frozen)]
