"""What a page and a command say of stored records: rung, sizes, and what is near."""

import json

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from support.embedded import embedded
from support.watched_service import Watched

from oss_vector_retriever import InvalidRequestError, MissingKeysError
from oss_vector_retriever.client.errors import VectorIndexParameterInvalidError
from oss_vector_retriever.client.models import Limits, Vector, VectorIndex
from oss_vector_retriever.emulator import DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET, Behaviour
from oss_vector_retriever.langchain import OSSVectorStore
from oss_vector_retriever.records import encode
from oss_vector_retriever.records.explanation import explain, explain_keys, find_neighbors

INDEX = VectorIndex("vectors", 2, "cosine", non_filterable_metadata_keys=("_record", "_text"))
OURS = encode("k", [1, 2], text="hello", metadata={"year": 2024}).metadata
NODE = json.dumps({"text": "hello", "class_name": "TextNode"})

# what is stored, and the rung that decodes it
LADDER = {
    "nothing": (None, ("empty", "nothing that holds text")),
    "ours": (OURS, ("envelope", "_record")),
    "node": ({"_node_content": NODE}, ("llama_index", "_node_content")),
    "tool": ({"OSSVECTORS-EMBED-SRC-CONTENT": "t"}, ("embed_cli", "OSSVECTORS-EMBED-SRC-CONTENT")),
    "image": (
        {"OSSVECTORS-EMBED-SRC-LOCATION": "a.png"},
        ("embed_cli", "OSSVECTORS-EMBED-SRC-LOCATION"),
    ),
    "langchain": ({"page_content": "t", "text": "other"}, ("langchain", "page_content")),
    "own": ({"body": "t", "text": "other"}, ("text_key", "body")),
    "text": ({"text": "t"}, ("text", "text")),
    "content": ({"text": {"no": "text"}, "content": "t"}, ("content", "content")),
    "fields": ({"tag": "a"}, ("empty", "nothing that holds text")),
}


@pytest.mark.parametrize("name", LADDER)
def test_the_rung_that_decoded_a_record_is_named(name):
    metadata, rung = LADDER[name]
    found = explain(Vector("k", [1, 2], metadata), INDEX, text_key="body")
    assert (found.rung.source, found.rung.field) == rung
    assert found.rung.outcome == "decoded"
    assert found.rung.source == found.record.source
    assert found.error is None


def test_rungs_before_are_absent_or_without_text_and_those_after_are_not_reached():
    found = explain(Vector("k", None, {"text": {"no": "text"}, "content": "t"}), INDEX)
    outcomes = [rung.outcome for rung in found.rungs]
    assert outcomes == [*(["absent"] * 5), "no text", "decoded", "not reached"]


@pytest.mark.parametrize("field", ["_record", "_node_content"])
def test_a_record_that_claims_a_format_breaks_on_its_rung(field):
    found = explain(Vector("k", [1, 2], {field: "{no json", "text": "plain"}), INDEX)
    assert (found.rung.field, found.rung.outcome) == (field, "broken")
    assert found.error.field == field
    assert (found.record.source, found.record.text) == ("raw", "plain")


def test_sizes_stand_beside_the_limits():
    metadata = {"tag": "é", "_text": "x" * 10}
    found = explain(Vector("kü", [1, 2], metadata), INDEX, limits=Limits(metadata_bytes=20))
    assert [(one.name, one.value, one.limit, one.unit) for one in found.sizes] == [
        ("key", 2, 1024, "characters"),
        ("data", 2, 4096, "values"),
        ("metadata", len(json.dumps(metadata, ensure_ascii=False).encode()) - 3, 20, "bytes"),
        ("filterable metadata", len('{"tag":"é"}'.encode()), 2048, "bytes"),
        ("filterable fields", 1, 10, "fields"),
    ]
    assert [one.share > 1 for one in found.sizes] == [False, False, True, False, False]
    fields = [(one.name, one.size, one.is_filterable) for one in found.fields]
    assert fields == [("tag", 10, True), ("_text", 20, False)]


