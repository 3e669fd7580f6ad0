"""Settings of a store are checked when it is made."""

import pytest

from oss_vector_retriever import InvalidRequestError
from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.records.settings import StoreSettings


def test_names_are_kept_once_and_in_order():
    settings = StoreSettings(filterable=["b", "a", "b"], non_filterable=["c"])
    assert settings.filterable == ("b", "a")
    assert settings.hidden_fields == ("_record", "_record_text", "c")


def test_a_metric_left_open_makes_cosine():
    assert StoreSettings(distance_metric=None).metric_made == "cosine"


@pytest.mark.parametrize(
    "wrong",
    [
        {"distance_metric": "dot"},
        {"on_decode_error": "ignore"},
        {"filterable": "color"},
        {"filterable": ["not a name"]},
        {"filterable": ["_record"]},
        {"non_filterable": ["_record_text"]},
        {"filterable": ["a"], "non_filterable": ["a"]},
        {"filterable": [f"f{n}" for n in range(10)]},
        {"filterable": ["_unsure"]},
        {"scalars": "numbers"},
        {"list_fields": "all"},
        {"non_filterable": [f"f{n}" for n in range(9)]},
        {"index": "Not An Index"},
    ],
)
def test_an_impossible_setting_is_refused(wrong):
    with pytest.raises((InvalidRequestError, ConfigurationError)):
        StoreSettings(**wrong)
