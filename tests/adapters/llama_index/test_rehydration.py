"""Hits that carry ids alone become whole nodes."""

import pytest
from llama_index.core.schema import NodeWithScore, TextNode
from pydantic import ValidationError

from oss_vector_retriever import MissingKeysError
from oss_vector_retriever.llama_index import OSSVectorRehydrationPostprocessor


@pytest.fixture(autouse=True)
def _stored(put):
    put(["a", "b", "c"])


def stub(key, score=0.5, **fields):
    return NodeWithScore(node=TextNode(id_=key, **fields), score=score)


def whole(call, client, hits, **options):
    processor = OSSVectorRehydrationPostprocessor(client=client, **options)
    return call(processor, "postprocess_nodes", hits)


def seen(found):
    return [(one.node_id, one.text, one.score) for one in found]


def test_stubs_become_nodes_in_one_call_scores_and_order_kept(call, client, service):
    found = whole(call, client, [stub("c", 0.9), stub("a", 0.1), stub("c", 0.2)])
    assert seen(found) == [
        ("c", "text of c", 0.9),
        ("a", "text of a", 0.1),
        ("c", "text of c", 0.2),
    ]
    assert service.gets == [["c", "a"]]
    assert found[0].node is not found[2].node


def test_whole_nodes_are_not_fetched_again(call, client, service):
    kept = stub("b", text="mine")
    assert whole(call, client, [kept, stub("a")])[0] is kept
    assert service.gets == [["a"]]
    assert seen(whole(call, client, [kept], only_incomplete=False)) == [("b", "text of b", 0.5)]


@pytest.mark.parametrize(
    ("policy", "left"), [("keep", ["gone", "a"]), ("omit", ["a"]), ("raise", None)]
)
def test_what_is_missing_is_kept_dropped_or_raised(call, client, policy, left):
    hits = [stub("gone"), stub("a")]
    if left is None:
        with pytest.raises(MissingKeysError):
            whole(call, client, hits, on_missing=policy)
    else:
        found = whole(call, client, hits, on_missing=policy)
        assert [one.node_id for one in found] == left


def test_the_key_can_be_a_field_or_found_by_a_function(call, client):
    pointing = stub("x", text="stub", metadata={"doc": "a"})
    assert seen(whole(call, client, [pointing], id_key="doc")) == [("a", "text of a", 0.5)]
    found = whole(call, client, [pointing], key_of=lambda node: node.metadata["doc"])
    assert seen(found) == [("a", "text of a", 0.5)]


def test_a_hit_without_the_field_stays_as_it_is(call, client, service):
    hits = [stub("x", text="stub")]
    assert whole(call, client, hits, id_key="doc", on_missing="omit") == hits
    assert service.gets == []


def test_one_field_alone_can_be_brought_into_copies(call, client):
    hits = [stub("a", metadata={"own": 1})]
    [found] = whole(call, client, hits, fields="text")
    assert (found.text, found.metadata) == ("text of a", {"own": 1})
    [found] = whole(call, client, hits, fields="metadata", only_incomplete=False)
    assert (found.text, found.metadata) == ("", {"of": "a"})
    [found] = whole(call, client, hits, fields="embedding")
    assert (found.text, found.embedding) == ("", [1.0, 0.0, 0.25, -2.0])
    assert hits == [stub("a", metadata={"own": 1})]


def test_embeddings_come_only_where_they_are_asked_for(call, client):
    assert whole(call, client, [stub("a")])[0].embedding is None
    assert whole(call, client, [stub("a")], return_data=True)[0].embedding is not None


def test_nothing_found_means_no_call(call, client, service):
    assert whole(call, client, []) == []
    assert service.gets == []


def test_an_unknown_setting_is_refused_by_name(client):
    with pytest.raises(ValidationError, match="on_mising"):
        OSSVectorRehydrationPostprocessor(client=client, on_mising="omit")
