"""Records as other writers store them, all with the text hello, and what they mean."""

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


def expected_metadata(case):
    """Return the metadata that a record of a case has, whichever framework reads it."""
    return METADATA.get(case, {"tags": TAGS})


UNREADABLE = {
    "a damaged envelope": {"_record": '{"v":1,', "_record_text": "saved", "tag": "x"},
    "an envelope of a later release": {"_record": '{"v":99}', "_record_text": "saved", "tag": "x"},
    "a damaged node": {"_node_content": "{", "text": "saved", "tag": "x"},
    "a node that is a list": {"_node_content": "[]", "text": "saved", "tag": "x"},
}
