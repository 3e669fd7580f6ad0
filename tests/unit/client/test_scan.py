"""Which path reads the vectors of a reply, and that each reads them right."""

import importlib
import json
import re
import struct
import sys
import threading
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.calls import settings
from support.scan_cases import read, round_once

from oss_vector_retriever import DeadlineExceededError, OSSVectorClient, ResponseError
from oss_vector_retriever.client import wire
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.operations.vectors import get_operation

POWERS = Path(__file__).parents[3] / "packages/oss-vector-scan/src/powers.h"


@pytest.fixture
def loaded(monkeypatch):
    """Give what loads the module that a test puts in the compiled one's place."""
    wire._compiled_scan.cache_clear()
    yield lambda module: monkeypatch.setitem(sys.modules, "oss_vector_scan", module)
    wire._compiled_scan.cache_clear()


def compiled():
    return pytest.importorskip("oss_vector_scan", reason="make fast builds it").scan


@pytest.fixture(params=["pure", "in parts", "scan"])
def scan(request):
    return compiled() if request.param == "scan" else request.param


def numbers_of(body, scan):
    found = read_by(body, scan)
    return None if found is None else [list(memoryview(d).cast("I")) for _, d, _ in found[1]]


def read_by(body, scan):
    return read(body, scan if callable(scan) else None, in_parts=scan == "in parts")


def with_array(text):
    return f'{{"vectors":[{{"key":"a","data":{{"float32":{text}}},"metadata":{{}}}}]}}'.encode()


def test_stats_say_which_path_reads(loaded):
    loaded(SimpleNamespace(PROTOCOL=1, scan=lambda _text: None))
    with OSSVectorClient(**settings("http://127.0.0.1:1")) as client:
        assert client.stats().decoder == "scan"
        wire._compiled_scan.cache_clear()
        loaded(None)
        assert client.stats().decoder == "pure"


@pytest.mark.parametrize(
    "module", [None, SimpleNamespace(), SimpleNamespace(PROTOCOL=2, scan=lambda _text: (b"", []))]
)
def test_no_scan_or_one_of_another_protocol_is_passed_over(loaded, module):
    loaded(module)
    assert wire.decoder() == "pure"
    assert numbers_of(with_array("[1.5]"), wire._compiled_scan()) == [[0x3FC00000]]


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("error", [ImportError("undefined symbol"), OSError("ELF"), SystemError()])
def test_an_import_that_fails_in_any_way_is_passed_over(monkeypatch, error):
    def fail(_name):
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)
    assert wire.decoder() == "pure"


def test_what_the_scan_brings_is_used_and_what_is_wrong_with_it_is_worded_by_python():
    body = with_array("[1.5, 2.5]")
    rest, arrays = with_array(" 0 "), [struct.pack("=2f", 7.0, 8.0)]
    assert numbers_of(body, lambda _text: (rest, arrays)) == [[0x40E00000, 0x41000000]]
    for spoiled in (rest[:-1], with_array("null"), b"[]", rest.replace(b'"a"', b"5")):
        assert numbers_of(body, lambda _text, spoiled=spoiled: (spoiled, arrays)) == [
            [0x3FC00000, 0x40200000]
        ]


# The shortest texts of float32 are read right, also the one whose double lies in the middle.
@pytest.mark.parametrize(
    "text", ["7.038531e-26", "-7.038531e-26", "7.038531E-26", "0.00000000000000000000000007038531"]
)
def test_the_text_that_rounds_twice_is_read_right(scan, text):
    bits = 0x15AE43FD | (0x80000000 if text[0] == "-" else 0)
    assert numbers_of(with_array(f"[0.5,{text},1e-25]"), scan)[0][1] == bits == round_once(text)


def test_its_neighbours_are_read_as_they_are(scan):
    for bits in (0x15AE43FC, 0x15AE43FE, 0x95AE43FE, 0x15000000, 0x15FFFFFF):
        value = struct.unpack("=f", struct.pack("=I", bits))[0]
        assert numbers_of(with_array(f"[{value!r}]"), scan) == [[bits]]


