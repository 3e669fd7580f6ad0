"""Float32 data survives the way to the service and back, bit for bit."""

import struct
from collections.abc import Mapping

import numpy as np
import pytest

from oss_vector_retriever import Float32Array
from oss_vector_retriever.client import wire

SEED = 20261101
EDGES = (0x15AE43FD, 0x95AE43FD, 0x00000000, 0x80000000, 0x00000001, 0x007FFFFF, 0x7F7FFFFF)


def finite_bits(count):
    """Return the bit patterns of `count` random finite float32 values; the seed is printed."""
    print(f"seed {SEED}")  # noqa: T201 - shown where a test fails
    bits = np.random.default_rng(SEED).integers(0, 2**32, count, dtype=np.uint32)
    exponents = (bits >> 23) & 0xFF
    return np.where(exponents == 0xFF, bits & 0xBFFFFFFF, bits)


def there_and_back(data):
    return Float32Array(wire.parse_json(wire.dump_json({"float32": data}))["float32"])


def assert_all_survive(bits):
    for part in np.array_split(bits, max(1, len(bits) // 1000)):
        sent = Float32Array(part.view(np.float32))
        assert there_and_back(sent).tobytes() == part.tobytes()


@pytest.mark.promise("R8", figure="1,000,000 random float32 values: bit for bit")
def test_a_million_random_finite_values_are_bit_equal():
    assert_all_survive(finite_bits(1_000_000))


@pytest.mark.parametrize("bits", EDGES, ids=hex)
def test_the_values_at_the_edges_are_bit_equal(bits):
    packed = struct.pack("=I", bits)
    assert there_and_back(Float32Array.from_bytes(packed)).tobytes() == packed
    among = finite_bits(999).tobytes() + packed
    assert there_and_back(Float32Array.from_bytes(among)).tobytes() == among


@pytest.mark.parametrize(
    ("has_orjson", "has_numpy"), [(True, False), (False, True), (False, False)]
)
def test_without_orjson_or_numpy_it_is_the_same(monkeypatch, has_orjson, has_numpy):
    monkeypatch.setattr(wire, "_HAS_ORJSON", has_orjson)
    monkeypatch.setattr(wire, "_HAS_NUMPY", has_numpy)
    assert_all_survive(np.append(finite_bits(50_000), np.array(EDGES, dtype=np.uint32)))


def test_both_readers_read_the_same(monkeypatch):
    text = wire.dump_json(finite_bits(50_000).view(np.float32).tolist())
    one = Float32Array(wire.parse_json(text))
    monkeypatch.setattr(wire, "_HAS_ORJSON", False)
    assert Float32Array(wire.parse_json(text)) == one


def test_numbers_are_written_short():
    assert wire.dump_json(Float32Array([0.1, 1.0, -2.5])) == b"[0.1,1.0,-2.5]"


@pytest.mark.parametrize("has_orjson", [True, False])
def test_text_is_written_as_utf_8(monkeypatch, has_orjson):
    monkeypatch.setattr(wire, "_HAS_ORJSON", has_orjson)
    value = {"k": '\xe9\n"', "n": None, "l": (1, True)}
    assert wire.dump_json(value) == '{"k":"é\\n\\"","n":null,"l":[1,true]}'.encode()
    for bad in ({"k": "\ud800"}, {"k": object()}, {"k": {1, 2}}, {"k": b"bytes"}):
        with pytest.raises((TypeError, ValueError)):
            wire.dump_json(bad)


def test_ctrl_c_in_the_midst_of_writing_is_not_taken_for_a_bad_value():
    class Interrupted(Mapping):
        def __iter__(self):
            raise KeyboardInterrupt

        def __getitem__(self, name):
            return name

        def __len__(self):
            return 1

    with pytest.raises(KeyboardInterrupt):
        wire.dump_json({"metadata": Interrupted()})


def test_without_orjson_what_json_has_not_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(wire, "_HAS_ORJSON", False)
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="Out of range float"):
            wire.dump_json({"k": number})
    with pytest.raises(TypeError, match="a set cannot be written as JSON"):
        wire.dump_json({"k": {1, 2}})
