"""Every legal reply, read through the frameworks: Documents, nodes and items, or our errors.

What a record's metadata may look like, and what each shape means, stands in one table; each is
read by every class that gets records by key, by every search, and page by page.
"""

import itertools
from dataclasses import dataclass, fields

import pytest
from support.canned import json_reply
from support.getter_faces import GETTERS
from support.promises import sized
from support.reply_shapes import ABSENT, DATA, SEED, Refused, Shape, put_together, some_of
from support.stored_shapes import ITEM, ODD_NODES, RECORDS, enveloped

from oss_vector_retriever import OSSVectorError

pytestmark = pytest.mark.promise("R8", "R15")

ALL = 10**9


def refused(*words):
    return Refused(frozenset(words))


def found_in(asked, data, metadata):
    """Return a vector as it comes where data and metadata were asked for or not."""
    members = {"key": Shape("", "a")}
    if asked.get("returnData"):
        members["data"] = data
    if asked.get("returnMetadata"):
        members["metadata"] = metadata
    return put_together(members)


def answer_gets(canned, data, metadata, more=None):
    """Answer GetVectors with the record "a"; what it asks for decides what stands in the reply."""

    def answer(asked, _):
        canned.data_asked = canned.data_asked or asked["returnData"]
        vectors = [found_in(asked, data, metadata)] if "a" in asked["keys"] else []
        return json_reply({"vectors": vectors, **(more or {})})

    canned.data_asked = False
    canned.answers["GetVectors"] = answer


def outcome_of(call):
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - which one is what is looked at
        return error


def is_right(outcome, expected):
    if isinstance(expected, Refused):
        said = str(outcome)
        return isinstance(outcome, OSSVectorError) and any(one in said for one in expected.words)
    return not isinstance(outcome, Exception) and outcome == expected


class Surprises:
    """What was not as the tables have it, and how much was looked at."""

    def __init__(self):
        self.found, self.count = [], 0

    def look(self, what, call, expected):
        self.note(what, outcome_of(call), expected)

    def note(self, what, outcome, expected):
        self.count += 1
        if not is_right(outcome, expected):
            self.found.append(f"{what}\n  wants {expected}\n  is {outcome!r}")

    def assert_none(self):
        shown = "\n".join(self.found[:15])
        assert not self.found, f"{len(self.found)} surprises (seed {SEED}):\n{shown}"


@pytest.fixture
def surprises():
    return Surprises()


def forget(getter):
    if hasattr(getter.thing, "forget"):
        getter.thing.forget()


def got(found):
    return [(one.key, one.text, one.metadata) for one in found]


def meaning_of(data, metadata, canned, see):
    words = [one.refused for one in (metadata, *([data] * canned.data_asked)) if one.refused]
    return refused(*words) if words else see(metadata.meaning)


@pytest.mark.parametrize("of", GETTERS, ids=lambda of: of.__name__)
def test_a_record_got_by_key_is_what_the_table_says(of, canned, surprises, figure):
    getter = of(canned.client, awaited=canned.awaited)
    pairs = some_of(list(itertools.product(DATA, RECORDS)), sized(20, ALL))
    for data, metadata in pairs:
        answer_gets(canned, data, metadata, {"later": None})
        forget(getter)
        # first, since what it asks for decides what the reply means
        outcome = outcome_of(lambda: got(getter.get(["a", "gone"])))
        expected = meaning_of(data, metadata, canned, lambda read: [("a", *read)])
        surprises.note(f"{of.__name__}: {data.value!r}, {metadata.value!r}", outcome, expected)
    surprises.assert_none()
    figure(f"{surprises.count} replies to a getter of either framework")


@pytest.mark.parametrize("of", GETTERS, ids=lambda of: of.__name__)
def test_an_odd_node_is_a_node_or_an_error_of_ours(of, canned):
    getter = of(canned.client, awaited=canned.awaited)
    for metadata in some_of(ODD_NODES, sized(10, ALL)):
        answer_gets(canned, DATA[0], Shape("", metadata))
        forget(getter)
        outcome = outcome_of(lambda: got(getter.get(["a"])))
        if isinstance(outcome, OSSVectorError):
            assert "'a'" in str(outcome), metadata
        else:
            assert outcome == [("a", "x", {})], metadata


@pytest.mark.parametrize("of", GETTERS, ids=lambda of: of.__name__)
@pytest.mark.parametrize("nothing", [{}, {"vectors": None}, {"vectors": []}, None])
def test_nothing_is_nothing_to_every_getter(of, canned, nothing):
    canned.answers["GetVectors"] = json_reply(nothing)
    assert of(canned.client, awaited=canned.awaited).get(["a"]) == []


