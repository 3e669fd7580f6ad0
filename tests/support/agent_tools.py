"""The tools of both frameworks: `make(client, **options)`, then `call(tool, ids)`, or a search."""

import asyncio

import pytest


def langchain_tool(client, **options):
    langchain = pytest.importorskip("oss_vector_retriever.langchain")
    return langchain.OSSVectorFetchTool(client=client, **options)


def llama_index_tool(client, **options):
    llama_index = pytest.importorskip("oss_vector_retriever.llama_index")
    [fetch, *_] = llama_index.OSSVectorToolSpec(client, **options).to_tool_list()
    return fetch


FACES = {
    "langchain": (langchain_tool, lambda tool, ids: tool.invoke({"ids": ids})),
    "langchain_async": (langchain_tool, lambda tool, ids: asyncio.run(tool.ainvoke({"ids": ids}))),
    "llama_index": (llama_index_tool, lambda tool, ids: str(tool.call(ids=ids))),
    "llama_index_async": (
        llama_index_tool,
        lambda tool, ids: str(asyncio.run(tool.acall(ids=ids))),
    ),
}


AXES = {"north": [1.0, 0, 0, 0], "east": [0, 1.0, 0, 0]}


def langchain_search(client, **options):
    langchain = pytest.importorskip("oss_vector_retriever.langchain")
    return langchain.OSSVectorSearchTool(client=client, embedding=AXES.__getitem__, **options)


def axes_model():
    """Return a model of LlamaIndex that embeds a query by what it names."""
    embeddings = pytest.importorskip("llama_index.core.embeddings")

    class Axes(embeddings.MockEmbedding):
        def _get_query_embedding(self, query):
            return AXES[query]

        async def _aget_query_embedding(self, query):
            return AXES[query]

    return Axes(embed_dim=4)


def llama_index_search(client, **options):
    llama_index = pytest.importorskip("oss_vector_retriever.llama_index")
    spec = llama_index.OSSVectorToolSpec(client, embed_model=axes_model(), **options)
    [*_, search] = spec.to_tool_list()
    return search


def properties_of(tool):
    """Return what a model is told of a tool's arguments."""
    if hasattr(tool, "tool_call_schema"):
        return tool.tool_call_schema.model_json_schema()["properties"]
    return tool.metadata.get_parameters_dict()["properties"]


SEARCH_FACES = {
    "langchain": (langchain_search, lambda tool, **given: tool.invoke(given)),
    "langchain_async": (langchain_search, lambda tool, **given: asyncio.run(tool.ainvoke(given))),
    "llama_index": (llama_index_search, lambda tool, **given: str(tool.call(**given))),
    "llama_index_async": (
        llama_index_search,
        lambda tool, **given: str(asyncio.run(tool.acall(**given))),
    ),
}
