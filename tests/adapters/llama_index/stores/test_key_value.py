"""Dicts of JSON by collection and key, and core's stores on them: structs, caches, chats."""

import asyncio
import datetime as dt
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from llama_index.core.data_structs import IndexDict, IndexList
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document
from llama_index.core.storage.docstore.keyval_docstore import KVDocumentStore
from support.embedded import embedded

from oss_vector_retriever import InvalidRequestError
from oss_vector_retriever.llama_index import (
    OSSVectorChatStore,
    OSSVectorIndexStore,
    OSSVectorKVStore,
)


@pytest.fixture
def kv(client):
    return OSSVectorKVStore(client)


@pytest.fixture
def again(service):
    """Give a second client, of which nothing of the first is known."""
    return embedded(service)


def test_values_come_back_by_collection_and_key(call, kv, again):
    odd = "a/b%\n\udc80" + "x" * 2000
    value = {"n": 2**70, "f": 0.1, "s": "é", "none": None, "deep": [{"a": [True, []]}]}
    call(kv, "put", odd, value, collection=odd)
    call(kv, "put", odd, {"other": 1})
    assert call(kv, "get", odd, collection=odd) == value
    assert call(OSSVectorKVStore(again), "get", odd) == {"other": 1}
    assert call(kv, "get", "gone") is None
    assert call(kv, "get_all", collection=odd) == {odd: value}
    assert call(kv, "delete", odd, collection=odd) is True
    assert call(kv, "delete", odd, collection=odd) is False
    assert call(kv, "get_all") == {odd: {"other": 1}}


def test_a_value_that_is_changed_after_a_get_changes_nothing(call, kv):
    call(kv, "put", "a", {"list": [1]})
    kv.get("a")["list"].append(2)
    assert kv.get("a") == {"list": [1]}


def test_many_are_one_batched_get_and_a_put_for_each_five_hundred(call, kv, operations):
    pairs = [(f"k{n}", {"n": n}) for n in range(501)]
    call(kv, "put_all", pairs, batch_size=1)
    assert operations.count("putVectors") == 2
    operations.clear()
    found = call(kv, "get_many", [key for key, _ in pairs[:101]] + ["gone"])
    assert found == dict(pairs[:101])
    assert operations == ["getVectors", "getVectors"]
    assert call(kv, "get_all") == dict(pairs)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": {"b": [dt.date(2024, 1, 1)]}}, r"value\['a'\]\['b'\]\[0\] is of type date"),
        ({"a": float("nan")}, r"value\['a'\] is nan"),
        ({"a": {1: 2}}, r"value\['a'\] has a key that is not a string: 1"),
        ({"a": {1, 2}}, r"value\['a'\] is of type set"),
        ({"a": (1, 2)}, r"value\['a'\] is of type tuple"),
        (["a"], "is of type list; a value is a dict"),
    ],
)
def test_what_json_does_not_hold_is_refused_by_name_before_any_call(
    call, kv, operations, value, told
):
    with pytest.raises(InvalidRequestError, match=rf"the value of key 'bad': .*{told}"):
        call(kv, "put_all", [("good", {"a": 1}), ("bad", value)])
    assert operations == []


def test_keys_and_collections_are_strings(call, kv):
    with pytest.raises(InvalidRequestError, match="key must be a string, not int"):
        call(kv, "get", 7)
    with pytest.raises(InvalidRequestError, match="collection must be a string, not None"):
        call(kv, "put", "a", {}, collection=None)


def test_without_create_index_nothing_is_made(call, client):
    store = OSSVectorKVStore(client, create_index=False)
    assert call(store, "get", "a") is None
    with pytest.raises(InvalidRequestError, match="the side index 'vectorsside' is not there"):
        call(store, "put", "a", {})
    assert [index.index_name for index in client.list_vector_indexes()] == ["vectors"]


def test_an_index_of_another_form_is_refused_by_name(call, client):
    store = OSSVectorKVStore(client, side_index="vectors")
    with pytest.raises(InvalidRequestError, match="index 'vectors' has"):
        call(store, "put", "a", {})


def test_cores_document_store_works_on_it(call, kv):
    store = KVDocumentStore(kv, batch_size=500)
    documents = [Document(id_=f"d{n}", text=f"text {n}", metadata={"n": n}) for n in range(3)]
    call(store, "add_documents", documents)
    assert call(store, "get_document", "d1") == documents[1]
    assert call(store, "get_document_hash", "d2") == documents[2].hash
    call(store, "delete_document", "d0")
    assert sorted(store.docs) == ["d1", "d2"]


