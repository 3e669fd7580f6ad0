"""Embeddings and metadata come back exactly, and nobody else's copy changes with them."""

import math
import random
import struct

import pytest

from oss_vector_retriever import Float32Array
from oss_vector_retriever.records import encode, query_of

TYPED = {
    "int": 7,
    "big": 2**80,
    "float": 0.1,
    "whole float": 3.0,
    "true": True,
    "none": None,
    "text": "naïve 日本 🜚 \u0000 \u2028",
    "empty": ["", [], {}],
    "list": [1, 1.5, "x", None, False, [2]],
    "dict": {"deep": {"deeper": [{"n": 1}]}},
}


def random_floats(count):
    """Give finite float32 values of any magnitude, denormals and both zeros included."""
    dice = random.Random(11)
    found = [0.0, -0.0, 1e-45, 3.4028234663852886e38]
    while len(found) < count:
        [value] = struct.unpack("<f", dice.randbytes(4))
        if math.isfinite(value):
            found.append(value)
    return found


def test_embeddings_are_bit_equal_to_what_was_stored(get, client):
    client.put_vector_index(index="floats", dimension=64, distance_metric="euclidean")
    values = random_floats(64 * 50)
    stored = {f"k{n}": Float32Array(values[n * 64 : n * 64 + 64]) for n in range(50)}
    client.put_vectors([{"key": k, "data": data} for k, data in stored.items()], index="floats")
    for seen in get(query_of(stored), index="floats", embeddings=True):
        assert isinstance(seen.embedding, list)
        assert Float32Array(seen.embedding).tobytes() == stored[seen.key].tobytes()
        assert seen.embedding == stored[seen.key].tolist()


def test_embeddings_stay_away_unless_asked_for(get, put):
    put(["a"])
    [seen] = get("a")
    assert seen.embedding is None
    assert seen.metadata == {"of": "a"}


def test_embeddings_come_with_every_kind_of_record(get, put):
    pytest.importorskip("llama_index.core")
    node = '{"class_name": "TextNode", "text": "hello", "embedding": [9.0]}'
    data = [1.0, -0.5, 0.25, 3.0]
    put({"plain": {"text": "hello"}, "node": {"_node_content": node}}, data=data)
    seen = get("plain\nnode", embeddings=True)
    assert [(one.text, one.embedding) for one in seen] == [("hello", data)] * 2


def test_typed_metadata_comes_back_with_its_types(get, put):
    put({"k": encode("k", [0.5], text="t", metadata=TYPED).metadata})
    [seen] = get("k")
    assert repr(sorted(seen.metadata.items())) == repr(sorted(TYPED.items()))


def test_plain_metadata_comes_back_as_the_service_stores_it(get, put):
    stored = {"s": "x", "list": ["a", "b"], "n": 5, "f": 0.25, "yes": True}
    put({"k": {"text": "t", **stored}})
    [seen] = get("k")
    assert repr(sorted(seen.metadata.items())) == repr(sorted(stored.items()))


@pytest.fixture(params=["envelope", "node", "plain"])
def nested(request, put):
    """Store two records with containers in their metadata."""
    metadata = {"tags": ["x"], "deep": {"list": [1]}}
    stored = {
        "envelope": encode("k", [0.5], text="t", metadata=metadata).metadata,
        "node": {"_node_content": '{"text": "t", "metadata": {"tags": ["x"]}}'},
        "plain": {"text": "t", "tags": ["x"]},
    }[request.param]
    put({"k": stored, "j": stored})


def spoil(seen):
    seen.thing.metadata["tags"].append("spoilt")
    if "deep" in seen.metadata:
        seen.thing.metadata["deep"]["list"].append("spoilt")
    if seen.embedding:
        seen.embedding.append(math.pi)
    seen.thing.metadata["new"] = "spoilt"


@pytest.mark.usefixtures("nested")
def test_results_share_nothing_with_one_another(get):
    first, *others = get("k\nj\nk", embeddings=True)
    before = repr([one.thing for one in others])
    spoil(first)
    assert repr([one.thing for one in others]) == before
    assert "spoilt" not in before


@pytest.mark.usefixtures("nested")
def test_results_share_nothing_with_a_second_retrieval(face, client):
    retriever = face.retriever(client, embeddings=True)
    [first] = map(face.see, face.ask(retriever, "k"))
    before = repr(first)
    spoil(first)
    [second] = map(face.see, face.ask(retriever, "k"))
    assert repr(second) == before
    assert second.thing is not first.thing
