"""Neighbours of hits: one fetch a hop, in reading order."""

import pytest
from llama_index.core.postprocessor import PrevNextNodePostprocessor, SimilarityPostprocessor
from llama_index.core.schema import NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode

from oss_vector_retriever import MissingKeysError
from oss_vector_retriever.llama_index import OSSVectorDocumentStore, OSSVectorPrevNextPostprocessor


def chain(document, length):
    nodes = [TextNode(id_=f"{document}{n}", text=f"{document} {n}") for n in range(length)]
    for place, node in enumerate(nodes):
        node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=document)
        if place:
            node.relationships[NodeRelationship.PREVIOUS] = RelatedNodeInfo(
                node_id=nodes[place - 1].node_id
            )
        if place + 1 < length:
            node.relationships[NodeRelationship.NEXT] = RelatedNodeInfo(
                node_id=nodes[place + 1].node_id
            )
    return nodes


@pytest.fixture
def stored(put_records):
    nodes = [*chain("d", 40), *chain("e", 5)]
    put_records(*nodes)
    return {node.node_id: node for node in nodes}


def hits(stored, *keys):
    return [NodeWithScore(node=stored[key], score=1 - n / 10) for n, key in enumerate(keys)]


def around(call, client, found, **options):
    processor = OSSVectorPrevNextPostprocessor(client=client, **options)
    return call(processor, "postprocess_nodes", found)


def ids(found):
    return [one.node_id for one in found]


def test_neighbours_come_in_reading_order(call, client, stored):
    found = around(call, client, hits(stored, "d20", "d5"), num_nodes=2, mode="both")
    assert ids(found) == ["d18", "d19", "d20", "d21", "d22", "d3", "d4", "d5", "d6", "d7"]
    assert ids(around(call, client, hits(stored, "d5"))) == ["d5", "d6"]
    assert ids(around(call, client, hits(stored, "d5"), mode="previous")) == ["d4", "d5"]
    assert ids(around(call, client, hits(stored, "d5"), num_nodes=0)) == ["d5"]


@pytest.mark.parametrize("mode", ["next", "previous", "both"])
def test_the_nodes_are_those_that_core_finds(call, client, stored, mode):
    found = hits(stored, "d20", "d22", "d0", "e4", "e1")
    docstore = OSSVectorDocumentStore(client)
    core = PrevNextNodePostprocessor(docstore=docstore, num_nodes=3, mode=mode)
    ours = around(call, client, found, num_nodes=3, mode=mode)
    assert sorted(ids(ours)) == sorted(ids(core.postprocess_nodes(found)))


def test_5_hits_of_3_hops_both_ways_take_at_most_6_calls(call, client, stored, service):
    found = hits(stored, "d4", "d11", "d18", "d25", "d32")
    assert len(around(call, client, found, num_nodes=3, mode="both")) == 35
    assert len(service.gets) == 3


def test_hits_that_meet_share_their_neighbours(call, client, stored, service):
    found = around(call, client, hits(stored, "d5", "d7", "d6"), num_nodes=1, mode="both")
    assert ids(found) == ["d4", "d5", "d6", "d7", "d8"]
    assert [sorted(keys) for keys in service.gets] == [["d4", "d8"]]


def test_neighbours_inherit_the_score_so_that_a_cutoff_keeps_them(call, client, stored):
    found = around(call, client, hits(stored, "d5"), num_nodes=2)
    assert [one.score for one in found] == [1.0, 1.0, 1.0]
    kept = SimilarityPostprocessor(similarity_cutoff=0.5).postprocess_nodes(found)
    assert ids(kept) == ["d5", "d6", "d7"]


def test_scores_can_fall_with_the_distance_and_the_nearest_hit_counts(call, client, stored):
    found = around(
        call, client, hits(stored, "d5", "d8"), num_nodes=2, mode="both", score_decay=0.5
    )
    scores = {one.node_id: one.score for one in found}
    assert (scores["d6"], scores["d7"]) == (0.5, 0.45)
    assert (scores["d5"], scores["d8"]) == (1.0, 0.9)


def test_a_missing_neighbour_ends_its_chain(call, client, stored):
    client.delete(["d6"])
    assert ids(around(call, client, hits(stored, "d5"), num_nodes=3)) == ["d5"]
    with pytest.raises(MissingKeysError):
        around(call, client, hits(stored, "d5"), on_missing="raise")


def test_it_stops_where_the_document_ends(call, client, stored, put_records):
    last = stored["d39"].model_copy(deep=True)
    last.relationships[NodeRelationship.NEXT] = RelatedNodeInfo(node_id="e0")
    put_records(last)
    found = [NodeWithScore(node=last, score=1.0)]
    assert ids(around(call, client, found, num_nodes=2)) == ["d39"]
    assert ids(around(call, client, found, num_nodes=2, within_document=False)) == [
        "d39",
        "e0",
        "e1",
    ]


def test_chains_that_go_in_circles_come_to_an_end(call, client, put_records):
    nodes = chain("c", 2)
    nodes[1].relationships[NodeRelationship.NEXT] = RelatedNodeInfo(node_id="c0")
    nodes[0].relationships[NodeRelationship.PREVIOUS] = RelatedNodeInfo(node_id="c1")
    put_records(*nodes)
    found = around(call, client, [NodeWithScore(node=nodes[0])], num_nodes=5, mode="both")
    assert sorted(ids(found)) == ["c0", "c1"]
    assert [one.score for one in found] == [None, None]


def test_nothing_found_means_no_call(call, client, service):
    assert around(call, client, []) == []
    assert service.gets == []


def test_the_hits_that_were_given_are_not_changed(call, client, stored):
    found = hits(stored, "d5", "d6")
    before = [hit.model_dump() for hit in found]
    around(call, client, found, num_nodes=3, mode="both", score_decay=0.1)
    assert [hit.model_dump() for hit in found] == before
