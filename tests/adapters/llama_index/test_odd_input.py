"""What nobody means to pass, and somebody will: refused by name, or met with sense."""

import asyncio
import sys

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import (
    IndexNode,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)

from oss_vector_retriever import ConfigurationError, InvalidRequestError, MissingKeysError
from oss_vector_retriever.llama_index import (
    KeyQueryBundle,
    OSSVectorAutoMergingRetriever,
    OSSVectorDocumentStore,
    OSSVectorNodeMapping,
    OSSVectorPrefetchingRetriever,
    OSSVectorPrevNextPostprocessor,
    OSSVectorReader,
    OSSVectorRehydrationPostprocessor,
    OSSVectorRetriever,
    OSSVectorStore,
    ReuseStoredEmbeddings,
    StoredEmbeddingDedupPostprocessor,
    StoredEmbeddingMMRPostprocessor,
    StoredEmbeddingRescorer,
)

NO_LISTS = {"a string": "ab", "bytes": b"ab", "nothing": None, "a number": 5, "a dict": {"a": 1}}
NO_IDS = ["", "x" * 1025, "\ud800"]
QUERY = QueryBundle("q", embedding=[1.0, 0.0, 0.25, -2.0])


@pytest.fixture(autouse=True)
def _stored(put):
    put(["a", "b"])


def takers(client):
    """Return for each class the method that takes a list of ids."""
    mapping = OSSVectorNodeMapping(client)
    return {
        "docstore": (OSSVectorDocumentStore(client), "get_nodes"),
        "reader": (OSSVectorReader(client=client), "load_data"),
        "mapping": (mapping, "prefetch"),
        "store": (OSSVectorStore(client), "get_nodes"),
    }


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        (name, wrong)
        for name in ("docstore", "reader", "mapping", "store")
        for wrong in NO_LISTS
        if (name, wrong) != ("store", "nothing")  # all nodes there, as in core
    ],
)
def test_what_is_no_list_of_ids_is_refused_before_any_call(call, client, service, name, wrong):
    thing, method = takers(client)[name]
    with pytest.raises(InvalidRequestError, match=r"keys must be a list.*pass \[key\]"):
        call(thing, method, NO_LISTS[wrong])
    assert service.gets == []


@pytest.mark.parametrize("wrong", ["a string", "bytes", "a number", "a dict"])
def test_a_retriever_refuses_them_when_it_is_made(client, wrong):
    with pytest.raises(InvalidRequestError, match=r"keys must be a list.*pass \[key\]"):
        OSSVectorRetriever(client, keys=NO_LISTS[wrong])


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda ids: dict.fromkeys(ids).keys()])
@pytest.mark.parametrize("name", ["docstore", "reader", "store"])
def test_any_iterable_of_ids_is_taken(call, client, name, kind):
    ids = kind(["b", "a"])
    thing, method = takers(client)[name]
    assert [node.node_id for node in call(thing, method, ids)] == ["b", "a"]


def test_a_bundle_may_carry_any_iterable_of_keys(call, client):
    for keys in (("b", "a"), (key for key in "ba")):
        bundle = KeyQueryBundle("q", keys=keys)
        found = call(OSSVectorRetriever(client), "retrieve", bundle)
        assert [one.node_id for one in found] == ["b", "a"]


def processors(client, **options):
    return [
        OSSVectorRehydrationPostprocessor(client=client, **options),
        StoredEmbeddingMMRPostprocessor(client=client, **options),
        StoredEmbeddingDedupPostprocessor(client=client, **options),
        StoredEmbeddingRescorer(client=client, **options),
    ]


@pytest.mark.parametrize("odd", NO_IDS)
def test_a_hit_whose_id_no_record_can_have_has_no_record(call, client, odd):
    hits = [NodeWithScore(node=TextNode(id_=key), score=1.0) for key in (odd, "a")]
    for one in processors(client):
        found = call(one, "postprocess_nodes", hits, QUERY)
        assert sorted(hit.node_id for hit in found) == sorted([odd, "a"])
    for one in processors(client, on_missing="omit"):
        assert [hit.node_id for hit in call(one, "postprocess_nodes", hits, QUERY)] == ["a"]
    for one in processors(client, on_missing="raise"):
        with pytest.raises((MissingKeysError, InvalidRequestError)):
            call(one, "postprocess_nodes", hits, QUERY)


class Fixed(BaseRetriever):
    def __init__(self, *nodes):
        super().__init__()
        self.nodes = nodes

    def _retrieve(self, _query_bundle):
        return [NodeWithScore(node=node, score=0.5) for node in self.nodes]


