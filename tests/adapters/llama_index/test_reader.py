"""Records by key as Documents: all at once, lazily, and as an async stream."""

import pytest
from blockbuster import blockbuster_ctx
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.readers.base import ReaderConfig
from llama_index.core.schema import Document, ImageNode, IndexNode, TextNode

from oss_vector_retriever import InvalidRequestError, MissingKeysError
from oss_vector_retriever.llama_index import OSSVectorReader

MANY = [f"k{number}" for number in range(250)]


@pytest.fixture
def reader(client, put):
    put(["a", "b", "c"])
    return OSSVectorReader(client=client)


def ids(documents):
    return [document.id_ for document in documents]


def test_documents_come_in_order_with_their_embeddings(call, reader, service):
    documents = call(reader, "load_data", ["c", "a", "gone", "c"])
    assert ids(documents) == ["c", "a", "c"]
    assert all(type(document) is Document for document in documents)
    assert documents[1].embedding == [1.0, 0.0, 0.25, -2.0]
    assert len(service.gets) == 1


def test_any_node_becomes_a_document(call, client, put_records):
    put_records(
        TextNode(id_="t", text="text", metadata={"p": 1}, excluded_llm_metadata_keys=["p"]),
        ImageNode(id_="i", text="seen", image_url="http://x.test/a.png"),
        IndexNode(id_="x", text="see", index_id="t"),
    )
    text, image, index = call(OSSVectorReader(client=client), "load_data", ["t", "i", "x"])
    assert (text.text, text.metadata, text.excluded_llm_metadata_keys) == ("text", {"p": 1}, ["p"])
    assert (image.text, str(image.image_resource.url)) == ("seen", "http://x.test/a.png")
    assert index.text == "see"


def test_embeddings_can_be_left_out_and_missing_keys_raised(call, client, put):
    put(["a"])
    strict = OSSVectorReader(client=client, return_data=False, on_missing="raise")
    assert call(strict, "load_data", ["a"])[0].embedding is None
    with pytest.raises(MissingKeysError):
        call(strict, "load_data", ["a", "gone"])


def test_lazy_loading_reads_no_further_than_it_must(client, put, service):
    put(MANY)
    reader = OSSVectorReader(client=client)
    read = []

    def keys():
        for key in MANY:
            read.append(key)
            yield key

    stream = reader.lazy_load_data(keys())
    assert (read, service.gets) == ([], [])
    assert next(stream).id_ == "k0"
    assert (len(read), len(service.gets)) == (100, 1)
    assert ids(stream) == MANY[1:]
    assert len(service.gets) == 3


async def test_the_async_stream_streams_and_never_blocks(client, put, service):
    put(MANY)
    reader = OSSVectorReader(client=client)

    async def keys():
        for key in MANY:
            yield key

    with blockbuster_ctx():
        found = []
        async for document in reader.alazy_load_data(keys()):
            if not found:
                assert len(service.gets) == 1
            found.append(document.id_)
        assert found == MANY
        assert ids(await reader.alazy_load_data(MANY)) == MANY


def test_one_string_is_not_a_list_of_keys(call, reader):
    with pytest.raises(InvalidRequestError, match="pass \\[key\\]"):
        call(reader, "load_data", "ab")
    with pytest.raises(InvalidRequestError, match="pass \\[key\\]"):
        list(reader.lazy_load_data("ab"))


def test_keys_are_resources(call, reader):
    assert sorted(call(reader, "list_resources")) == ["a", "b", "c"]
    info = call(reader, "get_resource_info", "a")
    assert (info["key"], info["format"], info["characters"]) == ("a", "text", 9)
    assert info["metadata"] == {"of": "a"}
    assert call(reader, "get_resource_info", "gone") == {}
    assert sorted(call(reader, "list_resources_with_info")) == ["a", "b", "c"]
    assert ids(call(reader, "load_resource", "b")) == ["b"]
    with pytest.raises(NotImplementedError):
        call(reader, "get_permission_info", "a")


def test_every_page_of_keys_is_listed(call, client, put):
    keys = [f"k{number:04}" for number in range(1001)]
    put(keys)
    assert sorted(call(OSSVectorReader(client=client), "list_resources")) == keys


async def test_resources_load_in_one_fetch_in_cores_two_shapes(reader, service):
    assert ids(reader.load_resources(["b", "a"])) == ["b", "a"]
    found = await reader.aload_resources(["b", "gone", "a"])
    assert {key: ids(documents) for key, documents in found.items()} == {
        "b": ["b"],
        "gone": [],
        "a": ["a"],
    }
    assert len(service.gets) == 2


def test_it_stands_in_a_pipeline(reader):
    config = ReaderConfig(reader=reader, reader_kwargs={"keys": ["b", "a"]})
    assert ids(IngestionPipeline(transformations=[], readers=[config]).run()) == ["b", "a"]
    assert config.to_dict()["loader"]["class_name"] == "OSSVectorsReader"
