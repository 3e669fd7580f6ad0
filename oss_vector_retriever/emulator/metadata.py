"""Metadata of a vector: checked against section 5.1, and split into what filters may see."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from oss_vector_retriever.client.models.limits import Limits
from oss_vector_retriever.emulator import json_text


class MetadataText(NamedTuple):
    """Hold metadata as JSON text; `filterable` is None where it is the whole."""

    whole: str | None
    filterable: str | None


NONE = MetadataText(None, None)


def encode(
    metadata: object, non_filterable: Collection[str], limits: Limits, *, strings_only: bool
) -> MetadataText:
    """Return metadata as JSON text; sizes are bytes of that text, which is compact UTF-8.

    Raises:
        ValueError: the metadata breaks a rule, with the reason.
    """
    if metadata is None or metadata == {}:
        return NONE
    if not isinstance(metadata, dict):
        raise ValueError("must be an object")  # noqa: TRY004 - one kind for all
    for name, value in metadata.items():
        _check_value(name, value, strings_only=strings_only)
    whole = json_text.dumps(metadata)
    if len(whole) > limits.metadata_bytes:
        raise ValueError(f"has {len(whole)} bytes; at most {limits.metadata_bytes} are allowed")
    visible = {name: metadata[name] for name in metadata if name not in non_filterable}
    text = whole if len(visible) == len(metadata) else json_text.dumps(visible)
    _check_filterable(len(visible), len(text), limits)
    return MetadataText(whole.decode(), None if text is whole else text.decode())


def _check_value(name: str, value: Any, *, strings_only: bool) -> None:
    if isinstance(value, str):
        return
    if isinstance(value, list):
        if not all(isinstance(item, str) for item in value):
            raise ValueError(f"{name!r} must be an array of strings only")
    elif strings_only or not isinstance(value, bool | int | float):
        allowed = "a string" if strings_only else "a string, a number, a boolean"
        raise ValueError(f"{name!r} must be {allowed} or an array of strings")


def _check_filterable(count: int, size: int, limits: Limits) -> None:
    if count > limits.filterable_keys:
        raise ValueError(
            f"has {count} filterable keys; at most {limits.filterable_keys} are allowed"
        )
    if size > limits.filterable_bytes:
        raise ValueError(
            f"has {size} filterable bytes; at most {limits.filterable_bytes} are allowed"
        )
