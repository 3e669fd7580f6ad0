"""Whatever reads gives a result or an error of ours, whatever stands in a record.

The classes of the frameworks with all that they read by: searches, updates, tools, postprocessors,
memory. What the right result is stands in the tests of each; here it is that nothing else is raised
than what a caller of this package can catch.
"""

import itertools

import pytest
from support.canned import json_reply
from support.promises import sized
from support.reply_shapes import ABSENT, SEED, some_of
from support.stored_shapes import ODD_RECORDS, RECORDS, node

from oss_vector_retriever import OSSVectorError

pytestmark = pytest.mark.promise("R15")

ALL = 10**9
QUERY = [1.0, 0.0, 0.0]
# those that follow a node's links, which core's own properties refuse where they are lists
FOLLOW_LINKS = ("neighbours", "auto merging", "tool, get_neighbors", "get_ref_doc_info",
                "scan, get_all_ref_doc_info")  # fmt: skip
LISTED_LINKS = [
    *(node(relationships={kind: [{"node_id": "b"}]}) for kind in "1234"),
    node(relationships={"5": {"node_id": "b"}}),
]


def everything_that_reads(canned):
    """Return by name what reads: an object, a method, and its arguments."""
    langchain = pytest.importorskip("oss_vector_retriever.langchain")
    llama_index = pytest.importorskip("oss_vector_retriever.llama_index")
    langgraph = pytest.importorskip("oss_vector_retriever.langgraph")
    client = canned.client
    return {
        **_of_langchain(langchain, client),
        **_of_llama_index(llama_index, client),
        **_of_langgraph(langgraph, client),
    }


def _embeddings():
    fakes = pytest.importorskip("langchain_core.embeddings.fake")
    return fakes.DeterministicFakeEmbedding(size=3)


def _of_langchain(langchain, client):
    documents = pytest.importorskip("langchain_core.documents")
    given = [documents.Document(id=key, page_content="x") for key in "ab"]
    model = _embeddings()
    store = langchain.OSSVectorStore(model, client=client, distance_metric=None, score_key="s")
    options = {"client": client, "embedding": model}
    filters = [
        langchain.StoredEmbeddingsFilter(**options),
        langchain.StoredEmbeddingsMMR(**options),
        langchain.StoredEmbeddingsRedundantFilter(client=client),
    ]
    ids = {"ids": ["a", "zz"]}
    return {
        "search": (store, "similarity_search", "q"),
        "relevance": (store, "similarity_search_with_relevance_scores", "q"),
        "by id": (store, "similarity_search_by_id", "b"),
        "with embeddings": (store, "get_by_ids_with_embeddings", ["a"]),
        "update": (store, "update_metadata", ["a"], {"z": 1}),
        "document index": (langchain.OSSVectorDocumentIndex(store=store), "invoke", "q"),
        "fetch tool": (langchain.OSSVectorFetchTool(client=client, scan=9), "invoke", ids),
        "search tool": (langchain.OSSVectorSearchTool(**options), "invoke", {"query": "q"}),
        "allowed": (
            langchain.OSSVectorSearchTool(**options, allowed_keys=["a"]),
            *("invoke", {"query": "q"}),
        ),
        "bytes": (langchain.OSSVectorByteStore(client=client), "mget", ["a"]),
        "embeddings": (langchain.OSSVectorEmbeddingStore(client=client), "mget", ["a"]),
        "documents": (langchain.OSSVectorDocStore(client=client), "mget", ["a"]),
        **{type(one).__name__: (one, "compress_documents", given, "q") for one in filters},
    }


