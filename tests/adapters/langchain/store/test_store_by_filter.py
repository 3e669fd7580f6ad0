"""Documents read and deleted by filter, walked through, updated one by one, and ingested again."""

import asyncio
import threading

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index
from support.embedded import embedded
from support.promises import sized

from oss_vector_retriever.client.errors import ConfigurationError, InvalidRequestError
from oss_vector_retriever.langchain import OSSVectorDocStore, OSSVectorStore
from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.side import Row, SideIndex

COLORS = ["red", "green", "red", "blue"]


def documents(colors=COLORS):
    return [
        Document(id=f"k{n}", page_content="abcd"[n % 4] * (n + 1), metadata={"color": color})
        for n, color in enumerate(colors)
    ]


@pytest.fixture
def filled(store, service):
    store.add_documents(documents())
    service.seen.clear()
    return store


def ids(found):
    return [document.id for document in found]


# Reading


def test_documents_are_read_by_filter_with_their_metadata(filled, call):
    found = call(filled, "get", filter={"color": "red"})
    assert sorted(found, key=lambda one: one.id) == [documents()[0], documents()[2]]
    assert call(filled, "get", filter={"color": "pink"}) == []


def test_by_id_and_filter_those_that_are_both_are_read_in_the_order_asked(filled, call, service):
    assert ids(call(filled, "get", ["k2", "k1", "gone", "k0"], filter={"color": "red"})) == [
        "k2",
        "k0",
    ]
    assert ids(call(filled, "get", ["k2", "k1", "k0"], limit=1, offset=1)) == ["k1"]
    assert set(service.names()) == {"getVectors"}


def test_documents_are_paged_through(filled, call, service):
    whole = ids(call(filled, "get"))
    assert sorted(whole) == ["k0", "k1", "k2", "k3"]
    service.seen.clear()
    joined = [ids(call(filled, "get", limit=3, offset=start)) for start in (0, 3)]
    assert joined == [whole[:3], whole[3:]]
    assert [body["maxResults"] for body in service.bodies("listVectors")] == [3, 6]


def test_an_embedding_comes_where_a_field_is_to_receive_it(client, call, model):
    OSSVectorStore(model, client=client).add_documents(documents())
    store = OSSVectorStore(model, client=client, embedding_key="vector")
    for found in (call(store, "get"), call(store, "get", filter={"color": "red"})):
        for document in found:
            assert document.metadata["vector"] == model.of(document.page_content)


def walked(store, call, **options):
    async def collect():
        return [one async for one in store.aiter_documents(**options)]

    if "awaited" in call.__name__:
        return asyncio.run(collect())
    return list(store.iter_documents(**options))


def test_a_store_is_walked_through(filled, call):
    assert sorted(ids(walked(filled, call))) == ["k0", "k1", "k2", "k3"]
    assert sorted(ids(walked(filled, call, filter={"color": "red"}))) == ["k0", "k2"]
    assert walked(filled, call, filter={"color": {"$in": []}}) == []


def test_a_walk_asks_for_no_more_than_is_taken(store, service):
    count = sized(1_100, 20_000)
    store.add_texts(["a"] * count, embeddings=[[1.0]] * count)
    service.seen.clear()
    walk = store.iter_documents()
    assert service.seen == []
    next(walk)
    assert service.names() == ["listVectors"]
    assert len({document.id for document in walk}) == count - 1


def test_a_wrong_filter_is_refused_before_the_walk_begins(store):
    with pytest.raises(InvalidRequestError, match="regex"):
        store.iter_documents({"color": {"$regex": "x"}})


def test_the_rows_of_a_key_value_store_are_no_documents(client, filled, call):
    OSSVectorDocStore(client=client, dimension=5).mset([("row", Document(page_content="x"))])
    assert sorted(ids(call(filled, "get"))) == ["k0", "k1", "k2", "k3"]
    call(filled, "delete", filter={"color": {"$ne": "red"}})
    assert OSSVectorDocStore(client=client, dimension=5).mget(["row"])[0] is not None


# Deleting


def test_three_among_thousands_go_in_three_calls(store, service, call):
    count = sized(300, 5_000)
    colors = ["red" if n in {3, 100, count - 1} else "green" for n in range(count)]
    store.add_texts(
        ["a"] * count, [{"color": one} for one in colors], embeddings=[[1.0, 2.0]] * count
    )
    service.seen.clear()
    assert call(store, "delete", filter={"color": "red"}) is True
    assert len(service.seen) <= 3
    assert len(store.get()) == count - 3


