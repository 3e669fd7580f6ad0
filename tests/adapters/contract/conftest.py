"""One face for each framework, so that the same cases are put to both."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from support.canned import Canned


@dataclass(frozen=True)
class Seen:
    """What a case looks at, whatever the framework calls it."""

    key: str
    text: str
    metadata: dict[str, Any]
    embedding: list[float] | None
    thing: Any


class LangChainFace:
    """Documents; embeddings are asked for by naming a metadata field."""

    answers_duplicates = True

    def retriever(self, client, *, embeddings=False, **options):
        langchain = pytest.importorskip("oss_vector_retriever.langchain")
        field = "embedding" if embeddings else None
        return langchain.OSSVectorRetriever(client=client, embedding_key=field, **options)

    def rehydrator(self, client, **options):
        langchain = pytest.importorskip("oss_vector_retriever.langchain")
        return langchain.OSSVectorRehydrator(client=client, **options)

    def rehydrate(self, rehydrator, ids):
        return rehydrator.invoke(ids)

    def ask(self, retriever, query):
        return retriever.invoke(query)

    def see(self, document):
        metadata = dict(document.metadata)
        embedding = metadata.pop("embedding", None)
        return Seen(document.id, document.page_content, metadata, embedding, document)


class LlamaIndexFace:
    """Nodes; the framework itself drops a repeated node."""

    answers_duplicates = False

    def retriever(self, client, *, embeddings=False, **options):
        llama_index = pytest.importorskip("oss_vector_retriever.llama_index")
        return llama_index.OSSVectorRetriever(client, return_data=embeddings, **options)

    def rehydrator(self, client, **options):
        llama_index = pytest.importorskip("oss_vector_retriever.llama_index")
        return llama_index.OSSVectorRehydrationPostprocessor(client=client, **options)

    def stubs(self, ids):
        schema = pytest.importorskip("llama_index.core.schema")
        return [schema.NodeWithScore(node=schema.TextNode(id_=key)) for key in ids]

    def rehydrate(self, rehydrator, ids):
        return rehydrator.postprocess_nodes(self.stubs(ids))

    def ask(self, retriever, query):
        return retriever.retrieve(query)

    def see(self, found):
        node = found.node
        return Seen(node.node_id, node.get_content(), node.metadata, node.embedding, node)


class AsyncLangChainFace(LangChainFace):
    def rehydrate(self, rehydrator, ids):
        return asyncio.run(rehydrator.ainvoke(ids))

    def ask(self, retriever, query):
        return asyncio.run(retriever.ainvoke(query))


class AsyncLlamaIndexFace(LlamaIndexFace):
    def rehydrate(self, rehydrator, ids):
        return asyncio.run(rehydrator.apostprocess_nodes(self.stubs(ids)))

    def ask(self, retriever, query):
        return asyncio.run(retriever.aretrieve(query))


FACES = {
    "langchain": LangChainFace,
    "langchain_async": AsyncLangChainFace,
    "llama_index": LlamaIndexFace,
    "llama_index_async": AsyncLlamaIndexFace,
}


@pytest.fixture(params=FACES)
def face(request):
    return FACES[request.param]()


@pytest.fixture
def get(face, client):
    """Give a function: query and options of the retriever in, what was seen out."""

    def retrieved(query, **options):
        retriever = face.retriever(options.pop("client", client), **options)
        return [face.see(thing) for thing in face.ask(retriever, query)]

    return retrieved


@pytest.fixture(params=[False, True], ids=["blocking", "awaited"])
def canned(request):
    """Give a service that answers what a test says, with a client of either kind."""
    return Canned(awaited=request.param)
