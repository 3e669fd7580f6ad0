"""What `oss-vectors policy` prints for a class is what the class needs, and no more.

Each public class does its work as a RAM user under exactly that policy, and what it calls is
recorded. Then each action is taken away in turn, and something fails or comes out wrong.
"""

import asyncio
import json

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("langgraph")
pytest.importorskip("langchain")
pytest.importorskip("llama_index.core")
pytest.importorskip("mcp")

from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.indexing import InMemoryRecordManager
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.retrievers import BaseRetriever
from llama_index.core.base.base_retriever import BaseRetriever as LlamaRetriever
from llama_index.core.data_structs import IndexDict
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import (
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import VectorStoreQuery
from support.command_fixtures import no_settings  # noqa: F401 - a fixture
from support.command_line import call
from support.embedded import settings

from oss_vector_retriever import (
    InvalidRequestError,
    Limits,
    emulator,
    langchain,
    langgraph,
    llama_index,
    mcp,
)
from oss_vector_retriever.cli.commands.policy import CLASSES
from oss_vector_retriever.client.clients import client_of
from oss_vector_retriever.client.config import resolve_config
from oss_vector_retriever.client.local import LocalService
from oss_vector_retriever.emulator.operations.table import operation_of

ACCOUNT, BUCKET = emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET
INDEX = "vectors"
USER = emulator.AccessKey("worker-key", "worker-secret", ACCOUNT, user="worker")
DOORS = {"langchain": langchain, "langgraph": langgraph, "llama_index": llama_index, "mcp": mcp}
# what is public and calls nothing: bases, values, and what loads the others
QUIET = {
    "Connected", "ConnectedComponent", "ConnectionOptions", "DocumentState", "DocumentStream",
    "FetchReport", "IncompleteSearchEvent", "KeyQueryBundle", "MissingKeysEvent",
    "NodeWithProvenance", "OSSVectorStoreRetriever", "QueryOptions", "SearchOptions",
    "OSSVectorTranslator", "load_retriever",
    "OSSVectorAdapter",  # what its store calls
}  # fmt: skip
ROOT_HALF = 1 / (1 + 2**0.5)  # the relevance of a distance of the root of two


class Axes(Embeddings):
    """Put each text on an axis; `size` says of how many."""

    def __init__(self, size=3):
        self.size = size

    def embed_query(self, text):
        place = {"a": 0, "b": 1}.get(text, 2) % self.size
        return [float(n == place) for n in range(self.size)]

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]


def documents(*ids):
    return [Document(id=key, page_content=key) for key in ids]


def nodes(*ids):
    return [TextNode(id_=key, text=key, embedding=Axes().embed_query(key)) for key in ids]


def hits(*ids):
    return [NodeWithScore(node=TextNode(id_=key, text=""), score=0.5) for key in ids]


def ids_of(found):
    return [one.id for one in found]


class FixedRetriever(BaseRetriever):
    found: list

    def _get_relevant_documents(self, query, *, run_manager):  # noqa: ARG002
        return self.found


class FixedNodes(LlamaRetriever):
    def __init__(self, found):
        super().__init__()
        self.found = found

    def _retrieve(self, _query_bundle):
        return self.found


# Each takes a client and what the class may do; before "create" there is no index, else it has
# the records a and b on two axes of three, and euclidean distance, but for LangGraph.


def lc_store(client, access):
    store = langchain.OSSVectorStore(Axes(), client=client, distance_metric=None)
    if access != "read":
        store.add_documents(documents("a", "b", "c"))
        with pytest.raises(InvalidRequestError, match="dimension"):
            langchain.OSSVectorStore(Axes(2), client=client).add_documents(documents("d"))
        store.delete(["c"])
        store.update_metadata(["a"], {"seen": "yes"})
        store.delete(delete_all=True)
        assert store.get_by_ids(["a"]) == []
        store.add_texts(["a", "b"], ids=["a", "b"])
    assert ids_of(store.get_by_ids(["b", "a"])) == ["b", "a"]
    assert ids_of(store.max_marginal_relevance_search("a", k=1)) == ["a"]
    scored = store.similarity_search_with_relevance_scores("a", k=2)
    assert [document.id for document, _ in scored] == ["a", "b"]
    # the nearest is itself: what else there is has to be listed where one hit is the most
    capped = langchain.OSSVectorStore(client=client.with_options(limits=Limits(top_k=1)))
    assert ids_of(capped.similarity_search_by_id("a", k=1)) == ["b"]
    far = 0.5 if access == "create" else ROOT_HALF  # an index made by the store has cosine
    assert [score for _, score in scored] == pytest.approx([1.0, far])


