"""Compressors on stored embeddings: no document is embedded, and ids stay."""

import copy

import pytest
from blockbuster import blockbuster_ctx
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from pydantic import ValidationError

from oss_vector_retriever import InvalidRequestError, MissingKeysError, OSSVectorClient
from oss_vector_retriever.langchain import (
    StoredEmbeddingsFilter,
    StoredEmbeddingsMMR,
    StoredEmbeddingsRedundantFilter,
)

PLACES = {
    "east": [1.0, 0.0, 0.0, 0.0],
    "east again": [1.0, 0.01, 0.0, 0.0],
    "north": [0.0, 1.0, 0.0, 0.0],
    "north east": [1.0, 1.0, 0.0, 0.0],
    "west": [-1.0, 0.0, 0.0, 0.0],
}
ALL = list(PLACES)


class QueryOnly(Embeddings):
    """Embed queries, count them, and fail for documents."""

    def __init__(self, vector=(1.0, 0.2, 0.0, 0.0)):
        self.vector, self.queries = list(vector), []

    def embed_documents(self, _):
        raise AssertionError("a document was embedded")

    def embed_query(self, text):
        self.queries.append(text)
        return self.vector


class Failing(QueryOnly):
    def embed_query(self, _):
        raise AssertionError("the query was embedded")


@pytest.fixture
def stocked(client):
    client.put_vectors({"key": key, "data": data} for key, data in PLACES.items())
    return client


def documents(keys=ALL):
    return [Document(id=key, page_content=f"text of {key}", metadata={"n": [1]}) for key in keys]


def ids(found):
    return [document.id for document in found]


def every_kind(client, **options):
    query = QueryOnly()
    return [
        StoredEmbeddingsFilter(client=client, embedding=query, **options),
        StoredEmbeddingsRedundantFilter(client=client, **options),
        StoredEmbeddingsMMR(client=client, embedding=query, k=10, **options),
    ]


async def test_a_filter_keeps_what_is_similar_in_its_order(stocked, service):
    query = QueryOnly()
    narrow = StoredEmbeddingsFilter(
        client=stocked, embedding=query, similarity_threshold=0.8, score_key="score"
    )
    found = narrow.compress_documents(documents(["north east", "west", "east", "north"]), "q")
    assert ids(found) == ["north east", "east"]
    assert found[1].metadata == {"n": [1], "score": pytest.approx(0.9806, abs=1e-4)}
    assert query.queries == ["q"]
    assert len(service.gets) == 1
    again = await narrow.acompress_documents(documents(["north east", "west", "east"]), "q")
    assert again == found


def test_a_filter_keeps_the_k_nearest_and_sorts_only_where_asked(stocked):
    options = {"client": stocked, "embedding": QueryOnly(), "k": 2}
    given = documents(["north", "west", "north east", "east"])
    assert ids(StoredEmbeddingsFilter(**options).compress_documents(given, "q")) == [
        "north east",
        "east",
    ]
    by_score = StoredEmbeddingsFilter(**options, sort=True)
    assert ids(by_score.compress_documents(given, "q")) == ["east", "north east"]


async def test_near_repetitions_go_and_the_first_stays(stocked, service):
    found = StoredEmbeddingsRedundantFilter(client=stocked).compress_documents(
        documents(["east again", "north", "east", "east again"]), "q"
    )
    assert ids(found) == ["east again", "north"]
    assert len(service.gets) == 1
    assert sorted(service.gets[0]) == ["east", "east again", "north"]


async def test_picks_are_near_the_query_and_unlike_each_other(stocked):
    picker = StoredEmbeddingsMMR(
        client=stocked, embedding=QueryOnly(), k=2, lambda_mult=0.3, score_key="score"
    )
    found = picker.compress_documents(documents(), "q")
    assert ids(found) == ["east again", "west"]
    assert found[0].metadata["score"] > found[1].metadata["score"]
    assert await picker.acompress_documents(documents(), "q") == found


async def test_a_stored_vector_serves_as_the_query_with_no_embedding_call_at_all(stocked, service):
    nearest = StoredEmbeddingsFilter(client=stocked, query_key="north", k=2)
    assert ids(
        nearest.compress_documents(documents(["west", "east again", "north east"]), "q")
    ) == ["east again", "north east"]
    assert len(service.gets) == 1
    gone = StoredEmbeddingsMMR(client=stocked, query_key="gone")
    with pytest.raises(MissingKeysError, match="gone"):
        await gone.acompress_documents(documents(), "q")


async def test_1000_documents_are_ten_calls(client, service):
    keys = [f"k{number}" for number in range(1000)]
    client.upsert({"key": key, "data": [1.0, n, 2.0, 3.0]} for n, key in enumerate(keys))
    StoredEmbeddingsFilter(client=client, embedding=QueryOnly(), k=5).compress_documents(
        documents(keys), "q"
    )
    assert len(service.gets) == 10


