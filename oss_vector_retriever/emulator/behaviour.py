"""`Behaviour`: named switches for what the service does not document, or not in one voice."""

import os
import sys
import types
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from ..client.errors import ConfigurationError
from ..client.models.account_record import AccountRecord
from .clock import is_number

Order = Literal["request", "storage", "shuffled"]
Duplicates = Literal["once", "each"]
FloatText = Literal["shortest", "double"]
ListFilter = Literal["honoured", "ignored", "refused"]
FilterForms = Literal["all", "no_ranges", "no_exists", "no_or", "flat"]
TopKLimit = Literal[30, 100, 500]
MetadataNames = Literal["filterable", "all"]
Scalars = Literal["kept", "refused", "strings"]

_A_YEAR = 365 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A choice among the behaviours that the documentation leaves open, or says in two ways.

    By default nothing lags, and what the newest pages allow is allowed; `documented()` has the lags
    and the narrower rules.

    Attributes:
        order: of the vectors in a GetVectors reply (section 4.1: not documented).
        seed: of the shuffle, where `order` is "shuffled".
        duplicates: whether a key asked for twice comes back once or each time (section 4.1).
        float_text: `0.1`, or all digits of the float32 as a double, `0.10000000149011612`
            (section 4.1).
        omit_empty_vectors: leave `vectors` out of a reply that has none (section 4.1).
        show_empty_metadata: answer `{}` for a vector stored without metadata (section 4.1).
        count_distinct_keys: let more than 100 keys pass that are fewer without duplicates
            (section 4.1: so the page get-vectors of ossutil words it, GetVectors does not).
        unstorable_fails: answer NaN, infinity and, under cosine, a zero vector with 500
            InternalError, as one user saw it, instead of 400 (section 4.2).
        squared_euclidean: answer squared euclidean distances (section 4.4).
        filter_after_ranking: let a filter choose among the `topK` nearest, so that a query may
            return fewer although more would match (vector-vectors, Mar 2026: a post-filter);
            otherwise among all.
        list_filter: whether ListVectors keeps to its `filter`, ignores it, or refuses it with
            VectorIndexParameterInvalid. It is new on the page of Sep 2026; the SDKs do not know it
            (section 4.3).
        top_k_limit: the most that `topK` may be: 30 on the pages QueryVectors of 2025, 100 on those
            of Feb and Mar 2026, 500 on ossutil's of Sep 2026 (section 4.4). 500 is whatever
            `Limits.top_k` says.
        metadata_names: what a vector may have at most 10 of: names that can be filtered by
            (PutVectors, Mar 2026), or names in all (vector-vectors; section 5.1).
        scalars: whether numbers and booleans in metadata are kept as they are (ossutil's
            query-vectors, Sep 2026, filters by them), refused (put-vectors and vector-vectors, Mar
            2026: strings), or turned into strings, as JSON writes them: `true`, `5`, `0.5`. Filters
            then compare strings, and their operands are turned alike (section 5.1).
        ignore_non_filterable: let a filter on a non-filterable key match nothing, instead of
            refusing it (section 5.2).
        filter_shorthand: take `{"field": "value"}` as `$eq` (section 5.2).
        filter_forms: the forms of filters that QueryVectors and ListVectors take: "all" of the
            page, or all but comparisons with numbers ("no_ranges"), `$exists` ("no_exists"), `$or`
            ("no_or"), or a group within a group ("flat"); the others are refused with
            VectorIndexParameterInvalid. No page says that an account refuses one; not all pages
            name them all (section 5.2).
        negation_needs_field: let `$ne` and `$nin` be false of a missing field (section 5.2).
        index_creation_seconds: how long a new index stays `creating` (section 7.1).
        creating_refuses_writes: answer PutVectors with 500 InternalError while an index is
            `creating`, as one user saw it (section 4.2).
        enable_failure_seconds: how long PutVectors answers 500 InternalError after an index has
            turned `enable`; one user saw 10 to 15 seconds (section 16).
        get_delay_seconds: how long GetVectors and ListVectors show the index as it was before a
            vector was written or deleted; the SDKs' tests see both at once (section 4.1).
        query_delay_seconds: how long QueryVectors does. Its page (Sep 2026) says 2 to 3 seconds of
            what is written; deletions are assumed to lag alike (section 4.2).
        bucket_list_delay_seconds: how long a new bucket stays unlisted (section 8).
        bucket_name_kept_seconds: how long the name of a deleted bucket is not free: making one of
            it is refused with BucketNameNotAvailable. The page PutVectorBucket (Sep 2025) says
            hours, a third party 4 to 8 (section 8).
        requests_per_second: the most that the service takes in a second, and at once; more are
            refused with 503 QpsLimitExceeded. The number behind that code is not documented
            (section 15).

    Raises:
        ConfigurationError: a field has a value that it cannot have.

    Examples:
        >>> client = OSSVectorClient.local(behaviour=Behaviour.documented())
        >>> _ = client.put_vector_index(dimension=2)
        >>> client.get_vector_index().status
        'creating'
    """

    order: Order = "request"
    seed: int | None = None
    duplicates: Duplicates = "once"
    float_text: FloatText = "shortest"
    omit_empty_vectors: bool = False
    show_empty_metadata: bool = False
    count_distinct_keys: bool = False
    unstorable_fails: bool = False
    squared_euclidean: bool = False
    filter_after_ranking: bool = True
    list_filter: ListFilter = "honoured"
    top_k_limit: TopKLimit = 500
    metadata_names: MetadataNames = "filterable"
    scalars: Scalars = "kept"
    ignore_non_filterable: bool = False
    filter_shorthand: bool = True
    filter_forms: FilterForms = "all"
    negation_needs_field: bool = False
    index_creation_seconds: float = 0.0
    creating_refuses_writes: bool = False
    enable_failure_seconds: float = 0.0
    get_delay_seconds: float = 0.0
    query_delay_seconds: float = 0.0
    bucket_list_delay_seconds: float = 0.0
    bucket_name_kept_seconds: float = 0.0
    requests_per_second: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            check_switch(field.name, getattr(self, field.name))

    @classmethod
    def documented(cls) -> Self:
        """Return what is documented, lags and caps included; where pages differ, the narrower.

        Of a number that was raised the newest page holds, as for `Limits`. What no page says is as
        in `Behaviour()`. The sources:

        - a filter chooses among the `topK` nearest (vector-vectors, Mar 2026);
        - `topK` is at most 500 (query-vectors of Sep 2026, the newest page of that call that gives
          a number; QueryVectors of Mar 2026 said 100: `replace(..., top_k_limit=100)`);
        - metadata has at most 10 names in all, and holds strings (vector-vectors, Mar 2026);
        - a filter gives an operator for each field (QueryVectors, Sep 2026, shows no other form);
        - a new index is `creating` first (PutVectorIndex, Feb 2026); no page says how long, so it
          is for one second. Writes are taken meanwhile, as the SDKs' integration tests show;
        - QueryVectors sees a written vector after 2 to 3 seconds (QueryVectors, Sep 2026): 3;
        - a listing shows a new bucket after 3 seconds (an integration test of the Java SDK waits
          so long);
        - the name of a deleted bucket is free after hours (PutVectorBucket, Sep 2025): 4.
        """
        return cls(
            filter_after_ranking=True,
            top_k_limit=500,
            metadata_names="all",
            scalars="refused",
            filter_shorthand=False,
            index_creation_seconds=1.0,
            query_delay_seconds=3.0,
            bucket_list_delay_seconds=3.0,
            bucket_name_kept_seconds=4 * 3600.0,
        )

    @classmethod
    def from_record(cls, path: "AccountRecord | str | os.PathLike[str]") -> Self:
        """Return what an account's service was found to do by `oss-vectors doctor --record`.

        What it did not answer is as documented.

        Raises:
            ConfigurationError: the file cannot be read, or is no record.
        """
        record = path if isinstance(path, AccountRecord) else AccountRecord.read(path)
        return replace(cls.documented(), **record.behaviour)


SWITCHES: dict[str, Any] = get_type_hints(Behaviour)


def check_switch(name: str, value: object) -> None:
    """Refuse what a switch cannot be.

    Raises:
        ConfigurationError: naming the switch and the values that there are.
    """
    if not _is_possible(SWITCHES[name], value):
        message = f"{name} must be {describe_values(name)}, not {{value}}."
        raise ConfigurationError(message, argument=name, value=value)


def describe_values(name: str) -> str:
    """Return the values of a switch in words."""
    kind = SWITCHES[name]
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    if kind is bool:
        return "true or false"
    if kind is float:
        return f"a number of seconds from 0 to {_A_YEAR:.0f}"
    return "a number above 0 or none" if float in get_args(kind) else "a whole number or none"


def _is_possible(kind: Any, value: object) -> bool:
    choices = get_args(kind)
    if get_origin(kind) is Literal:
        # By type too: to Python alone, 30.0 is one of (30, 100, 500).
        return any(isinstance(value, type(choice)) and value == choice for choice in choices)
    if kind is bool:
        return isinstance(value, bool)
    if value is None:
        return types.NoneType in choices
    if kind is float:
        return is_number(value, 0, _A_YEAR)
    if float in choices:
        return value != 0 and is_number(value, 0, sys.float_info.max)
    return type(value) is int  # True is an int, and no number


DEFAULT_BEHAVIOUR = Behaviour()
