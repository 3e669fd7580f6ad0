"""Searches with filters find all that match, whatever the service does: both frameworks, LangGraph.

Of some thousand records ten match, and none of them is among as many nearest as the service gives.
The expected answers are computed here, with numpy, by a reference that imports nothing of the
package.
"""

from __future__ import annotations

import asyncio
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from support.embedded import embedded
from support.promises import sized

pytest.importorskip("langchain_core")
pytest.importorskip("langgraph")
pytest.importorskip("llama_index.core")

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langgraph.store.base import PutOp
from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode
from support.llama_nodes import filters, where

from oss_vector_retriever import IncompleteSearchWarning, Limits, emulator
from oss_vector_retriever.langchain import OSSVectorSearchTool, OSSVectorStore
from oss_vector_retriever.langgraph import OSSVectorGraphStore
from oss_vector_retriever.llama_index import OSSVectorStore as OSSNodeStore

COUNT = sized(110, 5000)
# by default a fiftieth of the records, and so a part of the service's limits
LIMITS = sized(Limits(top_k=40, list_page=40), Limits())
ASKED = sized((12,), (20, 10, 4))  # of as many as match, and of more and fewer
MATCHES = 10
QUERY = (1.0, 0.0, 0.5)
SWITCHES = {
    "default": {},
    "filters first": {"filter_after_ranking": False},
    "listing ignores filters": {"list_filter": "ignored"},
    "listing refuses filters": {"list_filter": "refused"},
    "topK 30": {"top_k_limit": 30},
    "topK 100": {"top_k_limit": 100},
    "strings only": {"scalars": "refused", "filter_shorthand": False},
    "turned into strings": {"scalars": "strings"},
    "ten names in all": {"metadata_names": "all"},
    "squared": {"squared_euclidean": True},
    "negations need the field": {"negation_needs_field": True},
    "no ranges": {"filter_forms": "no_ranges"},
    "no $exists": {"filter_forms": "no_exists"},
    **sized({}, {"no $or": {"filter_forms": "no_or"}, "no nesting": {"filter_forms": "flat"}}),
    "all at once": {
        "list_filter": "refused",
        "top_k_limit": 30,
        "scalars": "refused",
        "metadata_names": "all",
        "squared_euclidean": True,
        "negation_needs_field": True,
        "filter_shorthand": False,
        "filter_forms": "no_or",
        "order": "shuffled",
        "seed": 7,
    },
}


pytestmark = pytest.mark.promise(
    "P9", figure="5,000 records, 12 ways of the service, every search: the 10 that match"
)


class Fixed(Embeddings):
    """Embed every text as the query."""

    def embed_documents(self, texts):
        return [list(QUERY) for _ in texts]

    def embed_query(self, text):  # noqa: ARG002 - whatever it is
        return list(QUERY)


class FixedModel(MockEmbedding):
    """The same for LlamaIndex."""

    def _get_vector(self):
        return list(QUERY)


def embedding_of(number):
    """Return vectors that are the farther from the query the larger their number is."""
    step = 0.001 * (number + 1)
    return [1.0 - step / 3, step, 0.5 + step / 5]


def metadata_of(number):
    rare = number >= COUNT - MATCHES
    fields = {
        "tenant": "small" if rare else "big",
        "size": 7 if rare else 3,
        "share": 0.25 if rare else 0.75,
        "tags": ["x", "rare"] if rare else ["x"],
        "title": "A Rare One" if rare else "one of many",
    }
    return fields if rare else {**fields, "seen": True}


class Reference:
    """What is stored, and the nearest of it that pass, by the definition of the distances."""

    def __init__(self, metric, squared):
        self.metric, self.squared = metric, squared
        self.rows, self.fields = {}, {}

    def nearest(self, passes, k):
        query = np.float64(np.float32(QUERY))
        found = []
        for key, row in self.rows.items():
            if passes(self.fields[key]):
                values = np.float64(np.float32(row))
                if self.metric == "cosine":
                    lengths = np.linalg.norm(values) * np.linalg.norm(query)
                    far = 1.0 - values.dot(query) / lengths
                else:
                    far = np.linalg.norm(values - query)
                    far = far**2 if self.squared else far
                found.append((far, key))
        return sorted(found)[:k]

    def keys(self, passes=lambda fields: fields["tenant"] == "small", k=100):
        return [key for _, key in self.nearest(passes, k)]