def test_a_large_document_is_read_by_filter_kept_as_it_is_and_goes_with_its_parts(
    client, filled, call, service, model
):
    large = Document(id="l", page_content="a", metadata={"color": "red", "x": "y" * 60_000})
    call(filled, "add_documents", [large])
    assert large in call(filled, "get", filter={"color": "red"})
    assert large in walked(filled, call, filter={"color": "red"})
    model.calls.clear()
    service.seen.clear()
    call(filled, "add_documents", [large], reuse_embeddings=True)
    assert model.calls == []
    assert "putVectors" not in service.names()
    call(filled, "delete", filter={"color": "red"})
    assert sorted(ids(filled.get())) == ["k1", "k3"]
    assert list(client.iter_vectors(index="vectorsside")) == []


def test_large_documents_go_with_their_parts_in_four_calls_of_a_new_client(
    service, store, call, model
):
    store.add_documents(
        [
            Document(id=f"l{n}", page_content="a", metadata={"color": color, "x": "y" * 60_000})
            for n, color in enumerate(COLORS)
        ]
    )
    client = embedded(service)
    another = OSSVectorStore(model, client=client)
    service.seen.clear()
    call(another, "delete", filter={"color": "red"})
    names = service.names()
    # the parts are read with the listing, for the filter sees all of a record
    assert names == ["listVectors", "getVectors", "deleteVectors", "deleteVectors"]
    assert [one.metadata["color"] for one in another.get()] == ["green", "blue"]
    left = list(client.iter_vectors(index="vectorsside"))
    call(another, "delete", filter={"color": {"$in": ["green", "blue"]}})
    assert left
    assert list(client.iter_vectors(index="vectorsside")) == []


def test_where_there_is_a_side_index_a_new_client_takes_no_call_more(filled, service, call, model):
    filled.run(SideIndex(StoreSettings()).put_rows, [Row("test", "a", {"n": 1})])
    another = OSSVectorStore(model, client=embedded(service))
    service.seen.clear()
    call(another, "delete", filter={"color": "red"})
    assert service.names() == ["listVectors", "deleteVectors"]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"ids": ["k0"], "delete_all": True},
        {"filter": {"color": "red"}, "delete_all": True},
        {"filter": {}},
        {"filter": {"color": {"$nin": []}}},
        {"filter": {"color": {"$regex": "r"}}},
        {"filter": "red"},
    ],
)
def test_what_is_not_clear_deletes_nothing(filled, call, service, arguments):
    with pytest.raises(InvalidRequestError):
        call(filled, "delete", **arguments)
    assert service.seen == []
    assert len(filled.get()) == 4


# The index itself


def test_a_collection_is_deleted_with_its_side_index_and_made_anew(client, filled, call):
    side = SideIndex(StoreSettings())
    filled.run(side.put_rows, [Row("test", "a", {"n": 1})])
    names = {found.index_name for found in client.iter_vector_indexes()}
    assert names == {"vectors", "vectorsside"}
    call(filled, "delete_collection")
    assert list(client.iter_vector_indexes()) == []
    assert call(filled, "delete_collection") is None
    assert filled.get() == []
    filled.add_texts(["b"], ids=["new"])
    assert ids(filled.get()) == ["new"]


def test_an_index_that_has_the_name_of_a_side_index_and_is_none_stays(client, filled, call):
    client.put_vector_index(index="vectorsside", dimension=5)
    call(filled, "delete_collection")
    assert [found.index_name for found in client.iter_vector_indexes()] == ["vectorsside"]


# Updating


def test_each_id_has_a_patch_of_its_own_in_one_get_and_one_put(filled, call, service):
    patches = {"k0": {"color": "pink"}, "k3": {"n": 1}, "gone": {"n": 2}}
    assert call(filled, "update_metadata", patches) == ["k0", "k3"]
    assert service.names().count("getVectors") == 1
    assert service.names().count("putVectors") <= 2  # what becomes of a number is found out once
    assert [one.metadata for one in filled.get_by_ids(["k0", "k1", "k3"])] == [
        {"color": "pink"},
        {"color": "green"},
        {"color": "blue", "n": 1},
    ]


def test_patches_are_verified_key_by_key(filled, call):
    assert call(filled, "update_metadata", {"k0": {"a": 1}, "k1": {"b": 2}}, verify=True) == [
        "k0",
        "k1",
    ]


@pytest.mark.parametrize(
    "arguments",
    [({"k0": {"a": 1}}, {"b": 2}), ({"k0": 5},), (["k0"], None), (["k0"],), (["k0"], 5)],
)
def test_patches_that_are_not_clear_change_nothing(filled, call, service, arguments):
    with pytest.raises(InvalidRequestError, match="patch"):
        call(filled, "update_metadata", *arguments)
    assert service.seen == []


# Embeddings made elsewhere


