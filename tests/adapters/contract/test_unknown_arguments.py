"""An argument that a class does not have is answered with those it has, under the class's name."""

import pytest
from support.canaries import SECRET, found_in, shown_of

from oss_vector_retriever import langchain, langgraph, llama_index
from oss_vector_retriever.cli.commands.policy import CLASSES

DOORS = {"langchain": langchain, "langgraph": langgraph, "llama_index": llama_index}
# They stand around something else that is given first, and have few arguments.
WRAPPERS = {
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