def lc_document_index(client, access):
    index = langchain.OSSVectorDocumentIndex(
        store=langchain.OSSVectorStore(Axes(), client=client, distance_metric=None)
    )
    if access != "read":
        assert index.upsert(documents("a", "b", "c"))["failed"] == []
        assert index.delete(["c", "gone"])["num_deleted"] == 1
        other = langchain.OSSVectorStore(Axes(2), client=client, distance_metric=None)
        with pytest.raises(InvalidRequestError, match="dimension"):
            langchain.OSSVectorDocumentIndex(store=other).upsert(documents("d"))
    assert ids_of(index.get(["b"])) == ["b"]
    assert ids_of(index.invoke("a", k=1)) == ["a"]


def key_value(kind, value):
    def work(client, access):
        if access != "read":
            kind(client=client, dimension=3, key_prefix="p").mset([("x", value)])
        # a placeholder of its own dimension would be refused
        store = kind(client=client, key_prefix="p")
        if access != "read":
            store.mset([("y", value)])
            store.mdelete(["x"])
            assert store.mget(["x", "y"]) == [None, value]
            assert list(store.yield_keys()) == ["y"]
        else:
            assert store.mget(["x"]) == [None]
            assert list(store.yield_keys()) == []

    return work


def embedding_store(client, access):
    store = langchain.OSSVectorEmbeddingStore(client=client)
    if access != "read":
        store.mset([("a", [1.0, 0.0, 0.0]), ("c", [1.0, 1.0, 0.0])])
        store.mdelete(["c"])
        with pytest.raises(InvalidRequestError, match="dimension"):
            langchain.OSSVectorEmbeddingStore(client=client).mset([("d", [1.0])])
    assert store.mget(["a", "c"]) == [[1.0, 0.0, 0.0], None]
    assert "a" in store.yield_keys()


def fetch_tool(client, _):
    tool = langchain.OSSVectorFetchTool(client=client, scan=10)
    assert "a" in tool.invoke({"ids": ["a"]})
    assert '"b"' in tool.invoke({"ids": ["B"]})


def search_tool(client, _):
    tool = langchain.OSSVectorSearchTool(client=client, embedding=Axes())
    assert '"a"' in tool.invoke({"query": "a", "k": 1})
    bound = tool.model_copy(update={"allowed_keys": ["b"]})
    assert '"b"' in bound.invoke({"query": "a"})
    capped = client.with_options(limits=Limits(top_k=1))
    tenant = langchain.OSSVectorSearchTool(client=capped, embedding=Axes(), key_prefix="b")
    assert '"b"' in tenant.invoke({"query": "c"})  # as far from it as a is, which comes first


def toolkit(client, _):
    tools = langchain.OSSVectorToolkit(client=client, embedding=Axes(), scan=10).get_tools()
    by_name = {tool.name: tool for tool in tools}
    assert '"b"' in by_name["fetch_documents"].invoke({"ids": ["B"]})
    assert '"a"' in by_name["search_documents"].invoke({"query": "a", "k": 1})


def parents(client, _):
    children = [Document(id="a1", page_content="x", metadata={"parent_id": "a"})]
    retriever = langchain.ParentHydratingRetriever(
        retriever=FixedRetriever(found=children), client=client
    )
    assert ids_of(retriever.invoke("x")) == ["a"]


def compressor(kind, **options):
    def work(client, _):
        chosen = kind(client=client, on_missing="raise", **options)
        assert ids_of(chosen.compress_documents(documents("b", "a"), "a"))[0] in {"a", "b"}

    return work


