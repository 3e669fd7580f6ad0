"""No async method of any class is the blocking one in a thread."""

import inspect

import pytest
from langchain_core.documents import BaseDocumentCompressor
from langchain_core.retrievers import BaseRetriever
from langchain_core.stores import BaseStore
from langchain_core.tools import BaseTool
from langchain_core.vectorstores import VectorStore

from oss_vector_retriever import langchain

CLASSES = [kind for name in langchain.__all__ if inspect.isclass(kind := getattr(langchain, name))]
# Of runnables and tools: what core does around what we do, in its own words.
AROUND = {
    "abatch_as_completed",
    "ainvoke",
    "arun",
    "astream",
    "astream_events",
    "astream_log",
    "atransform",
    "_acall_with_config",
    "_atransform_stream_with_config",
    "_abatch_with_config",
    "aformat_document",
}


def async_methods(kind):
    for name in dir(kind):
        if name.startswith(("a", "_a")):
            method = getattr(kind, name)
            if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
                yield name, method


def in_threads(kind):
    return [
        name
        for name, method in async_methods(kind)
        if name not in AROUND
        and method.__module__.startswith("langchain")
        and "run_in_executor" in inspect.getsource(method)
    ]


def test_those_of_core_would_be_noticed():
    assert {"aadd_documents", "asimilarity_search", "adelete"} <= set(in_threads(VectorStore))
    assert {"amget", "amset", "amdelete"} <= set(in_threads(BaseStore))
    assert "_aget_relevant_documents" in in_threads(BaseRetriever)
    assert "_arun" in in_threads(BaseTool)
    assert "acompress_documents" in in_threads(BaseDocumentCompressor)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_none_is_the_blocking_one_in_a_thread(kind):
    assert in_threads(kind) == []


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_blocking_method_of_ours_has_its_twin(kind):
    public = [
        name
        for base in kind.__mro__
        if base.__module__.startswith("oss_vector_retriever.langchain")
        for name, member in vars(base).items()
        if inspect.isfunction(member) and not name.startswith("_")
    ]
    plain = {"get_tools", "is_lc_serializable", "model_post_init", "to_json"}  # make no call
    plain |= {"visit_comparison", "visit_operation", "visit_structured_query"}  # as do a visitor's
    for name in public:
        if name not in plain and not name.startswith("a"):
            assert hasattr(kind, f"a{name}"), name
