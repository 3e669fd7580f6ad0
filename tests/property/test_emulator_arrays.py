"""Bodies to put, read array by array: whatever is read so is what the parser of the whole reads."""

import json
import random

import pytest
from support.promises import sized
from support.scan_cases import Maker, round_once

from oss_vector_retriever.emulator import json_text
from oss_vector_retriever.emulator.rules import arrays, parameters
from oss_vector_retriever.emulator.rules.refusals import Refusal

CASES = sized(3_000, 100_000, 500_000)


@pytest.fixture(params=["pure", "scan"])
def way(request, monkeypatch):
    scan = None
    if request.param == "scan":
        scan = pytest.importorskip("oss_vector_scan", reason="make fast builds it").scan
    monkeypatch.setattr(arrays, "_scan", scan)
    return request.param


def packed(body):
    """Return what the parser of the whole reads, with its arrays packed by the rules."""
    members = json_text.parse_object(body)
    for item in members["vectors"]:
        item["data"]["float32"] = parameters.pack(item["data"]["float32"])
    return members


def rounded_once(body):
    found = json.loads(body, parse_float=str, parse_int=str)["vectors"]
    return [[round_once(text) for text in item["data"]["float32"]] for item in found]


def bits(members):
    return [list(memoryview(item["data"].pop("float32")).cast("I")) for item in members["vectors"]]


@pytest.mark.promise("R16")
@pytest.mark.timeout(3600)
def test_what_is_read_so_is_what_is_read_of_the_whole(way, figure):
    seed = random.SystemRandom().getrandbits(32)
    print(f"\nseed {seed}")  # noqa: T201 - to repeat a failure
    maker, taken = Maker(seed), 0
    for _ in range(CASES):
        body = maker.case()
        plain = arrays.parse_plain(body)
        if plain is None:
            continue
        taken += 1
        try:
            whole = packed(body)
        except (Refusal, ValueError, TypeError, KeyError) as error:
            raise AssertionError(f"only the short way takes {body!r}") from error
        if plain != whole:
            # The scan alone may differ, in numbers whose double lies in the middle of two float32.
            assert way == "scan", body
            ours, theirs = bits(plain), bits(whole)
            assert plain == whole, body
            assert ours == rounded_once(body), body
            differences = [
                abs(a - b)
                for x, y in zip(ours, theirs, strict=True)
                for a, b in zip(x, y, strict=True)
            ]
            assert max(differences) <= 1, body
    figure(f"{CASES:,} hostile bodies, {taken:,} read array by array, 0 otherwise than whole")
    assert taken > CASES // 10


ITEM = '{"key":"a","data":{"float32":[1.5,2]},"metadata":{"t":"x"}}'
STRAY = [
    '{"vectors":[%s],"x":{"float32":[1]}}'.replace("%s", ITEM),
    '{"vectors":[{"key":"a","data":{"float32":0},"metadata":{"float32":[1]}}]}',
    '{"vectors":[{"key":"a","data":{"float32":0,"x":{"float32":[1]}}}]}',
    '{"vectors":[{"key":"\\"float32\\":[1]","data":{"float32":"x"}}]}',
    '{"vectors":[{"key":"a","data":{"x\\"float32":[1]}}]}',
    '{"vectors":[{"key":"a","data":{"float32":[1]},"data":{"float32":[2]}}]}',
    '{"vectors":[{"key":"a","data":{"float32":[1],"float32":[2]}}]}',
    '{"vectors":[%s],"vectors":[%s]}'.replace("%s", ITEM),
    '{"vectors":[{"key":"a","data":{"float32":[1]3}}]}',
    '{"vectors":[{"key":"a","data":{"float32":[[1],2]}}]}',
    '{"vectors":[{"key":"a","data":{"float32":[true,0]}}]}',
    '{"vectors":[{"key":"a","data":{"float32":["]"]}}]}',
    '{"vectors":[{"key":"a","data":{"float32":[1e39]}}]}',
    '{"vectors":[{"key":"a","data":{"float32":[NaN]}}]}',
    '{"vectors":[{"key":"a","data":{"float32":[1]}},7]}',
    '{"vectors":[{"key":"a","data":[{"float32":[1]}]}]}',
    '{"vectors":{"float32":[1]}}',
    '{"queryVector":{"float32":[1]}}',
    '[{"vectors":[%s]}]'.replace("%s", ITEM),
    '{"vectors":[%s]}}'.replace("%s", ITEM),
    '{"vectors":[%s'.replace("%s", ITEM),
    '{"vectors":[{"key":"a","data":{"float32":[1,2',
    "",
]


@pytest.mark.parametrize("text", STRAY)
def test_what_is_not_plain_is_left_to_the_parser_of_the_whole(way, text):
    found = arrays.parse_plain(text.encode())
    # An array in another place the scan leaves there, as it is.
    assert found is None or (way == "scan" and found == packed(text.encode()))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n", "\t: ")])
def test_what_clients_write_is_plain(separators):
    members = {
        "indexName": "i",
        "vectors": [
            {
                "key": '"float32":[7',
                "data": {"float32": [1.5, -2, 0, 1, 1e-45]},
                "metadata": {"t": ["]", ":"]},
            },
            {"data": {"float32": [0.1, 3e38, 5, 6, 7]}, "key": "b"},
        ],
    }
    body = json.dumps(members, separators=separators).encode()
    assert arrays.parse_plain(body) == packed(body)


@pytest.mark.usefixtures("way")
def test_the_value_that_rounds_twice_is_stored_alike_by_both_ways():
    body = f'{{"vectors":[{ITEM.replace("1.5", "7.038531e-26")}]}}'.encode()
    assert arrays.parse_plain(body) == packed(body)