def record_manager(client, _):
    inner = InMemoryRecordManager("here")
    inner.update(["a", "gone"])
    store = langchain.OSSVectorStore(Axes(), client=client)
    assert langchain.VerifyingRecordManager(inner, store).exists(["a", "gone"]) == [True, False]


class Scripted(GenericFakeChatModel):
    """Say one word, and remember what was asked."""

    asked: list

    def _generate(self, messages, *args, **kwargs):
        self.asked.append(messages)
        return super()._generate(messages, *args, **kwargs)


def middleware(client, _):
    model = Scripted(messages=iter([AIMessage("x")]), asked=[])
    hydrating = langgraph.HydrateDocumentsMiddleware(client=client)
    agent = create_agent(model, middleware=[hydrating])
    agent.invoke({"messages": [HumanMessage("x")], "document_ids": ["a"]})
    assert '[id: "a"]' in model.asked[0][0].text


def graph_store(client, access):
    config = {"dims": 3, "embed": Axes(), "fields": ["text"]}
    store = langgraph.OSSVectorGraphStore(client=client, index=config)
    if access != "read":
        store.put(("n",), "x", {"text": "a"})
        # without an embedding model a placeholder must have the index's dimension
        plain = langgraph.OSSVectorGraphStore(client=client)
        plain.put(("n",), "y", {"text": "b"})
        plain.delete(("n",), "y")
        assert store.get(("n",), "x").value == {"text": "a"}
    else:
        assert store.get(("n",), "x") is None
    expected = [] if access == "read" else ["x"]
    assert [item.key for item in store.search(("n",), query="a")] == expected
    assert [item.key for item in store.search(("n",))] == expected


def li_store(client, access):
    store = llama_index.OSSVectorStore(client, distance_metric=None)
    if access != "read":
        store.add(nodes("a", "b", "c"))
        small = TextNode(id_="d", text="d", embedding=[1.0])
        with pytest.raises(InvalidRequestError, match="dimension"):
            llama_index.OSSVectorStore(client, distance_metric=None).add([small])
        store.delete_nodes(["c"])
    assert [node.node_id for node in store.get_nodes(["b"])] == ["b"]
    assert {node.node_id for node in store.get_nodes()} == {"a", "b"}
    found = store.query(VectorStoreQuery(query_embedding=[1.0, 0.0, 0.0], similarity_top_k=2))
    assert found.ids == ["a", "b"]
    near = 0.0 if access == "create" else ROOT_HALF  # cosine, as of a store's own index
    assert found.similarities == pytest.approx([1.0, near])


def docstore(client, access):
    store = llama_index.OSSVectorDocumentStore(client, distance_metric=None, scan=True)
    assert store.get_document_hash("gone") is None
    if access != "read":
        store.set_document_hash("d", "h")
        assert llama_index.OSSVectorDocumentStore(client).get_all_document_hashes() == {"h": "d"}
        store.add_documents(nodes("a", "b", "c"))
        small = TextNode(id_="d", text="d", embedding=[1.0])
        other = llama_index.OSSVectorDocumentStore(client, distance_metric=None)
        with pytest.raises(InvalidRequestError, match="dimension"):
            other.add_documents([small])
        store.delete_document("c")
    assert store.get_document("b").node_id == "b"
    assert set(store.docs) == {"a", "b"}


def refuse_another_form(client, access):
    """Put to an index of vectors, which its description tells before anything is sent."""
    if access == "create":
        llama_index.OSSVectorStore(client, side_index=False).add(nodes("a"))
    with pytest.raises(InvalidRequestError, match=f"index '{INDEX}' has dimension 3"):
        llama_index.OSSVectorKVStore(client, side_index=INDEX).put("a", {})


def kv_store(client, access):
    store = llama_index.OSSVectorKVStore(client)
    if access != "read":
        refuse_another_form(client, access)
        store.put("a", {"x": 1})
        store.put("b", {"x": 2})
        assert store.delete("b") is True
    there = {} if access == "read" else {"a": {"x": 1}}
    assert store.get_many(["a", "b"]) == there
    assert store.get_all() == there