BOOLEANS = [
    *("[true]", "[1.5,false]", "[1e-5,true,2]", "[ 0.5 ,\ntrue ]", "[0,0,0,1,false,1]"),
    *("[1e5,2e5,false]", "[0.25,true,1e5]", "[true,1e5]", "[1E5,false,1E5]"),
]
AROUND = [
    *(
        "{}",
        '{"t":"[see"}',
        '{"t":["release","true"]}',
        '{"t":"e]"}',
        '{"t":[[["e"]]]}',
        '{"t":"["}',
    ),
    *('{"t":"' + "[e]" * 500 + '"}', '{"t":[true,false]}', '{"t":[[],[1],["le"]]}', '{"t":"]["}'),
]


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("array", BOOLEANS)
def test_a_boolean_is_found_whatever_stands_around_it(scan, array, around):
    count = array.count(",") + 1
    plain = f'{{"key":"b","data":{{"float32":[{",".join(["0.5"] * count)}]}},"metadata":{around}}}'
    spoiled = f'{{"metadata":{around},"data":{{"float32":{array}}},"key":"a"}}'
    # an array before it, and no "e" between them
    ends = f'{{"key":"c","data":{{"float32":[{",".join(["0.5"] * count)}]}}}}'
    begins = f'{{"data":{{"float32":{array}}},"key":"a"}}'
    for items in ([plain, spoiled, ends], [spoiled], [spoiled, plain], [plain, ends, begins]):
        body = f'{{"vectors":[{",".join(items)}]}}'.encode()
        reader = wire.VectorReader(Reply(200, {}, body), "GetVectors", with_data=True)
        with pytest.raises(ResponseError, match="with a boolean in the data of 'a'"):
            reader.read()
        assert read_by(body, scan) is None


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("is_short", [False, True])
def test_where_no_array_holds_a_boolean_none_is_looked_for_in_the_numbers(
    around, is_short, monkeypatch
):
    # in a long text nobody looks for the words first
    monkeypatch.setattr(wire, "_SHORT_ITEM", 100_000 if is_short else 0)
    array = "[0.5,1.0,0.0,1e-5,2.5E5]"
    body = with_array(array).replace(b"{}", around.encode())
    may = wire._may_hold_booleans(body, 1)
    assert may == ("true" in around or (not is_short and around.count("[") > 80))
    assert numbers_of(body, None) == numbers_of(with_array(array), None)


# Array by array


def taken_out(monkeypatch, body):
    taken, take = [], wire.VectorReader._take_arrays
    with monkeypatch.context() as patch:
        patch.setattr(wire, "_compiled_scan", lambda: None)
        patch.setattr(
            wire.VectorReader, "_take_arrays", lambda self: taken.append(take(self)) or taken[-1]
        )
        wire.VectorReader(Reply(200, {}, body), "ListVectors", with_data=True).read()
    return taken[0] if taken else None


def test_a_long_reply_is_read_array_by_array_and_no_other(monkeypatch):
    long = with_array(f"[{', '.join(['0.123456789'] * 1024)}]")
    whole = long[:-2] + b",".join(
        [b"", *[long[12:-2].replace(b'"a"', b'"%d"' % n) for n in range(50)]]
    )
    whole += b"]}"
    rest, arrays = taken_out(monkeypatch, whole)
    assert len(arrays) == 51
    assert json.loads(rest)["vectors"][50]["data"] == {"float32": wire._secret_mark()}
    for short in (long, with_array("[1.5]"), whole.replace(b'"float32":', b'"float32" :'), b"{}"):
        assert taken_out(monkeypatch, short) is None
    for opening in (b'"float32": [', b'"float32":['):
        _, arrays = taken_out(monkeypatch, whole.replace(b'"float32":[', opening))
        assert len(arrays) == 51


