"""The fetch tools of both frameworks: `make(client, **options)`, then `call(tool, ids)`."""

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
