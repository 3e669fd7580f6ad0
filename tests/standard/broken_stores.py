"""Stores with one defect each, most of them found in a published store, and the test that sees it.

Run by `test_broken_stores.py`: each suite here has to fail, and the sound stores that the broken
ones are made of have to pass.
"""

from __future__ import annotations

import json
import uuid

import pytest
from llama_index.core.data_structs import IndexList
from llama_index.core.schema import TextNode
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.storage.docstore.types import RefDocInfo
from llama_index.core.storage.index_store import SimpleIndexStore
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterCondition,
    FilterOperator,
    MetadataFilters,
    VectorStoreQueryMode,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn, metadata_dict_to_node
from pydantic import Field, PrivateAttr

from oss_vector_retriever.testing import (
    ChatStoreTests,
    DocumentStoreTests,
    IndexStoreTests,
    KVStoreTests,
    VectorStoreTests,
)


class Keeping(SimpleVectorStore):
    """Core's vector store, made whole: it keeps nodes, knows documents and nested filters."""

    stores_text: bool = True
    kept: dict = Field(default_factory=dict)

    def __init__(self, data=None, kept=None, **_):
        super().__init__(data)
        self.kept = {} if kept is None else kept

    def to_dict(self, **_):
        return {"data": super().to_dict(), "kept": {k: n.to_dict() for k, n in self.kept.items()}}

    @classmethod
    def from_dict(cls, data, **_):
        found = {key: _node_of(node) for key, node in data["kept"].items()}
        return cls(SimpleVectorStore.from_dict(data["data"]).data, found)

    def add(self, nodes, **_):
        self.kept |= {node.node_id: node.model_copy(deep=True) for node in nodes}
        return super().add(nodes)

    def delete(self, ref_doc_id, **_):
        super().delete(ref_doc_id)
        self.forget()

    def delete_nodes(self, node_ids=None, filters=None, **_):
        super().delete_nodes(node_ids, filters)
        self.forget()

    def clear(self):
        super().clear()
        self.forget()

    def forget(self):
        self.kept = {
            key: node for key, node in self.kept.items() if key in self.data.embedding_dict
        }

    def get_nodes(self, node_ids=None, filters=None):
        asked = [*self.kept] if node_ids is None else node_ids
        return [
            self.kept[key].model_copy(deep=True)
            for key in asked
            if key in self.kept and self.passes(key, filters)
        ]

    def query(self, query, **options):
        allowed = [key for key in self.kept if self.allows(key, query)]
        inner = type(query)(**{**vars(query), "filters": None, "node_ids": allowed})
        result = super().query(inner, **options)
        result.nodes = self.get_nodes(result.ids)
        return result

    def allows(self, key, query):
        return (
            (not query.node_ids or key in query.node_ids)
            and self.is_of(key, query.doc_ids)
            and self.passes(key, query.filters)
        )

    def is_of(self, key, doc_ids):
        return doc_ids is None or self.kept[key].ref_doc_id in doc_ids

    def passes(self, key, filters):
        if filters is None or not filters.filters:
            return True
        passed = [
            self.passes(key, one)
            if isinstance(one, MetadataFilters)
            else self.passes_leaf(key, one)
            for one in filters.filters
        ]
        return self.join(filters.condition or FilterCondition.AND, passed)

    def passes_leaf(self, key, leaf):
        return build_metadata_filter_fn(
            lambda key: self.data.metadata_dict[key], MetadataFilters(filters=[leaf])
        )(key)

    def join(self, condition, passed):
        if condition is FilterCondition.AND:
            return all(passed)
        return any(passed) is (condition is FilterCondition.OR)


def _node_of(data):
    return metadata_dict_to_node(
        {"_node_content": json.dumps(data), "_node_type": data["class_name"]}
    )


