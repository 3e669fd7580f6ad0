"""Secrets that are searched for wherever a program shows something of itself."""

from __future__ import annotations

import dataclasses
import io
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

from rich.console import Console
from rich.traceback import Traceback

from oss_vector_retriever import AsyncOSSVectorClient, Credentials, OSSVectorClient

ID = "LTAI5tCanaryCanaryCanary"
SECRET = "CanarySecretCanarySecret042"
TOKEN = "CAISCanaryToken/+CanaryToken=="
PASSWORD = "CanaryPasswordCanary"
CANARIES = (ID, SECRET, TOKEN, PASSWORD)
OURS = "oss_vector_retriever"
GOOD = Credentials(ID, SECRET, TOKEN)
ADDRESS = f"https://{ID}:{PASSWORD}@oss.example"
PRESIGNED = (
    f"https://b-1.oss.example/?x-oss-credential={ID}%2F20261101&x-oss-security-token={TOKEN}"
)
PLACE = {"bucket": "examplebucket", "account_id": "1", "region": "cn-hangzhou", "index": "i"}
CLIENTS = [OSSVectorClient, AsyncOSSVectorClient]


def found_in(text: str) -> list[str]:
    """Return the canaries in a text; each is known by its first 12 characters, if it was cut."""
    return [canary for canary in CANARIES if canary[:12] in text]


def shown_of(error: BaseException, *, drawn: bool = False) -> str:
    """Return all that collectors of errors could show of one: texts, attributes, and frames.

    With `drawn` rich draws them too, which takes seconds.
    """
    return "\n".join([*_texts_of(error, set()), drawn_by_rich(error) if drawn else ""])


def _texts_of(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    yield from (str(error), repr(error), _described(error.args), _described(vars(error)))
    yield from traceback.format_exception(error)
    for frame in our_frames(error):
        for name, value in frame.f_locals.items():
            yield f"{frame.f_code.co_qualname}.{name} = {_described(value)}"
    earlier = getattr(error, "errors", ())
    earlier = earlier if isinstance(earlier, tuple) else ()  # others have a method of that name
    for inner in (error.__cause__, error.__context__, *earlier):
        if inner is not None and id(inner) not in seen:
            yield from _texts_of(inner, seen)


def our_frames(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames of this package, and of the libraries below it, that an error carries."""
    ours = False
    for frame, _ in traceback.walk_tb(error.__traceback__):
        ours = ours or frame.f_globals.get("__name__", "").startswith(OURS)
        if ours and "/tests/" not in frame.f_code.co_filename:
            yield frame


def _described(value: Any, depth: int = 6) -> str:
    """Return what a collector writes of a value: its repr, and what containers and fields hold."""
    if depth == 0:
        return repr(value)
    if isinstance(value, Mapping):
        parts = [f"{key!r}: {_described(inner, depth - 1)}" for key, inner in [*value.items()]]
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(_described(inner, depth - 1) for inner in [*value]) + "]"
    text = repr(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value) if field.repr]
        text += "".join(_described(getattr(value, name, None), depth - 1) for name in fields)
    return text


def drawn_by_rich(error: BaseException) -> str:
    """Return a traceback with locals as rich draws it, without the lines of source."""
    drawn = Traceback.from_exception(
        type(error),
        error,
        error.__traceback__,
        show_locals=True,
        locals_max_string=None,
        locals_max_length=None,
        suppress=[],
    )
    # the lines of the test's own source would show what it was written with
    for stack in drawn.trace.stacks:
        stack.frames = [frame for frame in stack.frames if f"/{OURS}/" in frame.filename]
    console = Console(file=io.StringIO(), width=10_000)
    console.print(drawn)
    return console.file.getvalue()  # type: ignore[attr-defined]


def raised(function: Callable[[], object]) -> BaseException:
    """Return what a function raises."""
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - the tests look at it
        return error
    raise AssertionError("nothing was raised")


def check(error: BaseException, frames: int = 1, *, drawn: bool = False) -> None:
    """Find no canary in an error, of which so many frames are ours."""
    assert found_in(shown_of(error, drawn=drawn)) == []
    assert len([*our_frames(error)]) >= frames  # there was something to be searched
