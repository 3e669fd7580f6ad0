import json
import struct

import numpy as np
import pytest

from oss_vector_retriever.client.models.vector import Float32Array
from oss_vector_retriever.emulator import json_text
from oss_vector_retriever.emulator.rules import parameters

TWICE_ROUNDED = (0x15AE43FD, 0x95AE43FD)


def written(packed):
    """Return what a client reads: float64 from the text, rounded to float32."""
    values = json.loads(json_text.dumps(parameters.to_json(packed)))
    return Float32Array(values).tobytes()


def test_numbers_are_packed_little_endian():
    assert parameters.pack([1, -2.5]) == b"\x00\x00\x80?\x00\x00 \xc0"
    assert parameters.pack([]) == b""


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (None, "array of numbers"),
        ("1.0", "array of numbers"),
        ({"0": 1.0}, "array of numbers"),
        ([1.0, None], "not a number"),
        ([1.0, "1.0"], "not a number"),
        ([1.0, [1.0]], "not a number"),
        ([1.5, True], "a boolean"),
        ([1.5, False], "a boolean"),
        ([0.0, 1.0, False], "a boolean"),
        ([3.4028236e38], "too large"),
        ([-1e39], "too large"),
        ([1e300], "too large"),
    ],
)
def test_whatever_is_no_float32_is_refused(values, reason):
    with pytest.raises(ValueError, match=reason):
        parameters.pack(values)


def test_the_largest_and_the_smallest_float32_are_fine():
    extremes = [3.4028234663852886e38, 1e-45, 1e-46, -0.0]
    assert struct.unpack("<4f", parameters.pack(extremes)) == (
        3.4028234663852886e38,
        1.401298464324817e-45,
        0.0,
        0.0,
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], True),
        ([0.0, -0.0, 0], True),
        ([0.0, 1e-46], True),
        ([0.0, 1e-45], False),
        ([struct.unpack("<f", b"\x80\x80\x80\x00")[0]], False),
        ([0.0] * 1023 + [1.0], False),
    ],
)
def test_zero_is_zero_after_rounding(values, expected):
    assert parameters.is_zero(parameters.pack(values)) is expected


def test_text_is_the_shortest():
    assert json_text.dumps(parameters.to_json(parameters.pack([0.1, 0.2, 1.0]))) == b"[0.1,0.2,1.0]"


@pytest.mark.parametrize("bits", TWICE_ROUNDED)
def test_the_value_whose_short_text_rounds_twice_survives(bits):
    packed = struct.pack("<3I", 0x3F800000, bits, 0x3DCCCCCD)
    short = json.loads(json_text.dumps(np.frombuffer(packed, "<f4")))
    assert Float32Array(short).tobytes() != packed, "the exception is no longer needed"
    assert written(packed) == packed


def test_a_million_random_values_survive():
    seed = 20260901
    bits = np.random.default_rng(seed).integers(0, 1 << 32, 1_000_000, dtype=np.uint32)
    values = bits.view(np.float32)
    packed = values[np.isfinite(values)].astype("<f4").tobytes()
    assert len(packed) > 3_900_000
    assert written(packed) == packed, f"seed {seed}"


def test_values_survive_without_numpy(monkeypatch):
    monkeypatch.setattr(parameters, "_numpy", lambda: None)
    bits = np.random.default_rng(7).integers(0, 1 << 32, 10_000, dtype=np.uint32)
    values = bits.view(np.float32)
    packed = values[np.isfinite(values)].astype("<f4").tobytes()
    assert written(packed) == packed


def test_a_stored_vector_comes_back_bit_equal(caller):
    caller.make_index("bits", dimension=1000)
    bits = np.random.default_rng(11).integers(0, 1 << 32, 1000, dtype=np.uint32)
    bits[0] = TWICE_ROUNDED[0]
    values = np.nan_to_num(bits.view(np.float32), nan=1.0, posinf=2.0, neginf=3.0)
    caller.put(("a", values.astype(np.float64).tolist()), index="bits")
    (vector,) = caller.get(["a"], index="bits")
    assert Float32Array(vector["data"]["float32"]).tobytes() == values.tobytes()