@pytest.mark.parametrize("odd", NO_IDS)
def test_a_relationship_to_an_id_that_no_record_can_have_leads_nowhere(call, client, service, odd):
    related = RelatedNodeInfo(node_id=odd)
    kinds = (NodeRelationship.PARENT, NodeRelationship.NEXT, NodeRelationship.PREVIOUS)
    node = TextNode(id_="a", text="x", relationships=dict.fromkeys(kinds, related))
    merging = OSSVectorAutoMergingRetriever(Fixed(node), client)
    assert [one.node_id for one in call(merging, "retrieve", "q")] == ["a"]
    around = OSSVectorPrevNextPostprocessor(client=client, num_nodes=2, mode="both")
    hits = [NodeWithScore(node=node, score=1.0)]
    assert [one.node_id for one in call(around, "postprocess_nodes", hits)] == ["a"]
    assert service.gets == []


@pytest.mark.parametrize("odd", NO_IDS)
def test_an_index_node_that_points_at_no_possible_id_points_at_nothing(call, client, odd):
    mapping = OSSVectorNodeMapping(client)
    assert mapping.get(odd) is None
    assert odd not in mapping
    links = [IndexNode(id_=f"i{n}", text="see", index_id=key) for n, key in enumerate([odd, "b"])]
    prefetching = OSSVectorPrefetchingRetriever(Fixed(*links), mapping, expand=True)
    assert [one.node_id for one in call(prefetching, "retrieve", "q")] == ["i0", "b"]


@pytest.mark.parametrize("odd", NO_IDS)
def test_a_node_whose_id_no_record_can_have_is_embedded_anew(call, client, odd):
    reuse = ReuseStoredEmbeddings(client=client, embed_model=MockEmbedding(embed_dim=4))
    nodes = [TextNode(id_=odd, text="x"), TextNode(id_="a", text="text of a", metadata={"of": "a"})]
    first, second = call(reuse, "__call__", nodes)
    assert (first.embedding, second.embedding) == ([0.5] * 4, [1.0, 0.0, 0.25, -2.0])


def test_nodes_of_a_generator_are_embedded_too(call, client):
    """They were looked at once for what is stored, and were gone after that."""
    reuse = ReuseStoredEmbeddings(client=client, embed_model=MockEmbedding(embed_dim=4))
    nodes = call(reuse, "__call__", (TextNode(id_=key, text="new") for key in "xy"))
    assert [(node.node_id, node.embedding) for node in nodes] == [
        ("x", [0.5] * 4),
        ("y", [0.5] * 4),
    ]


def test_a_mapping_says_which_setting_is_impossible(client):
    with pytest.raises(InvalidRequestError, match="remember"):
        OSSVectorNodeMapping(client, remember=-1)
    with pytest.raises(InvalidRequestError, match="list of strings"):
        OSSVectorNodeMapping(client, reserved="root")


@pytest.mark.parametrize("score", ["high", True, [1.0]])
def test_a_score_that_is_none_is_refused_when_the_retriever_is_made(client, score):
    with pytest.raises(InvalidRequestError, match="score must be a number"):
        OSSVectorRetriever(client, score=score)


def test_a_key_function_must_return_a_string(call, client):
    hits = [NodeWithScore(node=TextNode(id_="1"))]
    processor = OSSVectorRehydrationPostprocessor(client=client, key_of=lambda _: 1)
    with pytest.raises(InvalidRequestError, match="key_of must return a string"):
        call(processor, "postprocess_nodes", hits)


BROKEN = {"_node_content": '{"relationships": "none", "text": "saved"}'}


@pytest.mark.parametrize(("policy", "text"), [("skip", None), ("raw", "saved")])
def test_a_mapping_meets_a_record_of_which_no_node_can_be_made(call, client, put, policy, text):
    """The policy was asked about what cannot be read, not about what cannot be made."""
    put({"bad": BROKEN})
    mapping = OSSVectorNodeMapping(client, on_decode_error=policy)
    call(mapping, "prefetch", ["bad"])
    found = mapping.get("bad")
    assert (None if found is None else found.text) == text


def test_an_unreadable_record_is_not_missing_and_its_hit_is_left_out(call, client, put):
    put({"bad": BROKEN})
    hits = [NodeWithScore(node=TextNode(id_="bad"), score=1.0)]
    processor = OSSVectorRehydrationPostprocessor(
        client=client, on_decode_error="skip", on_missing="raise"
    )
    assert call(processor, "postprocess_nodes", hits) == []


@pytest.mark.parametrize("wrong", [["a"], [None], TextNode(id_="x", embedding=[1.0] * 4)])
def test_what_is_no_list_of_nodes_is_refused_by_name(call, client, wrong):
    for thing, method in (
        (OSSVectorStore(client), "add"),
        (OSSVectorDocumentStore(client), "add_documents"),
    ):
        with pytest.raises(InvalidRequestError, match=r"only nodes are written|into a list"):
            call(thing, method, wrong)


