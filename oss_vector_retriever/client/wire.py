"""JSON to values and back: how replies are read, and how float32 is written without loss."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from typing import Any

from oss_vector_retriever.client.errors import ResponseError
from oss_vector_retriever.client.models.messages import Reply, printable
from oss_vector_retriever.client.models.vector import Float32Array

_HAS_ORJSON = importlib.util.find_spec("orjson") is not None
_HAS_NUMPY = importlib.util.find_spec("numpy") is not None


def parse_json(text: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON, is nested too deep, or holds NaN or an infinite number.
    """
    if _HAS_ORJSON:
        import orjson  # noqa: PLC0415 - absent outside CPython

        return orjson.loads(text)
    from pydantic_core import from_json  # noqa: PLC0415 - only without orjson

    return from_json(text, allow_inf_nan=False)


def reads_finite_only() -> bool:
    """Tell whether `parse_json` refuses numbers that overflow, too: orjson does.

    pydantic_core reads 1e400 as infinite.
    """
    return _HAS_ORJSON


def dump_json(value: object) -> bytes:
    """Return a value as compact JSON."""
    if _HAS_ORJSON:
        import orjson  # noqa: PLC0415 - absent outside CPython

        option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS
        return orjson.dumps(value, default=_plain, option=option)
    return json.dumps(
        value, default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    ).encode()


def _plain(value: object) -> object:
    if isinstance(value, Float32Array):
        return _numbers(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


_DOUBLE_ROUNDED = 0x15AE43FD
_SIGNLESS = 0x7FFFFFFF


def _numbers(data: Float32Array) -> object:
    """Return what the JSON writer turns into numbers that read back as the same float32.

    numpy gives the shortest text, half the size. Of all finite float32 values, one and its
    negative (7.038531e-26) do not survive that text where the reader goes through double
    precision; a vector that holds it is written in full.
    """
    if not (_HAS_NUMPY and _HAS_ORJSON):
        return data.tolist()
    import numpy as np  # noqa: PLC0415 - optional

    view = data.numpy()
    if ((view.view(np.uint32) & _SIGNLESS) == _DOUBLE_ROUNDED).any():
        return data.tolist()
    return view


def reply_object(reply: Reply, operation: str) -> dict[str, Any]:
    """Return the JSON object in a reply's body; a body that is meant to be empty stands for {}.

    Raises:
        ResponseError: the body is no JSON object.
    """
    if not reply.body.strip() and _is_whole(reply):
        return {}
    try:
        value = parse_json(reply.body)
    except ValueError:
        raise _unreadable(reply, operation) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise refuse(reply, operation, f"a JSON {type(value).__name__}, not an object")
    return value


def reply_list(reply: Reply, operation: str, items: object) -> list[Any]:
    """Return a list found in a reply; absent means none.

    Raises:
        ResponseError: it is no list.
    """
    if items is None:
        return []
    if not isinstance(items, list):
        raise refuse(reply, operation, f"with a {type(items).__name__} in the place of a list")
    return items


def _is_whole(reply: Reply) -> bool:
    """Tell a body that was sent empty from one that was cut before its first byte."""
    return "content-length" in reply.headers or "transfer-encoding" in reply.headers


def _unreadable(reply: Reply, operation: str) -> ResponseError:
    kind = printable(reply.headers.get("content-type", "no content type"), 80)
    error = refuse(reply, operation, f"not whole JSON ({len(reply.body)} bytes, {kind})")
    error.unreadable = True
    return error


def refuse(reply: Reply, operation: str, what: str) -> ResponseError:
    """Return the error for a reply that breaks the service's promise."""
    return ResponseError(
        f"{operation}: the reply is {what}; nothing of it was used.",
        reply.status,
        reply.request_id,
    )
