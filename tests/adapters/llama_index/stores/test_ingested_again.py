"""Documents that are ingested again: what is embedded, what is called, what is there afterwards."""

from collections import Counter

import pytest
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document, TextNode, TransformComponent
from llama_index.core.storage.docstore import SimpleDocumentStore
from support.promises import sized

from oss_vector_retriever import Vector, emulator
from oss_vector_retriever.llama_index import (
    OSSVectorDocumentStore,
    OSSVectorStore,
    ReuseStoredEmbeddings,
    node_store,
    recent_nodes,
)
from oss_vector_retriever.llama_index import reuse as reuse_module


class Counting(MockEmbedding):
    seen: int = 0

    def _get_text_embedding(self, text):
        self.seen += 1
        return super()._get_text_embedding(text)

    async def _aget_text_embedding(self, text):
        return self._get_text_embedding(text)


class Lines(TransformComponent):
    """Makes a node of each line of a document, its id that of the document and its number."""

    def __call__(self, nodes, **_):
        return [
            TextNode(
                id_=f"{parent.id_}/{n}",
                text=line,
                relationships={"1": parent.as_related_node_info()},
            )
            for parent in nodes
            for n, line in enumerate(parent.text.splitlines())
        ]


@pytest.fixture
def list_filter():
    return "honoured"


@pytest.fixture
def behaviour(list_filter):
    return emulator.Behaviour(list_filter=list_filter)


@pytest.fixture
def begin(service, another_process):
    """Give a function that begins as another process does; what is called is counted from there."""

    def begin():
        client = another_process()
        service.operations.clear()
        return client

    return begin


def document(n, first="First"):
    lines = [f"{first} line of {n}", *(f"Line {line} of {n}" for line in range(22))]
    return Document(id_=f"d{n}", text="\n".join(lines))


def run(client, strategy, given, *, docstore=None):
    """Ingest documents; return how many nodes were embedded."""
    model = Counting(embed_dim=3)
    pipeline = IngestionPipeline(
        transformations=[Lines(), ReuseStoredEmbeddings(client=client, embed_model=model)],
        vector_store=OSSVectorStore(client),
        docstore=docstore or OSSVectorDocumentStore(client),
        docstore_strategy=strategy,
        disable_cache=True,
    )
    pipeline.run(documents=given)
    return model.seen


@pytest.mark.parametrize(
    ("strategy", "list_filter"),
    [
        (DocstoreStrategy.UPSERTS, "honoured"),
        (DocstoreStrategy.UPSERTS_AND_DELETE, "honoured"),
        (DocstoreStrategy.UPSERTS_AND_DELETE, "ignored"),
        (DocstoreStrategy.DUPLICATES_ONLY, "honoured"),
    ],
)
def test_a_second_run_takes_few_calls_and_embeds_what_changed(service, begin, strategy):
    count, changed, gone = sized((16, 3, 3), (500, 35, 35))
    assert run(begin(), strategy, [document(n) for n in range(count)]) == 23 * count
    again = [document(n, "Changed" if n < changed else "First") for n in range(count - gone)]
    client = begin()
    assert run(client, strategy, again) == changed
    taken = Counter(service.operations)
    # three for each that changed (its nodes are looked at, and deleted, and then its row), and two
    # for each that went, whose nodes are looked at together
    assert sum(taken.values()) <= sized(16 + 3 * changed + 3 * gone, 200), taken
    left = count - gone if strategy is DocstoreStrategy.UPSERTS_AND_DELETE else count
    nodes = OSSVectorStore(client).get_nodes()
    assert len(nodes) == 23 * left
    assert sum(node.text.startswith("Changed") for node in nodes) == changed
    # and a third run finds nothing to do
    assert run(begin(), strategy, again) == 0


