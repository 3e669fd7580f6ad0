"""What is kept of documents: hashes and nodes, deletion without a search, nodes without vectors."""

import pytest
from llama_index.core import (
    DocumentSummaryIndex,
    StorageContext,
    SummaryIndex,
    VectorStoreIndex,
    load_index_from_storage,
)
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import HierarchicalNodeParser, SentenceSplitter, get_leaf_nodes
from llama_index.core.retrievers import AutoMergingRetriever
from llama_index.core.schema import (
    Document,
    ImageNode,
    IndexNode,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters
from support.embedded import embedded
from support.llama_nodes import text_node
from support.promises import sized

from oss_vector_retriever import emulator
from oss_vector_retriever.llama_index import (
    OSSVectorDocumentStore,
    OSSVectorIndexStore,
    OSSVectorStore,
)

MODEL = MockEmbedding(embed_dim=4)


@pytest.fixture
def list_filter():
    return "honoured"


@pytest.fixture
def behaviour(list_filter):
    return emulator.Behaviour(order="shuffled", seed=7, list_filter=list_filter)


@pytest.fixture
def client(service):
    """Give a client of a service without any index."""
    with embedded(service) as client:
        yield client


def context_of(client):
    return StorageContext.from_defaults(
        vector_store=OSSVectorStore(client),
        docstore=OSSVectorDocumentStore(client),
        index_store=OSSVectorIndexStore(client),
    )


def document(n, text=None):
    return Document(id_=f"d{n}", text=text or f"text of {n}", metadata={"n": n})


def stored(client):
    """Return the ids of all nodes in the index."""
    return sorted(node.node_id for node in OSSVectorStore(client).get_nodes())


def rows(client):
    """Return the keys in the side index."""
    return sorted(vector.key for vector in client.iter_vectors(index="vectorsside"))


def splitter():
    return SentenceSplitter(
        chunk_size=20, chunk_overlap=0, id_func=lambda n, parent: f"{parent.id_}-{n}"
    )


def build(client, texts=3, **options):
    return VectorStoreIndex.from_documents(
        [document(n) for n in range(texts)],
        storage_context=context_of(client),
        embed_model=MODEL,
        transformations=[splitter()],
        **options,
    )


def test_documents_are_known_to_another_process(client, another_process):
    build(client)
    other = another_process()
    index = load_index_from_storage(
        context_of(other), embed_model=MODEL, transformations=[splitter()]
    )
    changed = [document(0), document(1, "another"), document(2), document(3)]
    assert index.refresh_ref_docs(changed) == [False, True, False, True]
    assert stored(other) == ["d0-0", "d1-0", "d2-0", "d3-0"]
    assert index.docstore.get_ref_doc_info("d1").node_ids == ["d1-0"]
    assert index.docstore.get_all_ref_doc_info()["d3"].metadata == {"n": 3}
    index.insert(document(4))
    index.update_ref_doc(document(4, "again"))
    assert index.refresh_ref_docs([document(4, "again")]) == [False]
    for n in range(5):
        index.delete_ref_doc(f"d{n}", delete_from_docstore=True)
    index.storage_context.index_store.delete_index_struct(index.index_id)
    assert (stored(other), rows(other)) == ([], [])


async def test_documents_are_known_to_another_process_when_awaited(client, another_process):
    index = build(client)
    await index.ainsert(document(3))
    other = another_process()
    index = load_index_from_storage(
        context_of(other), embed_model=MODEL, transformations=[splitter()]
    )
    changed = [document(0), document(1, "another"), document(3)]
    assert await index.arefresh_ref_docs(changed) == [False, True, False]
    await index.adelete_ref_doc("d0", delete_from_docstore=True)
    assert stored(other) == ["d1-0", "d2-0", "d3-0"]
    assert await index.docstore.aget_document_hash("d0") is None
    assert (await index.docstore.aget_ref_doc_info("d3")).node_ids == ["d3-0"]


@pytest.mark.parametrize("list_filter", ["honoured", "ignored", "refused"])
def test_nodes_that_no_row_names_are_found_and_no_others_deleted(client, another_process):
    # as an earlier release wrote them, or a process that knew of no document store
    store = OSSVectorStore(client, side_index=False)
    store.add([text_node(f"n{n}", of=f"d{n % 3}") for n in range(12)])
    docstore = OSSVectorDocumentStore(another_process())
    info = docstore.get_ref_doc_info("d1")
    assert sorted(info.node_ids) == ["n1", "n10", "n4", "n7"]
    docstore.set_document_hash("d1", "h")
    assert sorted(docstore.get_ref_doc_info("d1").node_ids) == ["n1", "n10", "n4", "n7"]
    OSSVectorStore(another_process()).add([text_node("more", of="d1")])
    OSSVectorDocumentStore(another_process()).delete_ref_doc("d1")
    assert stored(client) == sorted(f"n{n}" for n in range(12) if n % 3 != 1)
    assert rows(client) == []
    OSSVectorStore(another_process()).delete("d2")
    assert stored(client) == sorted(f"n{n}" for n in range(12) if n % 3 == 0)
    with pytest.raises(ValueError, match="'d1' not found"):
        docstore.delete_ref_doc("d1")


@pytest.mark.parametrize("list_filter", ["honoured", "ignored"])
def test_a_row_that_is_not_whole_is_completed(client, another_process):
    OSSVectorStore(client, side_index=False).add([text_node("old", of="d")])
    # what makes the side index is one thing, what finds it, made after the index, another
    for key in ("other", "d"):
        OSSVectorDocumentStore(another_process()).set_document_hash(key, "h")
    OSSVectorStore(another_process()).add([text_node("new", of="d")])
    info = OSSVectorDocumentStore(another_process()).get_ref_doc_info("d")
    assert sorted(info.node_ids) == ["new", "old"]


def test_a_small_document_of_many_goes_in_three_calls(client, another_process, operations):
    OSSVectorDocumentStore(client).set_document_hash("d0", "h")
    count = sized(300, 100_000)
    nodes = [text_node(f"n{n}", of=f"d{n // 3}") for n in range(count)]
    OSSVectorStore(client).add(nodes)
    whole = OSSVectorDocumentStore(another_process())
    operations.clear()
    whole.delete_ref_doc("d7")
    counted = [name for name in operations if name != "getVectorIndex"]
    # the row, its nodes, both deletions; a vector store that knows the row needs no first call
    assert counted == ["getVectors", "getVectors", "deleteVectors", "deleteVectors"]
    assert len(stored(client)) == count - 3
    # one that has read the row, as core does before it deletes a document, needs no first call
    known = OSSVectorDocumentStore(another_process())
    assert known.get_document_hash("d8") is None
    operations.clear()
    OSSVectorStore(known.client).delete("d8")
    assert operations == ["getVectors", "deleteVectors", "deleteVectors"]


def test_without_a_document_store_it_takes_a_listing_and_a_deletion(
    client, another_process, operations
):
    nodes = [text_node(f"n{n}", of=f"d{n // 3}") for n in range(sized(300, 100_000))]
    OSSVectorStore(client).add(nodes)
    store = OSSVectorStore(another_process())
    operations.clear()
    VectorStoreIndex.from_vector_store(store, embed_model=MODEL).delete_ref_doc("d7")
    # the look is for a side index, once in five minutes
    assert operations == ["getVectorIndex", "listVectors", "deleteVectors"]
    assert len(stored(client)) == len(nodes) - 3


def test_a_node_that_another_document_has_taken_over_stays(client, another_process):
    context = context_of(client)
    context.docstore.set_document_hash("one", "h")
    context.vector_store.add([text_node("a", of="one"), text_node("b", of="one")])
    # written by what knows nothing of rows
    OSSVectorStore(client, side_index=False).add([text_node("b", of="two")])
    OSSVectorStore(another_process()).delete("one")
    assert stored(client) == ["b"]


def test_a_node_that_is_added_first_moves_when_its_vector_is_written(client, another_process):
    context = context_of(client)
    bare = [node.model_copy(update={"embedding": None}) for node in (text_node("a", of="d"),)]
    alone = Document(id_="alone", text="x")
    context.docstore.add_documents([*bare, alone])
    assert context.docstore.get_nodes(["alone", "a"]) == [alone, *bare]
    assert context.docstore.get_ref_doc_info("d").node_ids == ["a"]
    other = OSSVectorStore(another_process())
    other.add([text_node("a", of="d"), alone.model_copy(update={"embedding": [1.0] * 4})])
    assert [key for key in rows(client) if key.startswith("node/")] == []
    assert context.docstore.get_nodes(["alone", "a"]) == [alone, *bare]
    assert OSSVectorDocumentStore(another_process()).get_ref_doc_info("d").node_ids == ["a"]
    OSSVectorDocumentStore(another_process()).delete_ref_doc("d")
    assert stored(client) == ["alone"]


def test_both_indexes_are_asked_at_once(client, service):
    context = context_of(client)
    context.docstore.add_documents([Document(id_="kept", text="x")])
    context.vector_store.add([text_node("a")])
    service.gets.clear()
    found = context.docstore.get_nodes(["a", "kept", "gone"], raise_error=False)
    assert [node.node_id for node in found] == ["a", "kept"]
    assert len(service.gets) == 2


def test_a_document_is_deleted_with_what_is_kept_of_it(client, another_process):
    docstore = OSSVectorDocumentStore(client)
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="d")}
    parts = [TextNode(id_=f"p{n}", text="x", relationships=source) for n in range(3)]
    docstore.add_documents([Document(id_="d", text="x"), *parts])
    docstore.delete_document("p0")
    assert OSSVectorDocumentStore(another_process()).get_ref_doc_info("d").node_ids == ["p1", "p2"]
    docstore = OSSVectorDocumentStore(another_process())
    docstore.delete_ref_doc("d")
    assert docstore.get_nodes(["d", "p1", "p2"], raise_error=False) == []
    assert rows(client) == []
    docstore.add_documents(parts)
    for part in parts:
        docstore.delete_document(part.node_id)
    assert rows(client) == []