def test_embeddings_are_added_without_texts_as_mem0_does(store, call, model):
    payloads = [{"data": "likes tea", "user_id": "u1"}, {"data": "has a cat", "user_id": "u2"}]
    vectors = [[1.0, 0.0], [0.0, 1.0]]
    added = call(store, "add_embeddings", embeddings=vectors, metadatas=payloads, ids=["a", "b"])
    assert added == ["a", "b"]
    assert model.calls == []
    found = call(
        store,
        "similarity_search_by_vector_with_relevance_scores",
        [0.0, 1.0],
        k=5,
        filter={"user_id": "u2"},
    )
    assert [(one.id, one.metadata, score) for one, score in found] == [("b", payloads[1], 1.0)]


def test_embeddings_are_added_with_texts_in_that_order(store, call):
    call(store, "add_embeddings", ["x"], [[1.0, 0.5]], [{"n": "1"}], ["a"])
    [(document, embedding)] = store.get_by_ids_with_embeddings(["a"])
    assert (document, embedding) == (
        Document(id="a", page_content="x", metadata={"n": "1"}),
        [1.0, 0.5],
    )


@pytest.mark.parametrize("embeddings", [None, 5])
def test_embeddings_must_be_given(store, call, embeddings):
    with pytest.raises(InvalidRequestError, match="add_embeddings takes embeddings"):
        call(store, "add_embeddings", ["x"], embeddings)


def test_relevance_is_larger_for_what_is_closer(filled, call, model):
    method = "similarity_search_by_vector_with_relevance_scores"
    found = call(filled, method, model.of("aaa"), k=4)
    scores = [score for _, score in found]
    assert found[0][0].id == "k0"
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_hits_by_vector_come_with_their_embeddings(filled, call, model):
    method = "similarity_search_with_embedding_by_vector"
    found = call(filled, method, model.of("bb"), k=2, filter={"color": {"$ne": "red"}})
    assert [document.id for document, _ in found] == ["k1", "k3"]
    assert [embedding for _, embedding in found] == [
        model.of(document.page_content) for document, _ in found
    ]


# Ingesting again


def test_only_what_changed_is_embedded_and_written(store, call, service, model):
    given = [Document(id=f"k{n}", page_content=f"a{n}", metadata={"n": "x"}) for n in range(1000)]
    call(store, "add_documents", given)
    service.seen.clear()
    model.calls.clear()
    for n in range(0, 1000, 100):
        given[n] = Document(id=f"k{n}", page_content=f"b{n}", metadata={"n": "x"})
    assert call(store, "add_documents", given, reuse_embeddings=True) == ids(given)
    assert model.calls == [[f"b{n}" for n in range(0, 1000, 100)]]
    assert service.names().count("getVectors") == 10
    assert [len(body["vectors"]) for body in service.bodies("putVectors")] == [10]
    assert set(service.names()) == {"getVectors", "putVectors"}
    assert store.get_by_ids(ids(given)) == given


def test_metadata_that_changed_is_written_with_the_stored_embedding(store, call, model, service):
    store.add_texts(["aa", "bb", "cc"], [{"n": "1"}] * 3, ids=["a", "b", "c"])
    model.calls.clear()
    service.seen.clear()
    metadatas = [{"n": "1"}, {"n": "2"}, {"n": "1", "m": "x"}]
    call(
        store,
        "add_texts",
        ["aa", "bb", "cc"],
        metadatas,
        ids=["a", "b", "c"],
        reuse_embeddings=True,
    )
    assert model.calls == []
    assert [
        sorted(one["key"] for one in body["vectors"]) for body in service.bodies("putVectors")
    ] == [["b", "c"]]
    found = store.get_by_ids_with_embeddings(["a", "b", "c"])
    assert [(one.metadata, embedding) for one, embedding in found] == [
        (metadata, model.of(text))
        for metadata, text in zip(metadatas, ["aa", "bb", "cc"], strict=True)
    ]


def test_a_store_that_copies_other_fields_writes_them_without_embedding(
    client, call, model, service
):
    OSSVectorStore(model, client=client, filterable=()).add_documents(documents())
    store = OSSVectorStore(model, client=client, filterable=["color"])
    model.calls.clear()
    call(store, "add_documents", documents(), reuse_embeddings=True)
    assert sum(map(len, model.calls)) == 0
    [stored] = client.get_vectors(["k3"], return_metadata=True)
    assert stored.metadata["color"] == "blue"
    service.seen.clear()
    assert ids(store.similarity_search_by_vector(model.of("a"), 4, filter={"color": "blue"})) == [
        "k3"
    ]
    call(store, "add_documents", documents(), reuse_embeddings=True)
    assert "putVectors" not in service.names()


