"""A reply with a doubtful value is an error with the request id, never a wrong vector."""

import json

import pytest

from oss_vector_retriever import ResponseError
from oss_vector_retriever.client import wire
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.operations.vectors import get_operation

pytestmark = pytest.mark.promise("R8")

KEYS = ["a", "b"]


@pytest.fixture(params=["orjson", "pydantic_core"], autouse=True)
def _reader(request, monkeypatch):
    if request.param == "orjson":
        pytest.importorskip("orjson")
    monkeypatch.setattr(wire, "_HAS_ORJSON", request.param == "orjson")


def decoded(body, **asked):
    options = {"return_data": True, "return_metadata": True, **asked}
    reply = Reply(200, {"x-oss-request-id": "R1"}, body)
    return get_operation("i", KEYS, **options).decode(reply)


def refused(body, **asked):
    with pytest.raises(ResponseError) as raised:
        decoded(body, **asked)
    error = raised.value
    assert (error.request_id, error.status) == ("R1", 200)
    assert "GetVectors" in str(error)
    assert "request id R1" in str(error)
    assert len(str(error)) < 400
    return error


def with_elements(text):
    return f'{{"vectors":[{{"key":"a","data":{{"float32":[0.5,{text},2]}}}}]}}'.encode()


def with_items(*items):
    return json.dumps({"vectors": items}).encode()


def item(key="a", values=(0.5,), **more):
    return {"key": key, "data": {"float32": list(values)}, **more}


ELEMENTS = {
    "NaN": "NaN",
    "Infinity": "Infinity",
    "minus Infinity": "-Infinity",
    "over double": "1e400",
    "minus over double": "-1e400",
    "over float32": "1e300",
    "just over float32": "3.4028236e38",
    "null": "null",
    "a string": '"1.0"',
    "a string that says NaN": '"NaN"',
    "an empty string": '""',
    "true": "true",
    "false": "false",
    "a nested list": "[1.0]",
    "an object": '{"a":1}',
    "100,000 nested arrays": "[" * 100_000 + "]" * 100_000,
    "an integer of 5,000 digits": "1" * 5000,
    "an integer of 100 digits": "1" * 100,
    "nothing": "",
    "hexadecimal": "0x10",
    "a plus sign": "+1",
    "a bare point": ".5",
    "two numbers": "1 2",
}


@pytest.mark.parametrize("name", ELEMENTS)
def test_an_element_that_is_no_finite_float32_is_refused(name):
    refused(with_elements(ELEMENTS[name]))


@pytest.mark.parametrize("boolean", ["true", "false"])
def test_a_boolean_is_found_wherever_it_stands(boolean):
    for position in range(3):
        values = ["0.1", "0.2", "0.3"]
        values[position] = boolean
        body = f'{{"vectors":[{{"key":"a","data":{{"float32":[{",".join(values)}]}}}}]}}'
        assert "boolean" in str(refused(body.encode()))


