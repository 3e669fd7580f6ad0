"""Whatever gets records by a list of keys keeps one contract: each class, sync and async."""

import math
import random

import pytest
from support.foreign_records import CASES, UNREADABLE, expected_metadata
from support.getter_faces import GETTERS, LangChainDocStore
from support.promises import sized

from oss_vector_retriever.records import DecodeError


@pytest.fixture(params=["sync", "async"])
def awaited(request):
    return request.param == "async"


@pytest.fixture(params=GETTERS, ids=lambda kind: kind.__name__)
def make(request, client, awaited):
    """Give a function that makes a getter of given settings."""
    return lambda **options: request.param(client, awaited=awaited, **options)


@pytest.fixture
def getter(make):
    return make()


def keys_of(seen):
    return [one.key for one in seen]


@pytest.mark.parametrize("count", [0, 1, 100, 101, sized(301, 1000)])
def test_any_number_of_keys_comes_in_order_a_hundred_a_call(getter, put, service, count):
    keys = [f"k{n}" for n in range(count)]
    put(keys)
    random.Random(count).shuffle(keys)
    seen = getter.get(keys)
    assert keys_of(seen) == keys
    assert [(one.text, one.metadata) for one in seen] == [
        (f"text of {key}", {"of": key}) for key in keys
    ]
    assert len(service.gets) == math.ceil(count / 100)
    assert max(map(len, service.gets), default=0) <= 100


def test_a_repeated_key_is_answered_each_time_and_crosses_once(getter, put, service):
    put(["a", "b"])
    assert keys_of(getter.get(["b", "a", "b", "b"])) == ["b", "a", "b", "b"]
    assert [sorted(asked) for asked in service.gets] == [["a", "b"]]


def test_repeated_answers_share_nothing(getter, put):
    put(["a"])
    first, second = getter.get(["a", "a"])
    first.metadata["of"] = "changed"
    assert second.metadata == {"of": "a"}
    assert first.thing is not second.thing
    [again] = getter.get(["a"])
    assert again.metadata == {"of": "a"}


def test_missing_keys_are_left_out(getter, put):
    put(["a", "b"])
    assert keys_of(getter.get(["gone", "b", "lost", "a", "gone"])) == ["b", "a"]
    assert getter.get(["gone", "lost"]) == []


def test_where_places_count_none_stands_for_what_is_missing(client, put, awaited):
    put(["a"])
    found = LangChainDocStore(client, awaited=awaited).aligned(["gone", "a", "gone"])
    assert [one and one.id for one in found] == [None, "a", None]


@pytest.mark.parametrize("case", CASES)
def test_a_record_of_another_writer_means_the_same(getter, put, case):
    put({"k": CASES[case]()})
    [seen] = getter.get(["k"])
    assert (seen.key, seen.text, seen.metadata) == ("k", "hello", expected_metadata(case))


def test_records_of_all_writers_come_in_one_answer(getter, put):
    put({name: make() for name, make in CASES.items()})
    assert [(one.key, one.text) for one in getter.get(list(CASES))] == [
        (name, "hello") for name in CASES
    ]


def test_a_field_can_be_named_that_holds_the_text(make, put):
    put({"k": {"body": "hello", "text": "a summary"}})
    [seen] = make(text_key="body").get(["k"])
    assert (seen.text, seen.metadata) == ("hello", {"text": "a summary"})


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_record_that_cannot_be_read_is_met_as_the_policy_says(make, put, what):
    put({"a": {"text": "a"}, "bad": UNREADABLE[what], "b": {"text": "b"}})
    keys = ["a", "bad", "b"]
    with pytest.raises(DecodeError, match="record 'bad'"):
        make(on_decode_error="raise").get(keys)
    assert keys_of(make(on_decode_error="skip").get(keys)) == ["a", "b"]
    raw = make(on_decode_error="raw").get(keys)
    assert keys_of(raw) == keys
    assert (raw[1].text, raw[1].metadata) == ("saved", UNREADABLE[what])


@pytest.mark.parametrize("key", ['"', "[a]", "a\nb", " a ", "日本", "x" * 1024, "None", "a/b?c=d"])
def test_any_legal_key_is_a_key(getter, put, key):
    put({key: {"text": "hello"}, "other": {"text": "other"}})
    assert [(one.key, one.text) for one in getter.get([key])] == [(key, "hello")]


# Tested in their own way: queries of keys (test_keys.py), tools (test_tools.py), values that are
# no records, and classes that take hits, choose among them or hold what was found.
ELSEWHERE = {
    "langchain": {
        "Connected",
        "ConnectedComponent",
        "FetchReport",
        "OSSVectorAdapter",
        "OSSVectorByteStore",
        "OSSVectorEmbeddingStore",
        "OSSVectorFetchTool",
        "OSSVectorRetriever",
        "OSSVectorSearchTool",
        "OSSVectorStoreRetriever",
        "OSSVectorToolkit",
        "OSSVectorTranslator",
        "ParentHydratingRetriever",
        "SearchOptions",
        "StoredEmbeddingsFilter",
        "StoredEmbeddingsMMR",
        "StoredEmbeddingsRedundantFilter",
        "VerifyingRecordManager",
        "load_retriever",
    },
    "llama_index": {
        "OSSVectorChatStore",  # these three in tests/standard
        "OSSVectorIndexStore",
        "OSSVectorKVStore",
        "ConnectionOptions",
        "DocumentStream",
        "IncompleteSearchEvent",
        "KeyQueryBundle",
        "MissingKeysEvent",
        "NodeWithProvenance",
        "QueryOptions",
        "OSSVectorAutoMergingRetriever",
        "OSSVectorPrefetchingRetriever",
        "OSSVectorPrevNextPostprocessor",
        "OSSVectorRetriever",
        "OSSVectorToolSpec",
        "ReuseStoredEmbeddings",
        "StoredEmbeddingDedupPostprocessor",
        "StoredEmbeddingMMRPostprocessor",
        "StoredEmbeddingRescorer",
    },
}


@pytest.mark.parametrize("framework", ELSEWHERE)
def test_no_class_is_left_out(framework):
    package = pytest.importorskip(f"oss_vector_retriever.{framework}")
    here = {kind.of for kind in GETTERS if kind.framework == framework}
    here |= {"OSSVectorDocumentIndex"} if framework == "langchain" else set()
    assert here | ELSEWHERE[framework] == set(package.__all__)
    assert not here & ELSEWHERE[framework]