@pytest.mark.parametrize("of", GETTERS, ids=lambda of: of.__name__)
@pytest.mark.parametrize("body", [b"", b" ", b"[]", b'{"vectors":{}}', b'{"vectors":[{}]}'])
def test_what_is_no_answer_is_an_error_to_every_getter(of, canned, body):
    canned.answers["GetVectors"] = json_reply(body)
    with pytest.raises(OSSVectorError, match="GetVectors"):
        of(canned.client, awaited=canned.awaited).get(["a"])


# Searches

DISTANCES = [
    Shape("a fraction", 0.25, 0.25),
    Shape("an integer", 1, 1.0),
    Shape("zero", 0, 0.0),
    Shape("below zero", -1, -1.0),
    Shape("absent", ABSENT, refused="distance"),
    Shape("null", None, refused="distance"),
    Shape("a string", "0.25", refused="distance"),
]
METRICS = [
    Shape("cosine", "cosine", "cosine"),
    Shape("euclidean", "euclidean", "euclidean"),
    # the metric that the store would make the index with
    Shape("absent", ABSENT, "cosine"),
    Shape("null", None, "cosine"),
    Shape("empty", "", "cosine"),
]
QUERY = [1.0, 0.0, 0.0]


def similarity(metric, distance):
    return 1.0 - distance if metric == "cosine" else 1.0 / (1.0 + max(0.0, distance))


def relevance(metric, distance):
    if metric == "cosine":
        return min(1.0, max(0.0, 1.0 - distance / 2.0))
    return 1.0 / (1.0 + max(0.0, distance))


@dataclass(frozen=True)
class Hit:
    """The shapes of one hit, of its record's data, and of the metric in the index's description."""

    distance: Shape
    metadata: Shape
    metric: Shape
    data: Shape

    def answer(self, canned):
        hit = put_together({"key": Shape("", "a"), "distance": self.distance})

        def answer(asked, _):
            more = {"metadata": self.metadata} if asked["returnMetadata"] else {}
            return json_reply({"vectors": [{**hit, **put_together(more)}]})

        canned.answers["QueryVectors"] = answer
        answer_gets(canned, self.data, self.metadata)
        canned.describe(**put_together({"distanceMetric": self.metric}))

    def meaning(self, see, *, with_data=False):
        """Return what `see` makes of text and metadata, or the refusal of what was looked at."""
        looked_at = (self.distance, self.metadata, *([self.data] * with_data))
        words = [one.refused for one in looked_at if one.refused]
        return refused(*words) if words else see(*self.metadata.meaning)

    def __str__(self):
        return ", ".join(repr(getattr(self, one.name).value) for one in fields(self))


def some_hits():
    """Return hits: of distance and metadata all shapes together, of metric and data as well."""
    found = list(itertools.product(DISTANCES, RECORDS, METRICS[:2], DATA[:1]))
    found += itertools.product(DISTANCES, RECORDS[3:4], METRICS, DATA)
    return [Hit(*one) for one in some_of(found, sized(25, ALL))]


def seen_document(document):
    return document.id, document.page_content, document.metadata


def look_through_langchain(langchain, canned, surprises, hit):
    options = {"client": canned.client, "index": "docs", "distance_metric": None}
    store = langchain.OSSVectorStore(**options)
    filling = langchain.OSSVectorStore(**options, score_key="score", embedding_key="data")
    far = hit.distance.meaning
    surprises.look(
        f"similarity_search_with_score_by_vector: {hit}",
        lambda: [
            (*seen_document(document), score)
            for document, score in canned.call(
                store, "similarity_search_with_score_by_vector", QUERY
            )
        ],
        hit.meaning(lambda text, rest: [("a", text, rest, far)]),
    )

    def filled(text, rest):
        near = relevance(hit.metric.meaning, far)
        return [("a", text, {**rest, "score": near, "data": hit.data.meaning})]

    def search(of, name):
        return lambda: [seen_document(one) for one in canned.call(of, name, QUERY)]

    name = "similarity_search_by_vector"
    surprises.look(
        f"{name}, filled: {hit}", search(filling, name), hit.meaning(filled, with_data=True)
    )
    name = "max_marginal_relevance_search_by_vector"
    expected = hit.meaning(lambda text, rest: [("a", text, rest)], with_data=True)
    surprises.look(f"{name}: {hit}", search(store, name), expected)