def test_structs_of_indices_are_kept_by_name(call, client, again):
    store = OSSVectorIndexStore(client)
    of_dict, of_list = IndexDict(index_id="one", summary="s"), IndexList(nodes=["a", "b"])
    for struct in (of_dict, of_list):
        async_name = "async_add_index_struct"
        if call.__name__ == "awaited":
            asyncio.run(getattr(store, async_name)(struct))
        else:
            store.add_index_struct(struct)
    other = OSSVectorIndexStore(again)
    assert call(other, "get_index_struct", "one") == of_dict
    assert {struct.index_id for struct in other.index_structs()} == {"one", of_list.index_id}
    assert OSSVectorIndexStore(again, namespace="another").index_structs() == []
    call(other, "delete_index_struct", "one")
    assert call(store, "get_index_struct", "one") is None
    assert call(store, "get_index_struct") == of_list


def test_what_a_pipeline_has_cached_another_process_finds(client, again):
    class Counting(MockEmbedding):
        seen: int = 0

        def _get_text_embedding(self, text):
            self.seen += 1
            return super()._get_text_embedding(text)

    def embedded_by(client):
        model = Counting(embed_dim=4)
        pipeline = IngestionPipeline(
            transformations=[SentenceSplitter(chunk_size=60, chunk_overlap=0), model],
            cache=IngestionCache(cache=OSSVectorKVStore(client), collection="mine"),
        )
        nodes = pipeline.run(documents=[Document(id_="d", text="A sentence. " * 100)])
        return model.seen, [node.to_dict() for node in nodes]

    first, second = embedded_by(client), embedded_by(again)
    assert first[0] > 1
    assert second[0] == 0
    assert second[1] == first[1]
    cache = IngestionCache(cache=OSSVectorKVStore(client), collection="mine")
    cache.clear()
    assert OSSVectorKVStore(client).get_all(collection="mine") == {}


def message(text, **more):
    return ChatMessage(role="user", content=text, additional_kwargs=more)


def texts(messages):
    return [one.content for one in messages]


@pytest.fixture
def chats(client):
    return OSSVectorChatStore(client=client)


@pytest.fixture
def chat(call, chats):
    """Give a function that calls the store in one manner."""

    def ask(name, *arguments):
        twin = {"add_message": "async_add_message"}
        if call.__name__ == "awaited":
            return asyncio.run(getattr(chats, twin.get(name, f"a{name}"))(*arguments))
        return getattr(chats, name)(*arguments)

    return ask


def test_messages_come_in_the_order_in_which_they_were_added(chat, again):
    for n in range(12):
        chat("add_message", "one", message(f"m{n}", n=n))
    chat("add_message", "two", message("other"))
    assert texts(chat("get_messages", "one")) == [f"m{n}" for n in range(12)]
    found = OSSVectorChatStore(client=again).get_messages("one")
    assert found[7] == message("m7", n=7)
    assert chat("get_keys") == ["one", "two"]
    assert chat("get_messages", "none") == []


def test_messages_are_replaced_and_taken_away(chat):
    chat("set_messages", "one", [message("a"), message("b"), message("c"), message("d")])
    chat("set_messages", "one", [message("b"), message("c"), message("d"), message("e")])
    assert chat("delete_message", "one", 9) is None
    assert chat("delete_message", "one", 1) == message("c")
    assert chat("delete_last_message", "one") == message("e")
    assert texts(chat("get_messages", "one")) == ["b", "d"]
    assert texts(chat("delete_messages", "one")) == ["b", "d"]
    assert chat("delete_messages", "one") is None
    assert chat("delete_last_message", "one") is None
    assert chat("get_keys") == []


def test_to_add_a_message_is_one_call(chat, operations):
    chat("add_message", "one", message("first"))
    operations.clear()
    chat("add_message", "one", message("second"))
    assert operations == ["putVectors"]


def test_messages_that_are_added_and_taken_at_once_are_none_lost_and_none_taken_twice(chats):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: chats.add_message("one", message(f"m{n}")), range(80)))
        assert sorted(texts(chats.get_messages("one"))) == sorted(f"m{n}" for n in range(80))
        taken = list(pool.map(lambda _: chats.delete_last_message("one"), range(30)))
    assert len({one.content for one in taken}) == 30
    assert len(chats.get_messages("one")) == 50


async def test_messages_that_are_added_at_once_by_tasks_are_none_lost(chats):
    await asyncio.gather(*(chats.async_add_message("one", message(f"m{n}")) for n in range(40)))
    assert len(await chats.aget_messages("one")) == 40


def test_a_memory_of_core_stands_on_it(chats, again):
    memory = ChatMemoryBuffer.from_defaults(chat_store=chats, chat_store_key="u", token_limit=1000)
    memory.put(message("hello"))
    memory.put(ChatMessage(role="assistant", content="hi"))
    store = OSSVectorChatStore(client=again)
    other = ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key="u", token_limit=1000)
    assert texts(other.get()) == ["hello", "hi"]


def test_a_message_that_is_none_is_refused_before_any_call(chat, operations):
    with pytest.raises(InvalidRequestError, match="message is a ChatMessage, not str"):
        chat("add_message", "one", "hello")
    assert operations == []


def test_a_chat_store_is_saved_with_where_it_points(chats, client):
    written = json.loads(json.dumps(chats.to_dict()))
    assert OSSVectorChatStore.from_dict(written, client=client).index == chats.index
