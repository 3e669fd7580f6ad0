"""Packed float32 data: what can be packed, what it offers, and that it stays as it is."""

import copy
import pickle
import struct
from array import array

import numpy as np
import pytest

from oss_vector_retriever import Float32Array

VALUES = [0.5, -1.25, 3.0]
PACKED = struct.pack("=3f", *VALUES)


@pytest.mark.parametrize(
    "values",
    [
        VALUES,
        tuple(VALUES),
        iter(VALUES),
        (value for value in VALUES),
        array("f", VALUES),
        array("d", VALUES),
        np.array(VALUES, dtype=np.float32),
        np.array(VALUES, dtype=np.float64),
        np.array(VALUES, dtype=np.float16),
        np.array(VALUES, dtype=">f4"),
        np.repeat(np.array(VALUES, dtype=np.float32), 2)[::2],
        np.array(VALUES[::-1], dtype=np.float32)[::-1],
        np.array([VALUES, VALUES], dtype=np.float32).T[:, 0],
        np.array([VALUES], dtype=np.float64)[0],
        memoryview(array("f", VALUES)),
        Float32Array(VALUES),
    ],
    ids=range(16),
)
def test_numbers_are_packed_from_anything_that_gives_them(values):
    packed = Float32Array(values)
    assert packed.tobytes() == PACKED
    assert type(packed) is Float32Array


def test_whole_numbers_are_packed_too():
    assert Float32Array([1, 2]).tolist() == [1.0, 2.0]
    assert Float32Array(np.arange(3)).tolist() == [0.0, 1.0, 2.0]


def test_each_number_is_rounded_to_the_nearest_float32():
    assert Float32Array([0.1])[0] == np.float32(0.1)
    assert Float32Array([16777217.0])[0] == 16777216.0


@pytest.mark.parametrize(
    "values",
    [
        "0.5",
        b"\0\0\0\0",
        bytearray(4),
        ["0.5"],
        [None],
        [[0.5]],
        [1j],
        np.ones((2, 2)),
        {"float32": [0.5]},
    ],
)
def test_what_are_no_numbers_are_refused(values):
    with pytest.raises(TypeError):
        Float32Array(values)


@pytest.mark.parametrize("values", [5, None, object()])
def test_what_is_not_iterable_is_refused(values):
    with pytest.raises(TypeError):
        Float32Array(values)


@pytest.mark.parametrize("value", [1e39, -1e39, 1e308, 3.4028236e38])
def test_a_number_too_large_is_refused(value):
    with pytest.raises(OverflowError):
        Float32Array([value])


def test_packed_bytes_have_their_own_door():
    assert Float32Array.from_bytes(PACKED).tolist() == VALUES
    with pytest.raises(ValueError, match="multiple"):
        Float32Array.from_bytes(b"\0\0\0")


def test_it_is_a_sequence_and_a_buffer():
    packed = Float32Array(VALUES)
    assert (len(packed), packed[0], packed[-1], list(packed)) == (3, 0.5, 3.0, VALUES)
    assert packed[1:].tolist() == VALUES[1:]
    assert (packed.itemsize, packed.typecode, 0.5 in packed) == (4, "f", True)
    view = memoryview(packed)
    assert (view.format, view.nbytes, view.tobytes()) == ("f", 12, PACKED)
    assert np.asarray(packed).dtype == np.float32
    assert struct.unpack("=3f", packed) == tuple(VALUES)


def test_its_numpy_view_shares_its_memory_and_cannot_be_written():
    packed = Float32Array(VALUES)
    view = packed.numpy()
    assert (view.shape, view.dtype) == ((3,), np.float32)
    assert np.shares_memory(view, np.frombuffer(packed, dtype=np.float32))
    assert not view.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1.0
    changed = view.copy()
    changed[0] = 9.0
    assert packed.tolist() == VALUES


def test_its_numpy_view_outlives_it():
    view = Float32Array(range(10_000)).numpy()
    assert view.sum() == 49_995_000


CHANGES = {
    "item": lambda p: p.__setitem__(0, 1.0),
    "slice": lambda p: p.__setitem__(slice(0, 1), array("f", [1.0])),
    "delete": lambda p: p.__delitem__(0),
    "append": lambda p: p.append(1.0),
    "clear": lambda p: p.clear(),
    "extend": lambda p: p.extend([1.0]),
    "insert": lambda p: p.insert(0, 1.0),
    "pop": lambda p: p.pop(),
    "remove": lambda p: p.remove(0.5),
    "reverse": lambda p: p.reverse(),
    "byteswap": lambda p: p.byteswap(),
    "frombytes": lambda p: p.frombytes(PACKED),
    "fromlist": lambda p: p.fromlist(VALUES),
    "fromfile": lambda p: p.fromfile(None, 1),
    "fromunicode": lambda p: p.fromunicode("x"),
    "+=": lambda p: p.__iadd__(array("f", [1.0])),
    "*=": lambda p: p.__imul__(2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_changes_it(change):
    packed = Float32Array(VALUES)
    with pytest.raises(TypeError, match="read-only"):
        CHANGES[change](packed)
    assert packed.tobytes() == PACKED
    with pytest.raises(AttributeError):
        packed.label = "x"


def test_every_method_of_array_that_changes_it_is_known():
    reads = {"buffer_info", "count", "index", "tobytes", "tofile", "tolist", "tounicode"}
    public = {name for name in dir(array) if not name.startswith("_")}
    assert public - reads - {"itemsize", "typecode"} <= set(CHANGES)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_survives_a_pickle(protocol):
    again = pickle.loads(pickle.dumps(Float32Array(VALUES), protocol))
    assert type(again) is Float32Array
    assert again.tobytes() == PACKED


def test_a_copy_is_itself_for_it_never_changes():
    packed = Float32Array(VALUES)
    assert copy.copy(packed) is copy.deepcopy(packed) is packed


def test_it_equals_what_holds_the_same_numbers():
    assert Float32Array(VALUES) == Float32Array(VALUES) == array("f", VALUES)
    assert Float32Array(VALUES) != Float32Array(VALUES[:2])
    assert Float32Array(VALUES) != VALUES
    with pytest.raises(TypeError, match="unhashable"):
        hash(Float32Array(VALUES))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "Float32Array([])"),
        ([0.1], "Float32Array([0.1])"),
        ([1, 2, 3], "Float32Array([1, 2, 3])"),
        ([0.123456789] * 1024, "Float32Array([0.123457, 0.123457, 0.123457, ... 1024 values])"),
    ],
)
def test_its_repr_is_short(values, text):
    assert repr(Float32Array(values)) == text
