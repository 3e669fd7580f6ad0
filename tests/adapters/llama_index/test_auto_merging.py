"""Chunks give way to their parents: what core does, in few calls, and awaited."""

import pytest
from llama_index.core import StorageContext
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.retrievers import AutoMergingRetriever
from llama_index.core.schema import NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore

from oss_vector_retriever import InvalidRequestError, MissingKeysError
from oss_vector_retriever.llama_index import (
    OSSVectorAutoMergingRetriever,
    OSSVectorDocumentStore,
    OSSVectorRetriever,
)

LEAVES = 12


class Fixed(BaseRetriever):
    """Finds the same hits always."""

    def __init__(self, hits):
        super().__init__()
        self.hits = hits

    def _retrieve(self, _query_bundle):
        return [NodeWithScore(node=node, score=score) for node, score in self.hits]

    async def _aretrieve(self, query_bundle):
        return self._retrieve(query_bundle)


def info(key):
    return RelatedNodeInfo(node_id=key)


def family(parent, children):
    """Tie children to their parent and to one another."""
    parent.relationships[NodeRelationship.CHILD] = [info(child.node_id) for child in children]
    for place, child in enumerate(children):
        child.relationships[NodeRelationship.PARENT] = info(parent.node_id)
        if place:
            child.relationships[NodeRelationship.PREVIOUS] = info(children[place - 1].node_id)
        if place + 1 < len(children):
            child.relationships[NodeRelationship.NEXT] = info(children[place + 1].node_id)


@pytest.fixture
def tree(put_records):
    """Store two roots, with three sections each, with four leaves each."""
    nodes = {}
    for root in ("r0", "r1"):
        sections = [f"{root}s{n}" for n in range(3)]
        leaves = {section: [f"{section}l{n}" for n in range(4)] for section in sections}
        for key in [root, *sections, *(key for keys in leaves.values() for key in keys)]:
            nodes[key] = TextNode(id_=key, text=f"text of {key}")
        family(nodes[root], [nodes[key] for key in sections])
        for section, keys in leaves.items():
            family(nodes[section], [nodes[key] for key in keys])
    put_records(*nodes.values())
    return nodes


def hits_of(tree, keys):
    return [(tree[key], 1 - place / 20) for place, key in enumerate(keys)]


HITS = {
    "most of one root": [f"r0s{s}l{n}" for s in (0, 1, 2) for n in (0, 1, 2, 3)],
    "parts of both": [f"r{r}s{s}l{n}" for r in (0, 1) for s in (0, 1) for n in (0, 1, 3)],
    "too little": ["r0s0l0", "r0s1l0", "r1s0l0", "r1s2l3"],
    "a gap": ["r0s0l0", "r0s0l2"],
    "one": ["r1s1l1"],
    "none": [],
}


def seen(found):
    return sorted((one.node_id, pytest.approx(one.score)) for one in found)


@pytest.mark.parametrize("name", HITS)
def test_it_merges_as_core_does(call, client, tree, name):
    fixed = Fixed(hits_of(tree, HITS[name]))
    simple = SimpleDocumentStore()
    simple.add_documents(list(tree.values()))
    core = AutoMergingRetriever(fixed, StorageContext.from_defaults(docstore=simple))
    ours = OSSVectorAutoMergingRetriever(fixed, client)
    assert seen(call(ours, "retrieve", "q")) == [
        (key, pytest.approx(score))
        for key, score in sorted((one.node_id, one.score) for one in core.retrieve("q"))
    ]


@pytest.mark.usefixtures("tree")
def test_top_12_over_a_three_level_tree_takes_at_most_five_calls(call, client, service):
    keys = HITS["parts of both"]
    assert len(keys) == LEAVES
    inner = OSSVectorRetriever(client, keys=keys)
    call(OSSVectorAutoMergingRetriever(inner, client), "retrieve", "q")
    assert len(service.gets) <= 5


def test_cores_own_retriever_works_on_our_docstore(client, tree):
    fixed = Fixed(hits_of(tree, HITS["most of one root"]))
    context = StorageContext.from_defaults(docstore=OSSVectorDocumentStore(client))
    core = AutoMergingRetriever(fixed, context)
    assert [one.node_id for one in core.retrieve("q")] == ["r0"]


def test_a_parent_that_is_not_there_leaves_its_children(call, client, tree):
    client.delete(["r0s0"])
    fixed = Fixed(hits_of(tree, [f"r0s0l{n}" for n in range(4)]))
    found = call(OSSVectorAutoMergingRetriever(fixed, client), "retrieve", "q")
    assert [one.node_id for one in found] == [f"r0s0l{n}" for n in range(4)]
    with pytest.raises(MissingKeysError):
        call(OSSVectorAutoMergingRetriever(fixed, client, on_missing="raise"), "retrieve", "q")


def test_a_parent_that_is_a_hit_already_is_not_doubled(call, client, tree):
    fixed = Fixed(hits_of(tree, ["r0s0", "r0s0l0", "r0s0l1", "r0s0l2"]))
    found = call(OSSVectorAutoMergingRetriever(fixed, client), "retrieve", "q")
    assert [one.node_id for one in found] == ["r0s0"]


def test_a_parent_that_is_a_hit_already_does_not_lose_its_childrens_score(call, client, tree):
    hits = [(tree["r0s0"], 0.1), *((tree[f"r0s0l{n}"], 0.75) for n in range(3))]
    [found] = call(OSSVectorAutoMergingRetriever(Fixed(hits), client), "retrieve", "q")
    assert (found.node_id, found.score) == ("r0s0", 0.75)
    hits[0] = (tree["r0s0"], 0.875)
    [found] = call(OSSVectorAutoMergingRetriever(Fixed(hits), client), "retrieve", "q")
    assert (found.node_id, found.score) == ("r0s0", 0.875)


def test_relationships_that_go_in_circles_come_to_an_end(call, client, put_records):
    one, two = TextNode(id_="one", text="1"), TextNode(id_="two", text="2")
    family(one, [two])
    family(two, [one])
    put_records(one, two)
    found = call(OSSVectorAutoMergingRetriever(Fixed([(one, 1.0)]), client), "retrieve", "q")
    assert len(found) == 1


def test_the_hits_that_were_given_are_not_changed(call, client, tree):
    fixed = Fixed(hits_of(tree, HITS["a gap"]))
    before = [node.model_dump() for node, _ in fixed.hits]
    call(OSSVectorAutoMergingRetriever(fixed, client), "retrieve", "q")
    assert [node.model_dump() for node, _ in fixed.hits] == before


def test_an_impossible_share_is_refused(client):
    with pytest.raises(InvalidRequestError, match="simple_ratio_thresh"):
        OSSVectorAutoMergingRetriever(Fixed([]), client, simple_ratio_thresh=2)
