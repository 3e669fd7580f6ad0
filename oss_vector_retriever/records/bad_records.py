"""Records of a bulk write that cannot be stored: all of them are named, not the first alone."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, get_args

from ..client.errors import InvalidRequestError, quote
from ..client.operations.checks import check_choice

BadRecordPolicy = Literal["raise", "skip", "report"]

T = TypeVar("T")
_POLICIES: Final[tuple[str, ...]] = get_args(BadRecordPolicy)
_MOST_NAMED: Final = 10  # an error that words ten thousand would bury what it says
_log = logging.getLogger(__name__)


class InvalidRecordError(InvalidRequestError):
    """A record cannot be written as it is.

    Attributes:
        field: what of it is wrong, such as `metadata['day']`, or "".
        reason: what is wrong.
    """

    def __init__(
        self,
        key: str,
        reason: str,
        *,
        field: str = "",
        argument: str = "metadata",
        limit: int | None = None,
        remedy: str = "",
    ) -> None:
        end = "" if reason[-1:] != "." else "."
        said = f"{field} {reason}".strip().removesuffix(".")
        super().__init__(
            f"record {{key}}: {{said}}{end}",
            argument=argument,
            limit=limit,
            remedy=remedy,
            fields={"key": quote(key), "said": said},
        )
        self.field = field or argument
        self.reason = reason.removesuffix(".")


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that was left out of a bulk write.

    Attributes:
        position: its place among what was given, from 0.
        key: its key, the id that was given or made for it.
        field: what of it is wrong, such as `metadata['day']`.
        reason: what is wrong with that.
        remedy: what to do about it; "" where the reason says it.
        error: the error that a write of this record alone raises.
    """

    position: int
    key: str
    field: str
    reason: str
    remedy: str
    error: InvalidRequestError


@dataclass(frozen=True, slots=True)
class BadRecordsReport:
    """What of a bulk write was left out, and why.

    Attributes:
        records: those that cannot be written, in the order given.
        total: how many records were given.
    """

    records: tuple[BadRecord, ...] = ()
    total: int = 0

    @property
    def ok(self) -> bool:
        """Tell whether nothing was left out."""
        return not self.records

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of what was left out, in the order given."""
        return tuple(record.key for record in self.records)

    def __str__(self) -> str:
        """Return a line for each of the first ten."""
        lines = [f"{len(self.records)} of {self.total} records cannot be written"]
        lines += [f"  {record.error}" for record in self.records[:_MOST_NAMED]]
        if (more := len(self.records) - _MOST_NAMED) > 0:
            lines.append(f"  and {more} more (report.records)")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from ..client.models.notebook import show_rows  # noqa: PLC0415 - for notebooks alone

        names = ["position", "key", "field", "reason", "remedy"]
        rows = ([getattr(record, name) for name in names] for record in self.records)
        caption = f"{len(self.records)} of {self.total} records cannot be written"
        return show_rows(caption, names, rows, len(self.records))


class BadRecordsError(InvalidRequestError):
    """Several records of a bulk write cannot be written; nothing was.

    Attributes:
        report: which, and why.
    """

    def __init__(self, report: BadRecordsReport) -> None:
        super().__init__(
            f"{report}\nNothing was written; on_bad_record={quote('skip')} or {quote('report')} "
            "writes the others."
        )
        self.report = report


class WrittenIds(list[str]):
    """The ids that a bulk write has written, in order.

    Attributes:
        report: what was left out, under `on_bad_record="skip"` or "report"; else nothing.
    """

    def __init__(
        self, ids: Iterable[str] = (), report: BadRecordsReport = BadRecordsReport()
    ) -> None:
        super().__init__(ids)
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self), self.report)


def check_policy(policy: str) -> None:
    """Refuse a policy that there is not."""
    check_choice("on_bad_record", policy, _POLICIES)


def make_each(
    policy: BadRecordPolicy, keys: Sequence[str], make: Callable[[int], T]
) -> tuple[dict[int, T], BadRecordsReport]:
    """Return what is made of each record, by its position, and which can be none.

    Args:
        policy: what to do about those: "raise", "skip" with a warning in the log, or "report".
        keys: the records' own.
        make: makes the record at a position; it raises InvalidRequestError.

    Raises:
        InvalidRequestError: one is bad, or several (`BadRecordsError`), under "raise".
    """
    check_policy(policy)
    made: dict[int, T] = {}
    bad: list[BadRecord] = []
    for position, key in enumerate(keys):
        try:
            made[position] = make(position)
        except InvalidRequestError as error:
            field = getattr(error, "field", error.argument or "")
            reason = getattr(error, "reason", str(error))
            bad.append(BadRecord(position, key, field, reason, error.remedy, error))
    report = BadRecordsReport(tuple(bad), len(keys))
    if bad and policy == "raise":
        raise bad[0].error if len(bad) == 1 else BadRecordsError(report)
    if bad and policy == "skip":
        _log.warning("%s; they are skipped", report)
    return made, report