def index_store(client, access):
    store = llama_index.OSSVectorIndexStore(client)
    struct = IndexDict(index_id="a")
    if access != "read":
        refuse_another_form(client, access)
        store.add_index_struct(struct)
        store.add_index_struct(IndexDict(index_id="b"))
        store.delete_index_struct("b")
    there = [] if access == "read" else [struct]
    assert store.index_structs() == there
    assert store.get_index_struct("a") == (None if access == "read" else struct)


def chat_store(client, access):
    store = llama_index.OSSVectorChatStore(client=client)
    if access != "read":
        refuse_another_form(client, access)
        store.set_messages("a", [ChatMessage("x"), ChatMessage("y")])
        store.add_message("a", ChatMessage("z"))
        assert store.delete_last_message("a").content == "z"
    assert [one.content for one in store.get_messages("a")] == ["x", "y"] * (access != "read")
    assert store.get_keys() == ["a"] * (access != "read")


def mapping(client, _):
    found = llama_index.OSSVectorNodeMapping(client)
    assert found["a"].node_id == "a"
    assert [*found.get_many(["b", "gone"])] == ["b"]


def prefetching(client, _):
    from llama_index.core.schema import IndexNode  # noqa: PLC0415

    pointer = NodeWithScore(node=IndexNode(text="x", index_id="a"), score=0.5)
    retriever = llama_index.OSSVectorPrefetchingRetriever(
        FixedNodes([pointer]), llama_index.OSSVectorNodeMapping(client), expand=True
    )
    assert [found.node.node_id for found in retriever.retrieve("x")] == ["a"]


def auto_merging(client, _):
    child = TextNode(id_="a1", text="x")
    child.relationships[NodeRelationship.PARENT] = RelatedNodeInfo(node_id="a")
    retriever = llama_index.OSSVectorAutoMergingRetriever(
        FixedNodes([NodeWithScore(node=child, score=0.5)]), client, on_missing="raise"
    )
    assert retriever.retrieve("x")


def previous(client, _):
    node = TextNode(id_="x", text="x")
    node.relationships[NodeRelationship.NEXT] = RelatedNodeInfo(node_id="a")
    post = llama_index.OSSVectorPrevNextPostprocessor(client=client, mode="next")
    found = post.postprocess_nodes([NodeWithScore(node=node, score=1.0)])
    assert [hit.node.node_id for hit in found] == ["x", "a"]


def reader(client, _):
    documents_of = llama_index.OSSVectorReader(client=client)
    assert [one.id_ for one in documents_of.load_data(["a"])] == ["a"]
    assert {*documents_of.list_resources()} == {"a", "b"}


def rehydration(client, _):
    post = llama_index.OSSVectorRehydrationPostprocessor(client=client)
    assert post.postprocess_nodes(hits("a"))[0].node.get_content() == "a"


def li_retriever(client, _):
    found = llama_index.OSSVectorRetriever(client).retrieve("a")
    assert [hit.node.node_id for hit in found] == ["a"]


def tool_spec(client, _):
    model = MockEmbedding(embed_dim=3)
    spec = llama_index.OSSVectorToolSpec(
        client, scan=10, tokenizer=str.split, embed_model=model, exhaustive=False
    )
    assert '"a"' in spec.fetch_by_ids(["a"])
    assert '"b"' in spec.check_exist(["B"])
    assert '"a"' in spec.search("a")


def mcp_server(client, _):
    server = mcp.OSSVectorMCPServer(client, embedding=Axes(), scan=10)

    async def use():
        found = [
            await server._tools.call(name, arguments)
            for name, arguments in {
                "search": {"query": "a"},
                "fetch_many": {"ids": ["a", "B"]},
            }.items()
        ]
        await server.aclose()
        return found

    found, read = asyncio.run(use())
    assert [one["id"] for one in found.structured["results"]] == ["a", "b"]
    assert [one["id"] for one in read.structured["documents"]] == ["a"]
    assert read.structured["missing"] == [{"id": "B", "did_you_mean": ["b"]}]


