"""What searches, on a service that shows writes late, and whose new indexes are not ready.

In each run: the suite for vector stores, and an index of LlamaIndex's and LangGraph's memory as
they are used. At full size the other suites of this folder run on that service as well.
"""

import pytest

pytest.importorskip("langchain_tests")
pytest.importorskip("llama_index.core")
pytest.importorskip("langgraph")

from langchain_tests.integration_tests import VectorStoreIntegrationTests
from llama_index.core import Document, MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.vector_stores.types import VectorStoreQueryMode

from oss_vector_retriever.langchain import OSSVectorStore
from oss_vector_retriever.langgraph import OSSVectorGraphStore
from oss_vector_retriever.llama_index import OSSVectorStore as OSSNodeStore

pytestmark = pytest.mark.promise("P10")


@pytest.fixture
def client(documented):
    return documented


class _StoreSuite(VectorStoreIntegrationTests):
    metric = "cosine"

    @pytest.fixture
    def vectorstore(self, client):
        return OSSVectorStore(
            self.get_embeddings(), client=self.made(client), distance_metric=self.metric
        )

    def made(self, client):
        return client


class TestCosine(_StoreSuite):
    pass


class TestEuclidean(_StoreSuite):
    metric = "euclidean"


class TestWithAsyncClient(_StoreSuite):
    def made(self, client):
        return client.to_async()


def read_letters(text):
    """Return an embedding that says how often the letters a and b stand in a text."""
    return [1.0 + text.count("a"), 1.0 + text.count("b")]


class Counted(MockEmbedding):
    """Embed a text by its letters."""

    def _get_text_embedding(self, text):
        return read_letters(text)

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)


@pytest.mark.parametrize("mode", [VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR])
def test_llama_indexs_index_finds_what_it_inserted_and_not_what_it_deleted(client, mode):
    model = Counted(embed_dim=2)
    context = StorageContext.from_defaults(vector_store=OSSNodeStore(client))
    documents = [Document(text="a" * n + "b", id_=f"d{n}", metadata={"n": n}) for n in range(1, 7)]
    index = VectorStoreIndex.from_documents(documents, context, embed_model=model)
    retriever = index.as_retriever(similarity_top_k=2, vector_store_query_mode=mode)

    def found(query):
        return {node.node.ref_doc_id for node in retriever.retrieve(query)}

    assert "d6" in found("aaaaaab")
    index.delete_ref_doc("d6")
    assert "d6" not in found("aaaaaab")
    assert "d5" in found("aaaaaab")
    index.insert(Document(text="bbbbbbbbb", id_="new"))
    assert "new" in found("bbbbbbbbb")
    index.update_ref_doc(Document(text="a" * 20, id_="new"))
    assert "new" in found("a" * 20)
    assert len(found("bbbbbbbbb")) == 2


@pytest.mark.parametrize("manner", ["sync", "async"])
async def test_langgraphs_store_finds_what_it_put_and_not_what_it_deleted(client, manner):
    # without "fields": an item is found by the whole of its value
    model = {"dims": 2, "embed": lambda texts: [read_letters(text) for text in texts]}
    store = OSSVectorGraphStore(client=client, index=model)

    async def call(name, *arguments, **options):
        if manner == "async":
            return await getattr(store, f"a{name}")(*arguments, **options)
        return getattr(store, name)(*arguments, **options)

    async def found(**options):
        return [item.key for item in await call("search", ("users",), limit=50, **options)]

    async def put(key, number):
        await call("put", ("users", "x"), key, {"q": "a" * number + "b", "n": number})

    for n in range(5):
        await put(f"m{n}", n)
    assert sorted(await found()) == [f"m{n}" for n in range(5)]
    assert await found(query="aaaab") == ["m4", "m3", "m2", "m1", "m0"]
    assert await found(query="aaab", filter={"n": 4}) == ["m4"]
    await call("delete", ("users", "x"), "m3")
    assert await found(query="aaaab") == ["m4", "m2", "m1", "m0"]
    assert sorted(await found()) == ["m0", "m1", "m2", "m4"]
    await put("m4", 0)
    assert (await found(query="aaaab"))[0] == "m2"
    assert await found(query="aaab", filter={"n": 4}) == []
    assert await call("list_namespaces") == [("users", "x")]
