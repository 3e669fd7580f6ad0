"""Laws of records: what is encoded comes back; nothing that decodes is changed or shared."""

import copy
import datetime as dt
from dataclasses import replace
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.promises import sized
from support.typed_values import shown

from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS, dump
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.records import (
    ENVELOPE_KEYS,
    DecodeError,
    decode,
    encode,
    filterable_value,
    parse_keys,
    query_of,
)

ROOMY = replace(DEFAULT_LIMITS, metadata_bytes=2**40, filterable_bytes=2**40, filterable_keys=10**6)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**2000) + 1, 2**2000 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
PLAIN = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12
)
NAMES = st.text().filter(lambda name: name not in (*ENVELOPE_KEYS, "_unsure"))
KEYS = st.text(min_size=1, max_size=50)
FLOAT32 = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=8)
LADDER = st.sampled_from(
    [
        *ENVELOPE_KEYS,
        "_node_content",
        "_node_type",
        "doc_id",
        "ref_doc_id",
        "OSSVECTORS-EMBED-SRC-CONTENT",
        "OSSVECTORS-EMBED-SRC-LOCATION",
        "_page_content",
        "page_content",
        "mine",
        "text",
        "content",
    ]
)
FRAGMENTS = st.sampled_from(
    ['{"v":1,"metadata":{}}', '{"text":"t","metadata":{"a":[1]}}', '{"metadata":[]}', "{", "None"]
)


@settings(max_examples=sized(100, 2000), deadline=None)
@given(
    key=KEYS,
    data=st.none() | FLOAT32,
    text=st.text(),
    metadata=st.dictionaries(NAMES, PLAIN),
    node=st.none() | st.dictionaries(st.text(), PLAIN),
)
def test_what_is_encoded_comes_back_exactly(key, data, text, metadata, node):
    before = copy.deepcopy((metadata, node))
    record = decode(encode(key, data, text=text, metadata=metadata, node=node, limits=ROOMY))
    assert (record.key, record.text, record.source) == (key, text, "envelope")
    # repr tells 1 from 1.0 and True, 0.0 from -0.0, and the order of names
    assert repr((record.metadata, record.node)) == repr((metadata, node))
    assert (None if record.embedding is None else record.embedding.tolist()) == data
    assert (metadata, node) == before


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
OFFSETS = st.timedeltas(
    dt.timedelta(hours=-23, minutes=-59), dt.timedelta(hours=23, minutes=59)
).map(dt.timezone)
TYPED = st.one_of(
    SCALARS,
    st.floats(),
    st.dates(),
    st.datetimes(timezones=st.none() | OFFSETS | ZONES.map(ZoneInfo)),
    st.datetimes(timezones=ZONES.map(ZoneInfo)).map(lambda moment: moment.replace(fold=1)),
    st.times(timezones=st.none() | OFFSETS | ZONES.map(ZoneInfo)),
    st.timedeltas(),
    st.decimals(),
    st.uuids(),
)
HASHABLE = st.recursive(
    TYPED.filter(lambda value: not (isinstance(value, Decimal) and value.is_snan())),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
METADATA_VALUES = st.recursive(
    TYPED | HASHABLE | st.sets(HASHABLE, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(["", "0", "types"]), inner)
    ),
    max_leaves=6,
)
KINDS = st.sampled_from(
    ["date", "datetime", "time", "timedelta", "decimal", "uuid", "nan", "set", "tuple", "os.getcwd"]
)
TREES = st.recursive(
    KINDS | st.lists(KINDS | SCALARS, max_size=4) | SCALARS,
    lambda inner: st.dictionaries(st.sampled_from(["", "0", "1", "a", "b", "-1"]), inner),
    max_leaves=6,
)


