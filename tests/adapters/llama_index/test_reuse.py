"""Ingestion embeds what changed, and nothing else."""

import pytest
from llama_index.core import Settings
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document, TextNode
from pydantic import ValidationError

from oss_vector_retriever import ConfigurationError, OSSVectorClient
from oss_vector_retriever.llama_index import OSSVectorDocumentStore, ReuseStoredEmbeddings


class Counting(MockEmbedding):
    """Embeds each text by its length, and remembers the texts."""

    texts: list = []  # noqa: RUF012 - pydantic copies it for each model

    def _get_text_embedding(self, text):
        self.texts.append(text)
        return [float(len(text)), 1.0, 0.0, 0.0]

    async def _aget_text_embedding(self, text):
        return self._get_text_embedding(text)


@pytest.fixture
def model():
    return Counting(embed_dim=4)


@pytest.fixture
def reuse(client, model):
    return ReuseStoredEmbeddings(client=client, embed_model=model)


def node(key, text=None, **fields):
    return TextNode(id_=key, text=text or f"text of {key}", **fields)


def test_unchanged_nodes_get_the_stored_embedding(call, reuse, model, put_records, service):
    put_records(node("a", embedding=[9.0, 9.0, 9.0, 9.0]), node("b", text="old"))
    nodes = [node("a"), node("b"), node("new")]
    assert call(reuse, "__call__", nodes) is nodes
    assert nodes[0].embedding == [9.0, 9.0, 9.0, 9.0]
    assert sorted(model.texts) == ["text of b", "text of new"]
    assert nodes[1].embedding == [9.0, 1.0, 0.0, 0.0]
    assert len(service.gets) == 1


def test_metadata_that_is_embedded_counts_and_what_is_excluded_does_not(
    call, reuse, model, put_records
):
    put_records(node("a", metadata={"page": 1, "seen": "x"}, excluded_embed_metadata_keys=["seen"]))
    same = node("a", metadata={"page": 1, "seen": "y"}, excluded_embed_metadata_keys=["seen"])
    call(reuse, "__call__", [same])
    assert model.texts == []
    other = node("a", metadata={"page": 2, "seen": "x"}, excluded_embed_metadata_keys=["seen"])
    call(reuse, "__call__", [other])
    assert len(model.texts) == 1


def test_an_embedding_that_a_node_carries_stays(call, reuse, model, service):
    """Core's model overwrites it in a pipeline (llama-index.md 0.4)."""
    carrying = node("a", embedding=[7.0, 7.0, 7.0, 7.0])
    call(reuse, "__call__", [carrying])
    assert carrying.embedding == [7.0, 7.0, 7.0, 7.0]
    assert (model.texts, service.gets) == ([], [])


def test_an_index_that_is_not_there_holds_nothing(call, model):
    with OSSVectorClient.local() as empty:
        reuse = ReuseStoredEmbeddings(client=empty, embed_model=model)
        assert call(reuse, "__call__", [node("a")])[0].embedding is not None


def test_no_nodes_mean_no_call(call, reuse, service):
    assert list(call(reuse, "__call__", [])) == []
    assert service.gets == []


def pipeline(reuse):
    splitter = SentenceSplitter(
        chunk_size=20, chunk_overlap=0, id_func=lambda number, document: f"{document.id_}-{number}"
    )
    return IngestionPipeline(transformations=[splitter, reuse], disable_cache=True)


def test_a_second_ingestion_embeds_nothing(client, reuse, model):
    words = " ".join(f"Sentence number {number} of the text." for number in range(20))
    documents = [Document(id_="doc", text=words)]
    docstore = OSSVectorDocumentStore(client)
    docstore.add_documents(pipeline(reuse).run(documents=documents))
    assert len(model.texts) > 3
    model.texts.clear()
    again = pipeline(reuse).run(documents=documents)
    assert model.texts == []
    assert all(one.embedding is not None for one in again)
    changed = [Document(id_="doc", text=words.replace("number 0 ", "number zero "))]
    pipeline(reuse).run(documents=changed)
    assert len(model.texts) == 1


async def test_a_second_ingestion_embeds_nothing_when_awaited(client, reuse, model):
    documents = [Document(id_="doc", text="One sentence.")]
    docstore = OSSVectorDocumentStore(client)
    await docstore.async_add_documents(await pipeline(reuse).arun(documents=documents))
    await pipeline(reuse).arun(documents=documents)
    assert len(model.texts) == 1


def test_the_pipelines_cache_knows_it_again(reuse, model, client):
    cached = IngestionPipeline(transformations=[reuse], cache=IngestionCache())
    first = cached.run(nodes=[node("a")])
    second = cached.run(nodes=[node("a")])
    assert [one.embedding for one in first] == [one.embedding for one in second]
    assert len(model.texts) == 1
    twin = ReuseStoredEmbeddings(client=client, embed_model=Counting(embed_dim=4))
    assert get_transformation_hash([node("a")], reuse) == get_transformation_hash([node("a")], twin)


def test_the_model_is_known_by_its_name(reuse, model):
    assert reuse.to_dict()["model_name"] == model.model_name
    with pytest.raises(ValidationError, match="do not mix"):
        ReuseStoredEmbeddings(embed_model=model, model_name="another")


def test_the_default_model_must_be_the_one_it_was_made_for(client, monkeypatch, call):
    monkeypatch.setattr(Settings, "_embed_model", Counting(embed_dim=4))
    assert call(ReuseStoredEmbeddings(client=client), "__call__", [node("a")])[0].embedding
    with pytest.raises(ConfigurationError, match="give embed_model="):
        call(ReuseStoredEmbeddings(client=client, model_name="another"), "__call__", [node("b")])


def test_an_index_that_is_not_there_holds_nothing_as_in_every_first_run(client, model, caplog):
    reuse = ReuseStoredEmbeddings(client=client, embed_model=model, index="new")
    assert reuse([node("a")])[0].embedding is not None
    assert caplog.text == ""