BODIES = {
    "no data": with_items({"key": "a"}),
    "null for data": with_items({"key": "a", "data": None}),
    "a list for data": with_items({"key": "a", "data": [1.0]}),
    "no float32": with_items({"key": "a", "data": {"float64": [1.0]}}),
    "null for float32": with_items({"key": "a", "data": {"float32": None}}),
    "a string for float32": with_items({"key": "a", "data": {"float32": "AAAAAA=="}}),
    "empty data": with_items(item(values=())),
    "uneven dimensions": with_items(item("a", [1, 2]), item("b", [1, 2, 3])),
    "a foreign key": with_items(item("a"), item("elsewhere")),
    "a key in other case": with_items(item("A")),
    "a repeated key": with_items(item("a"), item("a")),
    "a number for a key": with_items(item(5)),
    "null for a key": with_items(item(None)),
    "an array for a key": with_items(item(["a"])),
    "an object for a key": with_items(item({"a": 1})),
    "no key": with_items({"data": {"float32": [1.0]}}),
    "a null vector": with_items(None),
    "a string vector": with_items("a"),
    "a list vector": with_items(["a"]),
    "a list for metadata": with_items(item(metadata=["x"])),
    "a string for metadata": with_items(item(metadata="x")),
    "an object for vectors": b'{"vectors":{"a":[1.0]}}',
    "a string for vectors": b'{"vectors":"a"}',
    "a number for vectors": b'{"vectors":0}',
    "false for vectors": b'{"vectors":false}',
    "a list at the top": b'[{"key":"a"}]',
    "a string at the top": b'"vectors"',
    "a number at the top": b"0",
    "invalid UTF-8": b'{"vectors":[{"key":"\xff"}]}',
    "a lone surrogate": b'{"vectors":[{"key":"a","metadata":{"x":"\\ud800"}}]}',
    "a byte order mark": b'\xef\xbb\xbf{"vectors":[]}',
    "two texts": b'{"vectors":[]}{"vectors":[]}',
    "a comment": b'{"vectors":[]}//',
    "a trailing comma": b'{"vectors":[],}',
    "a proxy's HTML": b"<html><title>Sign in</title></html>",
    "deep metadata": b'{"vectors":[{"key":"a","metadata":' + b'{"a":' * 10**5 + b"}" * 10**5,
    "nothing but a NUL": b"\x00",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_breaks_the_services_promise_is_refused(name):
    refused(BODIES[name])


def test_what_is_wrong_with_a_key_is_said():
    assert "'elsewhere', which was not asked for" in str(refused(BODIES["a foreign key"]))
    assert "'a' more often than asked for" in str(refused(BODIES["a repeated key"]))


def test_a_reply_cut_at_any_byte_is_refused():
    whole = with_items(item("a", [0.1, -2e-7], metadata={"t": "x"}), item("b", [1, 2]))
    assert [vector.key for vector in decoded(whole)] == ["a", "b"]
    for length in range(len(whole)):
        assert refused(whole[:length]).unreadable


@pytest.mark.parametrize("framing", [{"content-length": "0"}, {"transfer-encoding": "chunked"}, {}])
@pytest.mark.parametrize("body", [b"", b" ", b" \n\t"])
@pytest.mark.parametrize(
    "decode",
    [
        get_operation("i", KEYS, return_data=True, return_metadata=True).decode,
        lambda reply: wire.reply_object(reply, "QueryVectors"),
    ],
)
def test_a_body_without_a_byte_of_json_is_no_answer(decode, body, framing):
    with pytest.raises(ResponseError, match="not whole JSON") as caught:
        decode(Reply(200, framing, body))
    assert caught.value.unreadable


@pytest.mark.parametrize("body", [b"{}", b"null", b'{"vectors":null}', b'{"vectors":[]}'])
def test_nothing_found_has_several_spellings(body):
    assert len(decoded(body)) == 0


def test_what_was_not_asked_for_is_not_looked_at():
    body = with_items({"key": "a", "data": "nonsense", "metadata": "nonsense"})
    vector = decoded(body, return_data=False, return_metadata=False)[0]
    assert (vector.key, vector.data, vector.metadata) == ("a", None, None)


def test_metadata_that_is_absent_is_an_empty_dict():
    assert decoded(with_items(item("a"), item("b", metadata=None)))[0].metadata == {}
    assert decoded(with_items(item("a", metadata={"n": [1, "x"]})))[0].metadata == {"n": [1, "x"]}


def test_a_key_asked_for_twice_may_come_back_once_or_twice():
    decode = get_operation("i", ["a", "a"], return_data=False, return_metadata=False).decode
    for times in (1, 2):
        assert len(decode(Reply(200, {}, with_items(*[{"key": "a"}] * times)))) == times
    with pytest.raises(ResponseError, match="more often than asked for"):
        decode(Reply(200, {}, with_items(*[{"key": "a"}] * 3)))


def test_numbers_at_the_edge_of_float32_are_taken():
    values = [0, -0.0, 1, -1, 3.4028234663852886e38, -3.4028234663852886e38, 1e-45, 1e-50, 2**60]
    found = decoded(with_items(item("a", values)))[0].data.tolist()
    assert found[:6] == values[:6]
    assert found[6:] == [1.401298464324817e-45, 0.0, float(2**60)]
    assert str(found[1]) == "-0.0"


def test_a_message_never_quotes_a_long_key_whole():
    refused(with_items(item("x" * 10_000_000)))


def test_an_endless_request_id_is_cut_and_cleaned():
    reply = Reply(200, {"x-oss-request-id": "R\x9b31m" + "x" * 10_000}, b"[]")
    with pytest.raises(ResponseError) as raised:
        get_operation("i", KEYS, return_data=True, return_metadata=True).decode(reply)
    assert raised.value.request_id.startswith("R 31mxxx")
    assert len(raised.value.request_id) < 140


@pytest.mark.parametrize(
    "text",
    [
        *(b"NaN", b"[1, Infinity]", b"-Infinity", b"[1", b"", b"1e400", b'{"n":[-1e+999]}'),
        *(b"1" * 400, b"[-" + b"1" * 5000 + b"]", b"0.1e1000000"),
    ],
)
def test_what_is_no_json_is_refused_by_either_reader(text):
    with pytest.raises(ValueError):  # noqa: PT011 - each reader has its own words
        wire.parse_json(text)


def test_a_body_that_is_no_json_is_told_in_short():
    assert str(refused(b"<html>")).startswith(
        "GetVectors: the reply is not whole JSON (6 bytes, no content type); nothing of it was used"
    )
    decode = get_operation("i", KEYS, return_data=True, return_metadata=True).decode
    with pytest.raises(ResponseError, match=r"not whole JSON \(2 bytes, text/html\);") as raised:
        decode(Reply(200, {"content-type": "text/html"}, b"<>"))
    assert raised.value.unreadable
    with pytest.raises(ResponseError) as raised:
        decode(Reply(200, {"content-type": "x" * 200}, b"<>"))
    assert "x" * 80 in str(raised.value)
    assert "x" * 81 not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "a JSON list, not an object"),
        (b"0", "a JSON int, not an object"),
        (b'{"vectors":{}}', "with a dict in the place of the list vectors"),
        (with_items({}), "with a vector that has no key"),
        (with_items(item("a", ())), "without float32 data of 'a'"),
        (with_items(item("a", [1, 2]), item("b", [1])), "with vectors of 2 and, for 'b', 1 values"),
        (with_items(item("a", ["x"])), "with data of 'a' that are not all float32 numbers"),
        (with_items(item("a", [1, True])), "with a boolean in the data of 'a'"),
        (with_items(item("a", metadata=[])), "with metadata of 'a' that is no object"),
        (with_items(item("c")), "with the key 'c', which was not asked for"),
        (with_items(item("a"), item("a")), "with the key 'a' more often than asked for"),
    ],
)
def test_what_is_wrong_is_told_in_a_whole_sentence(body, said):
    said = f"GetVectors: the reply is {said}; nothing of it was used."
    assert str(refused(body)).startswith(said)


class TestNumbersOfAnItem:
    reader = wire.VectorReader(Reply(200, {}, b""), "QueryVectors")

    @pytest.mark.parametrize(("value", "number"), [(1, 1.0), (0.25, 0.25), (0, 0.0), (None, None)])
    def test_are_floats_or_absent(self, value, number):
        found = self.reader.number({"key": "a", "distance": value}, "distance")
        assert (found, type(found)) == (number, type(number))
        assert self.reader.number({"key": "a"}, "distance") is None

    @pytest.mark.parametrize("value", [True, "1", [1], float("nan"), float("inf")])
    def test_are_finite_numbers(self, value):
        with pytest.raises(ResponseError, match="with a distance of 'a' that is no number;"):
            self.reader.number({"key": "a", "distance": value}, "distance")


def test_the_time_is_checked_before_each_vector():
    asked = []
    reply = Reply(200, {}, b"", check_time=asked.append)
    reader = wire.VectorReader(reply, "GetVectors", with_data=True)
    found = reader.vectors({"vectors": [item("a", [1.0]), item("b", [2.0])]})
    assert [vector.data.tolist() for vector in found] == [[1.0], [2.0]]
    assert asked == ["GetVectors"] * 2