def test_langchains_searches_find_what_the_table_says(canned, surprises, figure):
    langchain = pytest.importorskip("oss_vector_retriever.langchain")
    for hit in some_hits():
        hit.answer(canned)
        look_through_langchain(langchain, canned, surprises, hit)
    surprises.assert_none()
    figure(f"LangChain's searches: {surprises.count} replies")


def look_through_llama_index(canned, surprises, hit, *, return_data, filtered):
    llama_index = pytest.importorskip("oss_vector_retriever.llama_index")
    types = pytest.importorskip("llama_index.core.vector_stores.types")
    schema = pytest.importorskip("llama_index.core.schema")
    options = {"index": "docs", "distance_metric": None, "return_data": return_data}
    store = llama_index.OSSVectorStore(canned.client, **options)
    filters = types.MetadataFilters(filters=[]) if filtered else None
    query = types.VectorStoreQuery(query_embedding=QUERY, similarity_top_k=2, filters=filters)

    def see():
        found = canned.call(store, "query", query)
        assert found.ids == [one.node_id for one in found.nodes]
        none = schema.MetadataMode.NONE
        return [
            (one.node_id, one.get_content(none), one.metadata, one.embedding, near)
            for one, near in zip(found.nodes, found.similarities, strict=True)
        ]

    def expect(text, rest):
        near = similarity(hit.metric.meaning, hit.distance.meaning)
        return [("a", text, rest, hit.data.meaning if return_data else None, near)]

    what = f"query, data {return_data}, filters {filtered}: {hit}"
    surprises.look(what, see, hit.meaning(expect, with_data=return_data))


def test_llama_indexs_queries_find_what_the_table_says(canned, surprises, figure):
    for hit, (data, filtered) in itertools.product(
        some_hits(), itertools.product([True, False], repeat=2)
    ):
        hit.answer(canned)
        look_through_llama_index(canned, surprises, hit, return_data=data, filtered=filtered)
    surprises.assert_none()
    figure(f"LlamaIndex's queries: {surprises.count} replies")


def test_a_metric_that_is_not_known_makes_no_score(canned):
    langchain = pytest.importorskip("oss_vector_retriever.langchain")
    llama_index = pytest.importorskip("oss_vector_retriever.llama_index")
    types = pytest.importorskip("llama_index.core.vector_stores.types")
    Hit(DISTANCES[0], RECORDS[3], Shape("another", "dot"), DATA[0]).answer(canned)
    options = {"distance_metric": None}
    documents = langchain.OSSVectorStore(client=canned.client, score_key="score", **options)
    with pytest.raises(OSSVectorError, match="the metric 'dot', which is not known"):
        canned.call(documents, "similarity_search_by_vector", QUERY)
    nodes = llama_index.OSSVectorStore(canned.client, **options)
    with pytest.raises(OSSVectorError, match="the metric 'dot', which is not known"):
        canned.call(nodes, "query", types.VectorStoreQuery(query_embedding=QUERY))


@pytest.mark.parametrize("nothing", [{}, {"vectors": None}, {"vectors": []}, None])
def test_a_search_that_finds_nothing_finds_nothing(canned, nothing):
    langchain = pytest.importorskip("oss_vector_retriever.langchain")
    llama_index = pytest.importorskip("oss_vector_retriever.llama_index")
    types = pytest.importorskip("llama_index.core.vector_stores.types")
    canned.answers["QueryVectors"] = json_reply(nothing)
    canned.answers["GetVectors"] = json_reply(nothing)
    documents = langchain.OSSVectorStore(client=canned.client)
    assert canned.call(documents, "similarity_search_by_vector", QUERY) == []
    assert canned.call(documents, "max_marginal_relevance_search_by_vector", QUERY) == []
    nodes = llama_index.OSSVectorStore(canned.client)
    for mode in (types.VectorStoreQueryMode.DEFAULT, types.VectorStoreQueryMode.MMR):
        query = types.VectorStoreQuery(query_embedding=QUERY, mode=mode)
        assert canned.call(nodes, "query", query).nodes == []


# Pages


PAGED = ("yield_keys", "get_nodes", "list_resources", "search", "list_namespaces", "delete")