def test_emptied_by_its_store_an_index_has_no_documents(client, another_process):
    index = build(client)
    index.vector_store.clear()
    other = OSSVectorDocumentStore(another_process())
    assert other.get_all_document_hashes() == {}
    assert other.get_document_hash("d1") is None
    assert [key for key in rows(client) if not key.startswith("value/")] == []


def test_a_document_whose_row_has_parts_is_deleted_whole(client, another_process):
    OSSVectorDocumentStore(client).set_document_hash("d", "h")
    store = OSSVectorStore(client)
    for start in range(0, 200, 100):
        store.add([text_node(f"{'n' * 400}{n}", of="d") for n in range(start, start + 100)])
    assert any(key.startswith("part/") for key in rows(client))
    store.add([text_node("other", of="other")])
    OSSVectorStore(another_process()).delete("d")
    assert stored(client) == ["other"]
    assert rows(client) == []


def test_nodes_of_a_document_are_listed_by_a_filter(client):
    store = OSSVectorStore(client)
    store.add([text_node(f"n{n}", of=f"d{n % 2}") for n in range(4)])
    of_one = MetadataFilters(filters=[MetadataFilter(key="ref_doc_id", value="d1")])
    assert sorted(node.node_id for node in store.get_nodes(filters=of_one)) == ["n1", "n3"]


