"""`DocumentStoreTests`: what LlamaIndex asks of a document store."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from llama_index.core import MockEmbedding, StorageContext, SummaryIndex, VectorStoreIndex
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.schema import BaseNode, Document, TransformComponent
from llama_index.core.storage.docstore.types import BaseDocumentStore

from .suite import (
    FLAT_METADATA,
    NESTED_METADATA,
    NODES,
    ODD_KEYS,
    StoreTests,
    Subject,
    check_same_node,
    ids_of,
    text_node,
)


class _Pass(TransformComponent):
    """A step of a pipeline that changes nothing; core's own would split or embed."""

    def __call__(self, nodes: Sequence[BaseNode], **_: Any) -> Sequence[BaseNode]:
        return nodes


class _Split(TransformComponent):
    """A step that makes a node of each word of a document."""

    def __call__(self, nodes: Sequence[BaseNode], **_: Any) -> Sequence[BaseNode]:
        return [
            text_node(f"{document.node_id}:{word}", of=document.node_id, text=word)
            for document in nodes
            for word in document.get_content().split()
        ]


class DocumentStoreTests(StoreTests):
    """The suite for a `BaseDocumentStore`.

    Examples:
        >>> import pytest
        >>> from llama_index.core.storage.docstore import SimpleDocumentStore
        >>> class TestMyStore(DocumentStoreTests):
        ...     @pytest.fixture
        ...     def store(self):
        ...         return SimpleDocumentStore()
    """

    capabilities: ClassVar[Mapping[str, str]] = {
        **StoreTests.capabilities,
        "docs": "all documents at once",
        "batches": "a `batch_size` other than 1",
        "store_text": "`store_text=False`: a document's hash is kept, the document is not",
        "noted_parts": "the same of a node that is a part of a document",
        "nested_metadata": "metadata are any JSON; without it strings and numbers",
        "hashes": "hashes are set, and found again",
        "all_hashes": "the hashes of all documents at once",
        "ref_doc_info": "the nodes of a source document",
        "all_ref_doc_info": "those of all source documents at once",
        "awaited_delete": "`adelete_document` takes the node out of what is known of its source",
    }

    # What it is

    def test_it_is_a_document_store(self, store: BaseDocumentStore) -> None:
        assert isinstance(store, BaseDocumentStore)

    def test_an_empty_store_has_nothing(self, subject: Subject) -> None:
        assert subject.get_document("a", raise_error=False) is None
        assert subject.document_exists("a") is False
        assert subject.get_nodes([]) == []
        if "docs" not in self.lacks:
            assert subject.store.docs == {}
        if "all_hashes" not in self.lacks:
            assert subject.get_all_document_hashes() == {}
        if "all_ref_doc_info" not in self.lacks:
            assert not subject.get_all_ref_doc_info()

    # Documents

    def test_what_is_added_is_there(self, subject: Subject) -> None:
        written = [text_node("a"), text_node("b")]
        subject.add_documents(written)
        check_same_node(subject.get_document("a"), written[0])
        check_same_node(subject.get_document(doc_id="b", raise_error=True), written[1])
        assert subject.document_exists("a") is True
        assert subject.document_exists("c") is False

    def test_all_documents_stand_in_docs(self, subject: Subject) -> None:
        self.needs("docs")
        keys = [f"n{number}" for number in range(120)]
        subject.add_documents([text_node(key) for key in keys])
        docs = subject.store.docs
        assert sorted(docs) == sorted(keys)
        check_same_node(docs["n7"], text_node("n7"))

    def test_a_document_that_is_not_there_is_an_error_or_none(self, subject: Subject) -> None:
        subject.add_documents([text_node("a")])
        with pytest.raises(ValueError, match="absent"):
            subject.get_document("absent")
        assert subject.get_document("absent", raise_error=False) is None

    def test_adding_nothing_is_no_error(self, subject: Subject) -> None:
        subject.add_documents([])
        assert subject.document_exists("a") is False

    def test_a_document_replaces_one_with_its_id(self, subject: Subject) -> None:
        subject.add_documents([text_node("a")])
        subject.add_documents([text_node("a", text="another")])
        assert subject.get_document("a").get_content() == "another"

    def test_of_documents_with_one_id_the_last_stands(self, subject: Subject) -> None:
        subject.add_documents([text_node("a"), text_node("b"), text_node("a", text="last")])
        assert subject.get_document("a").get_content() == "last"

    def test_replacing_can_be_refused_and_then_nothing_is_written(self, subject: Subject) -> None:
        subject.add_documents([text_node("a")])
        with pytest.raises(ValueError, match="a"):
            subject.add_documents(
                [text_node("b"), text_node("a", text="another")], allow_update=False
            )
        assert subject.get_document("a").get_content() == "text of a"
        assert subject.document_exists("b") is False
        subject.add_documents([text_node("b")], allow_update=False)
        assert subject.document_exists("b") is True

    @pytest.mark.parametrize("size", [2, 100])
    def test_documents_are_added_in_batches(self, subject: Subject, size: int) -> None:
        self.needs("batches")
        keys = [f"n{number}" for number in range(5)]
        subject.add_documents([text_node(key, of="x") for key in keys], batch_size=size)
        assert ids_of(subject.get_nodes(keys)) == keys

    def test_a_node_can_be_noted_without_being_kept(self, subject: Subject) -> None:
        self.needs("store_text", "hashes")
        node = text_node("a")
        subject.add_documents([node], store_text=False)
        assert subject.get_document_hash("a") == node.hash
        assert subject.document_exists("a") is False
        assert subject.get_document("a", raise_error=False) is None

    def test_a_part_can_be_noted_without_being_kept(self, subject: Subject) -> None:
        self.needs("noted_parts", "hashes", "ref_doc_info")
        node = text_node("a", of="x")
        subject.add_documents([node], store_text=False)
        assert subject.get_document_hash("a") == node.hash
        assert subject.document_exists("a") is False
        assert subject.get_ref_doc_info("x").node_ids == ["a"]

    def test_adding_leaves_the_callers_nodes_as_they_are(self, subject: Subject) -> None:
        written = [text_node("a", of="x", metadata={"page": 1})]
        copies = [node.model_copy(deep=True) for node in written]
        subject.add_documents(written)
        assert written == copies

    def test_a_document_that_was_got_is_the_callers_own(self, subject: Subject) -> None:
        subject.add_documents([text_node("a", metadata={"page": 1})])
        subject.get_document("a").metadata["page"] = 2
        assert subject.get_document("a").metadata == {"page": 1}

    @pytest.mark.parametrize("kind", [*NODES, "Document"])
    def test_a_node_comes_back_as_it_was(self, subject: Subject, kind: str) -> None:
        node = Document(id_="n", text="t") if kind == "Document" else NODES[kind]()
        subject.add_documents([node])
        check_same_node(subject.get_document(node.node_id), node)

    def test_metadata_come_back_as_they_were(self, subject: Subject) -> None:
        flat = "nested_metadata" in self.lacks
        node = text_node("n", metadata=dict(FLAT_METADATA if flat else NESTED_METADATA))
        subject.add_documents([node])
        check_same_node(subject.get_document("n"), node)

    def test_any_text_is_an_id(self, subject: Subject) -> None:
        subject.add_documents([text_node(key) for key in [*ODD_KEYS, "other"]])
        assert ids_of(subject.get_nodes(ODD_KEYS)) == ODD_KEYS
        subject.delete_document(ODD_KEYS[0])
        assert subject.document_exists(ODD_KEYS[0]) is False
        assert ids_of(subject.get_nodes([*ODD_KEYS[1:], "other"])) == [*ODD_KEYS[1:], "other"]

    # Nodes, any number at once

    def test_nodes_come_in_the_order_asked_and_as_often(self, subject: Subject) -> None:
        keys = [f"n{number}" for number in range(120)]
        subject.add_documents([text_node(key) for key in keys])
        asked = [*keys[::-1], "n7", "n7"]
        assert ids_of(subject.get_nodes(asked)) == asked
        assert ids_of(subject.get_nodes(node_ids=["n1"], raise_error=False)) == ["n1"]

    def test_a_node_that_is_not_there_is_an_error_or_left_out(self, subject: Subject) -> None:
        subject.add_documents([text_node("a"), text_node("b")])
        with pytest.raises(ValueError, match="absent"):
            subject.get_nodes(["a", "absent"])
        assert ids_of(subject.get_nodes(["b", "absent", "a"], raise_error=False)) == ["b", "a"]

    def test_a_single_node_is_got(self, subject: Subject) -> None:
        subject.add_documents([text_node("a")])
        assert subject.get_node("a").node_id == "a"
        assert subject.get_node("absent", raise_error=False) is None
        with pytest.raises(ValueError, match="absent"):
            subject.get_node("absent")

    def test_nodes_are_got_under_numbers(self, subject: Subject) -> None:
        subject.add_documents([text_node("a"), text_node("b")])
        found = subject.get_node_dict({7: "b", 1: "a", 2: "b"})
        assert {number: node.node_id for number, node in found.items()} == {7: "b", 1: "a", 2: "b"}
        with pytest.raises(ValueError, match="absent"):
            subject.get_node_dict({1: "a", 2: "absent"})

    # Deleting

    def test_what_is_deleted_is_gone(self, subject: Subject) -> None:
        subject.add_documents([text_node("a"), text_node("b")])
        subject.delete_document("a")
        assert subject.document_exists("a") is False
        assert subject.document_exists("b") is True
        if "hashes" not in self.lacks:
            assert subject.get_document_hash("a") is None
            assert subject.get_document_hash("b") is not None

    def test_deleting_what_is_not_there_is_an_error_or_nothing(self, subject: Subject) -> None:
        subject.add_documents([text_node("a")])
        with pytest.raises(ValueError, match="absent"):
            subject.delete_document("absent")
        subject.delete_document("absent", raise_error=False)
        assert subject.document_exists("a") is True

    # Hashes

    def test_a_document_that_is_added_has_its_hash(self, subject: Subject) -> None:
        self.needs("hashes")
        first, second = text_node("a"), text_node("a", text="another")
        subject.add_documents([first])
        assert subject.get_document_hash("a") == first.hash
        subject.add_documents([second])
        assert subject.get_document_hash("a") == second.hash
        assert subject.get_document_hash("absent") is None

    def test_a_hash_is_set_without_a_document(self, subject: Subject) -> None:
        self.needs("hashes")
        subject.set_document_hash("a", "hash of a")
        assert subject.get_document_hash("a") == "hash of a"
        assert subject.document_exists("a") is False
        subject.set_document_hash("a", "another")
        assert subject.get_document_hash("a") == "another"

    def test_hashes_are_set_at_once(self, subject: Subject) -> None:
        self.needs("hashes")
        subject.set_document_hashes({})
        subject.set_document_hashes({f"d{number}": f"h{number}" for number in range(120)})
        assert subject.get_document_hash("d0") == "h0"
        assert subject.get_document_hash("d119") == "h119"

    def test_all_hashes_name_their_documents(self, subject: Subject) -> None:
        self.needs("hashes", "all_hashes")
        node = text_node("n")
        subject.add_documents([node])
        subject.set_document_hashes({"a": "hash of a", "b": "hash of b"})
        assert subject.get_all_document_hashes() == {
            node.hash: "n",
            "hash of a": "a",
            "hash of b": "b",
        }

    # The nodes of a source document

    def test_a_source_document_knows_its_nodes(self, subject: Subject) -> None:
        self.needs("ref_doc_info")
        subject.add_documents(
            [text_node(key, of="x", metadata={"page": 1}) for key in ("c", "a", "b")]
        )
        subject.add_documents([text_node("other", of="y"), text_node("apart")])
        info = subject.get_ref_doc_info("x")
        assert sorted(info.node_ids) == ["a", "b", "c"]
        assert info.metadata == {"page": 1}
        assert subject.get_ref_doc_info("absent") is None
        assert subject.get_ref_doc_info("a") is None

    def test_a_node_that_is_added_later_is_known_too_and_once(self, subject: Subject) -> None:
        self.needs("ref_doc_info")
        subject.add_documents([text_node("a", of="x")])
        subject.add_documents([text_node("b", of="x"), text_node("a", of="x", text="another")])
        assert sorted(subject.get_ref_doc_info("x").node_ids) == ["a", "b"]

    def test_all_source_documents_are_known(self, subject: Subject) -> None:
        self.needs("ref_doc_info", "all_ref_doc_info")
        subject.add_documents(
            [text_node("a", of="x"), text_node("b", of="x"), text_node("c", of="y"), text_node("d")]
        )
        infos = subject.get_all_ref_doc_info()
        assert {key: sorted(info.node_ids) for key, info in infos.items()} == {
            "x": ["a", "b"],
            "y": ["c"],
        }

    def test_a_node_that_is_deleted_is_no_longer_its_sources(self, subject: Subject) -> None:
        self.needs("ref_doc_info")
        if subject.is_awaited:
            self.needs("awaited_delete")
        subject.add_documents([text_node("a", of="x"), text_node("b", of="x")])
        subject.delete_document("a")
        assert subject.get_ref_doc_info("x").node_ids == ["b"]
        subject.delete_document("b")
        assert subject.get_ref_doc_info("x") is None

    def test_deleting_a_source_deletes_its_nodes_and_no_others(self, subject: Subject) -> None:
        self.needs("ref_doc_info")
        subject.add_documents([text_node(f"n{number}", of="x") for number in range(20)])
        subject.add_documents([text_node("other", of="xy"), text_node("apart")])
        subject.delete_ref_doc("x")
        keys = [*(f"n{number}" for number in range(20)), "other", "apart"]
        assert ids_of(subject.get_nodes(keys, raise_error=False)) == ["other", "apart"]
        assert subject.get_ref_doc_info("x") is None
        assert subject.get_ref_doc_info("xy").node_ids == ["other"]
        if "hashes" not in self.lacks:
            assert subject.get_document_hash("n7") is None

    def test_deleting_a_source_deletes_its_hash(self, subject: Subject) -> None:
        # or else a refresh would take a document that is gone for one that is unchanged
        self.needs("ref_doc_info", "hashes")
        subject.add_documents([text_node("a", of="x")])
        subject.set_document_hash("x", "hash of x")
        subject.delete_ref_doc("x")
        assert subject.get_document_hash("x") is None

    def test_deleting_a_source_that_is_not_there_is_an_error_or_nothing(
        self, subject: Subject
    ) -> None:
        self.needs("ref_doc_info")
        subject.add_documents([text_node("a", of="x")])
        with pytest.raises(ValueError, match="absent"):
            subject.delete_ref_doc("absent")
        subject.delete_ref_doc("absent", raise_error=False)
        assert subject.document_exists("a") is True

    # In another process, and under core's own components

    def test_it_is_opened_again(self, subject: Subject) -> None:
        self.needs("reopen")
        node = text_node("a", of="x")
        subject.add_documents([node, text_node("b", of="x")])
        again = subject.on(self.reopen(subject.store))
        assert type(again.store) is type(subject.store)
        check_same_node(again.get_document("a"), node)
        if "hashes" not in self.lacks:
            assert again.get_document_hash("a") == node.hash
        if "ref_doc_info" not in self.lacks:
            assert sorted(again.get_ref_doc_info("x").node_ids) == ["a", "b"]

    def test_a_pipeline_passes_over_what_did_not_change(self, subject: Subject) -> None:
        self.needs("hashes", "all_hashes")
        pipeline = IngestionPipeline(
            transformations=[_Pass()],
            docstore=subject.store,
            docstore_strategy=DocstoreStrategy.DUPLICATES_ONLY,  # the others want a vector store
        )

        def run(*texts: str) -> list[str]:
            nodes = [text_node(f"d{place}", text=text) for place, text in enumerate(texts)]
            return ids_of(subject.on(pipeline).run(nodes=nodes))

        assert run("one", "two") == ["d0", "d1"]
        assert run("one", "two") == []
        assert run("one", "changed", "three") == ["d1", "d2"]

    def test_an_index_of_all_nodes_reads_them_here(self, subject: Subject) -> None:
        nodes = [text_node("a"), text_node("b"), text_node("c")]
        context = StorageContext.from_defaults(docstore=subject.store)
        index = SummaryIndex(nodes, storage_context=context)
        self.settle()
        found = subject.on(index.as_retriever()).retrieve("text")
        assert [one.node.node_id for one in found] == ["a", "b", "c"]

    def test_an_index_refreshes_what_has_changed(self, subject: Subject) -> None:
        self.needs("hashes", "ref_doc_info")
        context = StorageContext.from_defaults(docstore=subject.store)
        index = subject.on(
            VectorStoreIndex(
                [],
                storage_context=context,
                embed_model=MockEmbedding(embed_dim=4),
                transformations=[_Split()],
            )
        )

        def refresh(*texts: str) -> list[bool]:
            documents = [Document(id_=f"d{place}", text=text) for place, text in enumerate(texts)]
            changed: list[bool] = index.refresh_ref_docs(documents)
            return changed

        assert refresh("red fox", "night owl") == [True, True]
        assert refresh("red fox", "night owl") == [False, False]
        assert refresh("red fox", "brown owl", "oak") == [False, True, True]
        assert sorted(subject.get_ref_doc_info("d1").node_ids) == ["d1:brown", "d1:owl"]
        assert subject.document_exists("d1:night") is False
        index.delete_ref_doc("d0", delete_from_docstore=True)
        assert subject.get_ref_doc_info("d0") is None
        assert refresh("red fox", "brown owl", "oak") == [True, False, False]