def whole_index_keys(canned, name):
    """Read a whole index by one of the ways, and return the keys that it saw."""
    langchain = pytest.importorskip("oss_vector_retriever.langchain")
    llama_index = pytest.importorskip("oss_vector_retriever.llama_index")
    langgraph = pytest.importorskip("oss_vector_retriever.langgraph")
    client, call = canned.client, canned.call
    if name == "yield_keys":
        return call(langchain.OSSVectorByteStore(client=client), name)
    if name == "get_nodes":
        return [one.node_id for one in call(llama_index.OSSVectorStore(client), name)]
    if name == "list_resources":
        return call(llama_index.OSSVectorReader(client=client), name)
    if name == "delete":
        deleted = []
        canned.answers["DeleteVectors"] = lambda asked, _: (
            deleted.extend(asked["keys"]) or json_reply(b"", 204)
        )
        call(langchain.OSSVectorStore(client=client), name, delete_all=True)
        return deleted
    memory = langgraph.OSSVectorGraphStore(client=client)
    if name == "search":
        return [one.key for one in call(memory, name, (), limit=100)]
    return [namespace[0] for namespace in call(memory, name)]


def page_of(keys, token):
    """Return a page of records that are items of memory as well; `keys` may stand for none."""
    found = keys
    if isinstance(keys, list):
        found = [
            {
                "key": key,
                "data": {"float32": [1]},
                "metadata": enveloped({**ITEM, "key": key, "namespace": [key]}),
            }
            for key in keys
        ]
    return json_reply(put_together({"vectors": Shape("", found), "nextToken": Shape("", token)}))


@pytest.mark.parametrize("name", PAGED)
def test_whoever_reads_a_whole_index_goes_on_to_the_page_without_a_token(canned, name):
    contents, last = (["a", "b"], [], None, ABSENT), (ABSENT, None, "")
    for *pages, end in itertools.product(contents, contents, last):
        listed = [[f"{key}{n}" for key in keys] if isinstance(keys, list) else keys
                  for n, keys in enumerate(pages)]  # fmt: skip
        left = [page_of(listed[0], "t"), page_of(listed[1], end)]
        # a deletion of all looks again, for what has moved up meanwhile
        canned.answers["ListVectors"] = lambda *_, left=left: (
            left.pop(0) if left else page_of(ABSENT, ABSENT)
        )
        expected = [key for keys in listed if isinstance(keys, list) for key in keys]
        # namespaces come sorted
        found = whole_index_keys(canned, name)
        assert found == (sorted(expected) if name == "list_namespaces" else expected), pages
        assert not left


@pytest.mark.parametrize("name", PAGED)
@pytest.mark.parametrize("circle", ["a>a", "a>b>a", "p>q>r>a>b>c>a"])
def test_whoever_reads_a_whole_index_is_told_of_tokens_that_go_round(canned, name, circle):
    tokens = circle.split(">")
    following = {None: tokens[0], **dict(itertools.pairwise(tokens))}

    def answer(asked, _):
        assert len(canned.service.asked) < 100, "an endless loop"
        return json_reply({"vectors": [], "nextToken": following[asked.get("nextToken")]})

    canned.answers["ListVectors"] = answer
    with pytest.raises(OSSVectorError, match=r"ListVectors: .*nextToken"):
        whole_index_keys(canned, name)


# Memory


def test_an_item_of_memory_lacks_nothing_or_is_an_error_of_ours(canned):
    langgraph = pytest.importorskip("oss_vector_retriever.langgraph")
    store = langgraph.OSSVectorGraphStore(client=canned.client)
    for metadata in (None, {}, {"text": "x"}, enveloped({**ITEM, "_row": "document"})):
        answer_gets(canned, DATA[0], Shape("", metadata))
        assert canned.call(store, "get", ("n",), "k") is None
    canned.answers["GetVectors"] = lambda asked, _: json_reply(
        {"vectors": [{"key": asked["keys"][0], "metadata": enveloped(ITEM)}]}
    )
    assert canned.call(store, "get", ("n",), "k").value == {"v": 1}
    for name, value in itertools.product(list(ITEM)[1:], (ABSENT, None, 5, "", [5])):
        if (name, value) == ("key", ""):
            continue  # a key like any
        shapes = {member: Shape("", given) for member, given in {**ITEM, name: value}.items()}
        vectors = [{"key": "n..k", "distance": 0, "metadata": enveloped(put_together(shapes))}]
        for operation in ("GetVectors", "ListVectors", "QueryVectors"):
            canned.answers[operation] = json_reply({"vectors": vectors})
        for call in (("get", ("n",), "k"), ("search", ("n",)), ("list_namespaces",)):
            with pytest.raises(OSSVectorError, match=rf"record 'n\.\.k': {name} "):
                canned.call(store, *call)


