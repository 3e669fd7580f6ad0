"""graph-retriever's own suite for adapters, in full, over animals that fit its cases."""

import pytest

pytest.importorskip("graph_retriever", reason="langchain-graph-retriever is not installed")

from graph_retriever.testing.adapter_tests import AdapterComplianceSuite
from graph_retriever.testing.embeddings import AnimalEmbeddings
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.langchain import OSSVectorAdapter, OSSVectorStore

# by kind and number of legs; a name may be followed by what the suite's query looks for
KINDS = {
    ("mammal", 4): [
        ("cat", "domesticated hunters"),
        ("horse", "domesticated, for hunters"),
        ("dog", "domesticated, with horns of hunters"),
        ("alpaca", "domesticated, in herds, with wool"),
        *("aardvark", "anteater", "antelope", "boar", "chinchilla", "dingo", "ferret"),
    ],
    ("mammal", 0): ["dolphin", "manatee", "narwhal"],
    ("bird", 2): [("chicken", "domesticated, not of hunters"), "albatross"],
    ("reptile", 4): [
        *((name, "hunters") for name in ("alligator", "crocodile", "chameleon", "gecko")),
        ("komodo dragon", "hunters"),
        *("iguana", "lizard"),
    ],
    ("reptile", 0): ["cobra"],
    ("fish", 0): ["barracuda", "eel", "fish"],
    ("cnidarian", 0): ["jellyfish"],
    ("crustacean", 10): ["crab"],
    ("insect", 6): ["ant"],
}
MORE = {
    "cat": {"keywords": ["hunting", "purring"], "diet": "carnivorous"},
    "dingo": {"diet": "carnivorous"},
    "ferret": {"diet": "carnivorous"},
    "chinchilla": {"keywords": ["andes", "fur"]},
    "aardvark": {"tags": [{"a": 5, "b": 7}, {"a": 1, "b": 1}]},
    "albatross": {"tags": [{"a": 5, "b": 8}]},
    "alligator": {"nested": {"a": 5}},
    "alpaca": {"nested": {"a": 5, "b": 5}},
    "ant": {"nested": {"a": 6}},
    "anteater": {"nested": {"b": 5}},
}


class Animals(Embeddings):
    """The embedding that the suite's answers come from."""

    def __init__(self):
        self.embed_query = AnimalEmbeddings()

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        raise NotImplementedError


def animals():
    for (kind, legs), names in KINDS.items():
        for each in names:
            name, like = each if isinstance(each, tuple) else (each, "wild")
            metadata = {"type": kind, "number_of_legs": legs, **MORE.get(name, {})}
            yield Document(id=name, page_content=f"{name}, {like}", metadata=metadata)


@pytest.fixture(scope="module")
def store():
    with OSSVectorClient.local() as client:
        store = OSSVectorStore(Animals(), client=client.with_options(index="animals"))
        store.add_documents(list(animals()))
        yield store


class TestAdapter(AdapterComplianceSuite):
    @pytest.fixture
    def adapter(self, store):
        return OSSVectorAdapter(store)