def test_no_array_of_another_place_is_taken_for_one_of_data():
    array = "[1.5,2.5]"
    plain = f'{{"key":"b","data":{{"float32":{array}}},"metadata":{{}}}}'

    def forged(value):
        # the array is elsewhere; what stands in its place could be taken for it
        return f'{{"key":"a","metadata":{{"float32":{array}}},"data":{{"float32":{value}}}}}'

    for value in ("0", "1", '"0"', "null", f'"{"0" * 32}"'):
        one = forged(value)
        for items in ([one], [one, plain], [plain, one]):
            body = f'{{"vectors":[{",".join(items)}]}}'.encode()
            assert read(body, in_parts=True) is None
            assert read(body) is None
    # so the mark must not be known: this would be accepted
    known = f'{{"vectors":[{forged(json.dumps(wire._secret_mark()))}]}}'.encode()
    assert read(known, in_parts=True) is not None


@pytest.mark.parametrize(
    "metadata",
    [
        '{"float32":[9.5,9.5]}',
        '{"a":{"float32":[9.5,9.5]},"b":[{"float32": [9.5]}]}',
        '{"t":"\\"float32\\":[9.5,9.5]"}',
        '{"x\\"float32":[9.5,9.5]}',
        '{"t":"]","float32":"[9.5,9.5]"}',
    ],
)
def test_arrays_in_metadata_stay_there(metadata):
    item = f'{{"key":"k","metadata":{metadata},"data":{{"float32":[1.5,2.5]}}}}'
    other = item.replace('"k"', '"l"')
    for items in ([item], [item, other]):
        body = f'{{"vectors":[{",".join(items)}]}}'.encode()
        found = read(body, in_parts=True)
        assert found == read(body)
        assert [each[2] for each in found[1]] == [json.loads(metadata)] * len(items)


# The compiled scan


def test_powers_of_five_are_cut_to_64_bits():
    text = POWERS.read_text(encoding="utf-8")
    least, greatest = (
        int(re.search(rf"{n}_POWER \(?(-?\d+)", text)[1]) for n in ("LEAST", "GREATEST")
    )
    table = [int(digits, 16) for digits in re.findall(r"0x([0-9a-f]{16})", text)]
    assert len(table) == greatest - least + 1
    for power, bits in enumerate(table, least):
        value = Fraction(5) ** power
        scale = Fraction(2) ** (
            64 - (value.numerator.bit_length() - value.denominator.bit_length())
        )
        while value * scale >= 1 << 64:
            scale /= 2
        assert bits == int(value * scale), power
        assert bits >> 63


def test_what_the_scan_takes_and_what_it_leaves():
    scan = compiled()
    rest, arrays = scan(with_array("[1.5,-2]"))
    assert json.loads(rest)["vectors"][0]["data"] == {"float32": 0}
    assert arrays == [struct.pack("=2f", 1.5, -2)]
    left = [
        *(with_array("[]"), with_array("[null]"), with_array("[1.5]3"), with_array("0"), b"{}"),
        *(with_array("[1.5]").replace(b"float32", b"\\u0066loat32"), b"", b'{"vectors":[{}]}'),
        *(with_array("[1.5]").replace(b'"data"', b'"d\\u0061ta":{"float32":0},"data"'),),
    ]
    assert [scan(text) for text in left] == [None] * len(left)
    for other in (bytearray(b"{}"), memoryview(b"{}"), "{}", None):
        with pytest.raises(TypeError, match="must be bytes"):
            scan(other)


def test_the_scan_lets_other_threads_run():
    scan, body = compiled(), with_array(f"[{'0.123456789,' * 2_000_000}1]")
    started, done = threading.Event(), threading.Event()

    def work():
        started.set()
        scan(body)
        done.set()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # nobody is made to give the lock up
    try:
        thread = threading.Thread(target=work)
        thread.start()
        started.wait()
        while_it_ran = not done.is_set()
    finally:
        sys.setswitchinterval(before)
    thread.join()
    assert while_it_ran


def test_a_reply_that_the_scan_read_too_late_is_not_used():
    compiled()

    def check_time(name):
        raise DeadlineExceededError(f"{name} did not end", "deadline")

    reply = Reply(200, {}, with_array("[1.5]"), check_time=check_time)
    with pytest.raises(DeadlineExceededError, match="GetVectors did not end"):
        get_operation("i", ["a"], return_data=True, return_metadata=True).decode(reply)
