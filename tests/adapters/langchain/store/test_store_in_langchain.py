"""LangChain's own parts with ours inside."""

import pytest

pytest.importorskip("langchain_classic")

from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_classic.retrievers import (
    ContextualCompressionRetriever,
    EnsembleRetriever,
    MultiVectorRetriever,
    ParentDocumentRetriever,
)
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from langchain_text_splitters import CharacterTextSplitter
from support.embedded import let_writes_grow_old

from oss_vector_retriever.langchain import (
    OSSVectorByteStore,
    OSSVectorDocStore,
    OSSVectorEmbeddingStore,
    OSSVectorFetcher,
    OSSVectorStore,
    ParentHydratingRetriever,
    StoredEmbeddingsFilter,
    StoredEmbeddingsRedundantFilter,
)


@pytest.fixture(params=["own index", "beside"])
def parents(request, client):
    if request.param == "beside":
        return OSSVectorDocStore(client=client, key_prefix="parent:")
    return OSSVectorDocStore(client=client, index="parents")


@pytest.fixture
def children(client, model):
    return OSSVectorStore(model, client=client, skip_rows=True)


def test_parents_come_back_for_children_in_two_calls(parents, children, client, service, call):
    retriever = ParentDocumentRetriever(
        vectorstore=children,
        docstore=parents,
        child_splitter=CharacterTextSplitter(separator="\n", chunk_size=3, chunk_overlap=0),
        search_kwargs={"k": 3},
    )
    documents = [
        Document(page_content="aaa\nbbb\nccc", metadata={"n": 1}),
        Document(page_content="ddd"),
    ]
    call(retriever, "add_documents", documents)
    let_writes_grow_old(client)
    service.seen.clear()
    found = call(retriever, "invoke", "bbb")
    assert found[0].page_content == "aaa\nbbb\nccc"
    assert found[0].metadata == {"n": 1}
    assert service.names() == ["queryVectors", "getVectors"]


def test_langchainjs_3006_scores_go_from_the_search_to_the_parents(client, model, service, call):
    store = OSSVectorStore(model, client=client, score_key="score", skip_rows=True)
    docstore = OSSVectorDocStore(client=client, key_prefix="parent:", dimension=5)
    docstore.mset([(key, Document(page_content=f"whole {key}")) for key in ("p", "q")])
    parts = {"a": "p", "ab": "q", "abb": "p"}
    store.add_texts([*parts], [{"parent_id": parent} for parent in parts.values()], ids=[*parts])
    retriever = ParentHydratingRetriever(
        retriever=store.as_retriever(search_kwargs={"k": 3}),
        client=client,
        key_prefix="parent:",
        order="best",
    )
    let_writes_grow_old(client)
    service.seen.clear()
    first, second = call(retriever, "invoke", "ab")
    assert (first.id, first.page_content) == ("q", "whole q")
    assert first.metadata["matches"]["best_score"] == pytest.approx(1.0)
    assert sorted(second.metadata["matches"]["children"]) == ["a", "abb"]
    assert 0.5 < second.metadata["matches"]["mean_score"] < 1.0
    assert service.names().count("getVectors") == service.names().count("queryVectors") == 1


def test_compressors_stand_in_langchains_pipelines(client, model, call):
    store = OSSVectorStore(model, client=client)
    store.add_texts(["a", "a", "ab", "abbbb"], ids=["one", "again", "near", "far"])
    pipeline = DocumentCompressorPipeline(
        transformers=[
            StoredEmbeddingsRedundantFilter(client=client),
            StoredEmbeddingsFilter(client=client, embedding=model, similarity_threshold=0.5),
        ]
    )
    retriever = ContextualCompressionRetriever(
        base_compressor=pipeline, base_retriever=store.as_retriever(search_kwargs={"k": 4})
    )
    model.calls.clear()
    found = [document.id for document in call(retriever, "invoke", "a")]
    assert sorted(found, key=len) in (["one", "near"], ["near", "again"])
    assert model.calls == [["a"], ["a"]]  # the query, for the search and for the filter


def test_fusion_keeps_ids_and_fetches_what_won(client, model, call):
    store = OSSVectorStore(model, client=client)
    store.add_texts(["a", "ab", "abb"], ids=["x", "y", "z"])
    fused = EnsembleRetriever(
        retrievers=[store.as_retriever(), RunnableLambda(lambda _: [Document("", id="z")])],
        id_key=None,
    )
    chain = fused | RunnableLambda(lambda found: [d.id for d in found][:2])
    winners = call(chain | OSSVectorFetcher(client=client), "invoke", "a")
    assert len(winners) == 2
    assert all(document.page_content for document in winners)


def test_multi_vector_retrieval_takes_the_byte_store(client, children, call):
    retriever = MultiVectorRetriever(
        vectorstore=children,
        byte_store=OSSVectorByteStore(client=client, index="parents"),
        id_key="of",
    )
    retriever.docstore.mset([("p", Document(page_content="whole"))])
    children.add_texts(["a"], [{"of": "p"}])
    assert [d.page_content for d in call(retriever, "invoke", "a")] == ["whole"]


@pytest.mark.parametrize("kind", ["embeddings", "bytes"])
def test_the_cache_of_embeddings_spares_the_model(client, model, call, kind):
    texts = ["a" * 2000, "b", "\n", "b"]
    if kind == "embeddings":
        store = OSSVectorEmbeddingStore(client=client, index="cache", hash_keys=True)
        cached = CacheBackedEmbeddings(model, store, query_embedding_store=store)
    else:
        store = OSSVectorByteStore(client=client, index="cache")
        cached = CacheBackedEmbeddings.from_bytes_store(
            model, store, namespace="letters", key_encoder="sha256", query_embedding_cache=True
        )
    first = call(cached, "embed_documents", texts)
    model.calls.clear()
    assert call(cached, "embed_documents", texts) == first
    assert call(cached, "embed_query", "b") == model.of("b")
    model.calls.clear()
    assert call(cached, "embed_query", "b") == model.of("b")
    assert model.calls == []
