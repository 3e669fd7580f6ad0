"""What every service owes, by whatever way it is reached."""

import array
import math
import random

import pytest

from oss_vector_retriever import (
    AccessDeniedError,
    InvalidRequestError,
    MissingKeysError,
    NoSuchVectorIndexError,
    VectorIndexAlreadyExistsError,
    VectorIndexParameterInvalidError,
)

pytestmark = pytest.mark.promise("R16")


def put(face, count, **metadata):
    vectors = [
        {"key": f"k{n:05d}", "data": [n + 1, 1, 0.5], "metadata": {"number": str(n), **metadata}}
        for n in range(count)
    ]
    for start in range(0, count, 500):
        face.put_vectors(vectors[start : start + 500])
    return [vector["key"] for vector in vectors]


def test_fetch_keeps_the_order_answers_duplicates_and_names_what_is_missing(face):
    put(face, 3)
    result = face.fetch(["k00002", "gone", "k00000", "k00002", "gone"])
    assert [vector.key for vector in result] == ["k00002", "k00000", "k00002"]
    assert result.missing == ("gone",)
    assert [v and v.key for v in result.aligned()] == ["k00002", None, "k00000", "k00002", None]
    assert result[0].data.tolist() == [3.0, 1.0, 0.5]
    assert result[1].metadata == {"number": "0"}


@pytest.mark.parametrize("count", [0, 1, 100, 101, 1000])
def test_fetch_takes_any_number_of_keys(face, count):
    keys = put(face, max(count, 1))[:count]
    shuffled = random.Random(count).sample(keys, count)
    result = face.fetch(shuffled)
    assert [vector.key for vector in result] == shuffled
    assert result.calls == math.ceil(count / 100)
    assert len(result.request_ids) == result.calls


def test_fetch_leaves_out_what_is_not_asked_for(face):
    put(face, 1)
    assert face.fetch(["k00000"], return_data=False)[0].data is None
    assert face.fetch(["k00000"], return_metadata=False)[0].metadata is None


def test_fetch_can_raise_for_missing_keys(face):
    put(face, 1)
    with pytest.raises(MissingKeysError) as caught:
        face.fetch(["b", "k00000", "a"], on_missing="raise")
    assert caught.value.missing == ("b", "a")


def test_stream_yields_in_order(face):
    keys = put(face, 250)
    asked = [*keys, "gone", *keys[:10]]
    missing = []
    streamed = face.stream(iter(asked), on_missing=missing.append)
    assert [vector.key for vector in streamed] == [*keys, *keys[:10]]
    assert missing == ["gone"]


def test_float32_comes_back_bit_for_bit(face):
    seed = 20261122
    source = random.Random(seed)
    patterns = [source.getrandbits(32) for _ in range(3000)] + [
        0x15AE43FD,
        0x95AE43FD,
        1,
        0x7F7FFFFF,
    ]
    values = array.array("f", array.array("I", patterns).tobytes())
    finite = [value for value in values if math.isfinite(value)]
    rows = [finite[start : start + 3] for start in range(0, len(finite) - 2, 3)]
    keys = [f"r{n}" for n in range(len(rows))]
    for start in range(0, len(rows), 500):
        part = slice(start, start + 500)
        face.put_vectors(
            [{"key": k, "data": r} for k, r in zip(keys[part], rows[part], strict=True)]
        )
    for vector, row in zip(face.fetch(keys), rows, strict=True):
        assert vector.data.tobytes() == array.array("f", row).tobytes(), (seed, row)


def test_put_replaces_and_delete_removes(face):
    face.put_vectors([{"key": "a", "data": [1, 2, 3], "metadata": {"v": "1"}}])
    face.put_vectors([{"key": "a", "data": [3, 2, 1], "metadata": {"w": "2"}}])
    assert face.fetch(["a"])[0].metadata == {"w": "2"}
    face.delete_vectors(["a", "never"])
    assert face.fetch(["a"]).missing == ("a",)


def test_list_pages_through_everything_once(face):
    keys = put(face, 25)
    seen, token, pages = [], None, 0
    while pages == 0 or token:
        page = face.list_vectors(max_results=10, next_token=token)
        seen += [vector.key for vector in page]
        token, pages = page.next_token, pages + 1
    assert sorted(seen) == keys
    assert pages == 3


def test_query_finds_the_closest_first(face):
    face.put_vectors(
        [
            {"key": "x", "data": [1, 0, 0], "metadata": {"axis": "x"}},
            {"key": "y", "data": [0, 1, 0]},
            {"key": "xy", "data": [1, 1, 0]},
        ]
    )
    hits = face.query_vectors([1, 0.1, 0], top_k=2, return_metadata=True)
    assert [hit.key for hit in hits] == ["x", "xy"]
    assert hits[0].distance < hits[1].distance
    assert hits[0].metadata == {"axis": "x"}
    only = face.query_vectors([1, 0.1, 0], top_k=2, filter={"axis": {"$eq": "x"}})
    assert [hit.key for hit in only] == ["x"]


def test_an_index_describes_itself(face):
    index = face.get_vector_index()
    assert (index.dimension, index.distance_metric, index.data_type) == (3, "cosine", "float32")
    assert index.status in {"creating", "enable"}
    with pytest.raises(VectorIndexAlreadyExistsError):
        face.put_vector_index(dimension=3)


def test_an_index_that_is_not_there_is_named_as_such(face):
    with pytest.raises(NoSuchVectorIndexError) as caught:
        face.fetch(["a"], index="nosuchindex")
    assert caught.value.status == 404
    assert caught.value.request_id
    assert caught.value.attempts == 1


def test_another_dimension_is_refused_by_the_service(face):
    with pytest.raises(VectorIndexParameterInvalidError):
        face.put_vectors([{"key": "a", "data": [1, 2]}])
    assert face.fetch(["a"]).missing == ("a",)


def test_bad_arguments_are_refused_before_any_call(face):
    with pytest.raises(InvalidRequestError, match="1 to 100, not 101"):
        face.get_vectors([f"k{n}" for n in range(101)])
    with pytest.raises(InvalidRequestError, match="more than once"):
        face.put_vectors([{"key": "a", "data": [1, 2, 3]}] * 2)
    with pytest.raises(InvalidRequestError, match="NaN"):
        face.put_vectors([{"key": "a", "data": [1, math.nan, 3]}])


def test_a_wrong_secret_is_told_apart_from_a_wrong_index(server):
    from oss_vector_retriever import OSSVectorClient, SignatureDoesNotMatchError, emulator  # noqa: PLC0415

    with (
        OSSVectorClient(
            endpoint=server.endpoint,
            bucket=emulator.DEVELOPMENT_BUCKET,
            account_id=emulator.DEVELOPMENT_ACCOUNT_ID,
            region=emulator.DEVELOPMENT_REGION,
            index="any",
            credentials=(emulator.DEVELOPMENT_ACCESS_KEY_ID, "canary-wrong-secret"),
        ) as client,
        pytest.raises(SignatureDoesNotMatchError) as caught,
    ):
        client.fetch(["a"])
    assert isinstance(caught.value, AccessDeniedError)
    assert caught.value.request_id in str(caught.value)
    assert "canary" not in str(caught.value)