def test_without_a_description_nobody_says_what_filters_see():
    found = explain(Vector("k", [1, 2], {"tag": "a"}))
    assert [one.value for one in found.sizes[3:]] == [None, None]
    assert found.fields[0].is_filterable is None


def watched(**options):
    service = Watched.in_memory(**options)
    service.create_bucket(DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET)
    return service


@pytest.fixture
def service():
    with watched() as service:
        yield service


@pytest.fixture
def client(service):
    with embedded(service) as client:
        client.put_vector_index(dimension=2, non_filterable_metadata_keys=["_record", "_text"])
        yield client


def test_keys_are_explained_in_the_order_asked_and_what_is_missing_is_said(client):
    client.upsert([{"key": k, "data": [1, 2], "metadata": {"text": k}} for k in "abc"])
    found = client.run(explain_keys, ["c", "gone", "a", "c"])
    assert found.keys == ("c", "gone", "a")
    assert list(found.found) == ["c", "a"]
    assert found.missing == ("gone",)
    assert found.index.dimension == 2
    assert found.found["c"].record.text == "c"


def test_who_may_not_look_at_the_index_still_sees_records(client, service):
    client.upsert([{"key": "a", "data": [1, 2], "metadata": {"text": "a"}}])
    service.denied.add("getVectorIndex")
    with embedded(service) as other:
        found = other.run(explain_keys, ["a"])
    assert found.index is None
    assert found.found["a"].record.text == "a"


def test_a_value_in_parts_is_put_together_and_its_head_stays_what_it_is(client):
    text = "".join(chr(0x4E00 + (n * 7919) % 20000) for n in range(40_000))
    store = OSSVectorStore(client=client, embedding=DeterministicFakeEmbedding(size=2))
    store.add_texts([text], ids=["long"])
    (found,) = client.run(explain_keys, ["long"]).found.values()
    assert found.record.text == text
    assert found.rung.source == "envelope"
    assert found.parts.count > 1
    assert found.sizes[2].value < 40 * 1024
    client.delete(found.parts.keys, index=found.parts.side)
    (broken,) = client.run(explain_keys, ["long"]).found.values()
    assert broken.rung.outcome == "broken"
    assert "parts" in broken.error.reason


def near(client, key="0", **options):
    found = client.run(find_neighbors, key, **options)
    return [one.key for one in found.items], found


def fill(client, count=20):
    client.upsert(
        {"key": str(n), "data": [1, n / 100], "metadata": {"odd": str(n % 2), "text": f"t{n}"}}
        for n in range(count)
    )


def test_neighbors_come_closest_first_without_the_record_itself(client):
    fill(client)
    keys, found = near(client, k=3)
    assert keys == ["1", "2", "3"]
    assert [one.record.text for one in found.items] == ["t1", "t2", "t3"]
    assert found.items[0].distance < found.items[1].distance
    assert found.looked_at == 4


def test_a_filter_chooses_among_as_many_as_the_service_gives(client):
    fill(client)
    keys, found = near(client, k=3, filter={"odd": {"$eq": "1"}})
    assert keys == ["1", "3", "5"]
    assert (found.looked_at, found.matched) == (500, 10)


def test_a_service_that_gives_fewer_is_asked_for_fewer():
    service = watched(behaviour=Behaviour(top_k_limit=30))
    with service, embedded(service) as client:
        client.put_vector_index(dimension=2)
        fill(client)
        keys, found = near(client, k=2, filter={"odd": {"$eq": "1"}})
        assert keys == ["1", "3"]
        assert found.looked_at == 30
        assert service.seen.count("queryVectors") == 3


def test_a_filter_that_is_none_is_refused_by_the_service_with_its_first_word(client):
    fill(client)
    with pytest.raises(VectorIndexParameterInvalidError, match="filter"):
        near(client, filter={"odd": {"$like": "1"}})


def test_what_cannot_be_asked_is_refused(client):
    fill(client, 1)
    with pytest.raises(MissingKeysError):
        near(client, "gone")
    with pytest.raises(InvalidRequestError):
        near(client, k=0)