@settings(max_examples=sized(60, 2000), deadline=None)
@given(metadata=st.dictionaries(NAMES, METADATA_VALUES, max_size=4), native=st.booleans())
def test_values_that_json_lacks_come_back_exactly(metadata, native):
    vector = encode(
        "k",
        None,
        text="t",
        metadata=metadata,
        filterable=None,
        scalars="native" if native else "strings",
        limits=ROOMY,
    )
    assert shown(decode(vector).metadata) == shown(metadata)


@settings(max_examples=sized(60, 2000), deadline=None)
@given(
    metadata=st.dictionaries(st.sampled_from("ab"), PLAIN, max_size=2),
    types=st.dictionaries(st.sampled_from(["metadata", "node", "v"]), TREES, max_size=2) | TREES,
)
def test_any_types_decode_or_are_named(metadata, types):
    envelope = dump({"v": 2, "metadata": metadata, "types": types})
    vector = Vector("k", None, {"_record": envelope, "_record_text": "t"})
    record = decode(vector, on_decode_error="raw")
    assert record.source in {"envelope", "raw"}
    if record.source == "raw":
        with pytest.raises(DecodeError, match="record 'k'"):
            decode(vector)


@settings(max_examples=sized(150, 2000), deadline=None)
@given(
    text=st.text(),
    metadata=st.dictionaries(NAMES | st.sampled_from(["text", "_node_content"]), SCALARS),
    native=st.booleans(),
)
def test_filterable_copies_never_change_what_comes_back(text, metadata, native):
    vector = encode(
        "k",
        None,
        text=text,
        metadata=metadata,
        filterable=metadata,
        scalars="native" if native else "strings",
        limits=ROOMY,
    )
    record = decode(vector, text_key="text")
    assert (record.text, repr(record.metadata)) == (text, repr(metadata))
    copies = {name: value for name, value in vector.metadata.items() if name not in ENVELOPE_KEYS}
    mark = copies.pop("_unsure")
    assert copies == {
        name: filterable_value(value, scalars="native" if native else "strings")
        for name, value in metadata.items()
        if value is not None
    }
    inexact = {name for name, copy in copies.items() if copy != metadata[name]}
    assert inexact <= set(mark)


@settings(max_examples=sized(150, 2000), deadline=None)
@given(one=st.integers(-(2**70), 2**70) | st.floats(-1e18, 1e18), other=st.integers(-1000, 1000))
def test_numbers_have_one_filterable_form_exactly_where_they_are_equal(one, other):
    same = filterable_value(one) == filterable_value(other)
    assert same == (one == other)


@settings(max_examples=sized(100, 2000), deadline=None)
@given(stored=st.dictionaries(LADDER | st.text(max_size=3), FRAGMENTS | PLAIN, max_size=6))
def test_any_record_decodes_or_is_named_and_is_left_alone(stored):
    before = copy.deepcopy(stored)
    vector = Vector("k", [0.5], stored)
    record = decode(vector, text_key="mine", on_decode_error="raw")
    assert isinstance(record.text, str)
    assert record.key == "k"
    if record.source == "raw":
        with pytest.raises(DecodeError, match="record 'k'"):
            decode(vector, text_key="mine")
    else:
        assert decode(vector, text_key="mine") == record
    _spoil(record.metadata)
    _spoil(record.node)
    assert stored == before


def _spoil(value):
    if isinstance(value, dict | list):
        for item in list(value.values() if isinstance(value, dict) else value):
            _spoil(item)
        value.clear()


@settings(max_examples=sized(150, 2000), deadline=None)
@given(st.lists(st.text()))
def test_parse_keys_undoes_query_of(keys):
    assert parse_keys(query_of(keys)) == keys


@settings(max_examples=sized(150, 2000), deadline=None)
@given(st.lists(st.text(min_size=1).filter(lambda k: k == k.strip(" \t\r") and "\n" not in k)))
def test_lines_that_need_no_array_parse_to_themselves(keys):
    if not keys or not keys[0].startswith("["):
        assert parse_keys("\n".join(keys)) == keys