def _of_llama_index(llama_index, client):
    types = pytest.importorskip("llama_index.core.vector_stores.types")
    schema = pytest.importorskip("llama_index.core.schema")
    embeddings = pytest.importorskip("llama_index.core.embeddings")
    retrievers = pytest.importorskip("llama_index.core.retrievers")
    model = embeddings.MockEmbedding(embed_dim=3)
    link, kinds = schema.RelatedNodeInfo(node_id="a"), schema.NodeRelationship
    around = [
        schema.TextNode(id_="b", relationships={kinds.NEXT: link, kinds.PARENT: link}),
        schema.TextNode(id_="c", relationships={kinds.PREVIOUS: link, kinds.PARENT: link}),
    ]
    found = [schema.NodeWithScore(node=one, score=0.5) for one in around]
    hits = [schema.NodeWithScore(node=schema.TextNode(id_=key), score=0.5) for key in "ab"]

    class Fixed(retrievers.BaseRetriever):
        def _retrieve(self, query_bundle):
            return found if query_bundle.query_str else []

    store = llama_index.OSSVectorStore(client, distance_metric=None)
    docstore = llama_index.OSSVectorDocumentStore(client)
    scanning = llama_index.OSSVectorDocumentStore(client, scan=True)
    reader, tools = (
        llama_index.OSSVectorReader(client=client),
        llama_index.OSSVectorToolSpec(client),
    )
    choosers = [
        getattr(llama_index, name)(client=client, embed_model=model, on_missing="omit")
        for name in ("StoredEmbeddingDedupPostprocessor", "StoredEmbeddingMMRPostprocessor",
                     "StoredEmbeddingRescorer")
    ]  # fmt: skip
    operators = (types.FilterOperator.GTE, 1), (types.FilterOperator.ANY, ["x"])
    filters = [
        types.MetadataFilters(filters=[types.MetadataFilter(key="n", value=value, operator=one)])
        for one, value in operators
    ]

    def query(mode="default", **restriction):
        mode = types.VectorStoreQueryMode(mode)
        return types.VectorStoreQuery(query_embedding=QUERY, mode=mode, **restriction)

    queries = [
        *(query(node_ids=["a"]), query("mmr", node_ids=["a"]), query("mmr")),
        *(query(filters=filters[0]), query(filters=filters[1], doc_ids=["d"])),
        query(output_fields=["n"]),
    ]
    mapping = llama_index.OSSVectorNodeMapping
    return {
        **{f"query {n}": (store, "query", asked) for n, asked in enumerate(queries)},
        "get_nodes, filters": (store, "get_nodes", ["a"], filters[0]),
        "all, filters": (store, "get_nodes", None, filters[1]),
        "delete, filters": (store, "delete_nodes", ["a"], filters[0]),
        "delete a document": (store, "delete", "d"),
        **{
            name: (docstore, name, *arguments)
            for name, *arguments in [
                *(("get_document", "a"), ("get_node_dict", {1: "a"}), ("document_exists", "a")),
                *(("get_document_hash", "a"), ("get_ref_doc_info", "a")),
                ("delete_ref_doc", "a", False),  # no error where no node comes of it
            ]
        },
        **{
            f"scan, {name}": (scanning, name, *arguments)
            for name, *arguments in [
                *(("get_all_ref_doc_info",), ("get_all_document_hashes",)),
                ("get_ref_doc_info", "a"),
            ]
        },
        "load_data": (reader, "load_data", ["a"]),
        "get_resource_info": (reader, "get_resource_info", "a"),
        "list_resources_with_info": (reader, "list_resources_with_info"),
        "retriever": (llama_index.OSSVectorRetriever(client), "retrieve", "a"),
        "auto merging": (llama_index.OSSVectorAutoMergingRetriever(Fixed(), client),
                         "retrieve", "q"),
        "prefetching": (
            llama_index.OSSVectorPrefetchingRetriever(Fixed(), mapping(client), expand=True),
            *("retrieve", "q"),
        ),
        "neighbours": (llama_index.OSSVectorPrevNextPostprocessor(client=client, mode="both",
                                                                  num_nodes=3),
                       "postprocess_nodes", found),
        **{type(one).__name__: (one, "postprocess_nodes", hits, None, "q") for one in choosers},
        **{
            f"tool, {name}": (tools, name, argument)
            for name, argument in [
                *(("fetch_by_ids", ["a"]), ("get_metadata", ["a"]), ("check_exist", ["a"])),
                ("get_neighbors", "a"),
            ]
        },
    }  # fmt: skip


def _of_langgraph(langgraph, client):
    base = pytest.importorskip("langgraph.store.base")
    plain = langgraph.OSSVectorGraphStore(client=client)
    embedded = langgraph.OSSVectorGraphStore(
        client=client, index={"dims": 3, "embed": _embeddings()}
    )
    return {
        "memory, get": (plain, "get", ("n",), "k"),
        "memory, search": (plain, "search", ("n",)),
        "memory, nearest": (embedded, "batch", [base.SearchOp(("n",), query="q")]),
        "memory, namespaces": (plain, "list_namespaces"),
        "memory, put": (plain, "put", ("n",), "k", {"v": 2}),
    }


def test_whatever_reads_gives_a_result_or_an_error_of_ours(canned, figure):
    answers, found, count, refused = canned.answers, [], 0, 0
    answers["PutVectors"] = answers["DeleteVectors"] = json_reply({})
    readers = everything_that_reads(canned)
    shapes = [*(shape.value for shape in RECORDS), *ODD_RECORDS]
    cases = some_of(list(itertools.product(readers, shapes)), sized(120, ALL))
    cases += itertools.product(FOLLOW_LINKS, LISTED_LINKS)
    for name, metadata in cases:
        thing, method, *arguments = readers[name]

        def vectors(keys, metadata=metadata):
            members = {"data": {"float32": [1, 0, 0]}, "metadata": metadata, "distance": 0.5}
            given = {name: value for name, value in members.items() if value is not ABSENT}
            return json_reply({"vectors": [{"key": key, **given} for key in keys]})

        answers["GetVectors"] = lambda asked, _, vectors=vectors: vectors(
            dict.fromkeys(asked["keys"])
        )
        answers["QueryVectors"] = vectors(["a"])
        answers["ListVectors"] = vectors(["a", "n..k"])
        count += 1
        try:
            canned.call(thing, method, *arguments)
        except OSSVectorError:
            refused += 1
        except Exception as error:  # noqa: BLE001 - which one is what is looked at
            found.append(f"{name}: {metadata!r}\n  {error!r}")
    assert not found, f"{len(found)} surprises (seed {SEED}):\n" + "\n".join(found[:15])
    assert 0 < refused < count / 2  # most records can be read
    figure(f"{count} calls of {len(readers)} methods that read, on {len(shapes)} records")
