"""The questions that the service's documentation leaves open, as a table.

An answer by the name of one of `emulator.Behaviour`'s fields goes into a record's behaviour, any
other into its observations. A question asks what it needs and nothing else: each is right whatever
the others' answers are.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from . import observations, switches
from .probe import Probe


class Question(NamedTuple):
    """One question, or several that one procedure answers.

    Attributes:
        names: of the answers.
        ask: returns the answer, or a mapping of several by their names.
        needs: an earlier answer without which it cannot be asked.
        costly: whether it is about load or size, and asked with `--limits` alone.
    """

    names: tuple[str, ...]
    ask: Callable[[Probe], Any]
    needs: str = ""
    costly: bool = False


_SEEN, _FOUND = "get_delay_seconds", "query_delay_seconds"
_CREATION = ("index_creation_seconds", "creating_refuses_writes", "enable_failure_seconds")
QUESTIONS = (
    Question(("bucket_list_delay_seconds",), switches.ask_bucket_list),
    Question(("bucket_of_ones_own_put_again",), observations.ask_bucket_again),
    Question(_CREATION, switches.ask_new_indexes),
    Question((_SEEN, _FOUND), switches.ask_delays, "enable_failure_seconds"),
    Question(("order", "order_seen"), switches.ask_order, _SEEN),
    Question(("duplicates",), switches.ask_duplicates, _SEEN),
    Question(("count_distinct_keys",), switches.ask_many_keys, _SEEN),
    Question(("omit_empty_vectors",), switches.ask_nothing_found, _SEEN),
    Question(("show_empty_metadata",), switches.ask_no_metadata, _SEEN),
    Question(("float_text", "float_of_a_tenth"), switches.ask_float_text, _SEEN),
    Question(("squared_euclidean",), switches.ask_distances, _FOUND),
    Question(("filter_after_ranking",), switches.ask_ranking, _FOUND),
    Question(("ignore_non_filterable",), switches.ask_hidden, _FOUND),
    Question(("filter_shorthand",), switches.ask_shorthand, _FOUND),
    Question(("filter_forms",), switches.ask_forms, _FOUND),
    Question(("negation_needs_field",), switches.ask_negation, _FOUND),
    Question(tuple(observations.FILTERS), observations.ask_filters, _FOUND),
    Question(("list_filter",), switches.ask_list_filter, _SEEN),
    Question(
        ("list_order", "segments_hold_each_once", "segment_of_vector_key_1"),
        observations.ask_listing,
        _SEEN,
    ),
    Question(("top_k_limit",), switches.ask_top_k, _FOUND),
    Question(("cosine_distance",), observations.ask_cosine, "top_k_limit"),
    Question(("metadata_names",), switches.ask_names, _SEEN),
    Question(("scalars",), switches.ask_scalars, _SEEN),
    Question(("unstorable_fails",), switches.ask_unstorable, _SEEN),
    Question(("batch_with_a_bad_vector",), observations.ask_atomicity, _SEEN),
    Question(tuple(observations.OUTCOMES), observations.ask_outcomes, _SEEN),
    Question(
        ("error_of_no_bucket", "error_of_no_index", "error_of_a_parameter", "error_of_no_json"),
        observations.ask_error_bodies,
        _SEEN,
    ),
    Question(("policy_with_a_condition",), observations.ask_policy),
    Question(("clock_ahead_seconds",), observations.ask_clock, _SEEN),
    Question(("requests_per_second", "error_of_a_rate"), switches.ask_rate, _SEEN, costly=True),
    Question(("body_mebibytes",), observations.ask_body_size, _SEEN, costly=True),
    Question(("list_page_cut_by_size",), observations.ask_page_size, _SEEN, costly=True),
    # the last: it needs the bucket gone
    Question(("bucket_name_kept_seconds",), switches.ask_deleted_name),
)
"""Every question, in the order in which they are asked."""