class SoundChat(SimpleChatStore):
    """Core's chat store, made whole."""

    def set_messages(self, key, messages):
        super().set_messages(key, [*messages])

    def get_messages(self, key):
        return [*super().get_messages(key)]

    def delete_last_message(self, key):
        return super().delete_last_message(key) if self.store.get(key) else None


KINDS = {
    Keeping: (VectorStoreTests, {}),
    SimpleDocumentStore: (
        DocumentStoreTests,
        {"batches": "not asked for here", "awaited_delete": "core's own defect"},
    ),
    SimpleKVStore: (KVStoreTests, {"batches": "not asked for here"}),
    SimpleIndexStore: (IndexStoreTests, {}),
    SoundChat: (ChatStoreTests, {"reopen": "core's own defect"}),
}


def suite_of(store_class, seen_by):
    """Put a suite for a class of stores into this module, where pytest finds it.

    `seen_by` is the test that has to fail; None for a sound store.
    """
    tests, lacks = next(kind for base, kind in KINDS.items() if issubclass(store_class, base))

    @pytest.fixture
    def store(self):  # noqa: ARG001 - a method
        return store_class()

    name = f"Test{store_class.__name__}"
    assert name not in globals()
    fields = {"store": store, "lacks": lacks, "seen_by": seen_by, "__module__": __name__}
    globals()[name] = type(name, (tests,), fields)


for sound in (Keeping, SoundChat):  # core's own are run by test_llama_index_stores.py
    suite_of(sound, None)


def broken(seen_by):
    """Mark a store as broken, and say which test sees it."""

    def mark(store_class):
        suite_of(store_class, seen_by)
        return store_class

    return mark


# Vector stores


@broken("test_many_nodes_are_written")
class WritesTheFirstHundred(Keeping):
    def add(self, nodes, **_):
        super().add(nodes[:100])
        return [node.node_id for node in nodes]


@broken("test_add_returns_the_ids_in_order")
class ReturnsIdsOfItsOwn(Keeping):
    def add(self, nodes, **_):
        return [f"doc#{key}" for key in super().add(nodes)]


@broken("test_of_nodes_with_one_id_the_last_stands")
class KeepsTheFirstOfTwins(Keeping):
    def add(self, nodes, **_):
        super().add(list({node.node_id: node for node in reversed(nodes)}.values()))
        return [node.node_id for node in nodes]


@broken("test_add_leaves_the_callers_nodes_as_they_are")
class ChangesWhatItIsGiven(Keeping):
    def add(self, nodes, **_):
        ids = super().add(nodes)
        for node in nodes:
            node.embedding = None
        return ids


@broken("test_a_node_without_embedding_is_refused")
class WritesZerosForWhatIsNotEmbedded(Keeping):
    def add(self, nodes, **_):
        for node in nodes:
            node.embedding = node.embedding or [0.1] * 4
        return super().add(nodes)


@broken("test_get_nodes_of_no_ids_is_not_everything")
class TakesNoIdsForAllIds(Keeping):
    def get_nodes(self, node_ids=None, filters=None):
        return super().get_nodes(node_ids or None, filters)


@broken("test_get_nodes_keeps_the_order_and_what_is_asked_for_twice")
class AnswersInTheOrderOfStorage(Keeping):
    def get_nodes(self, node_ids=None, filters=None):
        asked = node_ids
        if node_ids is not None and len(node_ids) != len(self.kept):
            asked = [key for key in self.kept if key in node_ids]
        return super().get_nodes(asked, filters)


@broken("test_get_nodes_keeps_the_order_and_what_is_asked_for_twice")
class AnswersATwiceAskedIdOnce(Keeping):
    def get_nodes(self, node_ids=None, filters=None):
        return super().get_nodes(
            None if node_ids is None else list(dict.fromkeys(node_ids)), filters
        )


@broken("test_get_nodes_leaves_out_what_is_not_there")
class AnswersNoneForWhatIsNotThere(Keeping):
    def get_nodes(self, node_ids=None, filters=None):
        found = {node.node_id: node for node in super().get_nodes(node_ids, filters)}
        return (
            [found.get(key) for key in node_ids or found] if filters is None else [*found.values()]
        )


