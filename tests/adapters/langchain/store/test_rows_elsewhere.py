"""Rows of a key-value store, read by whatever else reads Documents."""

from langchain_core.documents import Document

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.langchain import OSSVectorDocStore, OSSVectorFetcher


def test_what_a_row_notes_for_itself_shows_nowhere():
    with OSSVectorClient.local(index="chapters") as client:
        store = OSSVectorDocStore(client=client)
        store.mset([("p1", Document("parent", metadata={"a": 1}, id="own"))])
        (fetched,) = OSSVectorFetcher(client=client).invoke(["p1"])
        assert (fetched.id, fetched.metadata) == ("p1", {"a": 1})
        (kept,) = store.mget(["p1"])
        assert (kept.id, kept.metadata) == ("own", {"a": 1})