class World:
    """One index of a service with switches, that four programs have written to."""

    def __init__(self, switches, metric):
        self.behaviour = emulator.Behaviour(**switches)
        self.service = emulator.Service.in_memory(behaviour=self.behaviour, limits=LIMITS)
        self.service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        self.client = embedded(self.service, limits=LIMITS)
        self.metric = metric
        self.reference = Reference(metric, self.behaviour.squared_euclidean)
        self.documents = self.document_store()
        self.fill()

    def document_store(self, **settings):
        # what is found is to be the service's, and not what this process remembers
        settings = {"distance_metric": self.metric, "read_your_writes": False, **settings}
        return OSSVectorStore(Fixed(), client=self.client, **settings)

    def node_store(self, **settings):
        settings = {"distance_metric": self.metric, "read_your_writes": False, **settings}
        return OSSNodeStore(self.client, **settings)

    def fill(self):
        keeps_numbers = self.behaviour.scalars == "kept"
        writers = [
            self.documents,
            self.document_store(filterable=["tenant"]),
            self.document_store(scalars="strings"),
        ]
        for number, writer in enumerate([*writers, None]):
            mine = range(number, COUNT, 4)
            rows = {f"r{n:05}": embedding_of(n) for n in mine}
            fields = {f"r{n:05}": metadata_of(n) for n in mine}
            if writer is None:  # another program, which knows of no envelope
                if not keeps_numbers:
                    fields = {key: as_strings(one) for key, one in fields.items()}
                self.client.upsert(
                    [
                        {"key": key, "data": row, "metadata": {"text": "t", **fields[key]}}
                        for key, row in rows.items()
                    ]
                )
            else:
                writer.add_documents(
                    [
                        Document(id=key, page_content="t", metadata=one)
                        for key, one in fields.items()
                    ],
                    embeddings=list(rows.values()),
                )
            self.reference.rows |= rows
            self.reference.fields |= fields

    def close(self):
        self.client.close()
        self.service.close()


def as_strings(fields):
    plain = {int: str, float: str, bool: lambda value: str(value).lower()}
    return {name: plain.get(type(one), lambda value: value)(one) for name, one in fields.items()}


@pytest.fixture(scope="module", params=SWITCHES)
def world(request):
    switches = SWITCHES[request.param]
    made = World(switches, "euclidean" if "squared_euclidean" in switches else "cosine")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _nothing_is_lacking():
    with warnings.catch_warnings():
        warnings.simplefilter("error", IncompleteSearchWarning)
        yield


SMALL = {"tenant": "small"}


def ids(documents):
    return [document.id for document in documents]


def by_document_store(store):
    """Return each of LangChain's searches, as a function of `k`; those for pairs have their ids."""
    options = {"filter": SMALL}
    vector = list(QUERY)
    return {
        "text": lambda k: ids(store.similarity_search("q", k, **options)),
        "vector": lambda k: ids(store.similarity_search_by_vector(vector, k, **options)),
        "score": lambda k: [
            document.id for document, _ in store.similarity_search_with_score("q", k, **options)
        ],
        "embeddings": lambda k: [
            document.id
            for document, _ in store.similarity_search_with_embeddings("q", k, **options)
        ],
        "id": lambda k: ids(store.similarity_search_by_id("r00000", k, **options)),
        "relevance": lambda k: [
            document.id
            for document, _ in store.similarity_search_with_relevance_scores("q", k, **options)
        ],
        "mmr": lambda k: ids(
            store.max_marginal_relevance_search("q", k, fetch_k=20, lambda_mult=1.0, **options)
        ),
        "retriever": lambda k: ids(
            store.as_retriever(search_kwargs={"k": k, **options}).invoke("q")
        ),
        "threshold": lambda k: ids(
            store.as_retriever(
                search_type="similarity_score_threshold",
                search_kwargs={"k": k, "score_threshold": 0.0001, **options},
            ).invoke("q")
        ),
        "async": lambda k: ids(asyncio.run(store.asimilarity_search("q", k, **options))),
        "async mmr": lambda k: ids(
            asyncio.run(
                store.amax_marginal_relevance_search("q", k, fetch_k=20, lambda_mult=1.0, **options)
            )
        ),
    }


def test_langchain_finds_the_ten(world):
    for name, find in by_document_store(world.documents).items():
        for k in ASKED:
            assert find(k) == world.reference.keys()[:k], (name, k)


