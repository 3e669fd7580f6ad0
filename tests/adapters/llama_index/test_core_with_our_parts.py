"""Core's own components with these parts inside."""

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.indices.vector_store import VectorIndexRetriever
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.postprocessor import PrevNextNodePostprocessor, SimilarityPostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import AutoMergingRetriever, QueryFusionRetriever
from llama_index.core.schema import Document, IndexNode, NodeRelationship, RelatedNodeInfo, TextNode

from oss_vector_retriever.llama_index import (
    KeyQueryBundle,
    OSSVectorAutoMergingRetriever,
    OSSVectorDocumentStore,
    OSSVectorNodeMapping,
    OSSVectorPrevNextPostprocessor,
    OSSVectorRehydrationPostprocessor,
    OSSVectorRetriever,
    OSSVectorStore,
    StoredEmbeddingMMRPostprocessor,
    StoredEmbeddingRescorer,
)


@pytest.fixture
def story(client, put_records):
    """Store a parent with four parts that follow one another."""
    parts = [TextNode(id_=f"p{n}", text=f"part {n}") for n in range(4)]
    whole = TextNode(id_="whole", text="part 0 part 1 part 2 part 3")
    link = [RelatedNodeInfo(node_id=part.node_id) for part in parts]
    whole.relationships[NodeRelationship.CHILD] = link
    for place, part in enumerate(parts):
        part.relationships[NodeRelationship.PARENT] = RelatedNodeInfo(node_id="whole")
        if place:
            part.relationships[NodeRelationship.PREVIOUS] = link[place - 1]
        if place < 3:
            part.relationships[NodeRelationship.NEXT] = link[place + 1]
    put_records(whole, *parts)
    return client


def ids(found):
    return [one.node_id for one in found]


def test_a_storage_context_takes_the_docstore_and_persists_around_it(story, tmp_path):
    docstore = OSSVectorDocumentStore(story)
    context = StorageContext.from_defaults(docstore=docstore)
    assert context.docstore is docstore
    index = VectorStoreIndex(
        nodes=[], storage_context=context, embed_model=MockEmbedding(embed_dim=4)
    )
    assert index.docstore is docstore
    context.persist(str(tmp_path))


def test_an_index_writes_its_nodes_there_and_retrieves_with_one_fetch(story, service):
    docstore = OSSVectorDocumentStore(story)
    context = StorageContext.from_defaults(docstore=docstore)
    model = MockEmbedding(embed_dim=4)
    nodes = [TextNode(id_=f"p{n}", text=f"new part {n}") for n in range(3)]
    index = VectorStoreIndex(nodes=nodes, storage_context=context, embed_model=model)
    assert docstore.get_document("p0").text == "new part 0"
    service.gets.clear()
    found = VectorIndexRetriever(index, similarity_top_k=3, embed_model=model).retrieve("q")
    assert sorted(one.text for one in found) == ["new part 0", "new part 1", "new part 2"]
    assert len(service.gets) == 2  # of both indexes, at once


def test_cores_auto_merging_retriever_climbs_our_docstore(story):
    context = StorageContext.from_defaults(docstore=OSSVectorDocumentStore(story))
    merging = AutoMergingRetriever(OSSVectorRetriever(story, keys=["p0", "p1", "p2"]), context)
    assert ids(merging.retrieve("q")) == ["whole"]


def test_cores_neighbours_come_from_our_docstore(story):
    found = OSSVectorRetriever(story).retrieve("p1")
    processor = PrevNextNodePostprocessor(docstore=OSSVectorDocumentStore(story), mode="both")
    assert ids(processor.postprocess_nodes(found)) == ["p0", "p1", "p2"]


def engine(client, *processors):
    return RetrieverQueryEngine.from_args(
        OSSVectorRetriever(client), llm=MockLLM(), node_postprocessors=list(processors)
    )


def processors(client):
    return (
        OSSVectorPrevNextPostprocessor(client=client, num_nodes=2, mode="both"),
        OSSVectorRehydrationPostprocessor(client=client),
        SimilarityPostprocessor(similarity_cutoff=0.5),
        StoredEmbeddingMMRPostprocessor(client=client, top_n=3),
        StoredEmbeddingRescorer(client=client),
    )


QUESTION = KeyQueryBundle("what?", keys=["p1"], embedding=[1.0, 2.0, 0.25, -2.0])


def test_a_query_engine_takes_all_postprocessors(story):
    response = engine(story, *processors(story)).query(QUESTION)
    assert len(response.source_nodes) == 3
    assert response.source_nodes[0].node_id == "p1"


async def test_a_query_engine_takes_all_postprocessors_when_awaited(story):
    response = await engine(story, *processors(story)).aquery(QUESTION)
    assert len(response.source_nodes) == 3
    assert response.source_nodes[0].node_id == "p1"


async def test_fusion_joins_merged_and_plain_hits(story):
    merging = OSSVectorAutoMergingRetriever(
        OSSVectorRetriever(story, keys=["p0", "p1", "p2"]), story
    )
    fusion = QueryFusionRetriever(
        [merging, OSSVectorRetriever(story, keys=["p3"])], llm=MockLLM(), num_queries=1
    )
    assert sorted(ids(await fusion.aretrieve("q"))) == ["p3", "whole"]


def test_provenance_does_not_keep_fusion_from_seeing_that_nodes_are_one(story):
    sourced = OSSVectorRetriever(story, keys=["p0"], provenance=True)
    plain = OSSVectorRetriever(story, keys=["p0"])
    nodes = [one.retrieve("q")[0].node for one in (sourced, plain)]
    assert nodes[0].hash == nodes[1].hash


def test_a_pipelines_documents_without_vectors_are_kept(client):
    pipeline = IngestionPipeline(
        transformations=[],
        docstore=OSSVectorDocumentStore(client),
        docstore_strategy=DocstoreStrategy.DUPLICATES_ONLY,
    )
    document = Document(id_="d", text="x")
    assert pipeline.run(documents=[document, Document(id_="twin", text="x")]) == [document]
    assert pipeline.run(documents=[Document(id_="d", text="x")]) == []
    assert OSSVectorDocumentStore(client).get_document("d") == document


def test_store_and_docstore_share_one_index_index_nodes_included(client):
    store = OSSVectorStore(client=client)
    context = StorageContext.from_defaults(
        vector_store=store, docstore=OSSVectorDocumentStore(client)
    )
    model = MockEmbedding(embed_dim=4)
    nodes = [TextNode(id_="t", text="text"), IndexNode(id_="i", text="see", index_id="t")]
    index = VectorStoreIndex(nodes=nodes, storage_context=context, embed_model=model)
    assert client.fetch(["t", "i"]).missing == ()
    found = index.docstore.get_nodes(["i", "t"])
    assert [type(node) for node in found] == [IndexNode, TextNode]
    assert found[0].index_id == "t"
    mapping = OSSVectorNodeMapping(client)
    retriever = VectorIndexRetriever(
        index, similarity_top_k=2, embed_model=model, object_map=mapping, node_ids=["i", "t"]
    )
    assert ids(retriever.retrieve("q")) == ["t"]
