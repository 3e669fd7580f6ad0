"""`StoreSettings`: how records are written to an index and read from it."""

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from ..client.config import check_seconds
from ..client.endpoint import check_index
from ..client.errors import InvalidRequestError, quote
from ..client.models.limits import DEFAULT_LIMITS, Limits
from ..client.operations.checks import check_choice, check_field_names, check_whole
from .bad_records import BadRecordPolicy, check_policy
from .decode import DECODE_POLICIES, ENVELOPE_KEYS, RESERVED_FIELDS, DecodePolicy

DistanceMetric = Literal["cosine", "euclidean"]
_METRICS: Final[tuple[str, ...]] = get_args(DistanceMetric)
_SIDE: Final = "side"
_DIGEST: Final = 12  # characters of a hash, in place of the end of a name that is too long
Scalars = Literal["auto", "native", "strings"]
ListFields = Literal["any", "exact"]
Exhaustive = bool | Literal["auto"]
IncompletePolicy = Literal["warn", "raise", "ignore"]
SideIndexName = str | bool | None

# A row of a key-value store, which no search for documents should meet; its value says which kind.
ROW_FIELD: Final = "_row"
# The id that a value of such a row has of its own, beside the key.
ROW_ID_FIELD: Final = "_row_id"


@dataclass(frozen=True, slots=True)
class Completion:
    """The effort that a search makes to be complete, and what it does where that was not enough.

    Attributes:
        exhaustive: where the service's own search found fewer records than were asked for and may
            have passed over some that match, list the index and rank what matches here. "auto":
            as far as `scan_limit`; True: as far as the client's `timeout` allows; False: never.
        scan_limit: list so many records at most, under "auto".
        on_incomplete: where the answer may lack records: "warn" (`IncompleteSearchWarning`),
            "raise" the same as an error, or "ignore".

    Raises:
        InvalidRequestError: one of them is impossible.
    """

    exhaustive: Exhaustive = "auto"
    scan_limit: int = 20_000
    on_incomplete: IncompletePolicy = "warn"

    def __post_init__(self) -> None:
        if not isinstance(self.exhaustive, bool) and self.exhaustive != "auto":
            raise InvalidRequestError(
                '{argument} must be "auto", True or False, not {value}.',
                argument="exhaustive",
                value=self.exhaustive,
            )
        check_whole("scan_limit", self.scan_limit, 1, sys.maxsize)
        check_choice("on_incomplete", self.on_incomplete, get_args(IncompletePolicy))


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """The settings of a store; the names are the adapters' own arguments.

    Attributes:
        index: another index than the client's own.
        distance_metric: of the index that a first write makes; one that is there must have it.
            None: any that is there will do, and one is made with cosine.
        create_index: make the index on the first write, and read one that is not there as empty.
        filterable: metadata fields that are copied beside the record where the service's filters
            see them, and must fit there. None: all that the service can hold and that fit.
        non_filterable: further fields that an index made here keeps out of its filters, for those
            who put large fields beside the records.
        text_key: a further metadata field to look for text in.
        scalars: how numbers and booleans are copied: "native", as they are; "strings"; or "auto",
            as they are unless the service refuses them or turns them into strings.
        list_fields: whether a list passes a filter if "any" of its items does, as the service sees
            it, or as a whole, "exact".
        on_decode_error: "raise", "skip" or "raw", for records that cannot be read.
        on_bad_record: of records that cannot be stored, when many are written: "raise", so that
            nothing is written, "skip" them with a warning, or "report" them.
        skip_rows: leave out of searches the rows of key-value stores in the same index.
        limits: the service's limits on a record, for an account that has others.
        exhaustive, scan_limit, on_incomplete: of searches, as in `Completion`.
        filters_first: whether the service's search filters before it ranks, so that it passes over
            nothing that matches. None: not until that was seen.
        read_your_writes: how many seconds a search finds all that this process has written and
            nothing that it has deleted, though the service shows neither yet. True: 10, and 30 in
            an index that this process has made. False: what the service shows.
        side_index: the index beside this one, for rows that no search should meet and for the
            parts of values over 36 KB; made by the first write to it. None and True: its name is
            that of the index and "side". False: there is none, and what does not fit is refused.

    Raises:
        InvalidRequestError: a setting is none of its choices, a name is not legal, a field is both
            filterable and not, or one is named like the envelope's.
    """

    index: str | None = None
    distance_metric: DistanceMetric | None = "cosine"
    create_index: bool = True
    filterable: Sequence[str] | None = ()
    non_filterable: Sequence[str] = ()
    text_key: str | None = None
    scalars: Scalars = "auto"
    list_fields: ListFields = "any"
    on_decode_error: DecodePolicy = "raise"
    on_bad_record: BadRecordPolicy = "raise"
    skip_rows: bool = False
    limits: Limits = DEFAULT_LIMITS
    exhaustive: Exhaustive = "auto"
    scan_limit: int = 20_000
    on_incomplete: IncompletePolicy = "warn"
    filters_first: bool | None = None
    read_your_writes: bool | float = False
    side_index: SideIndexName = None

    def __post_init__(self) -> None:
        self.completion  # noqa: B018 - made here, so that what is wrong with it is said here
        if self.index is not None:
            check_index(self.index)
        if not (self.side_index is None or isinstance(self.side_index, bool)):
            check_index(self.side_index, "side_index")
        # Here and not at the first call: a misspelt setting should fail where it stands.
        check_choice("distance_metric", self.metric_made, _METRICS)
        check_choice("on_decode_error", self.on_decode_error, DECODE_POLICIES)
        check_choice("scalars", self.scalars, get_args(Scalars))
        check_policy(self.on_bad_record)
        check_choice("list_fields", self.list_fields, get_args(ListFields))
        if not isinstance(self.read_your_writes, bool):
            check_seconds("read_your_writes", self.read_your_writes)
        if self.filterable is not None:
            object.__setattr__(self, "filterable", _names("filterable", self.filterable))
        hidden = _names("non_filterable", self.non_filterable)
        object.__setattr__(self, "non_filterable", hidden)
        if both := [name for name in self.filterable or () if name in hidden]:
            raise InvalidRequestError(
                "{value} cannot be both {argument} and {non_filterable}",
                argument="filterable",
                value=both[0],
                remedy="name it in one",
            )

    @property
    def metric_made(self) -> DistanceMetric:
        """Return the metric of an index made here."""
        return self.distance_metric or "cosine"

    @property
    def completion(self) -> Completion:
        """Return how far a search goes where nothing else is said for it."""
        return Completion(self.exhaustive, self.scan_limit, self.on_incomplete)

    @property
    def hidden_fields(self) -> tuple[str, ...]:
        """Return the fields that an index made here declares non-filterable."""
        # Filterable fields hold 2 KB in all, which an envelope soon passes.
        return (*ENVELOPE_KEYS, *self.non_filterable)


