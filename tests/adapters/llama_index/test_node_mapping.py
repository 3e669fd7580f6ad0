"""The lazy mapping of ids to nodes."""

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.retrievers import RecursiveRetriever
from llama_index.core.schema import IndexNode, NodeWithScore, TextNode

from oss_vector_retriever import InvalidRequestError
from oss_vector_retriever.llama_index import (
    OSSVectorNodeMapping,
    OSSVectorPrefetchingRetriever,
    OSSVectorRetriever,
)


@pytest.fixture
def mapping(client, put):
    put(["a", "b", "c"])
    return OSSVectorNodeMapping(client)


def test_a_node_is_fetched_when_it_is_asked_for_and_remembered(mapping, service):
    assert mapping["a"].text == "text of a"
    assert mapping.get("a").text == "text of a"
    assert service.gets == [["a"]]


def test_what_is_not_there_is_remembered_too(mapping, service):
    assert mapping.get("gone") is None
    assert "gone" not in mapping
    with pytest.raises(KeyError):
        mapping["gone"]
    assert service.gets == [["gone"]]


def test_a_prefetch_brings_all_at_once_and_asks_for_nothing_twice(call, mapping, service):
    call(mapping, "prefetch", ["a", "b", "gone", "a"])
    call(mapping, "prefetch", ["b", "a"])
    assert [mapping[key].node_id for key in ("b", "a")] == ["b", "a"]
    assert "gone" not in mapping
    assert service.gets == [["a", "b", "gone"]]


def test_each_answer_is_a_node_of_its_own(mapping):
    mapping["a"].metadata["of"] = "changed"
    assert mapping["a"].metadata == {"of": "a"}


def test_it_is_true_so_that_core_does_not_discard_it(mapping):
    assert bool(mapping) is True
    assert OSSVectorRetriever(object_map=mapping).object_map is mapping


def test_its_keys_are_not_listed(mapping):
    for listing in (len, list):
        with pytest.raises(TypeError, match="not listed"):
            listing(mapping)


def test_it_remembers_no_more_than_it_may(client, put, service):
    put(["a", "b", "c"])
    small = OSSVectorNodeMapping(client, remember=2)
    small.prefetch(["a", "b", "c"])
    assert small["c"].node_id == "c"
    assert small["a"].node_id == "a"
    assert len(service.gets) == 2
    none = OSSVectorNodeMapping(client, remember=0)
    assert [none["a"].node_id, none["a"].node_id] == ["a", "a"]


def test_it_can_forget(mapping, put):
    assert "new" not in mapping
    put(["new"])
    assert "new" not in mapping
    mapping.forget()
    assert "new" in mapping


def test_what_is_no_key_is_not_there(mapping, service):
    assert mapping.get(5) is None
    assert service.gets == []
    with pytest.raises(InvalidRequestError, match="pass \\[key\\]"):
        mapping.prefetch("ab")


@pytest.fixture
def fifty(put_records):
    links = [IndexNode(id_=f"i{n}", text="see", index_id=f"t{n}") for n in range(50)]
    put_records(*links, *(TextNode(id_=f"t{n}", text=f"target {n}") for n in range(50)))
    return "\n".join(link.node_id for link in links)


def targets(found):
    return [one.node_id for one in found] == [f"t{n}" for n in range(50)]


def test_a_recursive_retriever_over_50_index_nodes_takes_two_calls(client, fifty, service):
    mapping = OSSVectorNodeMapping(client, reserved=["root"])
    root = OSSVectorPrefetchingRetriever(OSSVectorRetriever(client), mapping)
    recursive = RecursiveRetriever("root", {"root": root}, node_dict=mapping)
    assert targets(recursive.retrieve(fifty))
    assert len(service.gets) == 2


def test_object_map_over_50_index_nodes_takes_two_calls(call, client, fifty, service):
    mapping = OSSVectorNodeMapping(client)
    root = OSSVectorPrefetchingRetriever(OSSVectorRetriever(client), mapping, expand=True)
    assert targets(call(root, "retrieve", fifty))
    assert len(service.gets) == 2


@pytest.mark.parametrize("score", [0.0, 0.25, None])
def test_core_an_index_node_with_a_score_of_zero_hands_on_zero(call, client, put, score):
    """Core's own way hands on `score or 1.0`."""
    put(["a"])

    class Fixed(BaseRetriever):
        def _retrieve(self, _query_bundle):
            return [NodeWithScore(node=IndexNode(text="see", index_id="a"), score=score)]

    mapping = OSSVectorNodeMapping(client)
    [found] = call(OSSVectorPrefetchingRetriever(Fixed(), mapping, expand=True), "retrieve", "q")
    assert (found.node_id, found.score) == ("a", score)


def test_an_index_node_whose_target_does_not_exist_stays(call, client, put_records, put):
    put(["a"])
    put_records(IndexNode(id_="x", text="see", index_id="a"), IndexNode(id_="y", index_id="gone"))
    mapping = OSSVectorNodeMapping(client)
    retriever = OSSVectorPrefetchingRetriever(OSSVectorRetriever(client), mapping, expand=True)
    assert [one.node_id for one in call(retriever, "retrieve", "x\ny")] == ["a", "y"]


@pytest.mark.parametrize("remember", [0, 1, 10_000])
def test_several_nodes_take_one_call_whatever_is_remembered(call, client, put, service, remember):
    put(["a", "b"])
    mapping = OSSVectorNodeMapping(client, reserved=["root"], remember=remember)
    found = call(mapping, "get_many", ["b", "gone", "root", "a", "b"])
    assert {key: node.text for key, node in found.items()} == {"a": "text of a", "b": "text of b"}
    assert len(service.gets) == 1
    assert call(mapping, "get_many", []) == {}
    assert len(service.gets) == 1


def test_ids_of_other_retrievers_pass_through_it(client, put_records, put):
    put(["a"])
    put_records(IndexNode(id_="top", text="see", index_id="more"))

    class Fixed(BaseRetriever):
        def _retrieve(self, _query_bundle):
            return OSSVectorRetriever(client).retrieve("a")

    mapping = OSSVectorNodeMapping(client)
    root = OSSVectorPrefetchingRetriever(OSSVectorRetriever(client), mapping)
    recursive = RecursiveRetriever("root", {"root": root, "more": Fixed()}, node_dict=mapping)
    assert [one.node_id for one in recursive.retrieve("top")] == ["a"]
