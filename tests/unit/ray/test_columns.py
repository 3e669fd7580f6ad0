"""Arrow columns become keys and vectors, bit for bit, and what is none is refused row by row."""

import numpy as np
import pyarrow as pa
import pytest

from oss_vector_retriever import InvalidRequestError, Limits, Vector
from oss_vector_retriever.client.models.columns import table_of
from oss_vector_retriever.ray.columns import check_free, join_found, keys_of, read_vectors

ROWS = [[1.5, -0.0], [3e38, 1e-45], [0.1, 2.0]]
PACKED = [np.array(row, np.float32).tobytes() for row in ROWS]


def table(data=None, key=("a", "b", "c"), **more):
    data = pa.array(ROWS, pa.list_(pa.float32())) if data is None else data
    return pa.table({"key": pa.array(key), "data": data, **more})


def read(rows, limits=None):
    return list(read_vectors(rows, "key", "data", "metadata", limits or Limits()))


def packed(rows):
    return [each.data.tobytes() for each in read(rows)]


# Keys


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b"]),
        pa.array(["a", "b"], pa.large_string()),
        pa.array(["a", "b"], pa.string_view()),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.chunked_array([["a"], ["b"]]),
        pa.array(["x", "a", "b"])[1:],
    ],
)
def test_keys_are_text_of_any_kind(column):
    assert keys_of(pa.table({"id": column}), "id") == ["a", "b"]


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array([1, 2]), "column 'id' holds int64, and keys are text"),
        (pa.array([b"a"]), "column 'id' holds binary, and keys are text"),
        (pa.array(["a", None, None]), "column 'id' has 2 rows without a key"),
    ],
)
def test_what_is_no_key_is_refused(column, reason):
    with pytest.raises(InvalidRequestError, match=reason):
        keys_of(pa.table({"id": column}), "id")


def test_a_column_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(InvalidRequestError, match="there is no column 'key', but 'id', 'x'"):
        keys_of(pa.table({"id": ["a"], "x": [1]}), "key")


def test_a_column_that_the_output_needs_is_not_overwritten():
    check_free(pa.table({"id": ["a"]}), ("found", "data"))
    with pytest.raises(InvalidRequestError, match="the dataset has a column 'data'"):
        check_free(pa.table({"data": [1]}), ("found", "data"))


# What was found


def test_rows_keep_their_columns_and_get_what_was_found():
    rows = pa.table({"id": ["a", "gone", "b"], "n": [1, 2, 3]})
    found = [Vector("a", ROWS[0], {"x": "y"}), None, Vector("b", ROWS[2])]
    joined = join_found(rows, batch_of(["a", "gone", "b"], found), {"gone"}, 2)
    assert joined.column_names == ["id", "n", "found", "data", "metadata"]
    assert joined["n"].to_pylist() == [1, 2, 3]
    assert joined["found"].to_pylist() == [True, False, True]
    assert joined["data"].type == pa.list_(pa.float32(), 2)
    assert joined["data"].is_valid().to_pylist() == [True, False, True]
    assert joined["metadata"].to_pylist() == ['{"x":"y"}', None, None]


def batch_of(keys, found):
    [batch] = table_of(keys, found).to_batches()
    return batch


def test_where_nothing_was_found_data_have_the_type_that_others_have():
    rows = pa.table({"id": ["gone"]})
    joined = join_found(rows, batch_of(["gone"], [None]), {"gone"}, 2)
    assert joined["data"].type == pa.list_(pa.float32(), 2)
    assert joined["data"].null_count == 1


# Vectors to write


@pytest.mark.parametrize(
    "data",
    [
        pa.array(ROWS, pa.list_(pa.float32())),
        pa.array(ROWS, pa.large_list(pa.float32())),
        pa.array(ROWS, pa.list_(pa.float32(), 2)),
        pa.chunked_array([pa.array(ROWS[:1]), pa.array(ROWS[1:])]),
        pa.array([[9.0], *ROWS], pa.list_(pa.float32()))[1:],
        pa.array([[9.0, 9.0], *ROWS], pa.list_(pa.float32(), 2))[1:],
        pa.array(ROWS, pa.list_(pa.float64())),
        pa.ListArray.from_arrays(
            pa.array([0, 2, 4, 6], pa.int32()),
            pa.array([9.0, *ROWS[0], *ROWS[1], *ROWS[2]], pa.float32())[1:],
        ),
        pa.FixedShapeTensorArray.from_numpy_ndarray(np.array(ROWS, np.float32)),
    ],
)
def test_data_of_any_list_are_packed_bit_for_bit(data):
    assert packed(table(data)) == PACKED


def test_rows_that_are_no_vectors_are_refused_each_by_itself():
    data = pa.array(
        [[1.0, 2.0], None, [1.0, float("nan")], [1.0, None], [1e300, 0.0]], pa.list_(pa.float64())
    )
    keys = ["good", "none", "nan", "null", "large"]
    good, *others = read(table(data, keys))
    assert good == Vector("good", [1.0, 2.0])
    assert [type(each) for each in others] == [InvalidRequestError] * 4
    assert "vector 'none' has no data" in str(others[0])
    assert all("data of" in str(each) for each in others[1:])


def test_keys_that_are_none_are_refused_each_by_itself():
    found = read(table(key=["a", None, "x" * 2000]))
    assert [isinstance(each, Vector) for each in found] == [True, False, False]


@pytest.mark.parametrize(
    ("column", "metadata"),
    [
        (pa.array(['{"a": "b", "n": null}', "{}", None]), [{"a": "b", "n": None}, {}, None]),
        (
            pa.array([{"a": "b", "c": None}, {"a": None, "c": ["x"]}, None]),
            [{"a": "b"}, {"c": ["x"]}, None],
        ),
        (
            pa.array([[("a", "b")], [], None], pa.map_(pa.string(), pa.string())),
            [{"a": "b"}, {}, None],
        ),
    ],
)
def test_metadata_are_json_structs_or_maps(column, metadata):
    assert [each.metadata for each in read(table(metadata=column))] == metadata


def test_metadata_that_are_none_are_refused_each_by_itself():
    found = read(table(metadata=pa.array(["[1]", "{", '{"a": "b"}'])))
    assert [isinstance(each, Vector) for each in found] == [False, False, True]
    assert "its metadata are JSON, but no object" in str(found[0])
    found = read(table(metadata=pa.array([1, 2, None])))
    assert [isinstance(each, Vector) for each in found] == [False, False, True]


def test_metadata_over_the_limit_are_refused():
    found = read(table(metadata=pa.array([{"a": "x" * 50}] * 3)), Limits(metadata_bytes=40))
    assert all("over the limit of 40" in str(each) for each in found)


@pytest.mark.parametrize("data", [pa.array([1, 2, 3]), pa.array([["a"], [], []])])
def test_a_column_of_no_floats_is_refused_as_a_whole(data):
    with pytest.raises(InvalidRequestError, match="and data are lists of floats"):
        read(table(data))
