"""When items expire: how long from their writing stands in the head, a later end in a row beside.

So reading an item, which puts its end off, never writes the value: a row in the side index has the
new end. It belongs to one version of the item, and a put of another process in the same moment is
not lost to it. Each item with a time to live has such a row from its writing on, so that a sweep
finds it without listing the memory.
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..client.context import Context, Flow
from ..client.errors import AccessDeniedError, InvalidRequestError, OSSVectorError, WriteReport
from ..records.side import Row, SideIndex, stored_key
from .items import Head

KIND: Final = "memory-expiry"
_LONGEST_TTL: Final = 1e9  # minutes, two thousand years: a date must hold the end
# of a time to live: to put an end off by less is not worth a call at each read
_LEAST_SHARE: Final = 0.01

_log = logging.getLogger(__name__)


def check_ttl(ttl: Any, argument: str = "ttl") -> float | None:
    """Return a time to live in minutes, or None for none.

    Raises:
        InvalidRequestError: it is no number above 0, or over a thousand million.
    """
    if ttl is None:
        return None
    is_number = isinstance(ttl, int | float) and not isinstance(ttl, bool)
    if not is_number or not math.isfinite(ttl) or not 0 < ttl <= _LONGEST_TTL:
        raise InvalidRequestError(
            "{argument} must be a number of minutes above 0 and at most {limit:,}, not {value}.",
            argument=argument,
            value=ttl,
            limit=int(_LONGEST_TTL),
        )
    return float(ttl)


@dataclass(frozen=True, slots=True)
class Ending:
    """What a row says: when which version of which item expires."""

    name: str
    version: str
    moment: datetime


@dataclass(frozen=True, slots=True)
class Expiry:
    """The ends of items with a time to live, by the clock of this process.

    Attributes:
        side: where the rows are.
        omit_expired: whether what has expired is no more read, though it is there yet.
    """

    side: SideIndex
    omit_expired: bool = True

    def find_living(
        self, context: Context, heads: Sequence[Head], *, refreshes: bool = False
    ) -> Flow[dict[str, datetime]]:
        """Return, by name, the ends of those that have not expired; of one without any, `max`.

        No row is read of what cannot have expired yet, unless its end is to be put off.
        """
        now = context.clock.now()
        ends = {head.name: head.ends_at() or _NEVER for head in heads}
        asked = [
            head
            for head in heads
            if head.ttl is not None
            and (ends[head.name] <= now or (refreshes and _is_due(head, ends[head.name], now)))
        ]
        keys = [_key_of(head) for head in asked]
        try:
            # without a side index nothing has a time to live, and this asks for no row
            rows = (yield from self.side.get_rows(context, KIND, keys)) if keys else {}
        except AccessDeniedError:
            if any(ends[head.name] <= now for head in asked):
                raise  # whether those have ended only a row can tell
            rows = {}  # who may not read them puts no end off, and reads all the same
        for head in asked:
            if (row := rows.get(_key_of(head))) is not None and (told := _read(row)) is not None:
                ends[head.name] = max(ends[head.name], told.moment)
        return {name: end for name, end in ends.items() if end > now or not self.omit_expired}

    def put_off(
        self, context: Context, heads: Iterable[Head], ends: Mapping[str, datetime]
    ) -> Flow[None]:
        """Let items that were read live on for as long again; what fails here harms no read."""
        now = context.clock.now()
        due = [one for one in heads if one.ttl is not None and _is_due(one, ends[one.name], now)]
        if not due:
            return
        try:
            yield from self.side.put_rows(context, [_row_of(head, now) for head in due])
        except OSSVectorError as error:  # who reads need not be allowed to write
            context.warn_once_a_minute(
                "refresh of ttl", "the end of items is not put off: %s", type(error).__name__
            )

    def write(self, context: Context, heads: Iterable[Head]) -> Flow[WriteReport]:
        """Write the rows of items that are put now, before their heads are."""
        rows = [_row_of(one, one.item.updated_at) for one in heads if one.ttl is not None]
        return self.side.put_rows(context, rows)

    def remove(self, context: Context, heads: Iterable[Head]) -> Flow[None]:
        """Remove the rows of versions that are gone."""
        return self._remove(context, [_key_of(one) for one in heads if one.ttl is not None])

    def list_page(
        self, context: Context, token: str | None
    ) -> Flow[tuple[list[Ending], str | None]]:
        """List a page of the ends that are past, and return the token of the next page."""
        rows, token = yield from self.side.list_row_page(context, KIND, token=token)
        now = context.clock.now()
        told = [one for row in rows if (one := _read(row)) is not None]
        return [one for one in told if one.moment <= now], token

    def confirm(self, context: Context, past: Sequence[Ending]) -> Flow[list[Ending]]:
        """Return those that are past still, though somebody may have read the items since."""
        now = context.clock.now()
        keys = [_key(one.version, one.name) for one in past]
        rows = yield from self.side.get_rows(context, KIND, keys)
        told = [one for row in rows.values() if (one := _read(row)) is not None]
        return [one for one in told if one.moment <= now]

    def forget(self, context: Context, past: Sequence[Ending]) -> Flow[None]:
        """Remove rows of versions that are gone, or about to go."""
        return self._remove(context, [_key(one.version, one.name) for one in past])

    def _remove(self, context: Context, keys: Iterable[str]) -> Flow[None]:
        if stored := [stored_key(KIND, "", key) for key in keys]:
            yield from self.side.records(context).delete(context, stored)


_NEVER: Final = datetime.max.replace(tzinfo=UTC)


def _is_due(head: Head, end: datetime, now: datetime) -> bool:
    """Tell whether putting an end off is worth a call."""
    whole = timedelta(minutes=head.ttl or 0.0)
    return now + whole - end >= whole * _LEAST_SHARE


def _key_of(head: Head) -> str:
    return _key(head.version, head.name)


def _key(version: str, name: str) -> str:
    return f"{version}/{name}"


def _row_of(head: Head, now: datetime) -> Row:
    end = now + timedelta(minutes=head.ttl or 0.0)
    value = {"name": head.name, "version": head.version, "end": end.isoformat()}
    return Row(KIND, _key_of(head), value)


def _read(row: Row) -> Ending | None:
    name, version, end = (row.value.get(part) for part in ("name", "version", "end"))
    if not (isinstance(name, str) and isinstance(version, str) and isinstance(end, str)):
        return None
    try:
        moment = datetime.fromisoformat(end)
    except ValueError:
        return None
    # written by whatever program: a moment without an offset is compared with none that has one
    return Ending(name, version, moment if moment.tzinfo else moment.replace(tzinfo=UTC))
