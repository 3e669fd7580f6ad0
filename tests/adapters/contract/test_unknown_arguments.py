"""An argument that a class does not have is answered with those it has, under the class's name."""

import pytest
from support.canaries import SECRET, found_in, shown_of

from oss_vector_retriever import langchain, langgraph, llama_index
from oss_vector_retriever.cli.commands.policy import CLASSES

DOORS = {"langchain": langchain, "langgraph": langgraph, "llama_index": llama_index}
# They stand around something else that is given first, and have few arguments.
WRAPPERS = {
    "mcp.OSSVectorMCPServer",
    "langchain.OSSVectorDocumentIndex",
    "langchain.VerifyingRecordManager",
    "llama_index.OSSVectorAutoMergingRetriever",
    "llama_index.OSSVectorPrefetchingRetriever",
}


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - WRAPPERS))
def test_it_is_answered_with_those_there_are(name):
    door, _, class_name = name.partition(".")
    with pytest.raises((TypeError, ValueError)) as refused:
        getattr(DOORS[door], class_name)(misspelt=SECRET)
    said = str(refused.value)
    assert f"{class_name}() got an unexpected keyword argument 'misspelt'; its arguments" in said
    if (
        class_name != "OSSVectorNodeMapping"
    ):  # a mapping that lists no keys cannot be looked through
        assert found_in(shown_of(refused.value)) == []


PEERS = [
    ("langchain.OSSVectorStore", "index_name", "index"),
    ("langchain.OSSVectorStore", "collection_name", "index"),
    ("langchain.OSSVectorStore", "namespace", "index"),
    ("langchain.OSSVectorStore", "vector_bucket_name", "bucket"),
    ("langchain.OSSVectorStore", "region_name", "region"),
    ("langchain.OSSVectorStore", "embeddings", "embedding"),
    ("langchain.OSSVectorStore", "embedding_function", "embedding"),
    ("langchain.OSSVectorStore", "distance_strategy", "distance_metric"),
    ("langchain.OSSVectorStore", "aws_secret_access_key", "access_key_secret"),
    ("langchain.OSSVectorRetriever", "collection_name", "index"),
    ("langchain.OSSVectorByteStore", "namespace", "index"),
    ("langgraph.OSSVectorGraphStore", "collection_name", "index_name"),
    ("llama_index.OSSVectorStore", "collection_name", "index"),
    ("llama_index.OSSVectorStore", "index_name", "index"),
    ("llama_index.OSSVectorDocumentStore", "namespace", "index"),
]


@pytest.mark.parametrize(("name", "theirs", "ours"), PEERS)
def test_what_others_call_it_is_answered_with_the_name_here(name, theirs, ours):
    door, _, class_name = name.partition(".")
    with pytest.raises((TypeError, ValueError)) as refused:
        getattr(DOORS[door], class_name)(**{theirs: SECRET})
    assert f"What others call {theirs}= is {ours}= here." in str(refused.value)
    assert found_in(shown_of(refused.value)) == []


def test_a_name_that_nobody_has_is_answered_with_no_other():
    with pytest.raises(TypeError) as refused:
        langchain.OSSVectorStore(misspelt=1)
    assert "What others call" not in str(refused.value)
