"""The suites of `oss_vector_retriever.testing`, on core's Simple stores and on ours.

The `lacks` of the classes are all the differences; docs/store-tests.md shows them as a table. A
test of what a store lacks is run here all the same, and has to fail.
"""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.llms import ChatMessage
from llama_index.core.schema import TextNode
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.storage.index_store import SimpleIndexStore
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from pydantic_core import PydanticSerializationError

from oss_vector_retriever import testing
from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.llama_index import (
    OSSVectorChatStore,
    OSSVectorDocumentStore,
    OSSVectorIndexStore,
    OSSVectorKVStore,
    OSSVectorStore,
)
from oss_vector_retriever.testing import (
    ChatStoreTests,
    DocumentStoreTests,
    IndexStoreTests,
    KVStoreTests,
    StoreTests,
    VectorStoreTests,
)

PAGE = Path(__file__).parents[2] / "docs" / "store-tests.md"


# what the page does not speak of: the oldest release of core that is supported
OF_OLD_CORE = {"no_condition": "it is an error"} if version("llama-index-core") == "0.14.23" else {}


class Strict:
    """A suite whose tests of what a store lacks are run, and have to fail."""

    @pytest.fixture(autouse=True)
    def item(self, request):
        self._item = request.node

    def needs(self, *capabilities):
        for name in capabilities:
            assert name in self.capabilities
            if name in self.lacks:
                reason = self.lacks[name]
                self._item.add_marker(pytest.mark.xfail(strict=True, reason=reason))
                # a page about each failure, which nobody reads, would take most of the time
                self._item.repr_failure = lambda *_, **__: reason  # noqa: B023 - the last one


class TestSimpleVectorStore(Strict, VectorStoreTests):
    lacks = {
        "stores_text": "an index over it keeps its nodes in a document store",
        "get_nodes": "it keeps embeddings and metadata, and no nodes",
        "doc_ids": "they are ignored: a query for no document is answered with all",
        "nested_filters": "core's own evaluator refuses them",
        **OF_OLD_CORE,
    }

    @pytest.fixture
    def store(self):
        return SimpleVectorStore()


class TestSimpleDocumentStore(Strict, DocumentStoreTests):
    lacks = {
        "batches": "the key-value store under it takes one value at a time",
        "awaited_delete": "it looks for the source's nodes under the node's own id",
    }

    @pytest.fixture
    def store(self):
        return SimpleDocumentStore()


class TestSimpleIndexStore(Strict, IndexStoreTests):
    @pytest.fixture
    def store(self):
        return SimpleIndexStore()


class TestSimpleKVStore(Strict, KVStoreTests):
    lacks = {"batches": "values are put one by one"}

    @pytest.fixture
    def store(self):
        return SimpleKVStore()


OF_NEWER_PYDANTIC = {"reopen": "to_dict fails in the serializer of messages"}


def to_dict_fails():
    """Tell whether core's serializer of messages fails, as it does under newer pydantics alone."""
    store = SimpleChatStore()
    store.add_message("chat", ChatMessage("hello"))
    try:
        store.to_dict()
    except PydanticSerializationError:
        return True
    return False


class TestSimpleChatStore(Strict, ChatStoreTests):
    lacks = {
        "own_messages": "it keeps the very list that it was given, and gives it away",
        "emptied": "it takes the last of an empty list, which is an IndexError",
    }
    if to_dict_fails():
        lacks |= OF_NEWER_PYDANTIC

    @pytest.fixture
    def store(self):
        return SimpleChatStore()


class TestOurVectorStore(Strict, VectorStoreTests):
    lacks = {"whole_lists": "a list passes by any of its items, as the service sees it"}

    @pytest.fixture
    def store(self, client):
        return OSSVectorStore(client)

    def reopen(self, store):
        return OSSVectorStore.from_dict(store.to_dict(), client=store.client)


class TestOurDocumentStore(Strict, DocumentStoreTests):
    lacks = {
        "noted_parts": "there is a row a document, which names its parts; a part that is not kept "
        "has no hash of its own, and pipelines note documents alone"
    }

    @pytest.fixture
    def store(self, client):
        return OSSVectorDocumentStore(client, scan=True)

    def reopen(self, store):
        return OSSVectorDocumentStore(store.client, scan=True)