@broken("test_get_nodes_without_ids_is_everything")
class ListsOnePage(Keeping):
    def get_nodes(self, node_ids=None, filters=None):
        found = super().get_nodes(node_ids, filters)
        return found[:100] if node_ids is None else found


@broken("test_get_nodes_by_id_and_filters_is_what_both_name")
class IgnoresFiltersOfAGet(Keeping):
    def get_nodes(self, node_ids=None, filters=None):
        return super().get_nodes(node_ids, filters if node_ids is None else None)


@broken("test_get_nodes_gives_embeddings_back")
class ForgetsEmbeddings(Keeping):
    def get_nodes(self, node_ids=None, filters=None):
        found = super().get_nodes(node_ids, filters)
        for node in found:
            node.embedding = None
        return found


@broken("test_a_node_that_was_got_is_the_callers_own")
class GivesItsOwnNodesAway(Keeping):
    def get_nodes(self, node_ids=None, filters=None):
        return [self.kept[node.node_id] for node in super().get_nodes(node_ids, filters)]


@broken("test_a_node_comes_back_as_it_was")
class LosesRelationships(Keeping):
    def get_nodes(self, node_ids=None, filters=None):
        found = super().get_nodes(node_ids, filters)
        for node in found:
            node.relationships = {}
        return found


@broken("test_a_node_comes_back_as_it_was")
class MakesATextNodeOfEachNode(Keeping):
    def get_nodes(self, node_ids=None, filters=None):
        return [
            TextNode(**{n: v for n, v in vars(node).items() if n in TextNode.model_fields})
            for node in super().get_nodes(node_ids, filters)
        ]


@broken("test_metadata_come_back_as_they_were")
class TurnsMetadataIntoText(Keeping):
    def add(self, nodes, **_):
        ids = super().add(nodes)
        for key in ids:
            held = self.kept[key].metadata
            self.kept[key].metadata = {n: str(v) if v is True else v for n, v in held.items()}
        return ids


@broken("test_the_nearest_come_first")
class GivesNewIdsToWhatItFinds(Keeping):
    def query(self, query, **options):
        result = super().query(query, **options)
        result.ids = [str(uuid.UUID(int=place)) for place, _ in enumerate(result.ids)]
        return result


@broken("test_the_nearest_come_first")
class GivesDistancesForSimilarities(Keeping):
    def query(self, query, **options):
        result = super().query(query, **options)
        result.similarities = [1 - one for one in result.similarities]
        return result


@broken("test_the_nearest_come_first")
class ClampsFarNodesTogether(Keeping):
    def query(self, query, **options):
        result = super().query(query, **options)
        result.similarities = [max(one, 0.99) for one in result.similarities]
        return result


@broken("test_no_more_come_than_are_asked_for")
class GivesOneMore(Keeping):
    def query(self, query, **options):
        more = {"similarity_top_k": query.similarity_top_k + 1}
        return super().query(type(query)(**{**vars(query), **more}), **options)


@broken("test_a_query_can_be_restricted_to_nodes")
class IgnoresNodeIds(Keeping):
    def allows(self, key, query):
        return self.is_of(key, query.doc_ids) and self.passes(key, query.filters)


@broken("test_no_node_ids_are_no_restriction")
class TakesNoNodeIdsForNoNodes(Keeping):
    def allows(self, key, query):
        return query.node_ids != [] and super().allows(key, query)


@broken("test_a_query_can_be_restricted_to_documents")
class IgnoresDocIds(Keeping):
    def is_of(self, key, doc_ids):  # noqa: ARG002
        return doc_ids != []


@broken("test_a_list_of_no_documents_is_no_document")
class TakesNoDocIdsForAllDocuments(Keeping):
    def is_of(self, key, doc_ids):
        return super().is_of(key, doc_ids or None)