class Dear(MockEmbedding):
    """A model that is never to be asked."""

    def _get_text_embeddings(self, texts):
        raise AssertionError(texts)


def reuse(client, _):
    again = TextNode(id_="a", text="a")
    llama_index.ReuseStoredEmbeddings(client=client, embed_model=Dear(embed_dim=3))([again])
    assert again.embedding == [1.0, 0.0, 0.0]


def stored(kind, **options):
    def work(client, _):
        post = kind(client=client, on_missing="raise", **options)
        query = QueryBundle("a", embedding=[1.0, 0.0, 0.0])
        assert post.postprocess_nodes(hits("a", "b"), query)[0].node.node_id == "a"

    return work


WORK = {
    "langchain.OSSVectorByteStore": key_value(langchain.OSSVectorByteStore, b"1"),
    "langchain.OSSVectorDocStore": key_value(langchain.OSSVectorDocStore, documents("own")[0]),
    "langchain.OSSVectorDocumentIndex": lc_document_index,
    "langchain.OSSVectorEmbeddingStore": embedding_store,
    "langchain.OSSVectorFetcher": lambda client, _: ids_of(
        langchain.OSSVectorFetcher(client=client, on_missing="raise").invoke(["a"])
    ),
    "langchain.OSSVectorFetchTool": fetch_tool,
    "langchain.OSSVectorRehydrator": lambda client, _: ids_of(
        langchain.OSSVectorRehydrator(client=client, on_missing="raise").invoke(["a"])
    ),
    "langchain.OSSVectorRetriever": lambda client, _: ids_of(
        langchain.OSSVectorRetriever(client=client, on_missing="raise").invoke("a")
    ),
    "langchain.OSSVectorSearchTool": search_tool,
    "langchain.OSSVectorStore": lc_store,
    "langchain.OSSVectorToolkit": toolkit,
    "langchain.ParentHydratingRetriever": parents,
    "langchain.StoredEmbeddingsFilter": compressor(
        langchain.StoredEmbeddingsFilter, embedding=Axes(), k=1
    ),
    "langchain.StoredEmbeddingsMMR": compressor(
        langchain.StoredEmbeddingsMMR, embedding=Axes(), k=1
    ),
    "langchain.StoredEmbeddingsRedundantFilter": compressor(
        langchain.StoredEmbeddingsRedundantFilter
    ),
    "langchain.VerifyingRecordManager": record_manager,
    "langgraph.HydrateDocumentsMiddleware": middleware,
    "langgraph.OSSVectorGraphStore": graph_store,
    "llama_index.OSSVectorAutoMergingRetriever": auto_merging,
    "llama_index.OSSVectorChatStore": chat_store,
    "llama_index.OSSVectorDocumentStore": docstore,
    "llama_index.OSSVectorIndexStore": index_store,
    "llama_index.OSSVectorKVStore": kv_store,
    "llama_index.OSSVectorNodeMapping": mapping,
    "llama_index.OSSVectorPrefetchingRetriever": prefetching,
    "llama_index.OSSVectorPrevNextPostprocessor": previous,
    "llama_index.OSSVectorReader": reader,
    "llama_index.OSSVectorRehydrationPostprocessor": rehydration,
    "llama_index.OSSVectorRetriever": li_retriever,
    "llama_index.OSSVectorStore": li_store,
    "llama_index.OSSVectorToolSpec": tool_spec,
    "llama_index.ReuseStoredEmbeddings": reuse,
    "llama_index.StoredEmbeddingDedupPostprocessor": stored(
        llama_index.StoredEmbeddingDedupPostprocessor
    ),
    "llama_index.StoredEmbeddingMMRPostprocessor": stored(
        llama_index.StoredEmbeddingMMRPostprocessor, top_n=1
    ),
    "llama_index.StoredEmbeddingRescorer": stored(llama_index.StoredEmbeddingRescorer),
    "mcp.OSSVectorMCPServer": mcp_server,
}
# those that write to the side index
BESIDE = [f"llama_index.OSSVector{n}Store" for n in ("Chat", "Document", "Index", "KV")]
CASES = [
    (name, access)
    for name, needs in CLASSES.items()
    for access, part in zip(("read", "write", "create"), needs, strict=True)
    if part
]


