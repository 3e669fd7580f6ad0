"""Records of other writers mean the same in both frameworks."""

import pytest

from oss_vector_retriever.records import encode

TAGS = ["a", "b"]


def by_llama_index(text, metadata, **options):
    schema = pytest.importorskip("llama_index.core.schema")
    utils = pytest.importorskip("llama_index.core.vector_stores.utils")
    node = schema.TextNode(id_="its own id", text=text, metadata=metadata)
    return utils.node_to_metadata_dict(node, **options)


def by_us(text, metadata):
    return encode("k", [0.5], text=text, metadata=metadata).metadata


def embedded_by_the_cli(text):
    return {
        "OSSVECTORS-EMBED-SRC-CONTENT": text,
        "OSSVECTORS-EMBED-SRC-CONTENT-TYPE": "TEXT",
        "OSSVECTORS-EMBED-SRC-LOCATION": "oss://bucket/file.txt",
    }


def without(stored, field):
    return {name: value for name, value in stored.items() if name != field}


CASES = {
    "our envelope": lambda: by_us("hello", {"n": 1, "deep": {"x": [None, True]}}),
    "our envelope, and a field that someone added": lambda: {
        **by_us("hello", {"n": 1}),
        "later": "yes",
    },
    "LlamaIndex": lambda: by_llama_index("hello", {"n": 1, "tag": "x"}),
    "LlamaIndex, with the text beside an emptied node": lambda: {
        **by_llama_index("hello", {"tag": "x"}, remove_text=True),
        "text": "hello",
    },
    "LangChain": lambda: {"_page_content": "hello", "tags": TAGS},
    "LangChain, by another integration": lambda: {"page_content": "hello", "tags": TAGS},
    "the embedding CLI": lambda: embedded_by_the_cli("hello"),
    "anyone, under text": lambda: {"text": "hello", "tags": TAGS},
    "anyone, under content": lambda: {"content": "hello", "tags": TAGS},
}
METADATA = {
    "our envelope": {"n": 1, "deep": {"x": [None, True]}},
    "our envelope, and a field that someone added": {"n": 1, "later": "yes"},
    "LlamaIndex": {"n": 1, "tag": "x"},
    "LlamaIndex, with the text beside an emptied node": {"tag": "x"},
    "the embedding CLI": without(embedded_by_the_cli(""), "OSSVECTORS-EMBED-SRC-CONTENT"),
}


@pytest.mark.parametrize("case", CASES)
def test_text_and_metadata_are_found(get, put, case):
    put({"k": CASES[case]()})
    [seen] = get("k")
    assert (seen.key, seen.text) == ("k", "hello")
    assert seen.metadata == METADATA.get(case, {"tags": TAGS})


def test_the_key_is_the_id_whatever_the_record_says_of_itself(get, put):
    put({"k": by_llama_index("hello", {"id": "another", "_id": "a third"})})
    [seen] = get("k")
    assert seen.key == "k"
    assert seen.metadata == {"id": "another", "_id": "a third"}


def test_a_field_can_be_named_that_holds_the_text(get, put):
    put({"k": {"body": "hello", "text": "a summary"}})
    [seen] = get("k", text_key="body")
    assert (seen.text, seen.metadata) == ("hello", {"text": "a summary"})
    [seen] = get("k")
    assert (seen.text, seen.metadata) == ("a summary", {"body": "hello"})


def test_a_record_without_text_has_empty_text_and_all_its_metadata(get, put):
    put({"k": {"title": "only this"}})
    [seen] = get("k")
    assert (seen.text, seen.metadata) == ("", {"title": "only this"})


def test_a_record_without_metadata_comes_back(get, client):
    client.put_vectors([{"key": "k", "data": [1, 2, 3, 4]}])
    [seen] = get("k")
    assert (seen.key, seen.text, seen.metadata) == ("k", "", {})


def test_each_record_of_one_answer_is_read_by_itself(get, put):
    put({name: make() for name, make in CASES.items()})
    seen = get("\n".join(CASES))
    assert [(one.key, one.text) for one in seen] == [(name, "hello") for name in CASES]