@broken("test_all_restrictions_of_a_query_hold")
class JoinsRestrictionsByOr(Keeping):
    def allows(self, key, query):
        if not query.node_ids or query.filters is None:
            return super().allows(key, query)
        return key in query.node_ids or self.passes(key, query.filters)


@broken("test_mmr_prefers_what_differs")
class AnswersMmrByDistance(Keeping):
    def query(self, query, **options):
        mode = VectorStoreQueryMode.DEFAULT
        return super().query(type(query)(**{**vars(query), "mode": mode}), **options)


@broken("test_a_mode_that_it_does_not_have_is_refused")
class AnswersEachModeByDistance(AnswersMmrByDistance):
    pass


@broken("test_filters_are_joined")
class TakesNotOfOneForItself(Keeping):
    def join(self, condition, passed):
        return passed[0] if len(passed) == 1 else super().join(condition, passed)


@broken("test_filters_are_joined")
class TakesNotForAnd(Keeping):
    def join(self, condition, passed):
        return any(passed) if condition is FilterCondition.OR else all(passed)


@broken("test_filters_are_joined")
class TakesNotForOr(Keeping):
    def join(self, condition, passed):
        return all(passed) if condition is FilterCondition.AND else any(passed)


@broken("test_filters_are_joined")
class TakesNotForNotAll(Keeping):
    def join(self, condition, passed):
        return (
            not all(passed) if condition is FilterCondition.NOT else super().join(condition, passed)
        )


@broken("test_filters_are_nested")
class LooksAtTheOutermostFiltersAlone(Keeping):
    def passes(self, key, filters):
        flat = (
            [one for one in filters.filters if not isinstance(one, MetadataFilters)]
            if filters
            else []
        )
        return super().passes(
            key, filters and MetadataFilters(filters=flat, condition=filters.condition)
        )


@broken("test_an_operator_lets_through_what_passes")
class TakesEmptyForAbsent(Keeping):
    def passes_leaf(self, key, leaf):
        if leaf.operator is FilterOperator.IS_EMPTY:
            return leaf.key not in self.kept[key].metadata
        return super().passes_leaf(key, leaf)


@broken("test_an_operator_lets_through_what_passes")
class LeavesOutOfNotEqualWhatHasNoField(Keeping):
    def passes_leaf(self, key, leaf):
        return leaf.key in self.kept[key].metadata and super().passes_leaf(key, leaf)


@broken("test_an_operator_lets_through_what_passes")
class ComparesTextAsAPattern(Keeping):
    def passes_leaf(self, key, leaf):
        value = self.kept[key].metadata.get(leaf.key)
        if leaf.operator is FilterOperator.EQ and isinstance(value, str):
            return value.startswith(leaf.value)
        return super().passes_leaf(key, leaf)


@broken("test_an_operator_lets_through_what_passes")
class TakesAllForAny(Keeping):
    def passes_leaf(self, key, leaf):
        swap = leaf.operator is FilterOperator.ALL
        return super().passes_leaf(
            key, leaf.model_copy(update={"operator": FilterOperator.ANY}) if swap else leaf
        )


@broken("test_an_operator_lets_through_what_passes")
class MatchesTextAtItsBeginningAlone(Keeping):
    def passes_leaf(self, key, leaf):
        if leaf.operator is FilterOperator.TEXT_MATCH:
            return str(self.kept[key].metadata.get(leaf.key, "")).startswith(leaf.value)
        return super().passes_leaf(key, leaf)


@broken("test_filters_choose_before_the_nearest_are_counted")
class FiltersTheNearest(Keeping):
    def query(self, query, **options):
        near = SimpleVectorStore.query(self, type(query)(**{**vars(query), "filters": None}))
        return super().query(type(query)(**{**vars(query), "node_ids": near.ids}), **options)


