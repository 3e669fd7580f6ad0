"""From keys to what an adapter makes of records: its first step, one flow for sync and async."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, Generic, Literal, TypeVar, get_args

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, MissingKeysError
from oss_vector_retriever.client.fetch import fetch
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations.checks import check_keys, each_of
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.records.decode import (
    DECODE_POLICIES,
    DecodeError,
    DecodePolicy,
    decode,
    fresh,
    read,
)
from oss_vector_retriever.records.record import Record

Made = TypeVar("Made")
MissingPolicy = Literal["omit", "raise"]
_MISSING_POLICIES: Final[tuple[str, ...]] = get_args(MissingPolicy)
_SHORTEST = 0.001  # seconds; a deadline that is over is for the call to report

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found(Generic[Made]):
    """Hold what was made of the records found, in the order asked, and the keys not there."""

    made: list[Made]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Say how keys become records; the names are the adapters' own arguments.

    `most` is how many are wanted; keys are read until so many are found, and no further.

    Raises:
        InvalidRequestError: `most` is no whole number above 0, or a policy is unknown.
    """

    index: str | None = None
    text_key: str | None = None
    return_data: bool = False
    on_missing: MissingPolicy = "omit"
    on_decode_error: DecodePolicy = "raise"
    most: int | None = None

    def __post_init__(self) -> None:
        if self.most is not None and (type(self.most) is not int or self.most < 1):
            raise InvalidRequestError(f"k must be a whole number above 0, not {self.most!r}.")
        _check_policy("on_missing", self.on_missing, _MISSING_POLICIES)
        _check_policy("on_decode_error", self.on_decode_error, DECODE_POLICIES)

    def of(
        self, keys: Iterable[str], make: Callable[[Record], Made]
    ) -> Callable[[Context], Flow[Found[Made]]]:
        """Return the flow that looks keys up and makes something of each record, for `run_flow`.

        A `DecodeError` of `make` is met by `on_decode_error`, as one of decoding is.

        Raises:
            InvalidRequestError: a key is illegal; no call was made.
            MissingKeysError: keys do not exist, under `on_missing="raise"`.
        """
        return lambda context: self._flow(context, keys, make)

    def _flow(
        self, context: Context, keys: Iterable[str], make: Callable[[Record], Made]
    ) -> Flow[Found[Made]]:
        made: list[Made] = []
        missing: dict[str, None] = {}
        left = list(each_of(keys)) if self.most is None else check_keys(keys, context.config.limits)
        deadline = context.deadline()
        while left and (wanted := self._wanted(made, left)):
            size = max(wanted, context.config.limits.keys_per_get)
            asked, left = left[:size], left[size:]
            result = yield from fetch(
                context,
                asked,
                index=self.index,
                return_data=self.return_data,
                timeout=max(deadline.moment - context.monotonic(), _SHORTEST),
            )
            made += islice(self.readable(result, make), wanted)
            missing |= dict.fromkeys(result.missing)
        if missing and self.on_missing == "raise":
            raise MissingKeysError(tuple(missing))
        return Found(made, tuple(missing))

    def _wanted(self, made: list[Made], left: list[str]) -> int:
        return len(left) if self.most is None else self.most - len(made)

    def readable(self, vectors: Iterable[Vector], make: Callable[[Record], Made]) -> Iterator[Made]:
        """Yield what is made of each vector's record; unreadable ones as `on_decode_error` says.

        Raises:
            DecodeError: a record cannot be read, under "raise".
        """
        for vector in vectors:
            try:
                made = make(read(vector, self.text_key))
            except DecodeError as error:
                if self.on_decode_error == "raise":
                    raise
                if self.on_decode_error == "skip":
                    _log.warning("skipped: %s", error)
                    continue
                made = make(self._raw(vector))
            yield made

    def _raw(self, vector: Vector) -> Record:
        record = decode(vector, text_key=self.text_key, on_decode_error="raw")
        return replace(record, metadata=fresh(vector.metadata or {}), node=None, source="raw")


def _check_policy(name: str, value: str, policies: tuple[str, ...]) -> None:
    if value not in policies:
        raise InvalidRequestError(f"{name} must be one of {', '.join(policies)}, not {value!r}.")
