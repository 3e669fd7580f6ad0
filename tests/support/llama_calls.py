"""One call of every LlamaIndex class that fetches, blocking and awaited, over the record `a`."""

from __future__ import annotations

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import IndexNode, NodeWithScore, QueryBundle, TextNode

from oss_vector_retriever import llama_index

from .agent_answers import without_mark

QUERY = QueryBundle("q", embedding=[1.0, 0.0, 0.0, 0.0])


class Fixed(BaseRetriever):
    """Finds the same nodes always, without a call."""

    def __init__(self, *nodes):
        super().__init__()
        self.nodes = nodes

    def _retrieve(self, _query_bundle):
        return [NodeWithScore(node=node, score=0.5) for node in self.nodes]

    async def _aretrieve(self, query_bundle):
        return self._retrieve(query_bundle)


def child():
    return TextNode(id_="child", text="x", relationships={"4": {"node_id": "a"}})  # of parent a


def things(client):
    """Return each class's object with a method that fetches and what it is called with."""
    hit = NodeWithScore(node=TextNode(id_="a"), score=1.0)
    link = IndexNode(id_="i", text="see", index_id="a")
    found = llama_index.OSSVectorNodeMapping(client)
    processors = {
        name: (getattr(llama_index, name)(client=client), "postprocess_nodes", ([hit], QUERY))
        for name in (
            "OSSVectorRehydrationPostprocessor",
            "StoredEmbeddingDedupPostprocessor",
            "StoredEmbeddingMMRPostprocessor",
            "StoredEmbeddingRescorer",
        )
    }
    reuse = llama_index.ReuseStoredEmbeddings(client=client, embed_model=MockEmbedding(embed_dim=4))
    merging = llama_index.OSSVectorAutoMergingRetriever(Fixed(child()), client)
    prefetching = llama_index.OSSVectorPrefetchingRetriever(Fixed(link), found, expand=True)
    after = TextNode(id_="z", text="x", relationships={"3": {"node_id": "a"}})  # a is the next
    around = llama_index.OSSVectorPrevNextPostprocessor(client=client)
    return {
        "OSSVectorAutoMergingRetriever": (merging, "retrieve", ("q",)),
        "OSSVectorChatStore": (
            llama_index.OSSVectorChatStore(client=client),
            "get_messages",
            ("a",),
        ),
        "OSSVectorKVStore": (llama_index.OSSVectorKVStore(client), "get_many", (["a"],)),
        "OSSVectorIndexStore": (
            llama_index.OSSVectorIndexStore(client),
            "get_index_struct",
            ("a",),
        ),
        "OSSVectorDocumentStore": (
            llama_index.OSSVectorDocumentStore(client),
            "get_nodes",
            (["a"],),
        ),
        "OSSVectorNodeMapping": (llama_index.OSSVectorNodeMapping(client), "prefetch", (["a"],)),
        "OSSVectorPrefetchingRetriever": (prefetching, "retrieve", ("q",)),
        "OSSVectorPrevNextPostprocessor": (
            around,
            "postprocess_nodes",
            ([NodeWithScore(node=after, score=1.0)],),
        ),
        "OSSVectorReader": (llama_index.OSSVectorReader(client=client), "load_data", (["a"],)),
        "OSSVectorRetriever": (llama_index.OSSVectorRetriever(client), "retrieve", ("a",)),
        "OSSVectorStore": (llama_index.OSSVectorStore(client), "get_nodes", (["a"],)),
        "OSSVectorToolSpec": (llama_index.OSSVectorToolSpec(client), "fetch_by_ids", (["a"],)),
        "ReuseStoredEmbeddings": (reuse, "__call__", ([TextNode(id_="a", text="text of a")],)),
        **processors,
    }


def forget(thing):
    """Let a mapping fetch again what it has fetched."""
    if hasattr(thing, "mapping"):
        forget(thing.mapping)
    if hasattr(thing, "forget"):
        thing.forget()


def blocking(case):
    thing, name, arguments = case
    forget(thing)
    return seen(getattr(thing, name)(*fresh(arguments)))


async def awaited(case):
    thing, name, arguments = case
    forget(thing)
    twin = "acall" if name == "__call__" else f"a{name}"
    return seen(await getattr(thing, twin)(*fresh(arguments)))


def fresh(arguments):
    """Return arguments with nodes that no earlier call has changed."""
    return [
        [one.model_copy(deep=True) if isinstance(one, TextNode) else one for one in part]
        if isinstance(part, list)
        else part
        for part in arguments
    ]


def seen(answer):
    """Return an answer in a form that can be compared."""
    if isinstance(answer, str):  # of a tool, with a mark of its own
        return without_mark(answer)
    return [one.model_dump() for one in answer] if isinstance(answer, list) else answer