@broken("test_delete_of_a_large_document_removes_all_of_it")
class DeletesTheNearestOfADocument(Keeping):
    def delete(self, ref_doc_id, **_):
        of = [key for key, node in self.kept.items() if node.ref_doc_id == ref_doc_id]
        self.delete_nodes(of[:100])


@broken("test_delete_removes_the_nodes_of_a_document_and_no_others")
class DeletesWhatBeginsAlike(Keeping):
    def delete(self, ref_doc_id, **_):
        of = [k for k, node in self.kept.items() if (node.ref_doc_id or "").startswith(ref_doc_id)]
        self.delete_nodes(of)


@broken("test_delete_of_a_document_that_is_not_there_is_no_error")
class DeletesTheNodeOfThatId(Keeping):
    def delete(self, ref_doc_id, **_):
        super().delete(ref_doc_id)
        self.delete_nodes([ref_doc_id])


@broken("test_delete_of_a_document_that_is_not_there_is_no_error")
class FailsToDeleteNothing(Keeping):
    def delete(self, ref_doc_id, **_):
        if not any(node.ref_doc_id == ref_doc_id for node in self.kept.values()):
            raise KeyError(ref_doc_id)
        super().delete(ref_doc_id)


@broken("test_delete_nodes_of_no_ids_deletes_nothing")
class DeletesAllWhereNoneIsNamed(Keeping):
    def delete_nodes(self, node_ids=None, filters=None, **_):
        super().delete_nodes(node_ids or None, filters)


@broken("test_delete_nodes_by_id_and_filters_deletes_what_both_name")
class DeletesTheUnion(Keeping):
    def delete_nodes(self, node_ids=None, filters=None, **_):
        super().delete_nodes(node_ids)
        if filters is not None:
            super().delete_nodes(filters=filters)


@broken("test_clear_leaves_an_empty_store_that_takes_nodes")
class DropsTheIndexWhenItIsCleared(Keeping):
    _gone: bool = PrivateAttr(default=False)

    def clear(self):
        super().clear()
        self._gone = True

    def add(self, nodes, **_):
        if self._gone:
            raise LookupError("no such index")
        return super().add(nodes)


@broken("test_an_empty_store_is_no_false_value")
class HasALength(Keeping):
    def __len__(self):
        return len(self.kept)


@broken("test_it_is_a_vector_store_with_a_name_of_its_own")
class HasNoName(Keeping):
    @classmethod
    def class_name(cls):
        return BasePydanticVectorStore.class_name()


@broken("test_it_is_opened_again")
class IsOpenedEmpty(Keeping):
    @classmethod
    def from_dict(cls, data, **_):  # noqa: ARG003
        return cls()


@broken("test_an_index_passes_filters_on")
class IgnoresFiltersWhereItIsAwaited(Keeping):
    async def aquery(self, query, **options):
        return self.query(type(query)(**{**vars(query), "filters": None}), **options)


@broken("test_delete_removes_the_nodes_of_a_document_and_no_others")
class ForgetsToAwaitADelete(Keeping):
    async def adelete(self, ref_doc_id, **_):
        pass


# Document stores


@broken("test_a_node_that_is_not_there_is_an_error_or_left_out")
class PutsNoneForAMissingNode(SimpleDocumentStore):
    def get_nodes(self, node_ids, raise_error=True):
        return [self.get_node(key, raise_error) for key in node_ids]


@broken("test_nodes_come_in_the_order_asked_and_as_often")
class SortsNodes(SimpleDocumentStore):
    def get_nodes(self, node_ids, raise_error=True):
        return super().get_nodes(sorted(node_ids), raise_error)


@broken("test_a_document_that_is_not_there_is_an_error_or_none")
class RaisesKeyErrors(SimpleDocumentStore):
    def get_document(self, doc_id, raise_error=True):
        found = super().get_document(doc_id, raise_error=False)
        if found is None and raise_error:
            raise KeyError(doc_id)
        return found


