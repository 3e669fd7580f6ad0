"""Every LangChain and LangGraph component, saved in one process and read with in another.

Run as a program it takes a file of saved components, brings each back and prints, as JSON, what
each has read, or the error that it raised.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.indexing import InMemoryRecordManager

from oss_vector_retriever import langchain as lc
from oss_vector_retriever import langgraph as lg

NEAR, FAR = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]


class Model(Embeddings):
    """Embed every text as one direction."""

    def embed_documents(self, texts):
        return [NEAR for _ in texts]

    def embed_query(self, text):  # noqa: ARG002 - all are one
        return NEAR


def embed(text):  # noqa: ARG001 - all are one
    return NEAR


def inner_manager():
    manager = InMemoryRecordManager(namespace="n")
    manager.create_schema()
    manager.update(["own"])
    return manager


def components(options, without_index):
    """Return each component by name; of those whose embedding is a function, one with a name."""
    graph = {**without_index, "index_name": options.get("index")}
    search = {**options, "embedding": embed}
    return {
        "retriever": lc.OSSVectorRetriever(**options),
        "fetcher": lc.OSSVectorFetcher(**options),
        "rehydrator": lc.OSSVectorRehydrator(**options, on_missing="omit"),
        "parents": lc.ParentHydratingRetriever(
            retriever=lc.OSSVectorRetriever(**options), **options
        ),
        "filter": lc.StoredEmbeddingsFilter(**options, query_key="b", similarity_threshold=0.9),
        "mmr": lc.StoredEmbeddingsMMR(**options, query_key="b", k=1),
        "redundant": lc.StoredEmbeddingsRedundantFilter(**options),
        "fetch tool": lc.OSSVectorFetchTool(**options),
        "search tool": lc.OSSVectorSearchTool(**search, k=1),
        "toolkit": lc.OSSVectorToolkit(**options),
        "store": lc.OSSVectorStore(Model(), **options),
        "document index": lc.OSSVectorDocumentIndex(store=lc.OSSVectorStore(Model(), **options)),
        "record manager": lc.VerifyingRecordManager(
            inner_manager(), lc.OSSVectorStore(Model(), **options)
        ),
        "bytes": lc.OSSVectorByteStore(**options, key_prefix="bytes:"),
        "documents": lc.OSSVectorDocStore(**options),
        "embeddings": lc.OSSVectorEmbeddingStore(**options, distance_metric=None),
        "graph store": lg.OSSVectorGraphStore(**graph),
        "middleware": lg.HydrateDocumentsMiddleware(**options),
    }


HITS = [Document(id="a", page_content="own"), Document(id="c", page_content="foreign")]
READERS = {
    "retriever": lambda it: it.invoke("a")[0].page_content,
    "fetcher": lambda it: it.invoke(["a"])[0].page_content,
    "rehydrator": lambda it: it.invoke(["a"])[0].page_content,
    "parents": lambda it: it.invoke("child")[0].page_content,
    "filter": lambda it: it.compress_documents(HITS, "")[0].page_content,
    "mmr": lambda it: it.compress_documents(HITS, "")[0].page_content,
    "redundant": lambda it: (
        it.compress_documents([HITS[0], Document(id="b", page_content="")], "")[-1].page_content
    ),
    "fetch tool": lambda it: it.invoke({"ids": ["a"]}).rsplit("\n", 2)[-2],
    "search tool": lambda it: it.invoke({"query": "x"}).rsplit("\n", 2)[-2],
    "toolkit": lambda it: it.get_tools()[0].invoke({"ids": ["a"]}).rsplit("\n", 2)[-2],
    "store": lambda it: it.get_by_ids(["a"])[0].page_content,
    "document index": lambda it: it.get(["a"])[0].page_content,
    "record manager": lambda it: "own" if it.exists(["own"]) == [True] else "foreign",
    "bytes": lambda it: it.mget(["k"])[0].decode(),
    "documents": lambda it: it.mget(["a"])[0].page_content,
    "embeddings": lambda it: "own" if it.mget(["a"]) == [NEAR] else "foreign",
    "graph store": lambda it: it.get(("n",), "k").value["text"],
    "middleware": lambda it: shown_to_a_model(it).rsplit("\n", 2)[-2],
}


def fill(client, word):
    """Write what each component reads into a client's index: the word, and embeddings to match."""
    own = word == "own"
    documents = {
        "a": (word, NEAR if own else FAR),
        "b": ("", NEAR),
        "c": ("", FAR if own else NEAR),
        "child": ("", [0.0, 0.0, 1.0, 0.0]),
    }
    store = lc.OSSVectorStore(client=client)
    store.add_texts(
        [text for text, _ in documents.values()],
        [{"parent_id": "a"} for _ in documents],
        ids=list(documents),
        embeddings=[data for _, data in documents.values()],
    )
    if own:
        store.add_texts([""], ids=["own"], embeddings=[[0.0, 0.0, 0.0, 1.0]])
    lc.OSSVectorByteStore(client=client, key_prefix="bytes:").mset([("k", word.encode())])
    lg.OSSVectorGraphStore(client=client).put(("n",), "k", {"text": word})


def shown_to_a_model(middleware):
    """Return the system message that a model is called with."""
    request = SimpleNamespace(state={"document_ids": ["a"]}, system_message=None)
    request.override = lambda system_message: system_message
    return middleware.wrap_model_call(request, lambda message: message.content[-1]["text"])


def bring_back(saved):
    if isinstance(saved, bytes):
        return pickle.loads(saved)
    return lc.load_retriever(saved)


def read(name, saved):
    try:
        return READERS[name](bring_back(saved))
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    saved = pickle.loads(Path(sys.argv[1]).read_bytes())
    sys.stdout.write(json.dumps([[*label, read(label[-1], form)] for label, form in saved]))
