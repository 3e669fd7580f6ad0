"""What holds for every class: its base, name, dict, pickle, secrecy, own async methods."""

import copy
import inspect
import json
import pickle

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.readers.base import BasePydanticReader, ResourcesReaderMixin
from llama_index.core.schema import (
    BaseComponent,
    NodeWithScore,
    QueryBundle,
    TextNode,
    TransformComponent,
)
from llama_index.core.storage.chat_store.base import BaseChatStore
from llama_index.core.storage.docstore.types import BaseDocumentStore
from llama_index.core.storage.index_store.keyval_index_store import KVIndexStore
from llama_index.core.storage.kvstore.types import BaseKVStore
from llama_index.core.tools.tool_spec.base import BaseToolSpec
from support.llama_nodes import every_class

from oss_vector_retriever import OSSVectorClient, llama_index

SECRET = "do-not-tell-anybody"
BASES = {
    "KeyQueryBundle": QueryBundle,
    "NodeWithProvenance": NodeWithScore,
    "OSSVectorAutoMergingRetriever": BaseRetriever,
    "OSSVectorChatStore": BaseChatStore,
    "OSSVectorDocumentStore": BaseDocumentStore,
    "OSSVectorIndexStore": KVIndexStore,
    "OSSVectorKVStore": BaseKVStore,
    "OSSVectorNodeMapping": object,
    "OSSVectorPrefetchingRetriever": BaseRetriever,
    "OSSVectorPrevNextPostprocessor": BaseNodePostprocessor,
    "OSSVectorReader": BasePydanticReader,
    "OSSVectorRehydrationPostprocessor": BaseNodePostprocessor,
    "OSSVectorRetriever": BaseRetriever,
    "OSSVectorToolSpec": BaseToolSpec,
    "ReuseStoredEmbeddings": TransformComponent,
    "StoredEmbeddingDedupPostprocessor": BaseNodePostprocessor,
    "StoredEmbeddingMMRPostprocessor": BaseNodePostprocessor,
    "StoredEmbeddingRescorer": BaseNodePostprocessor,
}
CLASSES = {name: getattr(llama_index, name) for name in BASES}
COMPONENTS = [
    kind
    for kind in CLASSES.values()
    if issubclass(kind, BaseComponent) and not issubclass(kind, NodeWithScore)
]
READING = [kind for kind in COMPONENTS if "node_classes" in kind.model_fields]
# Core's way through public methods that rest on what is ours, or that are not about fetching.
CORES_OWN = {
    "aretrieve",
    "_aretrieve_from_object",
    "_ahandle_recursive_retrieval",
    "apostprocess_nodes",
    "aget_node",
    "to_tool_list_async",
    # of a key-value store, which is ours
    "async_add_index_struct",
    "async_index_structs",
    "aget_index_struct",
    "adelete_index_struct",
}


@pytest.fixture
def secretive():
    """Give a client whose credentials must not be found anywhere."""
    with OSSVectorClient(
        bucket="examplebucket",
        account_id="123456",
        region="cn-hangzhou",
        index="vectorindex1",
        credentials=("id-of-the-key", SECRET),
    ) as client:
        yield client


def made(name, client):
    if name == "KeyQueryBundle":
        return CLASSES[name]("q", keys=["a"])
    if name == "NodeWithProvenance":
        return CLASSES[name](node=TextNode(id_="a"), key="a")
    if name == "OSSVectorAutoMergingRetriever":
        return CLASSES[name](llama_index.OSSVectorRetriever(client), client)
    if name == "OSSVectorPrefetchingRetriever":
        mapping = llama_index.OSSVectorNodeMapping(client)
        return CLASSES[name](llama_index.OSSVectorRetriever(client), mapping)
    return CLASSES[name](client=client)


@pytest.mark.parametrize("name", BASES)
def test_it_derives_from_cores_base(name):
    assert BASES[name] in CLASSES[name].__mro__
    assert inspect.getdoc(CLASSES[name])
    assert not inspect.isabstract(CLASSES[name])


def test_a_reader_has_resources():
    assert issubclass(llama_index.OSSVectorReader, ResourcesReaderMixin)


def test_names_for_serialisation_are_its_own_and_stay_those_of_a_class_made_from_it():
    assert sorted(kind.class_name() for kind in COMPONENTS) == [
        "OSSVectorsChatStore",
        "OSSVectorsPrevNextPostprocessor",
        "OSSVectorsReader",
        "OSSVectorsRehydrationPostprocessor",
        "OSSVectorsReuseStoredEmbeddings",
        "OSSVectorsStoredEmbeddingDedupPostprocessor",
        "OSSVectorsStoredEmbeddingMMRPostprocessor",
        "OSSVectorsStoredEmbeddingRescorer",
    ]
    for kind in COMPONENTS:
        assert type("Own", (kind,), {"__module__": __name__}).class_name() == kind.class_name()


@pytest.mark.parametrize("kind", COMPONENTS)
def test_a_dict_makes_an_equal_one(kind, secretive):
    more = {"text_key": "body"} if kind in READING else {"side_index": "beside"}
    thing = kind(client=secretive, index="other", **more)
    written = thing.to_dict()
    again = kind.from_dict(json.loads(json.dumps(written)))
    assert again.to_dict() == written
    assert (again.index, again.client) == ("other", None)
    assert {name: getattr(again, name) for name in more} == more