class Place:
    """A service with a bucket, and a user in it who may do what a policy says."""

    def __init__(self):
        keys = [emulator.DEVELOPMENT_KEY, USER]
        self.service = emulator.Service.in_memory(access_keys=keys)
        self.service.create_bucket(ACCOUNT, BUCKET)
        self.local = LocalService(self.service)
        self.local.hold()  # or the first client that is closed would close it
        self.called = []
        handle = self.service.handle

        def record(request):
            if request.headers["authorization"].find(USER.id) > 0:
                self.called.append(operation_of(request).name)
            return handle(request)

        self.service.handle = record

    def client(self, key):
        given = {**settings("http://localhost"), "credentials": (key.id, key.secret), "retry": 1}
        return client_of(resolve_config(**given), self.local)

    def prepare(self, name, access):
        """Begin anew: no index, or one with the records that the class reads."""
        with self.client(emulator.DEVELOPMENT_KEY) as owner:
            for index in owner.list_vector_indexes():
                owner.delete_vector_index(index=index.index_name)
            if access == "create":
                return
            if access == "write" and name in BESIDE:
                llama_index.OSSVectorKVStore(owner).put("z", {}, collection="another")
            hidden = langchain.OSSVectorStore(client=owner)._records.settings.hidden_fields
            # memory in LangGraph has cosine alone
            metric = "cosine" if name.startswith("langgraph") else "euclidean"
            owner.put_vector_index(
                dimension=3, distance_metric=metric, non_filterable_metadata_keys=hidden
            )
            if name.startswith("llama"):
                llama_index.OSSVectorStore(owner, distance_metric=None).add(nodes("a", "b"))
            else:
                store = langchain.OSSVectorStore(Axes(), client=owner, distance_metric=None)
                store.add_documents(documents("a", "b"))

    def work(self, name, access, policy):
        self.prepare(name, access)
        with self.client(emulator.DEVELOPMENT_KEY) as owner:
            owner.put_bucket_policy(policy)
        self.called.clear()
        with self.client(USER) as client:
            WORK[name](client, access)
        return {f"oss:{action}" for action in self.called}


@pytest.fixture(scope="module")
def place():
    place = Place()
    yield place
    place.local.let_go()


def printed(name, access):
    done = call(
        *("policy", "--for", name, "--access", access, "--principal", "worker"),
        *("--bucket", BUCKET, "--account-id", ACCOUNT, "--index-name", INDEX),
        *("--region", emulator.DEVELOPMENT_REGION),
    )
    assert done.status == 0, done.errors
    return done.json


def without(policy, action):
    """Return a policy that does not allow an action."""
    fewer = json.loads(json.dumps(policy))
    for statement in fewer["Statement"]:
        statement["Action"] = [one for one in statement["Action"] if one != action]
    # a bucket without any policy asks nobody, and a statement without actions is none
    fewer["Statement"] = [one for one in fewer["Statement"] if one["Action"]] or [
        {**policy["Statement"][0], "Action": ["oss:GetBucketLogging"]}
    ]
    return fewer


@pytest.mark.parametrize(("name", "access"), CASES)
def test_a_class_works_under_its_policy_and_not_under_less(place, name, access):
    policy = printed(name, access)
    granted = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert place.work(name, access, policy) == granted
    for action in sorted(granted):
        assert fails(place, name, access, without(policy, action)), action


def fails(place, name, access, policy):
    try:
        place.work(name, access, policy)
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - an error, or a wrong outcome
        return True
    return False


def test_there_is_a_policy_for_each_public_class_that_calls_the_service():
    public = {f"{door}.{name}" for door, module in DOORS.items() for name in module.__all__}
    assert {name for name in public if name.partition(".")[2] not in QUIET} == set(CLASSES)
    assert set(WORK) == set(CLASSES)