def test_a_summary_index_keeps_its_nodes_here(client, another_process):
    texts = [Document(id_=f"d{n}", text="A sentence of some words. " * 20) for n in range(2)]
    index = SummaryIndex.from_documents(
        texts, storage_context=context_of(client), transformations=[splitter()]
    )
    other = another_process()
    loaded = load_index_from_storage(context_of(other), index.index_id)
    found = loaded.as_retriever().retrieve("all")
    assert len(found) == len(index.index_struct.nodes) > 4
    assert set(loaded.ref_doc_info) == {"d0", "d1"}
    loaded.delete_ref_doc("d0", delete_from_docstore=True)
    assert set(loaded.ref_doc_info) == {"d1"}
    loaded.delete_ref_doc("d1", delete_from_docstore=True)
    loaded.storage_context.index_store.delete_index_struct(index.index_id)
    assert rows(other) == []


def test_a_document_summary_index_keeps_its_nodes_here(client, another_process):
    texts = [Document(id_=f"d{n}", text="A sentence of some words. " * 20) for n in range(2)]
    options = {"llm": MockLLM(max_tokens=5), "embed_model": MODEL}
    index = DocumentSummaryIndex.from_documents(
        texts, storage_context=context_of(client), transformations=[splitter()], **options
    )
    other = another_process()
    loaded = load_index_from_storage(context_of(other), index.index_id, **options)
    assert loaded.get_document_summary("d1") == index.get_document_summary("d1")
    found = loaded.as_retriever(similarity_top_k=2).retrieve("all")
    assert {one.node.ref_doc_id for one in found} == {"d0", "d1"}
    loaded.delete_ref_doc("d0", delete_from_docstore=True)
    loaded.delete_ref_doc("d1", delete_from_docstore=True)
    loaded.storage_context.index_store.delete_index_struct(index.index_id)
    assert (stored(other), rows(other)) == ([], [])


