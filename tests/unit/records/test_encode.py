"""The envelope: what it looks like, what it keeps, what it refuses by name."""

import enum
import importlib.util
import json
import sys
import types
from dataclasses import replace

import pytest

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS
from oss_vector_retriever.records import ENVELOPE_KEYS, decode, encode


def refused(match, key="k", text="t", **options):
    with pytest.raises(InvalidRequestError, match=match) as caught:
        encode(key, None, text=text, **options)
    return str(caught.value)


def nested(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def test_the_envelope_is_two_fields_that_an_index_can_declare_non_filterable_and_a_mark():
    vector = encode("k", [1.0], text="t", metadata={"a": [1, None]}, node={"class_name": "Node"})
    assert set(vector.metadata) == {*ENVELOPE_KEYS, "_unsure"}
    assert vector.metadata["_record_text"] == "t"
    assert json.loads(vector.metadata["_record"]) == {
        "v": 2,
        "metadata": {"a": [1, None]},
        "node": {"class_name": "Node"},
    }
    assert all(name.isidentifier() and name.isascii() for name in ENVELOPE_KEYS)


def test_types_come_back_as_they_were():
    metadata = {
        "big": 2**64 + 1,
        "least": -(2**200),
        "beyond any float": 10**400,
        "float": 1.0,
        "minus zero": -0.0,
        "true": True,
        "none": None,
        "nested": {"a": [{"b": []}, {}]},
        "": "empty name",
        "line\nbreak\x00": "\x00\u2028😀",
    }
    assert repr(decode(encode("k", None, text="", metadata=metadata)).metadata) == repr(metadata)


def test_the_exact_json_reader_stands_in_where_orjson_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "orjson", None)
    spec = importlib.util.find_spec("oss_vector_retriever.records.decode")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.fast_json is module.exact_json


def test_digits_in_a_string_stay_a_string():
    metadata = {"digits": "1" * 40, "small": 1, "edge": 2**63}
    assert decode(encode("k", None, text="t", metadata=metadata)).metadata == metadata


def test_data_comes_back_and_may_be_absent():
    assert decode(encode("k", [0.5, 1], text="t")).embedding.tolist() == [0.5, 1.0]
    assert decode(encode("k", None, text="t")).embedding is None


def test_an_absent_node_and_an_empty_one_stay_apart():
    assert decode(encode("k", None, text="t")).node is None
    assert decode(encode("k", None, text="t", node={})).node == {}


def test_metadata_may_be_absent_or_any_mapping():
    assert decode(encode("k", None, text="t")).metadata == {}
    given = types.MappingProxyType({"a": 1})
    assert decode(encode("k", None, text="t", metadata=given)).metadata == {"a": 1}


def test_encoding_leaves_the_arguments_alone_and_shares_nothing():
    metadata = {"tags": ["a"]}
    vector = encode("k", None, text="t", metadata=metadata, filterable=["tags"])
    vector.metadata["tags"].append("b")
    assert metadata == {"tags": ["a"]}


def test_a_subclass_of_a_plain_type_comes_back_equal_and_plain():
    class Colour(enum.StrEnum):
        RED = "red"

    class Number(enum.IntEnum):
        ONE = 1

    record = decode(encode("k", None, text="t", metadata={"c": Colour.RED, "n": Number.ONE}))
    assert record.metadata == {"c": "red", "n": 1}
    assert [type(value) for value in record.metadata.values()] == [str, int]


def test_a_numpy_array_is_refused_with_the_mend():
    numpy = pytest.importorskip("numpy")
    refused(r"metadata\['a'\].*ndarray.*value\.tolist\(\)", metadata={"a": numpy.zeros(2)})


@pytest.mark.parametrize(("value", "mend"), [(b"x", "base64"), (object(), "make it a str, int")])
def test_what_would_not_come_back_is_refused_with_key_path_and_mend(value, mend):
    message = refused(mend, metadata={"a": [1, 2, value]})
    assert "record 'k': metadata['a'][2] is of type" in message


def test_an_integer_too_long_for_a_reader_is_refused():
    refused(r"metadata\['a'\] is an integer over 2,000 bits", metadata={"a": 10**5000})


def test_a_name_that_is_not_a_string_is_refused():
    refused(r"metadata\['a'\] has a key that is not a string: 5", metadata={"a": {5: 1}})
    refused("metadata has a key that is not a string: None", metadata={None: 1})


def test_nesting_is_kept_to_100_levels_and_refused_beyond():
    metadata = {"a": nested(99)}
    assert decode(encode("k", None, text="t", metadata=metadata)).metadata == metadata
    refused("over 100 levels", metadata={"a": nested(100)})


def test_a_value_that_contains_itself_is_refused():
    loop = []
    loop.append(loop)
    refused("over 100 levels", metadata={"a": loop})


def test_lone_surrogates_are_refused_wherever_they_stand():
    refused("text holds a lone surrogate at character 1", text="a\ud800")
    refused(r"metadata\['a'\] holds a lone surrogate", metadata={"a": "\udfff"})
    refused("a name in metadata holds a lone surrogate", metadata={"\ud800": 1})
    refused(r"node\['text'\] holds a lone surrogate", node={"text": "\ud800"})
    refused("half of a surrogate pair", key="\ud800")


def test_a_node_that_is_not_plain_is_refused():
    refused(r"node\['obj'\] is of type object", node={"obj": object()})
    refused("node is of type list, not a dict", node=[("a", 1)])
    refused("metadata is of type str, not a dict", metadata="a")


@pytest.mark.parametrize("name", [*ENVELOPE_KEYS, "_unsure"])
def test_metadata_named_like_the_envelope_is_refused(name):
    refused(f"metadata\\['{name}'\\] has the name of a field", metadata={name: "x"})


@pytest.mark.parametrize(
    ("key", "reason"), [("", "has 0"), ("k" * 1025, "has 1025"), (5, "must be a string, not int 5")]
)
def test_a_key_that_the_service_does_not_take_is_refused(key, reason):
    assert len(refused(reason, key=key)) < 300


def test_a_key_is_measured_in_characters():
    assert decode(encode("ü" * 1024, None, text="t")).key == "ü" * 1024
    with pytest.raises(InvalidRequestError):
        encode("abc", None, text="t", limits=replace(DEFAULT_LIMITS, key_characters=2))


@pytest.mark.parametrize("text", [None, 5, b"x", ["a"]])
def test_a_text_that_is_not_a_string_is_refused(text):
    refused("text is of type", text=text)


@pytest.mark.parametrize("data", [["a"], [None], "text", 5])
def test_data_that_is_not_float32_is_refused_with_the_key(data):
    with pytest.raises(InvalidRequestError, match="record 'k': its data is not float32"):
        encode("k", data, text="t")