class TestOurKVStore(Strict, KVStoreTests):
    @pytest.fixture
    def store(self, client):
        return OSSVectorKVStore(client)

    def reopen(self, store):
        return OSSVectorKVStore(store.client)


class TestOurIndexStore(Strict, IndexStoreTests):
    @pytest.fixture
    def store(self, client):
        return OSSVectorIndexStore(client)

    def reopen(self, store):
        return OSSVectorIndexStore(store.client)


class TestOurChatStore(Strict, ChatStoreTests):
    @pytest.fixture
    def store(self, client):
        return OSSVectorChatStore(client=client)

    def reopen(self, store):
        return OSSVectorChatStore.from_dict(store.to_dict(), client=store.client)


# Where the framework promises nothing

_ONE = TextNode(id_="a", text="x", embedding=[1.0, 0.0], metadata={"yes": True, "year": 2020})
_OTHER = TextNode(id_="b", text="x", embedding=[0.0, 1.0], metadata={"yes": 1, "year": "2021"})


def ask(store, embedding=(1.0, 0.0), k=10, **options):
    asked = VectorStoreQuery(list(embedding), similarity_top_k=k, **options)
    return store.query(asked).ids


def only(key, operator, value):
    leaf = MetadataFilter(key=key, operator=FilterOperator(operator), value=value)
    return MetadataFilters(filters=[leaf])


def add(store, embedding):
    return store.add([TextNode(id_="c", text="x", embedding=embedding)])


def left_after(change):
    return lambda store: (change(store), ask(store))[1]


# What is done, what core's SimpleVectorStore answers, what ours does, and why.
SILENT = {
    "`delete_nodes()` without arguments": (
        left_after(lambda store: store.delete_nodes()),
        [],
        "delete_nodes takes node_ids or filters; clear",
        "a list of ids that was lost on the way must not empty the index; `clear()` does",
    ),
    '`delete("None")`, where nodes have no document': (
        left_after(lambda store: store.delete("None")),
        [],
        ["a", "b"],
        "core writes the text None for no document; here no document is none of that name",
    ),
    "a filter `== 1` on a field that is `True`": (
        lambda store: ask(store, filters=only("yes", "==", 1)),
        ["a", "b"],
        ["b"],
        "a boolean is no number",
    ),
    "a filter `> 2000` where one node has a text in the field": (
        lambda store: ask(store, filters=only("year", ">", 2000)),
        TypeError,
        ["a"],
        "one node must not fail the search of all: what cannot be compared does not pass",
    ),
    "`text_match` where one node has a number in the field": (
        lambda store: ask(store, filters=only("year", "text_match", "20")),
        TypeError,
        ["b"],
        "the same",
    ),
    "a filter on `doc_id`, which core writes beside the metadata": (
        lambda store: ask(store, filters=only("doc_id", "==", "None")),
        ["a", "b"],
        [],
        "filters see the metadata that the node has; `doc_ids` and `ref_doc_id` are for documents",
    ),
    "an embedding of another dimension": (
        lambda store: add(store, [1.0]),
        ["c"],
        "has dimension 2",
        "an index has one dimension; core's store fails when it is searched",
    ),
    "an embedding with NaN": (
        lambda store: add(store, [float("nan"), 1.0]),
        ["c"],
        "NaN",
        "it is near to nothing, and core's store sorts it anywhere",
    ),
    "an embedding of zeros": (
        lambda store: add(store, [0.0, 0.0]),
        ["c"],
        "all zeros",
        "it has no direction, and the service refuses it under cosine",
    ),
    "a query for zeros": (
        lambda store: ask(store, [0.0, 0.0]),
        RuntimeWarning,
        "all zeros",
        "the same; core's store divides by zero",
    ),
    "`similarity_top_k=0`": (
        lambda store: ask(store, k=0),
        ["a", "b"],
        "from 1 to 500",
        "core's store takes it for all; whoever computes a number and gets 0 wants none",
    ),
    "`similarity_top_k=501`": (
        lambda store: ask(store, k=501),
        ["a", "b"],
        "from 1 to 500",
        "the service gives 500 at once; fewer than were asked for would look like all there are",
    ),
    "an empty id": (
        left_after(lambda store: store.add([TextNode(id_="", text="x", embedding=[0.5, 0.5])])),
        ["a", "", "b"],
        "1 to 1024",
        "the service has no empty keys",
    ),
}


