"""`KVStoreTests`, `IndexStoreTests` and `ChatStoreTests`: what LlamaIndex asks of small stores."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from llama_index.core import StorageContext, SummaryIndex, load_index_from_storage
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole, TextBlock
from llama_index.core.data_structs import IndexDict, IndexList, KeywordTable
from llama_index.core.data_structs.data_structs import KG, IndexStruct
from llama_index.core.ingestion import IngestionCache
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.storage.chat_store.base import BaseChatStore
from llama_index.core.storage.docstore.keyval_docstore import KVDocumentStore
from llama_index.core.storage.index_store.types import BaseIndexStore
from llama_index.core.storage.kvstore.types import DEFAULT_COLLECTION, BaseKVStore

from .suite import NESTED_METADATA, ODD_KEYS, StoreTests, Subject, ids_of, text_node


class KVStoreTests(StoreTests):
    """The suite for a `BaseKVStore`.

    Examples:
        >>> import pytest
        >>> from llama_index.core.storage.kvstore import SimpleKVStore
        >>> class TestMyStore(KVStoreTests):
        ...     @pytest.fixture
        ...     def store(self):
        ...         return SimpleKVStore()
    """

    capabilities: ClassVar[Mapping[str, str]] = {
        **StoreTests.capabilities,
        "batches": "`put_all` with a `batch_size` other than 1",
    }

    def test_it_is_a_key_value_store(self, store: BaseKVStore) -> None:
        assert isinstance(store, BaseKVStore)

    def test_an_empty_store_has_nothing(self, subject: Subject) -> None:
        assert subject.get("a") is None
        assert subject.get_all() == {}
        assert subject.get_all(collection="none") == {}
        assert subject.delete("a") is False

    def test_what_is_put_is_there(self, subject: Subject) -> None:
        subject.put("a", {"n": 1})
        subject.put("b", {"n": 2})
        assert subject.get("a") == {"n": 1}
        assert subject.get("absent") is None
        assert subject.get_all() == {"a": {"n": 1}, "b": {"n": 2}}

    def test_a_value_replaces_another_whole(self, subject: Subject) -> None:
        subject.put("a", {"n": 1, "old": True})
        subject.put("a", {"n": 2})
        assert subject.get("a") == {"n": 2}
        assert subject.get_all() == {"a": {"n": 2}}

    def test_collections_are_kept_apart(self, subject: Subject) -> None:
        subject.put("a", {"of": "default"})
        subject.put("a", {"of": "one"}, collection="one")
        subject.put("b", {"of": "one"}, collection="one")
        subject.put(key="a", val={"of": "ones"}, collection="ones")
        assert subject.get("a") == subject.get("a", DEFAULT_COLLECTION) == {"of": "default"}
        assert subject.get("a", collection="one") == {"of": "one"}
        assert subject.get("b") is None
        assert subject.get_all() == {"a": {"of": "default"}}
        assert subject.get_all("one") == {"a": {"of": "one"}, "b": {"of": "one"}}
        assert subject.delete("a", collection="one") is True
        assert subject.get_all("one") == {"b": {"of": "one"}}
        assert subject.get_all("ones") == {"a": {"of": "ones"}}
        assert subject.get("a") == {"of": "default"}

    def test_a_key_and_a_collection_are_no_path(self, subject: Subject) -> None:
        subject.put("b/c", {"n": 1}, collection="a")
        subject.put("c", {"n": 2}, collection="a/b")
        assert subject.get("b/c", collection="a") == {"n": 1}
        assert subject.get_all("a/b") == {"c": {"n": 2}}

    def test_delete_tells_whether_it_was_there(self, subject: Subject) -> None:
        subject.put("a", {"n": 1})
        assert subject.delete("a") is True
        assert subject.delete("a") is False
        assert subject.get("a") is None
        assert subject.get_all() == {}
        subject.put("a", {"n": 2})
        assert subject.get("a") == {"n": 2}

    def test_many_are_put_at_once(self, subject: Subject) -> None:
        subject.put_all([])
        pairs = [(f"k{number}", {"n": number}) for number in range(120)]
        subject.put_all(pairs, collection="many")
        assert subject.get_all("many") == dict(pairs)
        assert subject.get_all() == {}

    @pytest.mark.parametrize("size", [2, 100])
    def test_many_are_put_in_batches(self, subject: Subject, size: int) -> None:
        self.needs("batches")
        pairs = [(f"k{number}", {"n": number}) for number in range(5)]
        subject.put_all(pairs, batch_size=size)
        assert subject.get_all() == dict(pairs)

    def test_of_pairs_with_one_key_the_last_stands(self, subject: Subject) -> None:
        subject.put_all([("a", {"n": 1}), ("b", {"n": 2}), ("a", {"n": 3})])
        assert subject.get_all() == {"a": {"n": 3}, "b": {"n": 2}}

    @pytest.mark.parametrize(
        "value",
        [{}, NESTED_METADATA, {"__data__": {"a": [1]}, "": "empty name"}, {"t": "x" * 5000}],
    )
    def test_a_value_comes_back_as_it_was(self, subject: Subject, value: dict[str, Any]) -> None:
        subject.put("a", value)
        assert subject.get("a") == value
        assert subject.get_all() == {"a": value}

    def test_any_text_is_a_key_and_a_collection(self, subject: Subject) -> None:
        values = {key: {"of": key} for key in ODD_KEYS}
        subject.put_all([*values.items()])
        for key in ODD_KEYS:
            assert subject.get(key) == {"of": key}
        assert subject.get_all() == values
        for key in ODD_KEYS[:4]:
            subject.put("a", {"in": key}, collection=key)
        assert [subject.get_all(key) for key in ODD_KEYS[:4]] == [
            {"a": {"in": key}} for key in ODD_KEYS[:4]
        ]
        assert subject.get_all() == values
        assert subject.delete(ODD_KEYS[0]) is True
        assert sorted(subject.get_all()) == sorted(ODD_KEYS[1:])

    def test_values_are_the_stores_own(self, subject: Subject) -> None:
        value: dict[str, Any] = {"n": 1}
        subject.put("a", value)
        value["n"] = 2
        assert subject.get("a") == {"n": 1}
        subject.get("a")["n"] = 3
        assert subject.get("a") == {"n": 1}

    def test_it_is_opened_again(self, subject: Subject) -> None:
        self.needs("reopen")
        subject.put("a", {"n": 1})
        subject.put("a", {"n": 2}, collection="other")
        again = subject.on(self.reopen(subject.store))
        assert type(again.store) is type(subject.store)
        assert again.get_all() == {"a": {"n": 1}}
        assert again.get("a", collection="other") == {"n": 2}

    def test_a_document_store_stands_on_it(self, subject: Subject) -> None:
        documents = subject.on(KVDocumentStore(subject.store))
        node = text_node("a", of="x")
        documents.add_documents([node, text_node("b", of="x")])
        assert ids_of(documents.get_nodes(["b", "a"])) == ["b", "a"]
        assert documents.get_document_hash("a") == node.hash
        assert documents.get_ref_doc_info("x").node_ids == ["a", "b"]
        documents.delete_ref_doc("x")
        assert subject.store is documents.store._kvstore  # noqa: SLF001 - that it was this one
        assert documents.get_all_document_hashes() == {}

    def test_a_pipelines_cache_stands_on_it(self, store: BaseKVStore) -> None:
        cache = IngestionCache(cache=store, collection="cache")
        cache.put("step", [text_node("a"), text_node("b")])
        self.settle()
        found = cache.get("step")
        assert found is not None
        assert ids_of(found) == ["a", "b"]
        assert cache.get("another") is None
        cache.clear()
        self.settle()
        assert cache.get("step") is None


class IndexStoreTests(StoreTests):
    """The suite for a `BaseIndexStore`.

    Examples:
        >>> import pytest
        >>> from llama_index.core.storage.index_store import SimpleIndexStore
        >>> class TestMyStore(IndexStoreTests):
        ...     @pytest.fixture
        ...     def store(self):
        ...         return SimpleIndexStore()
    """

    def test_it_is_an_index_store(self, store: BaseIndexStore) -> None:
        assert isinstance(store, BaseIndexStore)

    def test_an_empty_store_has_nothing(self, subject: Subject) -> None:
        assert subject.index_structs() == []
        assert subject.get_index_struct("absent") is None
        subject.delete_index_struct("absent")

    @pytest.mark.parametrize(
        "struct",
        [
            IndexDict(index_id="i", summary="s", nodes_dict={"a": "b"}, embeddings_dict={}),
            IndexList(index_id="i", nodes=["b", "a", "b"]),
            KeywordTable(index_id="i", table={"fox": {"a", "b"}}),
            KG(index_id="i", table={"fox": {"a"}}, rel_map={"fox": [["is", "red"]]}),
        ],
        ids=lambda struct: type(struct).__name__,
    )
    def test_a_struct_comes_back_as_it_was(self, subject: Subject, struct: IndexStruct) -> None:
        subject.add_index_struct(struct)
        found = subject.get_index_struct("i")
        assert type(found) is type(struct)
        assert found == struct
        assert subject.index_structs() == [struct]

    def test_a_struct_replaces_one_with_its_id(self, subject: Subject) -> None:
        subject.add_index_struct(IndexList(index_id="i", nodes=["a"]))
        subject.add_index_struct(IndexList(index_id="i", nodes=["a", "b"]))
        assert subject.index_structs() == [IndexList(index_id="i", nodes=["a", "b"])]

    def test_structs_are_kept_apart(self, subject: Subject) -> None:
        structs = [IndexList(index_id=f"i{number}", nodes=[str(number)]) for number in range(3)]
        for struct in structs:
            subject.add_index_struct(struct)
        assert sorted(one.index_id for one in subject.index_structs()) == ["i0", "i1", "i2"]
        subject.delete_index_struct(key="i1")
        assert subject.get_index_struct("i1") is None
        assert subject.get_index_struct(struct_id="i2") == structs[2]
        assert sorted(one.index_id for one in subject.index_structs()) == ["i0", "i2"]

    def test_the_only_struct_needs_no_id(self, subject: Subject) -> None:
        subject.add_index_struct(IndexList(index_id="i", nodes=["a"]))
        assert subject.get_index_struct() == IndexList(index_id="i", nodes=["a"])

    @pytest.mark.parametrize("count", [0, 2])
    def test_of_none_and_of_several_an_id_is_needed(self, subject: Subject, count: int) -> None:
        for number in range(count):
            subject.add_index_struct(IndexList(index_id=f"i{number}"))
        with pytest.raises(Exception):  # noqa: B017, PT011 - core's own has an assertion
            subject.get_index_struct()

    def test_it_is_opened_again(self, subject: Subject) -> None:
        self.needs("reopen")
        subject.add_index_struct(IndexList(index_id="i", nodes=["a"]))
        again = subject.on(self.reopen(subject.store))
        assert type(again.store) is type(subject.store)
        assert again.get_index_struct("i") == IndexList(index_id="i", nodes=["a"])

    def test_indices_are_loaded_from_it(self, store: BaseIndexStore) -> None:
        context = StorageContext.from_defaults(index_store=store)
        for name in ("one", "two"):
            index = SummaryIndex([text_node(f"node of {name}")], storage_context=context)
            index.set_index_id(name)
        self.settle()
        loaded = load_index_from_storage(context, index_id="two")
        found = loaded.as_retriever().retrieve("text")
        assert [one.node.node_id for one in found] == ["node of two"]


def _say(text: str, role: MessageRole = MessageRole.USER) -> ChatMessage:
    return ChatMessage(content=text, role=role)


class ChatStoreTests(StoreTests):
    """The suite for a `BaseChatStore`.

    Examples:
        >>> import pytest
        >>> from llama_index.core.storage.chat_store import SimpleChatStore
        >>> class TestMyStore(ChatStoreTests):
        ...     @pytest.fixture
        ...     def store(self):
        ...         return SimpleChatStore()
    """

    capabilities: ClassVar[Mapping[str, str]] = {
        **StoreTests.capabilities,
        "own_messages": "the caller's list of messages, and one that was got, are the caller's own",
        "emptied": "the last message of a conversation that has none is None",
    }

    @pytest.fixture
    def talk(self, subject: Subject) -> Subject:
        """Return the store with a conversation, `a`, of three messages, and another, `b`."""
        subject.set_messages("a", [_say("one"), _say("two"), _say("three")])
        subject.add_message("b", _say("other"))
        return subject

    def _texts(self, subject: Subject, key: str) -> list[str | None]:
        """Return the texts of a conversation."""
        return [message.content for message in subject.get_messages(key)]

    def test_it_is_a_chat_store_with_a_name_of_its_own(self, store: BaseChatStore) -> None:
        assert isinstance(store, BaseChatStore)
        assert store.class_name() != BaseChatStore.class_name()

    def test_an_empty_store_has_nothing(self, subject: Subject) -> None:
        assert subject.get_keys() == []
        assert subject.get_messages("absent") == []
        assert subject.delete_messages("absent") is None
        assert subject.delete_message("absent", 0) is None
        assert subject.delete_last_message("absent") is None

    def test_messages_stay_in_order(self, talk: Subject) -> None:
        assert self._texts(talk, "a") == ["one", "two", "three"]
        for number in range(12):
            talk.add_message("a", _say(str(number)))
        assert self._texts(talk, "a") == ["one", "two", "three", *map(str, range(12))]

    def test_conversations_are_kept_apart(self, talk: Subject) -> None:
        assert sorted(talk.get_keys()) == ["a", "b"]
        talk.add_message(key="b", message=_say("more"))
        assert self._texts(talk, "b") == ["other", "more"]
        talk.delete_messages("a")
        assert talk.get_keys() == ["b"]
        assert self._texts(talk, "b") == ["other", "more"]

    def test_messages_replace_a_conversation(self, talk: Subject) -> None:
        talk.set_messages(key="a", messages=[_say("new")])
        assert self._texts(talk, "a") == ["new"]

    def test_a_conversation_is_deleted_and_given_back(self, talk: Subject) -> None:
        assert [one.content for one in talk.delete_messages("a")] == ["one", "two", "three"]
        assert self._texts(talk, "a") == []
        assert talk.delete_messages("a") is None
        talk.add_message("a", _say("again"))
        assert self._texts(talk, "a") == ["again"]

    def test_a_message_is_deleted_and_given_back(self, talk: Subject) -> None:
        assert talk.delete_message("a", 1).content == "two"
        assert self._texts(talk, "a") == ["one", "three"]
        assert talk.delete_message(key="a", idx=0).content == "one"
        assert talk.delete_message("a", 5) is None
        talk.add_message("a", _say("four"))
        assert self._texts(talk, "a") == ["three", "four"]

    def test_the_last_message_is_deleted_and_given_back(self, talk: Subject) -> None:
        assert talk.delete_last_message("a").content == "three"
        talk.add_message("a", _say("four"))
        assert talk.delete_last_message("a").content == "four"
        assert self._texts(talk, "a") == ["one", "two"]

    def test_a_conversation_without_messages_has_no_last_one(self, subject: Subject) -> None:
        self.needs("emptied")
        subject.add_message("a", _say("one"))
        assert subject.delete_last_message("a").content == "one"
        assert subject.delete_last_message("a") is None
        assert self._texts(subject, "a") == []

    def test_messages_are_the_stores_own(self, subject: Subject) -> None:
        self.needs("own_messages")
        given = [_say("one")]
        subject.set_messages("a", given)
        subject.add_message("a", _say("two"))
        assert len(given) == 1
        subject.get_messages("a").clear()
        assert self._texts(subject, "a") == ["one", "two"]

    @pytest.mark.parametrize(
        "message",
        [
            *[_say("text", role) for role in (MessageRole.SYSTEM, MessageRole.ASSISTANT)],
            _say("ünïcode 漢字 🦊\n" * 100),
            ChatMessage(role=MessageRole.TOOL, additional_kwargs={"tool_call_id": "t", "n": [1]}),
            ChatMessage(blocks=[TextBlock(text="a"), ImageBlock(url="https://example.com/f.png")]),
        ],
        ids=["system", "assistant", "long", "tool", "blocks"],
    )
    def test_a_message_comes_back_as_it_was(self, subject: Subject, message: ChatMessage) -> None:
        subject.add_message("a", message)
        subject.set_messages("b", [message])
        expected = message.model_dump(mode="json")
        for key in ("a", "b"):
            [found] = subject.get_messages(key)
            assert found.model_dump(mode="json") == expected

    def test_any_text_is_a_key(self, subject: Subject) -> None:
        for key in ODD_KEYS:
            subject.add_message(key, _say(f"of {key}"))
        assert sorted(subject.get_keys()) == sorted(ODD_KEYS)
        assert [self._texts(subject, key) for key in ODD_KEYS] == [[f"of {k}"] for k in ODD_KEYS]

    def test_it_is_opened_again(self, talk: Subject) -> None:
        self.needs("reopen")
        again = talk.on(self.reopen(talk.store))
        assert type(again.store) is type(talk.store)
        assert self._texts(again, "a") == ["one", "two", "three"]
        assert sorted(again.get_keys()) == ["a", "b"]

    def test_a_memory_keeps_its_messages_here(self, subject: Subject) -> None:
        memory = ChatMemoryBuffer.from_defaults(
            chat_store=subject.store, chat_store_key="a", token_limit=1000, tokenizer_fn=str.split
        )
        called = subject.on(memory)
        called.put(_say("one"))
        called.put(_say("two", MessageRole.ASSISTANT))
        assert self._texts(subject, "a") == ["one", "two"]
        assert [message.content for message in called.get()] == ["one", "two"]
        memory.reset()
        self.settle()
        assert self._texts(subject, "a") == []
