"""From keys to what an adapter makes of records: its first step, one flow for sync and async."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Generic, Literal, TypeVar, get_args

from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, MissingKeysError
from ..client.fetch import fetch
from ..client.models.vector import Vector
from ..client.operations.checks import check_choice, check_keys, each_of
from .decode import DECODE_POLICIES, DecodeError, DecodePolicy, decode, deep_copy, has_head, read
from .parts import restore_result
from .record import Record

Made = TypeVar("Made")
MissingPolicy = Literal["omit", "raise"]
_SHORTEST = 0.001  # seconds; a deadline that is over is for the call to report

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found(Generic[Made]):
    """What was made of the records found, in the order asked, and the keys not there."""

    made: list[Made]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lookup:
    """The settings by which keys become records; the names are the adapters' own arguments.

    `limit` is how many are wanted; keys are read until so many are found, and no further. A
    setting that cannot be is refused.
    """

    index: str | None = None
    text_key: str | None = None
    return_data: bool = False
    on_missing: MissingPolicy = "omit"
    on_decode_error: DecodePolicy = "raise"
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and (type(self.limit) is not int or self.limit < 1):
            raise InvalidRequestError(
                "{argument} must be a whole number above 0, not {value}.",
                argument="k",
                value=self.limit,
            )
        check_choice("on_missing", self.on_missing, get_args(MissingPolicy))
        check_choice("on_decode_error", self.on_decode_error, DECODE_POLICIES)


def fetch_records(
    context: Context,
    lookup: Lookup,
    keys: Iterable[str],
    make: Callable[[Record], Made],
    keeps: Callable[[Record, Vector], bool] | None = None,
) -> Flow[Found[Made]]:
    """Fetch records by key and make something of each that is to be kept, in the order asked.

    A `DecodeError` of `make` is met by `on_decode_error`, as one of decoding is.

    Raises:
        InvalidRequestError: a key is illegal; no call was made.
        MissingKeysError: keys do not exist, under `on_missing="raise"`.
    """
    made: list[Made] = []
    missing: dict[str, None] = {}
    limited = lookup.limit is not None
    # Under a limit keys are read batch by batch: an illegal one is refused before the first call.
    left = check_keys(keys, context.config.limits) if limited else list(each_of(keys))
    deadline = context.deadline()
    while left and (count := len(left) if lookup.limit is None else lookup.limit - len(made)):
        # A whole call even for a few: some of the first keys may be missing.
        size = max(count, context.config.limits.keys_per_get)
        batch, left = left[:size], left[size:]
        result = yield from fetch(
            context,
            batch,
            index=lookup.index,
            return_data=lookup.return_data,
            timeout=max(deadline.moment - context.monotonic(), _SHORTEST),
        )
        if has_head(result.by_key.values()):
            data = lookup.return_data
            result = yield from restore_result(
                context, lookup.index, result, return_data=data, deadline=deadline
            )
        made += islice(make_each(lookup, result, make, keeps), count)
        missing |= dict.fromkeys(result.missing)
    if missing and lookup.on_missing == "raise":
        raise MissingKeysError(tuple(missing))
    return Found(made, tuple(missing))


def make_each(
    lookup: Lookup,
    vectors: Iterable[Vector],
    make: Callable[[Record], Made],
    keeps: Callable[[Record, Vector], bool] | None = None,
) -> Iterator[Made]:
    """Yield what is made of each vector's record; unreadable ones as `on_decode_error` says."""
    for vector in vectors:
        try:  # around `make` too: a framework's classes judge a node, no decoder can
            record = read(vector, lookup.text_key)
            if keeps is not None and not keeps(record, vector):
                continue
            made = make(record)
        except DecodeError as error:
            if lookup.on_decode_error == "raise":
                raise
            if lookup.on_decode_error == "skip":
                _log.warning("skipped: %s", error)
                continue
            # The record may be readable, and only its node one that the framework cannot build.
            record = decode(vector, text_key=lookup.text_key, on_decode_error="raw")
            stored = deep_copy(vector.metadata or {})
            raw = replace(record, metadata=stored, node=None, source="raw")
            if keeps is not None and not keeps(raw, vector):
                continue
            made = make(raw)
        yield made