MIXED = [
    Document(page_content="no id"),
    Document(id="east", page_content="found"),
    Document(id="gone", page_content="not stored"),
]


async def test_documents_without_a_stored_embedding_are_kept_in_their_places(stocked):
    narrow, unrepeated, picker = every_kind(stocked)
    assert list(narrow.compress_documents(MIXED, "q")) == MIXED
    assert list(unrepeated.compress_documents(MIXED, "q")) == MIXED
    assert list(await picker.acompress_documents(MIXED, "q")) == [MIXED[1], MIXED[0], MIXED[2]]
    few = picker.model_copy(update={"k": 2})
    assert list(few.compress_documents(MIXED, "q")) == [MIXED[1], MIXED[0]]


async def test_or_they_are_dropped(stocked):
    for compressor in every_kind(stocked, on_missing="omit"):
        assert ids(compressor.compress_documents(MIXED, "q")) == ["east"]
        assert ids(await compressor.acompress_documents(MIXED, "q")) == ["east"]


async def test_or_raised_by_name(stocked, service):
    for compressor in every_kind(stocked, on_missing="raise"):
        with pytest.raises(InvalidRequestError, match="1 of 3 have no id, the first at position 0"):
            compressor.compress_documents(MIXED, "q")
        assert service.gets == []
        with pytest.raises(MissingKeysError, match="gone"):
            await compressor.acompress_documents(MIXED[1:], "q")
        service.gets.clear()


async def test_inputs_are_never_changed_and_never_shared(stocked):
    given = documents()
    before = copy.deepcopy(given)
    for compressor in every_kind(stocked, score_key="score"):
        found = await compressor.acompress_documents(given, "q")
        found[0].metadata["n"].append(2)
        found[0].metadata["more"] = True
        assert given == before


async def test_nothing_to_compress_is_no_call_and_no_embedding(stocked, service):
    for nothing in ([], [Document(page_content="no id")]):
        narrow = StoredEmbeddingsFilter(client=stocked, embedding=Failing())
        assert narrow.compress_documents(nothing, "q") == nothing
        assert await narrow.acompress_documents(nothing, "q") == nothing
    assert service.gets == []


async def test_functions_serve_as_the_embedding_of_the_query(stocked):
    async def awaited(_):
        return [1.0, 0.0, 0.0, 0.0]

    plain = StoredEmbeddingsFilter(client=stocked, embedding=lambda _: [1.0, 0, 0, 0], k=1)
    assert ids(plain.compress_documents(documents(), "q")) == ["east"]
    assert ids(await plain.acompress_documents(documents(), "q")) == ["east"]
    native = StoredEmbeddingsFilter(client=stocked, embedding=awaited, k=1)
    assert ids(await native.acompress_documents(documents(), "q")) == ["east"]
    with pytest.raises(InvalidRequestError, match="coroutine function"):
        native.compress_documents(documents(), "q")


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([1.0, 2.0], "the query has 2 dimensions and the candidates have 4"),
        ([float("nan")] * 4, "query hold NaN"),
        ([], "query must be a list of numbers"),
    ],
)
def test_a_model_that_does_not_fit_the_index_is_named(stocked, vector, message):
    narrow = StoredEmbeddingsFilter(client=stocked, embedding=QueryOnly(vector))
    with pytest.raises(InvalidRequestError, match=message):
        narrow.compress_documents(documents(), "q")


@pytest.mark.parametrize("wrong", [{}, {"embedding": QueryOnly(), "query_key": "a"}])
def test_the_query_has_exactly_one_source(client, wrong):
    with pytest.raises(ValidationError, match="either embedding= or query_key="):
        StoredEmbeddingsFilter(client=client, **wrong)


@pytest.mark.parametrize(
    "wrong", [{"similarity_threshold": 2}, {"k": 0}, {"on_missing": "drop"}, {"treshold": 1}]
)
def test_impossible_settings_are_refused(client, wrong):
    with pytest.raises(ValidationError):
        StoredEmbeddingsFilter(client=client, query_key="a", **wrong)


def test_another_index_can_be_named():
    with OSSVectorClient.local() as client:
        client.put_vector_index(index="other", dimension=2)
        client.put_vectors(
            [{"key": "a", "data": [1, 0]}, {"key": "b", "data": [1, 0]}], index="other"
        )
        filtering = StoredEmbeddingsRedundantFilter(client=client, index="other")
        assert ids(filtering.compress_documents(documents(["a", "b"]), "q")) == ["a"]


@pytest.mark.parametrize("kind", ["client", "http_client"])
async def test_async_calls_never_block_the_loop(stocked, kind, request):  # noqa: ARG001
    client = request.getfixturevalue(kind)
    with blockbuster_ctx():
        for compressor in every_kind(client):
            assert await compressor.acompress_documents(documents(), "q")