def outcome(store, call):
    """Return what a call answers, or the class and text of what it raises."""
    try:
        return call(store)
    except (Exception, RuntimeWarning) as error:  # noqa: BLE001 - compared
        return error


def is_like(found, expected):
    if isinstance(expected, type):
        return isinstance(found, expected)
    if isinstance(expected, str):
        return isinstance(found, InvalidRequestError) and expected in str(found)
    return found == expected


@pytest.mark.parametrize("case", SILENT)
def test_where_the_framework_is_silent_ours_is_the_careful_one(case, client):
    call, of_core, of_ours, _ = SILENT[case]
    for store, expected in [(SimpleVectorStore(), of_core), (OSSVectorStore(client), of_ours)]:
        store.add([_ONE.model_copy(), _OTHER.model_copy()])
        found = outcome(store, call)
        assert is_like(found, expected), (store.class_name(), found)


# The page


def rows_of_page():
    """Return the tables of docs/store-tests.md, row by row, as this file has them."""
    for name, suite in CLASSES.items():
        newer = OF_NEWER_PYDANTIC if suite is TestSimpleChatStore else {}
        for capability, reason in (suite.lacks | newer).items():
            if capability in OF_OLD_CORE:
                continue
            yield f"| `{name}` | `{capability}` | {reason} |"
    for case, (_, of_core, of_ours, argument) in SILENT.items():
        yield f"| {case} | {shown(of_core)} | {shown(of_ours)} | {argument} |"
    for tests in SUITES:
        for capability, meaning in tests.capabilities.items():
            if tests is StoreTests or capability not in StoreTests.capabilities:
                yield f"| `{tests.__name__}` | `{capability}` | {meaning} |"


def shown(answer):
    if isinstance(answer, str):
        return "refused"
    return f"`{answer.__name__}`" if isinstance(answer, type) else f"`{answer}`"


SUITES = [StoreTests, VectorStoreTests, DocumentStoreTests, KVStoreTests, ChatStoreTests]
CLASSES = {
    "SimpleVectorStore": TestSimpleVectorStore,
    "SimpleDocumentStore": TestSimpleDocumentStore,
    "SimpleKVStore": TestSimpleKVStore,
    "SimpleChatStore": TestSimpleChatStore,
    "OSSVectorStore": TestOurVectorStore,
    "OSSVectorDocumentStore": TestOurDocumentStore,
}


def test_the_page_shows_each_difference_and_each_capability_and_no_other():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    shown_rows = [line for line in lines if line.startswith("|")]
    heads = {line for line in shown_rows if line.startswith("|---")}
    rows = [
        row
        for row, after in zip(shown_rows, [*shown_rows[1:], ""], strict=True)
        if row not in heads and after not in heads
    ]
    assert sorted(rows) == sorted(rows_of_page())


def test_the_example_of_the_page_is_a_suite_for_cores_store():
    names = {}
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(example, names)
    made = names["TestMyVectorStore"]
    assert issubclass(made, VectorStoreTests)
    assert made.lacks.keys() | OF_OLD_CORE.keys() == TestSimpleVectorStore.lacks.keys()


def test_every_suite_is_run_on_cores_store_and_on_ours_and_no_test_is_replaced():
    made = {n: one for n, one in globals().items() if n.startswith("Test") and n[4:7] in "SimOur"}
    for tests in testing.__all__:
        if tests not in {"StoreTests", "Subject"}:
            run = [name for name, one in made.items() if issubclass(one, getattr(testing, tests))]
            assert sorted(name[4:7] for name in run) == ["Our", "Sim"]
    own = {name for one in made.values() for name in vars(one) if name.startswith("test_")}
    assert own == set()