@pytest.mark.parametrize("filterable", [None, ["year"]])
def test_numbers_that_the_account_keeps_as_strings_are_not_written_again(
    client, model, call, service, filterable
):
    store = OSSVectorStore(model, client=client, filterable=filterable)
    texts, metadatas = ["a", "b"], [{"year": 1999}, {"year": 2001}]
    for _ in range(2):
        service.seen.clear()
        call(store, "add_texts", texts, metadatas, ids=["x", "y"], reuse_embeddings=True)
    assert set(service.names()) == {"getVectors"}


def test_ids_that_are_made_up_cost_no_get(store, call, service):
    call(store, "add_texts", ["a", "b"], reuse_embeddings=True)
    assert "getVectors" not in service.names()
    assert len(store.get()) == 2


def test_an_embedding_that_is_given_is_not_reused(store, call):
    with pytest.raises(InvalidRequestError, match="either embeddings= or reuse_embeddings"):
        call(store, "add_texts", ["a"], embeddings=[[1.0]], reuse_embeddings=True)


def test_langchains_index_passes_it_on(store, model):
    manager = InMemoryRecordManager("test")
    manager.create_schema()
    options = {"key_encoder": "sha256", "cleanup": None, "force_update": True}
    for expected in (4, 0):
        model.calls.clear()
        index(documents(), manager, store, upsert_kwargs={"reuse_embeddings": True}, **options)
        assert sum(map(len, model.calls)) == expected


# Score arguments where another type of search takes them


@pytest.mark.parametrize(
    ("name", "kind"),
    [("score_threshold", "similarity_score_threshold"), ("fetch_k", "mmr"), ("lambda_mult", "mmr")],
)
def test_an_argument_of_another_type_of_search_names_it(filled, name, kind):
    for retriever, options in (
        (filled.as_retriever(search_kwargs={name: 0.5}), {}),
        (filled.as_retriever(), {name: 0.5}),
    ):
        with pytest.raises(TypeError, match=f"'{name}'.*search_type=\"{kind}\""):
            retriever.invoke("a", **options)
        with pytest.raises(TypeError, match=f'search_type="{kind}"'):
            asyncio.run(retriever.ainvoke("a", **options))


@pytest.mark.parametrize(
    ("theirs", "ours"), [("where", "filter"), ("pre_filter", "filter"), ("n_results", "k")]
)
def test_what_others_call_an_argument_is_answered_with_the_name_here(filled, call, theirs, ours):
    for method in ("similarity_search", "max_marginal_relevance_search"):
        with pytest.raises(TypeError, match=f"what others call {theirs}= is {ours}= here"):
            call(filled, method, "a", **{theirs: {"color": "red"}})
    with pytest.raises(TypeError, match=f"what others call {theirs}= is {ours}= here"):
        call(filled, "delete", **{theirs: {"color": "red"}})


# Models that are of no class of LangChain's


class Bare:
    """A model that has the two methods, and no base."""

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        threads.append(threading.current_thread())
        return [float(text.count("a")), 1.0]


threads = []


def test_a_model_need_not_be_of_langchains_class(client, call):
    threads.clear()
    model = Bare()
    store = OSSVectorStore(model, client=client)
    assert store.embeddings is model
    call(store, "add_texts", ["aaa", ""], ids=["a", "b"])
    assert ids(call(store, "similarity_search", "aa", 1)) == ["a"]
    if "awaited" in call.__name__:  # never on the event loop
        assert threading.main_thread() not in threads


@pytest.mark.parametrize("wrong", [Bare, object(), 5])
def test_what_cannot_embed_is_refused(client, wrong):
    with pytest.raises(ConfigurationError, match="embedding must be"):
        OSSVectorStore(wrong, client=client)


# Zeros


def test_a_query_of_zeros_is_refused_before_the_call(filled, call, service):
    with pytest.raises(InvalidRequestError, match="all zeros, which have no direction"):
        call(filled, "similarity_search_by_vector", [0.0] * 5)
    assert service.seen == []


def test_where_the_metric_is_not_known_yet_the_refusal_says_so_too(service, store, call, model):
    store.add_documents(documents())
    fresh = OSSVectorStore(model, client=embedded(service))
    with pytest.raises(InvalidRequestError, match="all zeros, which have no direction"):
        call(fresh, "similarity_search_by_vector", [0.0] * 5)


def test_under_the_euclidean_metric_zeros_are_a_query(client, model, call):
    store = OSSVectorStore(model, client=client, distance_metric="euclidean")
    store.add_documents(documents())
    assert ids(call(store, "similarity_search_by_vector", [0.0] * 5, 1)) == ["k0"]