@broken("test_replacing_can_be_refused_and_then_nothing_is_written")
class ReplacesAllTheSame(SimpleDocumentStore):
    def add_documents(self, docs, allow_update=True, batch_size=None, store_text=True):  # noqa: ARG002
        super().add_documents(docs, True, batch_size, store_text)


@broken("test_replacing_can_be_refused_and_then_nothing_is_written")
class WritesBeforeItRefuses(SimpleDocumentStore):
    def add_documents(self, docs, allow_update=True, batch_size=None, store_text=True):
        for doc in docs:
            super().add_documents([doc], allow_update, batch_size, store_text)


@broken("test_a_document_that_is_added_has_its_hash")
class KeepsTheFirstHash(SimpleDocumentStore):
    def add_documents(self, docs, *args, **options):
        held = {doc.node_id: self.get_document_hash(doc.node_id) for doc in docs}
        super().add_documents(docs, *args, **options)
        self.set_document_hashes({key: one for key, one in held.items() if one})


@broken("test_an_index_refreshes_what_has_changed")
class RefusesHashes(SimpleDocumentStore):
    def set_document_hash(self, doc_id, doc_hash):
        raise NotImplementedError

    async def aset_document_hash(self, doc_id, doc_hash):
        raise NotImplementedError


@broken("test_an_index_refreshes_what_has_changed")
class ForgetsItsHashesWhereItIsAwaited(SimpleDocumentStore):
    async def aget_document_hash(self, doc_id):  # noqa: ARG002
        return None


@broken("test_all_hashes_name_their_documents")
class TurnsHashesAround(SimpleDocumentStore):
    def get_all_document_hashes(self):
        return {key: one for one, key in super().get_all_document_hashes().items()}


@broken("test_deleting_a_source_deletes_its_hash")
class KeepsTheHashOfWhatItDeletes(SimpleDocumentStore):
    def delete_ref_doc(self, ref_doc_id, raise_error=True):
        held = self.get_document_hash(ref_doc_id)
        super().delete_ref_doc(ref_doc_id, raise_error)
        if held:
            self.set_document_hash(ref_doc_id, held)


@broken("test_deleting_a_source_deletes_its_nodes_and_no_others")
class DeletesTheFirstNodesOfASource(SimpleDocumentStore):
    def delete_ref_doc(self, ref_doc_id, raise_error=True):
        kept = [n for n in self.docs.values() if n.ref_doc_id == ref_doc_id][10:]
        super().delete_ref_doc(ref_doc_id, raise_error)
        super().add_documents([TextNode(id_=node.node_id, text=node.text) for node in kept])


@broken("test_a_node_that_is_added_later_is_known_too_and_once")
class ForgetsEarlierNodes(SimpleDocumentStore):
    def get_ref_doc_info(self, ref_doc_id):
        info = super().get_ref_doc_info(ref_doc_id)
        return info and RefDocInfo(node_ids=info.node_ids[-1:], metadata=info.metadata)


@broken("test_what_is_added_is_there")
class DoesNotAwait(SimpleDocumentStore):
    async def aget_document(self, doc_id, raise_error=True):
        raise NotImplementedError


@broken("test_a_node_can_be_noted_without_being_kept")
class KeepsTextAllTheSame(SimpleDocumentStore):
    def add_documents(self, docs, allow_update=True, batch_size=None, store_text=True):  # noqa: ARG002
        super().add_documents(docs, allow_update, batch_size, True)


# Key-value stores


@broken("test_collections_are_kept_apart")
class HasOneCollection(SimpleKVStore):
    def _get_collection_mapping(self, collection):
        return super()._get_collection_mapping(collection and "data")


@broken("test_collections_are_kept_apart")
class FindsCollectionsByPrefix(SimpleKVStore):
    def get_all(self, collection="data"):
        found = {}
        for name, values in self._collections_mappings.items():
            if name.startswith(collection):
                found |= values
        return found


