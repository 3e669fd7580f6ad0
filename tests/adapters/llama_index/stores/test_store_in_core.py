"""Core's own components with the store inside."""

import asyncio

import pytest
from llama_index.core import MockEmbedding, PromptTemplate, StorageContext, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.indices import load_index_from_storage
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document, ImageNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import MetadataFilters
from pydantic import Field
from support.llama_nodes import every_class, filters, ids, where

from oss_vector_retriever.llama_index import OSSVectorStore


class Spelled(BaseEmbedding):
    """Embed a text by how often four letters stand in it; count the texts."""

    seen: list[str] = Field(default_factory=list)

    def _get_text_embedding(self, text):
        self.seen.append(text)
        return [text.count(letter) + 0.25 for letter in "abcd"]

    def _get_query_embedding(self, query):
        return [query.count(letter) + 0.25 for letter in "abcd"]

    async def _aget_query_embedding(self, query):
        return self._get_query_embedding(query)


TEXTS = {"one": "a aa aaa", "two": "bb b bbb", "three": "c cc ccc a"}


def documents():
    return [Document(id_=f"doc {n}", text=t, metadata={"n": n}) for n, t in TEXTS.items()]


@pytest.fixture
def store(client):
    return OSSVectorStore(client, index="nodes", filterable=["n"])


@pytest.fixture
def index(store):
    context = StorageContext.from_defaults(vector_store=store)
    return VectorStoreIndex.from_documents(
        documents(), storage_context=context, embed_model=Spelled()
    )


def texts(found):
    return [one.node.get_content() for one in found]


def test_an_index_made_from_documents_retrieves_them(index):
    assert texts(index.as_retriever(similarity_top_k=1).retrieve("bbb")) == [TEXTS["two"]]
    found = index.as_retriever(similarity_top_k=3).retrieve("aa")
    assert texts(found)[0] == TEXTS["one"]
    assert found[0].score > found[1].score > found[2].score


@pytest.mark.usefixtures("index")
async def test_an_index_over_a_store_that_is_there_retrieves_from_it(store):
    index = VectorStoreIndex.from_vector_store(store, embed_model=Spelled())
    assert index.vector_store is store
    assert texts(await index.as_retriever(similarity_top_k=1).aretrieve("cc")) == [TEXTS["three"]]


def test_the_retriever_searches_with_variety(index):
    retriever = index.as_retriever(
        vector_store_query_mode="mmr",
        similarity_top_k=2,
        vector_store_kwargs={"mmr_threshold": 0.0, "mmr_prefetch_k": 3},
    )
    assert texts(retriever.retrieve("aa")) == [TEXTS["one"], TEXTS["two"]]
    assert texts(asyncio.run(retriever.aretrieve("aa"))) == [TEXTS["one"], TEXTS["two"]]


def test_the_retriever_takes_filters(index):
    two = MetadataFilters(filters=[where("n", "!=", "one"), where("n", "!=", "three")])
    assert texts(index.as_retriever(filters=two, similarity_top_k=3).retrieve("a")) == [
        TEXTS["two"]
    ]


def test_a_query_engine_answers_from_the_nodes(index):
    prompt = PromptTemplate("CONTEXT {context_str} END {query_str}")
    engine = index.as_query_engine(llm=MockLLM(), text_qa_template=prompt, similarity_top_k=1)
    response = engine.query("bb")
    assert TEXTS["two"] in str(response)
    assert "embedding" not in str(response)


def test_documents_are_deleted_and_updated_through_the_index(index, store):
    index.delete_ref_doc("doc one")
    assert {node.ref_doc_id for node in store.get_nodes()} == {"doc two", "doc three"}
    index.update_ref_doc(Document(id_="doc two", text="d d d"))
    assert sorted(node.text for node in store.get_nodes()) == [TEXTS["three"], "d d d"]


def test_nodes_of_every_class_are_retrieved_through_an_index(store):
    """Core bug, llama-index.md 2c: it restricts its retriever to the image and index nodes."""
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex(every_class(), storage_context=context, embed_model=Spelled())
    assert set(index.index_struct.nodes_dict.values()) == {"image", "index"}
    found = index.as_retriever(similarity_top_k=5).retrieve("a")
    assert {one.node_id for one in found} == {node.node_id for node in every_class()}


def test_a_list_of_image_nodes_that_a_caller_means_is_a_restriction(store):
    nodes = [ImageNode(id_=n, text=n, embedding=[1.0, 1, 1, 1], image_url="x") for n in "pqr"]
    store.add([*nodes, *every_class()])
    index = VectorStoreIndex.from_vector_store(store, embed_model=Spelled())
    retriever = index.as_retriever(similarity_top_k=5)
    retriever._node_ids = ["p", "q"]
    assert {one.node_id for one in retriever.retrieve("a")} == {"p", "q"}


def test_an_index_that_was_persisted_can_be_told_to_ignore_its_ids(store, client, tmp_path):
    context = StorageContext.from_defaults(vector_store=store)
    VectorStoreIndex(every_class(), storage_context=context, embed_model=Spelled())
    context.persist(str(tmp_path))
    again = OSSVectorStore(client, index="nodes")
    loaded = StorageContext.from_defaults(vector_store=again, persist_dir=str(tmp_path))
    index = load_index_from_storage(loaded, embed_model=Spelled())
    options = {"vector_store_kwargs": {"honour_node_ids": False}}
    assert len(index.as_retriever(similarity_top_k=5, **options).retrieve("a")) == 5


def test_a_storage_context_keeps_an_empty_store(store):
    """A store with a length of 0 would be replaced by core's own in memory."""
    assert not hasattr(store, "__len__")
    assert StorageContext.from_defaults(vector_store=store).vector_store is store


def pipeline(store, **options):
    model = Spelled(seen=[])
    steps = [SentenceSplitter(chunk_size=64, chunk_overlap=0), model]
    return model, IngestionPipeline(transformations=steps, vector_store=store, **options)


def test_an_ingestion_pipeline_writes_to_the_store(store):
    _, made = pipeline(store)
    nodes = made.run(documents=documents())
    assert sorted(ids(store.get_nodes())) == sorted(ids(nodes))
    assert {node.ref_doc_id for node in store.get_nodes()} == {f"doc {n}" for n in TEXTS}


async def test_it_does_so_in_async_runs(store):
    _, made = pipeline(store)
    nodes = await made.arun(documents=documents())
    assert sorted(ids(await store.aget_nodes())) == sorted(ids(nodes))


def test_a_pipeline_with_a_docstore_and_a_cache_replaces_what_changed(store):
    options = {"docstore": SimpleDocumentStore(), "cache": IngestionCache()}
    model, made = pipeline(store, **options)
    made.run(documents=documents())
    made.run(documents=documents())
    assert len(model.seen) == 3
    made.run(documents=[Document(id_="doc one", text="d d d d", metadata={"n": "one"})])
    assert len(model.seen) == 4
    one = store.get_nodes(filters=filters(where("n", "==", "one")))
    assert [node.text for node in one] == ["d d d d"]
    assert len(store.get_nodes()) == 3


def test_mock_embeddings_of_core_do(client):
    store = OSSVectorStore(client, index="mock")
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex.from_documents(
        documents(), storage_context=context, embed_model=MockEmbedding(embed_dim=8)
    )
    assert len(index.as_retriever(similarity_top_k=5).retrieve("x")) == 3