def side_name(settings: StoreSettings, index: str) -> str:
    """Return the name of the side index of a store whose index has a name.

    Raises:
        InvalidRequestError: the store has none.
    """
    if settings.side_index is False:
        raise InvalidRequestError(
            "{argument} is False, and this needs an index beside {index}",
            argument="side_index",
            remedy="leave it out, or name one",
            fields={"index": quote(index)},
        )
    if isinstance(settings.side_index, str):
        return settings.side_index
    most = DEFAULT_LIMITS.index_name_characters
    if len(index) + len(_SIDE) <= most:
        return index + _SIDE
    # two names that are cut must not become one
    digest = hashlib.sha256(index.encode()).hexdigest()[:_DIGEST]
    return index[: most - _DIGEST - len(_SIDE)] + digest + _SIDE


def side_settings(settings: StoreSettings, name: str) -> StoreSettings:
    """Return the settings of the records in a side index of a name."""
    return StoreSettings(
        index=name,
        distance_metric="euclidean",  # under cosine a vector of zeros is refused
        create_index=settings.create_index,
        on_decode_error=settings.on_decode_error,
        limits=settings.limits,
        side_index=name,  # what is too large for a row has its parts beside it
    )


def renew_saved(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the saved arguments of a store under the names that they have now."""
    renewed = dict(values)
    if (native := renewed.pop("native_scalars", None)) is not None:
        renewed.setdefault("scalars", "native" if native else "auto")
    return renewed


def is_row(stored: Mapping[str, Any] | None) -> bool:
    """Tell whether stored metadata are those of a row of a key-value store."""
    return stored is not None and ROW_FIELD in stored


def _names(what: str, names: Iterable[str]) -> tuple[str, ...]:
    unique = tuple(dict.fromkeys(check_field_names(what, names, DEFAULT_LIMITS)))
    # the envelope's own fields are among those that an index keeps out of its filters, and the mark
    # among those that it does not
    reserved = len(ENVELOPE_KEYS) if what == "non_filterable" else 1
    if len(unique) > (most := DEFAULT_LIMITS.filterable_keys - reserved):
        raise InvalidRequestError(
            "{argument} names {count} fields; at most {limit} are possible.",
            argument=what,
            limit=most,
            fields={"count": len(unique)},
        )
    if taken := [name for name in unique if name in RESERVED_FIELDS]:
        raise InvalidRequestError(
            "{argument} must not name {value}, a field of the record's envelope.",
            argument=what,
            value=taken[0],
        )
    return unique