@pytest.mark.parametrize("name", BASES)
def test_a_pickle_makes_one_like_it_and_leaves_the_original_whole(name, secretive):
    thing = made(name, secretive)
    packed = pickle.dumps(thing)
    assert type(pickle.loads(packed)) is CLASSES[name]
    assert SECRET.encode() not in packed
    assert b"id-of-the-key" not in packed
    if hasattr(thing, "client"):
        assert thing.client is secretive
    if hasattr(thing, "_clients"):
        assert thing._clients.given is secretive


@pytest.mark.parametrize("node", every_class(), ids=lambda node: node.class_name())
def test_provenance_comes_back_from_a_dict_with_its_node(node):
    """Core's own `NodeWithScore.from_dict` cannot make the node."""
    kind = llama_index.NodeWithProvenance
    sourced = kind(node=node, score=0.5, bucket="b", index="i", key="k", format="text", position=3)
    again = kind.from_dict(json.loads(sourced.to_json()))
    assert again == sourced
    assert type(again.node) is type(node)
    assert kind.from_dict(sourced.to_dict(), score=1.0).score == 1.0


def test_provenance_comes_back_with_a_node_of_your_own_class():
    sourced = llama_index.NodeWithProvenance(node=Marked(id_="a", mark="mine"))
    again = llama_index.NodeWithProvenance.from_dict(sourced.to_dict(), node_classes=[Marked])
    assert again.node == sourced.node


class Marked(TextNode):
    mark: str = "own"

    @classmethod
    def class_name(cls):
        return "Marked"


@pytest.mark.parametrize("kind", [*READING, llama_index.OSSVectorStore])
def test_a_dict_keeps_your_own_node_classes(kind):
    written = kind(node_classes=[Marked]).to_dict()
    again = kind.from_dict(json.loads(json.dumps(written)))
    assert again.node_classes == (Marked,)
    assert again.to_dict() == written


def test_a_node_class_that_is_not_imported_is_named_and_can_be_given():
    written = llama_index.OSSVectorReader().to_dict() | {"node_classes": ["os.system"]}
    with pytest.raises(ValueError, match=r"os\.system is not loaded; import its module first"):
        llama_index.OSSVectorReader.from_dict(written)
    given = llama_index.OSSVectorReader.from_dict(written, node_classes=[Marked])
    assert given.node_classes == (Marked,)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("name", [*BASES, "OSSVectorStore"])
def test_a_copy_shares_the_client(name, how, secretive):
    thing = (
        llama_index.OSSVectorStore(secretive) if name == "OSSVectorStore" else made(name, secretive)
    )
    copied = how(thing)
    assert type(copied) is type(thing)
    assert copied is not thing
    if hasattr(thing, "_clients"):
        assert copied._clients.given is secretive
    if hasattr(thing, "retriever"):
        assert copied.retriever._clients.given is secretive


@pytest.mark.parametrize("deep", [False, True])
def test_a_components_copy_shares_its_model_and_nothing_that_changes(client, put, deep):
    put(["a"])
    model = MockEmbedding(embed_dim=4)
    reuse = llama_index.ReuseStoredEmbeddings(client=client, embed_model=model)
    copied = reuse.model_copy(deep=deep)
    assert copied.embed_model is model
    [found] = copied([TextNode(id_="a", text="text of a", metadata={"of": "a"})])
    assert found.embedding == [1.0, 0.0, 0.25, -2.0]


@pytest.mark.parametrize("deep", [False, True])
def test_a_stores_copy_has_the_settings_that_it_was_given(client, put, deep):
    put(["a"])
    store = llama_index.OSSVectorStore(client)
    bare = store.model_copy(update={"return_data": False}, deep=deep)
    assert bare.get_nodes(["a"])[0].embedding is None
    assert store.get_nodes(["a"])[0].embedding is not None


@pytest.mark.parametrize("name", BASES)
def test_no_secret_is_in_its_text_or_dict(name, secretive):
    thing = made(name, secretive)
    shown = [repr(thing), str(thing)]
    if isinstance(thing, BaseComponent):
        shown += [str(thing.to_dict()), thing.to_json(), str(thing.model_dump())]
    for text in shown:
        assert SECRET not in text
        assert "id-of-the-key" not in text


@pytest.mark.parametrize("kind", COMPONENTS)
def test_a_secret_under_a_wrong_name_does_not_come_back_in_the_error(kind):
    with pytest.raises(ValueError, match="secret_key") as refused:
        kind(secret_key=SECRET)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("name", BASES)
def test_every_async_method_is_ours(name):
    kind = CLASSES[name]
    for method, _ in inspect.getmembers(kind, inspect.iscoroutinefunction):
        owner = next(base for base in kind.__mro__ if method in vars(base))
        assert method in CORES_OWN or owner.__module__.startswith("oss_vector_retriever"), method


@pytest.mark.parametrize("name", BASES)
def test_it_is_true_whatever_it_holds(name, secretive):
    thing = made(name, secretive)
    assert thing
    assert name == "OSSVectorNodeMapping" or not hasattr(thing, "__len__")


def test_a_model_that_embeds_stays_out_of_dicts(secretive):
    model = MockEmbedding(embed_dim=4)
    for kind in COMPONENTS:
        if "embed_model" in kind.model_fields:
            assert "embed_model" not in kind(client=secretive, embed_model=model).to_dict()


def test_a_client_that_is_assigned_or_copied_in_is_the_one_used(client, put):
    put(["a"])
    reader = llama_index.OSSVectorReader()
    reader.client = client
    assert reader.load_data(["a"])[0].text == "text of a"
    copied = llama_index.OSSVectorReader().model_copy(update={"client": client})
    assert copied.load_data(["a"])[0].text == "text of a"
