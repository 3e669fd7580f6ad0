"""Defects of comparable integrations that could befall these classes, each by name.

Those of vector stores are in `stores/test_store_peer_defects.py`; what core does on a running loop
in `test_loops_and_threads.py`, a score of zero in `test_node_mapping.py`, MMR's last pick in
`test_stored_embeddings.py`.
"""

import asyncio
import threading

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.schema import (
    Document,
    IndexNode,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from support.llama_calls import awaited, things
from support.llama_events import recorded

from oss_vector_retriever.llama_index import (
    KeyQueryBundle,
    MissingKeysEvent,
    OSSVectorDocumentStore,
    OSSVectorNodeMapping,
    OSSVectorPrevNextPostprocessor,
    OSSVectorReader,
    OSSVectorRehydrationPostprocessor,
    OSSVectorRetriever,
    OSSVectorToolSpec,
    ReuseStoredEmbeddings,
)

MANY = [f"k{number}" for number in range(101)]


@pytest.fixture(autouse=True)
def _stored(put):
    put(["a", "b"])


def every_way(client, keys):
    """Return what each class answers for some keys."""
    hits = [NodeWithScore(node=TextNode(id_=key)) for key in keys]
    rehydration = OSSVectorRehydrationPostprocessor(client=client)
    mapping = OSSVectorNodeMapping(client)
    mapping.prefetch(keys)
    return {
        "retriever": [one.node for one in OSSVectorRetriever(client, keys=keys).retrieve("q")],
        "docstore": OSSVectorDocumentStore(client).get_nodes(keys),
        "reader": OSSVectorReader(client=client).load_data(keys),
        "mapping": [mapping[key] for key in keys],
        "rehydration": [one.node for one in rehydration.postprocess_nodes(hits)],
    }


def test_s3_4_over_100_keys_are_split(client, put, service):
    put(MANY)
    for nodes in every_way(client, MANY).values():
        assert [node.node_id for node in nodes] == MANY
    assert max(len(keys) for keys in service.gets) <= 100


def test_s3_6_embeddings_are_there_for_who_wants_them(client):
    found = every_way(client, ["a"])
    assert found["retriever"][0].embedding == found["reader"][0].embedding == [1.0, 0.0, 0.25, -2.0]


def test_s3_7_the_key_is_the_id_and_no_random_one(client):
    for nodes in every_way(client, ["a"]).values():
        assert nodes[0].node_id == "a"


def test_s3_8_and_9_foreign_records_among_ours_read_twice_the_same(client, put, put_records):
    put({"foreign": {"page_content": "theirs", "x": "1"}, "bare": None})
    put_records(TextNode(id_="ours", text="ours"))
    docstore = OSSVectorDocumentStore(client)
    for _ in range(2):
        texts = [node.text for node in docstore.get_nodes(["foreign", "ours", "bare"])]
        assert texts == ["theirs", "ours", ""]
    mapping = OSSVectorNodeMapping(client)
    assert [mapping["foreign"].text for _ in range(2)] == ["theirs", "theirs"]


def test_s3_20_what_a_dict_holds_makes_one(client):
    for kind in (OSSVectorReader, OSSVectorRehydrationPostprocessor, ReuseStoredEmbeddings):
        again = kind.from_dict(kind(client=client).to_dict(), client=client)
        assert again.to_dict() == kind(client=client).to_dict()


def test_tablestore_no_none_stands_for_a_missing_node(client):
    found = OSSVectorDocumentStore(client).get_nodes(["gone", "a"], raise_error=False)
    assert [node.node_id for node in found] == ["a"]


def test_postgres_and_chroma_no_ids_mean_nothing_and_not_everything(client, service):
    for nodes in every_way(client, []).values():
        assert nodes == []
    assert service.gets == []


def test_chroma_duplicates_are_answered(client):
    found = every_way(client, ["a", "b", "a"])
    del found["retriever"]  # core itself drops a repeated node from what `retrieve` returns
    for nodes in found.values():
        assert [node.node_id for node in nodes] == ["a", "b", "a"]
        assert nodes[0] is not nodes[2]


def test_dynamodb_async_methods_are_there(client):
    async def ask():
        docstore = OSSVectorDocumentStore(client)
        reader = OSSVectorReader(client=client)
        return await docstore.aget_document("a"), (await reader.aload_data(["a"]))[0]

    assert [node.node_id for node in asyncio.run(ask())] == ["a", "a"]


class Waiting:
    """Make a service answer only once the event loop has turned: a blocked loop never does."""

    def __init__(self, service, monkeypatch, patience):
        self._handle, self._patience = service.handle, patience
        self._turned = threading.Event()
        monkeypatch.setattr(service, "handle", self._answer)

    def _answer(self, request):
        if not self._turned.wait(self._patience):
            raise RuntimeError("the event loop did not turn")
        return self._handle(request)

    async def beside(self, call):
        self._turned.clear()
        task = asyncio.create_task(call())
        for _ in range(20):
            await asyncio.sleep(0)
        self._turned.set()
        return await task


@pytest.mark.parametrize("name", things(None))
async def test_agensgraph_the_loop_goes_on_while_the_service_is_slow(
    client, service, monkeypatch, name
):
    waiting = Waiting(service, monkeypatch, patience=30)
    await waiting.beside(lambda: awaited(things(client)[name]))
    assert len(service.gets) + service.operations.count("listVectors") == 1


async def test_agensgraph_a_call_that_blocks_the_loop_would_be_noticed(
    client, service, monkeypatch
):
    async def blocking():
        return OSSVectorDocumentStore(client).get_nodes(["a"])

    with pytest.raises(RuntimeError, match="did not turn"):
        await Waiting(service, monkeypatch, patience=0.05).beside(blocking)


async def test_core_an_awaited_delete_takes_what_a_blocking_one_takes(client, put_records):
    """Core's key-value docstore looks for the document under the node's own id when awaited."""
    children = [RelatedNodeInfo(node_id="x"), RelatedNodeInfo(node_id="y")]
    related = {NodeRelationship.CHILD: children}
    docstore = OSSVectorDocumentStore(client)
    for delete in (docstore.adelete_ref_doc, docstore.adelete_document):
        put_records(
            TextNode(id_="doc", relationships=related), TextNode(id_="x"), TextNode(id_="y")
        )
        await delete("doc")
        left = await docstore.aget_nodes(["doc", "x", "y"], raise_error=False)
        whole = delete == docstore.adelete_ref_doc
        assert [node.node_id for node in left] == ([] if whole else ["x", "y"])


def test_similarity_postprocessor_drops_what_has_no_score(client):
    found = OSSVectorRetriever(client).retrieve("a")
    found = OSSVectorPrevNextPostprocessor(client=client).postprocess_nodes(found)
    assert SimilarityPostprocessor(similarity_cutoff=0.5).postprocess_nodes(found) == found


def test_19455_nothing_found_is_an_empty_list_and_no_error(client):
    assert OSSVectorRetriever(client).retrieve("gone") == []
    assert OSSVectorReader(client=client).load_data(["gone"]) == []


def test_retriever_tool_a_list_of_nodes_loses_its_ids_a_tools_answer_does_not(client):
    [tool, *_] = OSSVectorToolSpec(client).to_tool_list()
    assert '[id: "a"]' in str(tool.call(ids=["a"]))


def test_9390_and_16346_index_nodes_keep_class_id_and_object(client, put_records):
    put_records(IndexNode(id_="n", index_id="i", obj=Document(id_="d", text="whole")))
    node = OSSVectorDocumentStore(client).get_document("n")
    assert (type(node), node.index_id, type(node.obj)) == (IndexNode, "i", Document)
    assert (node.obj.id_, node.obj.text) == ("d", "whole")


def test_an_object_map_that_is_a_mapping_is_not_discarded_for_being_empty(client):
    mapping = OSSVectorNodeMapping(client)

    class Fixed(BaseRetriever):
        def _retrieve(self, _query_bundle):
            return [NodeWithScore(node=IndexNode(text="see", index_id="a"), score=0.5)]

    [found] = Fixed(object_map=mapping).retrieve("q")
    assert (found.node_id, found.score) == ("a", 0.5)


@pytest.fixture
def recorder():
    with recorded() as recorder:
        yield recorder


def test_nobody_else_says_what_was_missing_all_of_these_do(client, recorder):
    hits = [NodeWithScore(node=TextNode(id_="gone"))]
    bundle = KeyQueryBundle("q", keys=["gone"])
    OSSVectorRetriever(client).retrieve(bundle)
    OSSVectorDocumentStore(client).get_nodes(["gone"], raise_error=False)
    OSSVectorReader(client=client).load_data(["gone"])
    OSSVectorRehydrationPostprocessor(client=client).postprocess_nodes(hits, QueryBundle("q"))
    reported = [event for event in recorder.events if isinstance(event, MissingKeysEvent)]
    assert [(event.index, event.missing) for event in reported] == [("vectors", ["gone"])] * 4
