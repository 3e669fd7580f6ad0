"""`Behaviour`: named switches for what the service does not document."""

from dataclasses import dataclass
from typing import Literal, get_args

Order = Literal["request", "storage", "shuffled"]
Duplicates = Literal["once", "each"]
FloatText = Literal["shortest", "double"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A choice among the behaviours that the documentation leaves open.

    Attributes:
        order: of the vectors in a GetVectors reply (section 4.1: not documented).
        seed: of the shuffle, where `order` is "shuffled".
        duplicates: whether a key asked for twice comes back once or each time (section 4.1).
        float_text: `0.1`, or all digits of the float32 as a double, `0.10000000149011612`
            (section 4.1).
        omit_empty_vectors: leave `vectors` out of a reply that has none (section 4.1).
        show_empty_metadata: answer `{}` for a vector stored without metadata (section 4.1).
        count_distinct_keys: let more than 100 keys pass that are fewer without duplicates
            (section 4.1).
        unstorable_fails: answer NaN, infinity and, under cosine, a zero vector with 500
            InternalError, as one user saw it, instead of 400 (section 4.2).
        squared_euclidean: answer squared euclidean distances (section 4.4).
        filter_after_ranking: let a filter choose among the `topK` nearest, so that a query may
            return fewer although more would match (section 4.4).
        strings_only: refuse numbers and booleans in metadata (section 5.1).
        ignore_non_filterable: let a filter on a non-filterable key match nothing, instead of
            refusing it (section 5.2).
        filter_shorthand: take `{"field": "value"}` as `$eq` (section 5.2).
        negation_needs_field: let `$ne` and `$nin` be false of a missing field (section 5.2).
        index_creation_seconds: how long a new index stays `creating` (section 7.1).
        creating_refuses_writes: answer PutVectors with 500 InternalError while an index is
            `creating`, as one user saw it (section 4.2).
        query_delay_seconds: how long a written vector stays unseen by QueryVectors (section 4.2).
        bucket_list_delay_seconds: how long a new bucket stays unlisted (section 8).
        bucket_name_kept_seconds: how long the name of a deleted bucket is not free: making one of
            it is refused with BucketNameNotAvailable. The page PutVectorBucket (Sep 2025) says
            hours, a third party 4 to 8 (section 8).
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
    filter_after_ranking: bool = False
    strings_only: bool = False
    ignore_non_filterable: bool = False
    filter_shorthand: bool = True
    negation_needs_field: bool = False
    index_creation_seconds: float = 0.0
    creating_refuses_writes: bool = False
    query_delay_seconds: float = 0.0
    bucket_list_delay_seconds: float = 0.0
    bucket_name_kept_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.order not in get_args(Order) or self.duplicates not in get_args(Duplicates):
            raise ValueError(f"order must be of {Order}, duplicates of {Duplicates}")


DEFAULT_BEHAVIOUR = Behaviour()