@pytest.mark.parametrize("wrong", [{"tag": "x"}, [("tag", "x")], "tag"])
def test_what_is_no_filter_is_refused_by_name(call, client, wrong):
    for method in ("get_nodes", "delete_nodes"):
        with pytest.raises(InvalidRequestError, match="filters must be MetadataFilters"):
            call(OSSVectorStore(client), method, ["a"], wrong)


def test_a_share_or_a_mapping_of_another_kind_is_refused_by_name(client):
    with pytest.raises(InvalidRequestError, match="simple_ratio_thresh must be a number"):
        OSSVectorAutoMergingRetriever(Fixed(), client, simple_ratio_thresh="half")
    with pytest.raises(ConfigurationError, match="mapping must be an OSSVectorNodeMapping"):
        OSSVectorPrefetchingRetriever(Fixed(), {})


def test_of_a_hit_that_is_repeated_the_better_one_counts(call, client):
    node = TextNode(id_="x", relationships={NodeRelationship.NEXT: RelatedNodeInfo(node_id="a")})
    hits = [NodeWithScore(node=node, score=score) for score in (0.5, 0.9, 0.7)]
    found = call(OSSVectorPrevNextPostprocessor(client=client), "postprocess_nodes", hits)
    assert [(hit.node_id, hit.score) for hit in found] == [("x", 0.9), ("a", 0.9)]


HALF = "cut \ud83d"  # the first half of an emoji, as models write where a text was cut


def nested(depth):
    filters = MetadataFilters(filters=[MetadataFilter(key="a", value="x")])
    for _ in range(depth):
        filters = MetadataFilters(filters=[filters])
    return filters


def ways(client, filters):
    """Return all that takes filters, as functions."""
    store = OSSVectorStore(client, filterable=["a"])
    query = VectorStoreQuery([1.0, 0.0, 0.25, -2.0], 1, filters=filters)
    return {
        "query": lambda: store.query(query),
        "aquery": lambda: asyncio.run(store.aquery(query)),
        "get_nodes": lambda: store.get_nodes(filters=filters),
        "get_nodes by id": lambda: store.get_nodes(["a"], filters),
        "delete_nodes": lambda: store.delete_nodes(filters=filters),
    }


@pytest.mark.parametrize("way", ways(None, None))
@pytest.mark.parametrize(
    "leaf",
    [
        *(
            MetadataFilter(key="a", value=HALF, operator=operator)
            for operator in FilterOperator
            if operator.name in {"EQ", "NE", "GT", "LTE", "CONTAINS", "TEXT_MATCH"}
        ),
        *(
            MetadataFilter(key="a", value=["x", HALF], operator=operator)
            for operator in FilterOperator
            if operator.name in {"EQ", "IN", "NIN", "ANY", "ALL"}
        ),
        MetadataFilter(key=HALF, value="x"),
        MetadataFilter(key=HALF, value=None, operator=FilterOperator.IS_EMPTY),
    ],
    ids=lambda leaf: f"{leaf.operator.name}-{type(leaf.value).__name__}",
)
def test_half_a_surrogate_pair_in_a_filter_is_refused_before_any_call(
    client, operations, way, leaf
):
    filters = MetadataFilters(filters=[MetadataFilters(filters=[leaf])])
    with pytest.raises(InvalidRequestError, match="half of a surrogate pair"):
        ways(client, filters)[way]()
    assert operations == []


def test_half_a_surrogate_pair_in_a_documents_id_is_refused_before_any_call(client, operations):
    query = VectorStoreQuery([1.0, 0.0, 0.25, -2.0], 1, doc_ids=["a", HALF])
    with pytest.raises(InvalidRequestError, match="half of a surrogate pair"):
        OSSVectorStore(client).query(query)
    assert operations == []


@pytest.mark.parametrize("way", ways(None, None))
@pytest.mark.parametrize("depth", [100, 200, 300, 900])
def test_filters_that_are_nested_too_deep_are_refused_before_any_call(
    client, operations, way, depth
):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)  # pydantic's own walk, where they are made
    filters = nested(depth)
    sys.setrecursionlimit(limit)
    with pytest.raises(InvalidRequestError, match="filters are nested deeper than 100 levels"):
        ways(client, filters)[way]()
    assert operations == []


def test_filters_as_deep_as_is_allowed_are_judged(client):
    for way, call in ways(client, nested(98)).items():
        assert way.startswith(("delete", "get", "query", "aquery"))
        call()