def test_a_thousand_nodes_of_which_ten_changed_are_ten_gets_and_a_put(service, begin):
    count = sized(600, 1000)  # all of them would be two puts

    def ingest(client, changed):
        nodes = [
            TextNode(id_=f"n{n}", text=f"{'new ' if n < changed else ''}text of {n}")
            for n in range(count)
        ]
        model = Counting(embed_dim=3)
        IngestionPipeline(
            transformations=[ReuseStoredEmbeddings(client=client, embed_model=model)],
            vector_store=OSSVectorStore(client),
        ).run(nodes=nodes)
        return model.seen

    assert ingest(begin(), 0) == count
    client = begin()
    assert ingest(client, 10) == 10
    taken = Counter(service.operations)
    # the looks are for the two indexes
    assert taken == {"getVectors": count // 100, "putVectors": 1, "getVectorIndex": 2}
    found = OSSVectorStore(client).get_nodes()
    assert sum(node.text.startswith("new") for node in found) == 10


@pytest.mark.parametrize(
    "strategy", [DocstoreStrategy.UPSERTS, DocstoreStrategy.UPSERTS_AND_DELETE]
)
def test_what_a_strategy_took_away_a_moment_before_is_reused(begin, strategy):
    # the case: core deletes a changed document before the transformations, whatever its docstore
    docstore = SimpleDocumentStore()
    seen = []
    for first in ("One", "Two"):
        client = begin()
        splitter = SentenceSplitter(
            chunk_size=64, chunk_overlap=0, id_func=lambda n, parent: f"{parent.id_}/{n}"
        )
        model = Counting(embed_dim=3)
        same = [f"Sentence number {n} is the same as ever." for n in range(200)]
        IngestionPipeline(
            transformations=[splitter, ReuseStoredEmbeddings(client=client, embed_model=model)],
            vector_store=OSSVectorStore(client),
            docstore=docstore,
            docstore_strategy=strategy,
            disable_cache=True,
        ).run(documents=[Document(id_="d", text=" ".join([f"{first}.", *same]))])
        seen.append(model.seen)
    assert seen[0] > 30
    assert seen[1] == 1


def test_what_was_deleted_is_not_taken_for_stored_when_it_is_written_anew(begin):
    client = begin()
    store = OSSVectorStore(client)
    model = Counting(embed_dim=3)
    reuse = ReuseStoredEmbeddings(client=client, embed_model=model)
    nodes = Lines()([document(1)])
    store.add(reuse(nodes))
    reuse([node.model_copy(update={"embedding": None}) for node in nodes])
    store.delete("d1")
    # read a moment ago, and the same; but no longer there
    store.add(reuse([node.model_copy(update={"embedding": None}) for node in nodes]))
    assert model.seen == 23
    assert len(store.get_nodes()) == 23


def test_what_another_process_has_deleted_since_is_written_again(begin, monkeypatch):
    client = begin()
    store = OSSVectorStore(client)
    reuse = ReuseStoredEmbeddings(client=client, embed_model=Counting(embed_dim=3))
    nodes = Lines()([document(1)])
    store.add(reuse(nodes))
    for module in (reuse_module, node_store):  # what others write is not counted here
        monkeypatch.setattr(module, "count_writes", lambda *_: 0)
    again = [node.model_copy(update={"embedding": None}) for node in nodes]
    reuse([node.model_copy() for node in again])
    client.delete([node.node_id for node in nodes])
    store.add(reuse(again))
    assert len(store.get_nodes()) == 23


def test_what_was_read_is_believed_to_stand_there_for_half_a_minute():
    recent, vector = recent_nodes.RecentNodes(), Vector("a", [1.0], {"n": "1"})
    recent.note_stored(vector, 3, 100.0)
    assert recent.is_stored(vector, 3, 129.0)
    assert not recent.is_stored(vector, 4, 129.0)
    assert not recent.is_stored(Vector("a", [2.0], {"n": "1"}), 3, 129.0)
    assert not recent.is_stored(vector, 3, 131.0)
    recent.forget_stored(["a"])
    assert not recent.is_stored(vector, 3, 101.0)


async def test_it_is_the_same_when_awaited(begin):
    for changed in (0, 3):
        client = begin()
        model = Counting(embed_dim=3)
        await IngestionPipeline(
            transformations=[Lines(), ReuseStoredEmbeddings(client=client, embed_model=model)],
            vector_store=OSSVectorStore(client),
            docstore=OSSVectorDocumentStore(client),
            docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
            disable_cache=True,
        ).arun(
            documents=[document(n, "New" if n < changed else "First") for n in range(6 + changed)]
        )
    assert model.seen == 3 + 3 * 23
    assert len(OSSVectorStore(client).get_nodes()) == 9 * 23