def test_langchain_finds_the_ten_by_every_operator(world):
    for asked, passes in {
        "eq": ({"size": 7}, lambda f: f["size"] == 7),
        "gt": ({"size": {"$gt": 5}}, lambda f: f["size"] != "7" and f["size"] == 7),
        "nin": ({"tenant": {"$nin": ["big", "x"]}}, lambda f: f["tenant"] == "small"),
        "list": ({"tags": "rare"}, lambda f: "rare" in f["tags"]),
        "absent": ({"seen": None}, lambda f: "seen" not in f),
        "both": (
            {"$and": [{"tenant": {"$ne": "big"}}, {"$or": [{"share": 0.25}, {"size": 1}]}]},
            lambda f: f["tenant"] == "small" and f["share"] == 0.25,
        ),
    }.values():
        found = ids(world.documents.similarity_search("q", 15, filter=asked))
        assert found == world.reference.keys(passes), asked


def test_distances_and_scores_are_those_of_the_reference(world):
    scored = world.documents.similarity_search_with_score("q", 10, filter=SMALL)
    expected = world.reference.nearest(lambda fields: fields["tenant"] == "small", 10)
    assert [far for _, far in scored] == pytest.approx([far for far, _ in expected], rel=1e-4)


def test_a_tool_finds_the_ten(world):
    tool = OSSVectorSearchTool(client=world.client, embedding=Fixed(), filter=SMALL, k=12)
    call = {"name": tool.name, "args": {"query": "q"}, "id": "1", "type": "tool_call"}
    assert ids(tool.invoke(call).artifact) == world.reference.keys()
    some = world.reference.keys()[::2]
    narrow = tool.model_copy(update={"allowed_keys": frozenset([*some, "r00001"])})
    assert ids(narrow.invoke(call).artifact) == some


NODES = {
    "==": (where("tenant", "==", "small"), lambda f: f["tenant"] == "small"),
    "!=": (where("tenant", "!=", "big"), lambda f: f["tenant"] != "big"),
    ">": (where("size", ">", 5), lambda f: f["size"] == 7),
    ">=": (where("size", ">=", 7), lambda f: f["size"] == 7),
    "<": (where("share", "<", 0.5), lambda f: f["share"] == 0.25),
    "<=": (where("share", "<=", 0.25), lambda f: f["share"] == 0.25),
    "in": (where("tenant", "in", ["small", "none"]), lambda f: f["tenant"] == "small"),
    "nin": (where("tenant", "nin", ["big", "none"]), lambda f: f["tenant"] == "small"),
    "any": (where("tags", "any", ["rare", "none"]), lambda f: "rare" in f["tags"]),
    "all": (where("tags", "all", ["x", "rare"]), lambda f: "rare" in f["tags"]),
    "contains": (where("tags", "contains", "rare"), lambda f: "rare" in f["tags"]),
    "text_match": (where("title", "text_match", "Rare"), lambda f: "Rare" in f["title"]),
    "text_match_insensitive": (
        where("title", "text_match_insensitive", "RARE"),
        lambda f: "Rare" in f["title"],
    ),
    "is_empty": (where("seen", "is_empty"), lambda f: "seen" not in f),
    "nested": (
        filters(
            filters(where("tenant", "==", "big"), where("size", "==", 1), condition="not"),
            filters(where("share", "<", 0.1), where("tags", "any", ["rare"]), condition="or"),
        ),
        lambda f: f["tenant"] == "small",
    ),
}


@pytest.mark.parametrize("operator", NODES)
def test_llama_index_finds_the_ten_by_every_operator(world, operator):
    asked, passes = NODES[operator]
    store = world.node_store(return_data=operator == "==")
    query = VectorStoreQuery(
        query_embedding=list(QUERY), similarity_top_k=15, filters=filters(asked)
    )
    assert store.query(query).ids == world.reference.keys(passes)


def test_llama_index_finds_the_ten_by_mmr_by_ids_and_in_a_retriever(world):
    store = world.node_store()
    asked = filters(where("tenant", "==", "small"))
    query = VectorStoreQuery(
        query_embedding=list(QUERY),
        similarity_top_k=10,
        filters=asked,
        mode=VectorStoreQueryMode.MMR,
        mmr_threshold=1.0,
    )
    assert asyncio.run(store.aquery(query)).ids == world.reference.keys()
    every = list(world.reference.rows)
    query = VectorStoreQuery(
        query_embedding=list(QUERY), similarity_top_k=12, filters=asked, node_ids=every
    )
    assert store.query(query).ids == world.reference.keys()
    index = VectorStoreIndex.from_vector_store(store, embed_model=FixedModel(embed_dim=3))
    found = index.as_retriever(similarity_top_k=12, filters=asked).retrieve("q")
    assert [node.node_id for node in found] == world.reference.keys()
    expected = [far for far, _ in world.reference.nearest(lambda f: f["tenant"] == "small", 12)]
    if world.metric == "cosine":
        similar = [1.0 - far for far in expected]
    else:
        similar = [1.0 / (1.0 + far) for far in expected]
    assert [node.score for node in found] == pytest.approx(similar, rel=1e-4)