def test_an_item_of_memory_that_is_damaged_can_be_replaced(canned):
    langgraph = pytest.importorskip("oss_vector_retriever.langgraph")
    store = langgraph.OSSVectorGraphStore(client=canned.client)
    written = []
    canned.answers["PutVectors"] = lambda asked, _: (
        written.extend(asked["vectors"]) or json_reply({})
    )
    for damaged in (enveloped({"_row": "memory"}), {"_record": "", "_record_text": ""}):
        stored = {"key": "n..k", "metadata": damaged}
        canned.answers["GetVectors"] = json_reply({"vectors": [stored]})
        canned.call(store, "put", ("n",), "k", {"v": 2})
    assert [one["key"] for one in written] == ["n..k"] * 2
    assert all('"value":{"v":2}' in one["metadata"]["_record"] for one in written)


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda one: one.name)
def test_an_item_that_is_near_has_the_score_of_its_distance_or_none(canned, distance):
    langgraph = pytest.importorskip("oss_vector_retriever.langgraph")
    base = pytest.importorskip("langgraph.store.base")
    fakes = pytest.importorskip("langchain_core.embeddings.fake")
    index = {"dims": 3, "embed": fakes.DeterministicFakeEmbedding(size=3)}
    store = langgraph.OSSVectorGraphStore(client=canned.client, index=index)
    Hit(distance, Shape("", enveloped(ITEM)), METRICS[0], DATA[0]).answer(canned)
    outcome = outcome_of(
        lambda: [
            (item.key, item.value, item.score)
            for item in canned.call(store, "batch", [base.SearchOp((), query="q")])[0]
        ]
    )
    # to LangGraph an item without a score is one that was not ranked
    unknown = distance.value is ABSENT or distance.value is None
    score = None if distance.meaning is None else 1.0 - distance.meaning
    expected = [("k", {"v": 1}, score)] if unknown or not distance.refused else refused("distance")
    assert is_right(outcome, expected), outcome


# Rows of the key-value stores

ROWS = [
    Shape("bytes", enveloped({"_row": "bytes"}, "eA=="), b"x"),
    Shape("no bytes", enveloped({"_row": "bytes"}, ""), b""),
    *(
        Shape("another row", enveloped({"_row": row}, "eA=="), refused="_row")
        for row in ("document", None, "", 5, [])
    ),
    *(Shape("no row", metadata, refused="_row") for metadata in (ABSENT, None, {}, {"text": "x"})),
    Shape("no base64", enveloped({"_row": "bytes"}, "\u00e9"), refused="_record_text"),
    Shape("half of base64", enveloped({"_row": "bytes"}, "eA"), refused="_record_text"),
    Shape("no envelope", {"_record": "", "_record_text": "eA=="}, refused="_record"),
]


def test_a_row_of_bytes_is_what_the_table_says(canned, surprises):
    langchain = pytest.importorskip("oss_vector_retriever.langchain")
    store = langchain.OSSVectorByteStore(client=canned.client)
    for row in ROWS:
        answer_gets(canned, DATA[0], row)
        expected = refused(row.refused) if row.refused else [row.meaning, None]
        surprises.look(row.value, lambda: canned.call(store, "mget", ["a", "b"]), expected)
    surprises.assert_none()


def test_an_embedding_is_what_the_table_says(canned, surprises):
    langchain = pytest.importorskip("oss_vector_retriever.langchain")
    store = langchain.OSSVectorEmbeddingStore(client=canned.client)
    for data in DATA:
        answer_gets(canned, data, RECORDS[0])
        expected = refused(data.refused) if data.refused else [data.meaning, None]
        surprises.look(data.value, lambda: canned.call(store, "mget", ["a", "b"]), expected)
    surprises.assert_none()


@pytest.mark.parametrize("own", ["x", "", None, ABSENT, 5, [], {}])
def test_the_own_id_of_a_document_in_a_row_is_a_text_or_none(canned, own):
    langchain = pytest.importorskip("oss_vector_retriever.langchain")
    store = langchain.OSSVectorDocStore(client=canned.client)
    row = {"_row": "document", **({} if own is ABSENT else {"_row_id": own})}
    answer_gets(canned, DATA[0], Shape("", enveloped(row, "x")))
    (document,) = canned.call(store, "mget", ["a"])
    assert (document.id, document.page_content) == (own if isinstance(own, str) else None, "x")