def test_auto_merging_by_the_frameworks_own_recipe(client, another_process):
    parser = HierarchicalNodeParser.from_defaults(chunk_sizes=[256, 64, 32], chunk_overlap=0)
    nodes = parser.get_nodes_from_documents(
        [Document(id_="d", text="Some words of a text. " * 100)]
    )
    leaves = get_leaf_nodes(nodes)
    context = context_of(client)
    context.docstore.add_documents(nodes)
    VectorStoreIndex(leaves, storage_context=context, embed_model=MODEL)
    assert len(rows(client)) < len(nodes)  # the leaves have moved
    context = context_of(another_process())
    index = load_index_from_storage(context, embed_model=MODEL)
    base = index.as_retriever(similarity_top_k=30)
    merged = AutoMergingRetriever(base, context).retrieve("words")
    assert any(one.node.node_id not in {leaf.node_id for leaf in leaves} for one in merged)


def test_index_and_image_nodes_stand_once(client):
    nodes = [
        IndexNode(id_="i", text="see", index_id="t"),
        ImageNode(id_="p", text="shown", image_url="http://x.test/a.png"),
    ]
    context = context_of(client)
    VectorStoreIndex(nodes, storage_context=context, embed_model=MODEL)
    assert stored(client) == ["i", "p"]
    assert [key for key in rows(client) if key.startswith("node/")] == []
    assert {type(node) for node in context.docstore.get_nodes(["i", "p"])} == {IndexNode, ImageNode}


def test_the_case_of_the_insert_that_raised(client):
    index = VectorStoreIndex(nodes=[], storage_context=context_of(client), embed_model=MODEL)
    index.insert(Document(text="hello", id_="d1"))
    assert index.refresh_ref_docs([Document(text="hello", id_="d1")]) == [False]
    index.update_ref_doc(Document(text="hello", id_="d1"))
    assert len(OSSVectorStore(client).get_nodes()) == 1


def test_a_store_alone_makes_no_side_index(client):
    store = OSSVectorStore(client)
    store.add([text_node("a", of="d")])
    store.delete("d")
    assert [index.index_name for index in client.list_vector_indexes().indexes] == ["vectors"]
