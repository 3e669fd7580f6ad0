"""Where a retriever's keys come from, and what it says of where its nodes come from."""

import asyncio

import pytest
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.retrievers import RecursiveRetriever
from llama_index.core.schema import Document, MetadataMode, QueryBundle, TextNode

from oss_vector_retriever import ConfigurationError, InvalidRequestError
from oss_vector_retriever.llama_index import KeyQueryBundle, NodeWithProvenance, OSSVectorRetriever

QUESTION = "Which of them?"


@pytest.fixture(autouse=True)
def _stored(put):
    put(["a", "b", "c"])


def ids(found):
    return [one.node_id for one in found]


def test_a_bundle_can_carry_the_keys_beside_the_question(call, client):
    retriever = OSSVectorRetriever(client)
    assert ids(call(retriever, "retrieve", KeyQueryBundle(QUESTION, keys=["c", "a"]))) == ["c", "a"]
    assert ids(call(retriever, "retrieve", KeyQueryBundle("b"))) == ["b"]
    assert call(retriever, "retrieve", KeyQueryBundle(QUESTION, keys=[])) == []


def test_a_bundle_with_keys_survives_serialisation():
    bundle = KeyQueryBundle(QUESTION, keys=["c"], embedding=[1.0])
    assert KeyQueryBundle.from_dict(bundle.to_dict()) == bundle


def test_the_constructor_can_name_the_keys(call, client):
    retriever = OSSVectorRetriever(client, keys=["b", "c"])
    assert ids(call(retriever, "retrieve", QUESTION)) == ["b", "c"]
    assert ids(call(retriever, "retrieve", KeyQueryBundle(QUESTION, keys=["a"]))) == ["a"]


def test_a_resolver_finds_the_keys(call, client):
    def resolve(bundle):
        assert bundle.query_str == QUESTION
        return iter(["c", "b"])

    assert ids(call(OSSVectorRetriever(client, resolver=resolve), "retrieve", QUESTION)) == [
        "c",
        "b",
    ]


async def test_a_resolver_can_be_awaited(client):
    async def resolve(_):
        await asyncio.sleep(0)
        return ["a"]

    assert ids(await OSSVectorRetriever(client, resolver=resolve).aretrieve(QUESTION)) == ["a"]


def test_a_coroutine_function_is_refused_by_the_blocking_method(client):
    async def resolve(_):
        return ["a"]

    with pytest.raises(ConfigurationError, match="aretrieve"):
        OSSVectorRetriever(client, resolver=resolve).retrieve(QUESTION)


def test_one_string_is_not_a_list_of_keys(call, client):
    with pytest.raises(InvalidRequestError, match="keys"):
        OSSVectorRetriever(client, keys="ab")
    for wrong in ("ab", None, 7):
        with pytest.raises(InvalidRequestError, match=r"resolver must return a list of keys.*\[\]"):
            call(OSSVectorRetriever(client, resolver=lambda _, w=wrong: w), "retrieve", QUESTION)
    with pytest.raises(ConfigurationError, match="not both"):
        OSSVectorRetriever(client, keys=["a"], resolver=lambda _: ["a"])


def test_provenance_is_said_only_when_asked_for(call, client):
    [plain] = call(OSSVectorRetriever(client), "retrieve", "a")
    assert not isinstance(plain, NodeWithProvenance)
    [node] = call(OSSVectorRetriever(client, provenance=True), "retrieve", "a\ngone")
    assert (node.index, node.key, node.format, node.position) == ("vectors", "a", "text", 0)
    assert node.bucket == client.config.bucket


def test_provenance_stays_out_of_prompts_metadata_and_hashes(client):
    [plain] = OSSVectorRetriever(client).retrieve("a")
    [node] = OSSVectorRetriever(client, provenance=True).retrieve("a")
    assert node.node == plain.node
    assert node.node.hash == plain.node.hash
    for mode in MetadataMode:
        assert node.node.get_content(mode) == plain.node.get_content(mode)
    assert client.config.bucket not in str(node.node.model_dump())


def test_provenance_survives_cores_postprocessors(client):
    found = OSSVectorRetriever(client, provenance=True).retrieve("a\nb")
    kept = SimilarityPostprocessor(similarity_cutoff=0.5).postprocess_nodes(found)
    assert [one.position for one in kept] == [0, 1]


def test_a_recursive_retriever_takes_documents_as_text_nodes(client, put_records):
    put_records(Document(id_="d", text="whole"))
    plain = RecursiveRetriever("root", {"root": OSSVectorRetriever(client)})
    with pytest.raises(AssertionError):
        plain.retrieve("d")
    root = OSSVectorRetriever(client, text_nodes=True)
    [found] = RecursiveRetriever("root", {"root": root}).retrieve("d")
    assert (type(found.node), found.text) == (TextNode, "whole")


def test_an_empty_query_means_nothing_and_raises_nothing(call, client):
    assert call(OSSVectorRetriever(client), "retrieve", QueryBundle("")) == []