@broken("test_a_key_and_a_collection_are_no_path")
class JoinsCollectionAndKey(SimpleKVStore):
    def _get_collection_mapping(self, collection):
        whole = super()._get_collection_mapping("")
        return JoinedPart(whole, f"{collection}/")


class JoinedPart(dict):
    def __init__(self, whole, prefix):
        self.whole, self.prefix = whole, prefix
        super().__init__(
            {key.removeprefix(prefix): v for key, v in whole.items() if key.startswith(prefix)}
        )

    def __setitem__(self, key, value):
        self.whole[self.prefix + key] = value

    def pop(self, key):
        return self.whole.pop(self.prefix + key)


@broken("test_delete_tells_whether_it_was_there")
class SaysThatEachWasThere(SimpleKVStore):
    def delete(self, key, collection="data"):
        super().delete(key, collection)
        return True


@broken("test_a_value_replaces_another_whole")
class MergesValues(SimpleKVStore):
    def put(self, key, val, collection="data"):
        super().put(key, {**(self.get(key, collection) or {}), **val}, collection)


@broken("test_values_are_the_stores_own")
class KeepsTheCallersValue(SimpleKVStore):
    def put(self, key, val, collection="data"):
        self._get_collection_mapping(collection)[key] = val


@broken("test_many_are_put_at_once")
class IgnoresTheCollectionOfMany(SimpleKVStore):
    def put_all(self, kv_pairs, collection="data", batch_size=1):  # noqa: ARG002
        super().put_all(kv_pairs, batch_size=batch_size)


@broken("test_an_empty_store_has_nothing")
class GivesAnEmptyValueForNone(SimpleKVStore):
    def get(self, key, collection="data"):
        return super().get(key, collection) or {}


@broken("test_a_value_comes_back_as_it_was")
class LosesWhatIsNone(SimpleKVStore):
    def put(self, key, val, collection="data"):
        super().put(key, {n: v for n, v in val.items() if v is not None}, collection)


# Index stores


@broken("test_of_none_and_of_several_an_id_is_needed")
class GivesAnyStruct(SimpleIndexStore):
    def get_index_struct(self, struct_id=None):
        if struct_id is not None:
            return super().get_index_struct(struct_id)
        return next(iter(self.index_structs()), None)


@broken("test_structs_are_kept_apart")
class DeletesNoStruct(SimpleIndexStore):
    def delete_index_struct(self, key):
        pass


@broken("test_a_struct_comes_back_as_it_was")
class MakesAListOfEachStruct(SimpleIndexStore):
    def get_index_struct(self, struct_id=None):
        found = super().get_index_struct(struct_id)
        return found and IndexList(index_id=found.index_id)


# Chat stores


@broken("test_messages_stay_in_order")
class PutsTheNewestFirst(SoundChat):
    def add_message(self, key, message, idx=0):
        super().add_message(key, message, idx)


@broken("test_messages_stay_in_order")
class SortsMessagesByTheTextOfTheirNumber(SoundChat):
    def get_messages(self, key):
        held = super().get_messages(key)
        return [held[int(place)] for place in sorted(map(str, range(len(held))))]


@broken("test_a_message_is_deleted_and_given_back")
class DeletesTheMessageAfter(SoundChat):
    def delete_message(self, key, idx):
        return super().delete_message(key, idx + 1)


@broken("test_messages_replace_a_conversation")
class AppendsWhatIsSet(SoundChat):
    def set_messages(self, key, messages):
        super().set_messages(key, [*self.get_messages(key), *messages])


@broken("test_conversations_are_kept_apart")
class ListsKeysThatWereDeleted(SoundChat):
    def delete_messages(self, key):
        held = super().delete_messages(key)
        self.store[key] = []
        return held


@broken("test_the_last_message_is_deleted_and_given_back")
class DeletesTheLastAndSaysNothing(SoundChat):
    def delete_last_message(self, key):
        super().delete_last_message(key)
