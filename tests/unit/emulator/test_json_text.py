import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oss_vector_retriever.emulator import json_text
from oss_vector_retriever.emulator.rules.refusals import Refusal

HOSTILE = {
    "empty": b"",
    "not JSON": b"{not json}",
    "cut off": b'{"a": [1, 2',
    "two values": b"{} {}",
    "array": b"[]",
    "string": b'"text"',
    "null": b"null",
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "overflow": b'{"a": 1e400}',
    "5,000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "invalid UTF-8": b'{"a": "\xff"}',
    "lone surrogate": rb'{"a": "\ud800"}',
    "100,000 arrays": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "byte order mark": b"\xef\xbb\xbf{}",
    "control character": b'{"a": "\x00"}',
    "a member twice": b'{"a": 1, "a": 1}',
    "a member twice, escaped": rb'{"a": 1, "\u0061": 2}',
    "a member twice, inside": b'{"v": [1.5, {"a": 1, "a": 2}]}',
    "a member twice, colons hidden": rb'{"a": "x:", "a": 1, "b": "\u003a\u003A"}',
    "comment": b"{} // text",
    "single quotes": b"{'a': 1}",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_body_is_malformed(body):
    with pytest.raises(Refusal) as caught:
        json_text.parse_object(body)
    assert (caught.value.code, caught.value.status) == ("MalformedJson", 400)


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize(
    "operation", ["getVectors", "putVectors", "queryVectors", "putVectorIndex"]
)
def test_the_service_answers_a_hostile_body(caller, operation, body):
    assert caller.code(operation, body) == (400, "MalformedJson")


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b' {"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]} ',
        rb'{"a": "\u003a", "b": "::", "c:": "\\u003a"}',
        b'{"v": [1.5, {"a:": "::"}], "w": [{"a": 1.5}]}',
        b'{"a": 12345678901234567890, "b": 1e308}',
        b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
        rb'{"a": "\ud83d\ude00"}',
    ],
)
def test_a_well_formed_object_is_read(body):
    assert json_text.parse_object(body) == json.loads(body)


TEXT = st.text(alphabet=st.sampled_from(':"\\a\u00e9,{[}]'), max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, VALUES, max_size=4), st.booleans())
def test_no_honest_object_is_taken_for_one_that_repeats_a_member(value, ascii_only):
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert json_text.parse_object(body) == value


@given(st.dictionaries(TEXT, VALUES, min_size=1, max_size=4), VALUES, st.data())
def test_a_repeated_member_is_found_wherever_it_is(value, other, data):
    name = data.draw(st.sampled_from(sorted(value)))
    inner = json.dumps(value)[:-1] + f", {json.dumps(name)}: {json.dumps(other)}}}"
    body = data.draw(st.sampled_from([inner, f'{{"x": [{inner}]}}', f'{{"x": [1.0, {inner}]}}']))
    with pytest.raises(Refusal, match="twice"):
        json_text.parse_object(body.encode())