class MemoryWorld:
    """Memory in one index, that four programs have put items into, and documents nearer than all.

    Even items lie in the namespace `small`, odd ones in `big`; each program has put some of the
    rare ones into each.
    """

    def __init__(self, switches):
        behaviour = emulator.Behaviour(**switches)
        self.service = emulator.Service.in_memory(behaviour=behaviour, limits=LIMITS)
        self.service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        self.client = embedded(self.service, limits=LIMITS)
        self.store = self.memory()
        self.fill()

    def memory(self, **settings):
        index = {"dims": 3, "embed": lambda texts: [read_embedding(text) for text in texts]}
        return OSSVectorGraphStore(
            client=self.client, index=index, read_your_writes=False, **settings
        )

    def fill(self):
        strings = self.memory()
        # as a process that has found an index to take nothing but strings
        strings._memory.records.settings = replace(
            strings._memory.records.settings, scalars="strings"
        )
        by_name, earlier = self.memory(filterable=["tenant"]), self.memory(filterable=["tenant"])
        for number, writer in enumerate([self.store, by_name, strings, earlier]):
            writer.batch(
                [
                    PutOp(place_of(n), f"r{n:05}", {"text": f"at {n}", **metadata_of(n)}, ["text"])
                    for n in range(COUNT)
                    if n // 2 % 4 == number
                ]
            )
        self.age([n for n in range(COUNT) if n // 2 % 4 == 3])
        near = [f"near{n}" for n in range(LIMITS.top_k // 4)]
        OSSVectorStore(Fixed(), client=self.client, read_your_writes=False).add_texts(
            near, [{**metadata_of(COUNT - 1), "_value_tenant": "small"} for _ in near], ids=near
        )

    def age(self, numbers):
        """Make items those of the first release, which had no mark."""
        keys = [f"{'.'.join(place_of(n))}..r{n:05}" for n in numbers]
        vectors = list(self.client.fetch(keys, return_data=True))
        assert len(vectors) == len(keys)
        for vector in vectors:
            envelope = json.loads(vector.metadata["_record"])
            vector.metadata["_record"] = json.dumps({**envelope, "v": 1})
            del vector.metadata["_unsure"]
        self.client.upsert(vectors)

    def close(self):
        self.client.close()
        self.service.close()


def place_of(number):
    return ("big" if number % 2 else "small", "facts")


def read_embedding(text):
    """Return the embedding of an item, or of the query."""
    return embedding_of(int(text[3:])) if text.startswith("at ") else list(QUERY)


REMEMBERED = [
    SMALL,
    {"size": 7, "share": {"$lte": 0.25}},
    *sized(
        (),
        (
            {"tenant": {"$ne": "big"}},
            {"size": {"$gt": 5}},
            {"tags": ["x", "rare"]},
            {"seen": None},
            {"title": {"$eq": "A Rare One"}},
        ),
    ),
]


@pytest.fixture(scope="module", params=SWITCHES)
def memory(request):
    made = MemoryWorld(SWITCHES[request.param])
    yield made.store
    made.close()


def test_langgraph_finds_what_matches_by_filter_limit_and_offset(memory):
    keys = [f"r{n:05}" for n in range(COUNT)]
    rare = keys[-MATCHES:]

    def found(place=(), **options):
        return [item.key for item in memory.search(place, query="q", **options)]

    for wanted in REMEMBERED:
        assert found(filter=wanted, limit=15) == rare, wanted
    assert found(filter={"size": {"$gt": 5}}, limit=4, offset=3) == rare[3:7]
    assert found(("small",), filter=SMALL, limit=15) == rare[::2]
    many = LIMITS.top_k + LIMITS.top_k // 5
    assert found(filter={"seen": True}, limit=many) == keys[: min(many, COUNT - MATCHES)]
    assert found(limit=many) == keys[:many]
    assert found(limit=20, offset=many) == keys[many : many + 20]
    assert found(("big",), limit=10, offset=30) == keys[61:81:2]
    assert asyncio.run(memory.asearch((), query="q", filter=SMALL, limit=COUNT))[0].key == rare[0]
    assert len(memory.search((), filter=SMALL, limit=COUNT)) == MATCHES
