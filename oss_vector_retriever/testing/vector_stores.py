"""`VectorStoreTests`: what LlamaIndex asks of a vector store."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.schema import BaseNode, TextNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from .suite import (
    FLAT_METADATA,
    NESTED_METADATA,
    NODES,
    ODD_KEYS,
    StoreTests,
    Subject,
    check_same_node,
    ids,
    name_of,
    names_of,
    text_node,
)

# Nodes for filters: one with every field, some with a part, one without any.
_SHELF: dict[str, dict[str, Any]] = {
    "fox": {
        "title": "Red fox",
        "year": 2019,
        "price": 9.5,
        "tags": ["animal", "red"],
        "pages": [1, 2],
        "note": "",
    },
    "owl": {"title": "Night owl", "year": 2020, "price": 12.0, "tags": ["animal"], "note": "x"},
    "oak": {"title": "red oak", "year": 2021, "price": 7.25, "tags": ["plant"], "note": None},
    "stone": {"title": "Stone", "year": 2020, "tags": []},
    "bare": {},
}
_ALL = frozenset(_SHELF)

# By operator: a field, a value, and which of the shelf pass.
_CASES: dict[FilterOperator, list[tuple[str, Any, set[str]]]] = {
    FilterOperator.EQ: [
        ("title", "Red fox", {"fox"}),
        ("title", "red fox", set()),
        ("title", "Red", set()),
        ("year", 2020, {"owl", "stone"}),
        ("price", 9.5, {"fox"}),
        ("price", 12, {"owl"}),
        ("missing", "x", set()),
    ],
    FilterOperator.NE: [
        ("title", "Stone", {"fox", "owl", "oak", "bare"}),
        ("year", 2020, {"fox", "oak", "bare"}),
        ("missing", "x", {*_ALL}),
    ],
    FilterOperator.GT: [("year", 2020, {"oak"}), ("price", 7.25, {"fox", "owl"})],
    FilterOperator.GTE: [("year", 2020, {"owl", "oak", "stone"})],
    FilterOperator.LT: [("year", 2020, {"fox"}), ("year", 2020.5, {"fox", "owl", "stone"})],
    FilterOperator.LTE: [("price", 9.5, {"fox", "oak"}), ("missing", 1, set())],
    FilterOperator.IN: [
        ("title", ["Stone", "Red fox", "none"], {"stone", "fox"}),
        ("year", [2019, 2021], {"fox", "oak"}),
        ("title", [], set()),
    ],
    FilterOperator.NIN: [
        ("title", ["Stone", "Red fox"], {"owl", "oak", "bare"}),
        ("year", [2020], {"fox", "oak", "bare"}),
    ],
    FilterOperator.ANY: [("tags", ["red", "plant"], {"fox", "oak"}), ("tags", ["none"], set())],
    FilterOperator.ALL: [
        ("tags", ["animal", "red"], {"fox"}),
        ("tags", ["animal", "plant"], set()),
    ],
    FilterOperator.CONTAINS: [
        ("tags", "animal", {"fox", "owl"}),
        ("tags", "anim", set()),
        ("pages", 2, {"fox"}),
    ],
    FilterOperator.TEXT_MATCH: [
        ("title", "red", {"oak"}),
        ("title", "ed", {"fox", "oak"}),
        ("missing", "red", set()),
    ],
    FilterOperator.TEXT_MATCH_INSENSITIVE: [("title", "RED", {"fox", "oak"})],
    FilterOperator.IS_EMPTY: [
        ("note", None, {"fox", "oak", "stone", "bare"}),
        ("tags", None, {"stone", "bare"}),
        ("missing", None, {*_ALL}),
    ],
}


def _leaf(field: str, value: Any, operator: str = "==") -> MetadataFilter:
    return MetadataFilter(key=field, value=value, operator=FilterOperator(operator))


def _filters(
    *parts: MetadataFilter | MetadataFilters, by: FilterCondition | None = FilterCondition.AND
) -> MetadataFilters:
    return MetadataFilters(filters=list(parts), condition=by)


_AND, _OR, _NOT = FilterCondition.AND, FilterCondition.OR, FilterCondition.NOT
_STONE, _OF_2019, _OF_2020 = _leaf("title", "Stone"), _leaf("year", 2019), _leaf("year", 2020)

_GROUPS: list[tuple[MetadataFilters, str | None, set[str]]] = [
    (_filters(_STONE, _OF_2020), None, {"stone"}),
    (_filters(_STONE, _OF_2019), None, set()),
    (_filters(_STONE, _OF_2020, by=None), "no_condition", {"stone"}),
    (_filters(_STONE, _OF_2019, by=_OR), "filter_or", {"stone", "fox"}),
    (_filters(_OF_2020, _OF_2020, by=_OR), "filter_or", {"stone", "owl"}),
    (_filters(_STONE, by=_NOT), "filter_not", {"fox", "owl", "oak", "bare"}),
    # none of them holds
    (_filters(_STONE, _OF_2019, by=_NOT), "filter_not", {"owl", "oak", "bare"}),
    (_filters(), None, {*_ALL}),
]
_NESTED: list[tuple[MetadataFilters, set[str]]] = [
    (_filters(_OF_2020, _filters(_STONE, _OF_2019, by=_OR)), {"stone"}),
    (_filters(_filters(_OF_2020, _STONE), _OF_2019, by=_OR), {"stone", "fox"}),
    (_filters(_OF_2020, _filters(_STONE, by=_NOT)), {"owl"}),
    (_filters(_filters(_OF_2020, _STONE), by=_NOT), {"fox", "owl", "oak", "bare"}),
    (_filters(_filters(_filters(_STONE, by=_NOT), by=_NOT)), {"stone"}),
]


class VectorStoreTests(StoreTests):
    """The suite for a `BasePydanticVectorStore`.

    Attributes:
        dimension: of the vectors that are written, at least 3.
        query_modes: those that the store answers; each other one has to be refused.

    Examples:
        >>> import pytest
        >>> from llama_index.core.vector_stores import SimpleVectorStore
        >>> class TestMyStore(VectorStoreTests):
        ...     @pytest.fixture
        ...     def store(self):
        ...         return SimpleVectorStore()
    """

    dimension: ClassVar[int] = 4
    query_modes: ClassVar[Sequence[str]] = ("default", "mmr")
    capabilities: ClassVar[Mapping[str, str]] = {
        **StoreTests.capabilities,
        "stores_text": "nodes are kept whole, and come back from a query",
        "get_nodes": "nodes by id and by filters",
        "any_id": "the id of a node may be any text; without it UUIDs are what it takes",
        "order": "get_nodes answers in the order asked, and an id twice that is asked for twice",
        "embeddings": "nodes that are got by id have their embeddings",
        "delete_nodes": "deletion by id and by filters",
        "clear": "deletion of everything",
        "node_ids": "a query can be restricted to nodes",
        "doc_ids": "a query can be restricted to documents",
        "mmr": "a query by maximal marginal relevance",
        "nested_metadata": "metadata are any JSON; without it strings and numbers",
        "no_condition": "filters whose condition is None are joined by AND",
        "filter_or": "filters joined by OR",
        "filter_not": "filters joined by NOT: none of them holds",
        "nested_filters": "filters within filters",
        "whole_lists": "EQ and IN compare a list as a whole, as core's own evaluator does",
        **{
            f"filter_{operator.name.lower()}": f"the operator {operator.value!r}"
            for operator in FilterOperator
        },
    }

    @pytest.fixture
    def shelf(self, subject: Subject) -> Subject:
        """Return the store with nodes that differ in their metadata."""
        nodes = self._nodes(*_SHELF)
        for node, fields in zip(nodes, _SHELF.values(), strict=True):
            node.metadata = {
                name: value
                for name, value in fields.items()
                if "nested_metadata" not in self.lacks or isinstance(value, str | int | float)
            }
        subject.add(nodes)
        return subject

    def _vector(self, *numbers: float) -> list[float]:
        """Return a vector of the suite's dimension that begins with some numbers."""
        return [*numbers, *[0.0] * (self.dimension - len(numbers))]

    def _nodes(self, *names: str, of: str | None = None) -> list[TextNode]:
        """Return a node for each name, the first one the nearest to `vector(1)`."""
        return [
            text_node(key, of=of, embedding=self._vector(1, place / 10))
            for place, key in enumerate(ids(*names))
        ]

    def _ask(self, subject: Subject, *numbers: float, k: int = 100, **options: Any) -> list[str]:
        """Return the ids of the nodes nearest to a vector, by default all nodes there are."""
        return self._answer(subject, *numbers, k=k, **options)[0]

    def _answer(
        self, subject: Subject, *numbers: float, k: int = 100, **options: Any
    ) -> tuple[list[str], list[float], list[BaseNode] | None]:
        """Return the ids, similarities and nodes of a query's result, which have to fit."""
        arguments = options.pop("arguments", {})
        embedding = self._vector(*(numbers or (1,)))
        asked = VectorStoreQuery(query_embedding=embedding, similarity_top_k=k, **options)
        result = subject.query(asked, **arguments)
        found, similarities = list(result.ids or []), list(result.similarities or [])
        nodes = None if result.nodes is None else list(result.nodes)
        assert len(similarities) == len(found), "a similarity for each id"
        assert len(set(found)) == len(found), "a node once"
        if nodes is not None:
            assert [node.node_id for node in nodes] == found, (
                "a node for each id, in the same order"
            )
        return list(map(name_of, found)), similarities, nodes

    # What it is

    def test_it_is_a_vector_store_with_a_name_of_its_own(
        self, store: BasePydanticVectorStore
    ) -> None:
        assert isinstance(store, BasePydanticVectorStore)
        # it is written into what is saved, and tells what class reads it
        assert store.class_name() != BasePydanticVectorStore.class_name()
        assert store.is_embedding_query is True

    def test_it_says_whether_it_keeps_text(self, store: BasePydanticVectorStore) -> None:
        assert store.stores_text is ("stores_text" not in self.lacks)

    def test_it_says_whether_its_metadata_are_flat(self, store: BasePydanticVectorStore) -> None:
        # a convention: a store that does not say so takes any
        flat = getattr(store, "flat_metadata", False)
        assert flat is ("nested_metadata" in self.lacks)

    def test_it_is_saved_as_json(self, store: BasePydanticVectorStore) -> None:
        # pipelines hash it, and a component that holds it is saved with it
        assert json.dumps(store.to_dict())

    # Writing

    def test_add_returns_the_ids_in_order(self, subject: Subject) -> None:
        assert subject.add(self._nodes("c", "a", "b")) == ids("c", "a", "b")

    def test_add_of_nothing_writes_nothing(self, subject: Subject) -> None:
        assert subject.add([]) == []
        assert self._ask(subject) == []

    def test_add_replaces_a_node_with_the_same_id(self, subject: Subject) -> None:
        subject.add(self._nodes("a", "b", of="old"))
        subject.add(
            [text_node(*ids("a"), of="new", text="another", embedding=self._vector(0, 0, 1))]
        )
        assert self._ask(subject, 0, 0, 1, k=1) == ["a"]
        found, _, nodes = self._answer(subject)
        assert sorted(found) == ["a", "b"]
        if nodes is not None:
            assert [node.get_content() for node in nodes if names_of([node]) == ["a"]] == [
                "another"
            ]
        subject.delete("old")
        assert self._ask(subject) == ["a"]

    def test_of_nodes_with_one_id_the_last_stands(self, subject: Subject) -> None:
        [first, last, other] = self._nodes("a", "a", "b")
        last.embedding, other.embedding = self._vector(0, 0, 1), self._vector(1, 0, 1)
        subject.add([first, other, last])
        assert self._ask(subject, 0, 0, 1) == ["a", "b"]

    def test_add_leaves_the_callers_nodes_as_they_are(self, subject: Subject) -> None:
        written = self._nodes("a", of="document")
        written[0].metadata = {"page": 1}
        copies = [node.model_copy(deep=True) for node in written]
        subject.add(written)
        assert written == copies

    def test_a_node_without_embedding_is_refused(self, subject: Subject) -> None:
        with pytest.raises(Exception):  # noqa: B017, PT011 - each store has its own
            subject.add([text_node(*ids("a"))])
        assert self._ask(subject) == []

    def test_many_nodes_are_written(self, subject: Subject) -> None:
        keys = [f"n{number}" for number in range(150)]
        assert subject.add(self._nodes(*keys)) == ids(*keys)
        # the first and the last of them, in as many as a service may give at once
        assert self._ask(subject, 1, k=100) == keys[:100]
        assert self._ask(subject, 0, 1, k=100) == keys[:49:-1]

    # Searching

    def test_an_empty_store_finds_nothing(self, subject: Subject) -> None:
        found, similarities, nodes = self._answer(subject)
        assert (found, similarities, nodes or []) == ([], [], [])

    def test_the_nearest_come_first(self, subject: Subject) -> None:
        subject.add(self._nodes("a", "b", "c", "d")[::-1])
        found, similarities, _ = self._answer(subject, 1)
        assert found == ["a", "b", "c", "d"]
        # larger is nearer, which core's postprocessors and retrievers rely on
        assert similarities == sorted(similarities, reverse=True)
        assert len(set(similarities)) == 4

    @pytest.mark.parametrize(("k", "count"), [(1, 1), (2, 2), (4, 3)])
    def test_no_more_come_than_are_asked_for(self, subject: Subject, k: int, count: int) -> None:
        subject.add(self._nodes("a", "b", "c"))
        assert self._ask(subject, k=k) == ["a", "b", "c"][:count]

    def test_a_query_leaves_the_query_as_it_is(self, subject: Subject) -> None:
        subject.add(self._nodes("a"))
        query = VectorStoreQuery(
            query_embedding=self._vector(1), filters=_filters(_leaf("page", 1)), similarity_top_k=3
        )
        before = json.dumps(query.__dict__, default=repr)
        subject.query(query)
        assert json.dumps(query.__dict__, default=repr) == before

    def test_a_query_can_be_restricted_to_nodes(self, subject: Subject) -> None:
        self.needs("node_ids")
        subject.add(self._nodes("a", "b", "c"))
        assert self._ask(subject, node_ids=ids("c", "b", "absent")) == ["b", "c"]
        assert self._ask(subject, node_ids=ids("c", "b"), k=1) == ["b"]
        assert self._ask(subject, node_ids=ids("absent")) == []

    def test_no_node_ids_are_no_restriction(self, subject: Subject) -> None:
        # an index over a store that keeps text has no list of its nodes, and sends an empty one
        self.needs("stores_text")
        subject.add(self._nodes("a", "b"))
        assert self._ask(subject, node_ids=[]) == ["a", "b"]

    def test_a_query_can_be_restricted_to_documents(self, subject: Subject) -> None:
        self.needs("doc_ids")
        subject.add([*self._nodes("a", "b", of="x"), *self._nodes("c", of="y"), *self._nodes("d")])
        assert sorted(self._ask(subject, doc_ids=["x"])) == ["a", "b"]
        assert sorted(self._ask(subject, doc_ids=["x", "y", "absent"])) == ["a", "b", "c"]
        assert self._ask(subject, doc_ids=["absent"]) == []

    def test_a_list_of_no_documents_is_no_document(self, subject: Subject) -> None:
        # whoever computes what a reader may see, and finds nothing, must not show everything
        self.needs("doc_ids")
        subject.add(self._nodes("a", of="x"))
        assert self._ask(subject, doc_ids=[]) == []
        assert self._ask(subject, doc_ids=None) == ["a"]

    def test_all_restrictions_of_a_query_hold(self, subject: Subject) -> None:
        self.needs("node_ids", "doc_ids")
        nodes = [*self._nodes("a", "b", of="x"), *self._nodes("c", of="y")]
        for node in nodes:
            node.metadata = {"page": 2 if names_of([node]) == ["a"] else 1}
        subject.add(nodes)
        page = _filters(_leaf("page", 1))
        assert self._ask(subject, node_ids=ids("a", "b"), filters=page) == ["b"]
        assert self._ask(subject, doc_ids=["x"], filters=page) == ["b"]
        assert self._ask(subject, doc_ids=["x"], node_ids=ids("b", "c")) == ["b"]

    def test_mmr_prefers_what_differs(self, subject: Subject) -> None:
        self.needs("mmr")
        near, twin, other = self._nodes("near", "twin", "other")
        twin.embedding, other.embedding = self._vector(1, 0.01), self._vector(1, 0, 1)
        subject.add([near, twin, other])

        def ask(threshold: float) -> list[str]:
            # core's own store takes it as an argument, others of the query
            option = {"mmr_threshold": threshold}
            return self._ask(
                subject, k=2, mode=VectorStoreQueryMode.MMR, **option, arguments=option
            )

        assert ask(0.2) == ["near", "other"]
        assert ask(1.0) == ["near", "twin"]

    @pytest.mark.parametrize("mode", [mode.value for mode in VectorStoreQueryMode])
    def test_a_mode_that_it_does_not_have_is_refused(self, subject: Subject, mode: str) -> None:
        subject.add(self._nodes("a", "b", "c"))
        options: dict[str, Any] = {"mode": VectorStoreQueryMode(mode), "query_str": "text of a"}
        if mode in self.query_modes and mode not in self.lacks:
            assert len(self._ask(subject, k=2, **options)) == 2
        else:
            # an answer of another mode would be taken for the one that was asked for
            with pytest.raises(Exception):  # noqa: B017, PT011 - each store has its own
                self._ask(subject, k=2, **options)

    # Filters

    @pytest.mark.parametrize("operator", [operator.name for operator in FilterOperator])
    def test_an_operator_lets_through_what_passes(self, shelf: Subject, operator: str) -> None:
        self.needs(f"filter_{operator.lower()}")
        if operator in {"ANY", "ALL", "CONTAINS"}:
            self.needs("nested_metadata")
        for field, value, passing in _CASES[FilterOperator[operator]]:
            if field == "tags" and "nested_metadata" in self.lacks:
                continue  # is_empty: the other fields are none
            leaf = _leaf(field, value, FilterOperator[operator])
            found = self._ask(shelf, filters=_filters(leaf))
            assert set(found) == passing, f"{field} {operator} {value!r}"

    @pytest.mark.parametrize(("filters", "needed", "passing"), _GROUPS)
    def test_filters_are_joined(
        self, shelf: Subject, filters: MetadataFilters, needed: str | None, passing: set[str]
    ) -> None:
        if needed:
            self.needs(needed)
        assert set(self._ask(shelf, filters=filters)) == passing

    @pytest.mark.parametrize(("filters", "passing"), _NESTED)
    def test_filters_are_nested(
        self, shelf: Subject, filters: MetadataFilters, passing: set[str]
    ) -> None:
        self.needs("nested_filters", "filter_or", "filter_not")
        assert set(self._ask(shelf, filters=filters)) == passing

    def test_a_list_is_compared_as_a_whole(self, shelf: Subject) -> None:
        self.needs("whole_lists", "nested_metadata", "filter_in", "filter_nin")
        for operator, value, passing in [
            ("==", "animal", set()),
            ("in", ["animal", "plant"], set()),
            ("nin", ["animal", "plant"], _ALL),
        ]:
            found = self._ask(shelf, filters=_filters(_leaf("tags", value, operator)))
            assert set(found) == passing

    def test_filters_choose_before_the_nearest_are_counted(self, subject: Subject) -> None:
        nodes = self._nodes(*[f"n{number}" for number in range(60)])
        for place, node in enumerate(nodes):
            node.metadata = {"tenant": "small" if place >= 50 else "large"}
        subject.add(nodes)
        small = _filters(_leaf("tenant", "small"))
        assert self._ask(subject, k=3, filters=small) == ["n50", "n51", "n52"]

    # Nodes by id

    def test_get_nodes_returns_what_was_asked_for(self, subject: Subject) -> None:
        self.needs("get_nodes")
        subject.add(self._nodes("a", "b", "c"))
        assert sorted(names_of(subject.get_nodes(ids("c", "a")))) == ["a", "c"]
        assert names_of(subject.get_nodes(node_ids=ids("b"))) == ["b"]

    def test_get_nodes_keeps_the_order_and_what_is_asked_for_twice(self, subject: Subject) -> None:
        self.needs("get_nodes", "order")
        keys = [f"n{number}" for number in range(120)]
        subject.add(self._nodes(*keys))
        asked = [*keys[::-1], "n7", "n7"]
        assert names_of(subject.get_nodes(ids(*asked))) == asked

    def test_get_nodes_leaves_out_what_is_not_there(self, subject: Subject) -> None:
        self.needs("get_nodes")
        subject.add(self._nodes("a"))
        assert names_of(subject.get_nodes(ids("absent", "a"))) == ["a"]
        assert subject.get_nodes(ids("absent")) == []

    def test_get_nodes_of_no_ids_is_not_everything(self, subject: Subject) -> None:
        self.needs("get_nodes")
        subject.add(self._nodes("a"))
        assert subject.get_nodes([]) == []

    def test_get_nodes_without_ids_is_everything(self, subject: Subject) -> None:
        self.needs("get_nodes")
        keys = [f"n{number}" for number in range(120)]
        subject.add(self._nodes(*keys))
        assert sorted(names_of(subject.get_nodes())) == sorted(keys)

    def test_get_nodes_by_filters(self, shelf: Subject) -> None:
        self.needs("get_nodes", "filter_ne")
        assert set(names_of(shelf.get_nodes(filters=_filters(_OF_2020)))) == {"owl", "stone"}
        other = _filters(_leaf("year", 2020, "!="))
        assert set(names_of(shelf.get_nodes(None, other))) == {"fox", "oak", "bare"}

    def test_get_nodes_by_id_and_filters_is_what_both_name(self, shelf: Subject) -> None:
        self.needs("get_nodes", "filter_or")
        either = _filters(_STONE, _OF_2019, by=_OR)
        assert names_of(shelf.get_nodes(ids("owl", "stone", "absent"), either)) == ["stone"]

    def test_get_nodes_gives_embeddings_back(self, subject: Subject) -> None:
        self.needs("get_nodes", "embeddings")
        [node] = self._nodes("a")
        node.embedding = self._vector(0.5, -0.25, 0.1)
        subject.add([node])
        [found] = subject.get_nodes(ids("a"))
        assert found.embedding is not None
        # as near as 32 bits are; of a store that normalises, in the same direction
        length = math.hypot(*found.embedding) / math.hypot(*node.embedding)
        assert [number / length for number in found.embedding] == pytest.approx(
            node.embedding, rel=1e-5, abs=1e-6
        )

    def test_a_node_that_was_got_is_the_callers_own(self, subject: Subject) -> None:
        self.needs("get_nodes")
        [node] = self._nodes("a")
        node.metadata = {"page": 1}
        subject.add([node])
        subject.get_nodes(ids("a"))[0].metadata["page"] = 2
        assert subject.get_nodes(ids("a"))[0].metadata == {"page": 1}

    # What comes back

    @pytest.mark.parametrize("kind", NODES)
    def test_a_node_comes_back_as_it_was(self, subject: Subject, kind: str) -> None:
        self.needs("stores_text")
        node = NODES[kind]()
        node.embedding = self._vector(1)
        subject.add([node])
        self._check_stored(subject, node)

    def test_metadata_come_back_as_they_were(self, subject: Subject) -> None:
        self.needs("stores_text")
        flat = "nested_metadata" in self.lacks
        [node] = self._nodes("n")
        node.metadata = dict(FLAT_METADATA if flat else NESTED_METADATA)
        subject.add([node])
        self._check_stored(subject, node)

    def test_any_text_is_an_id(self, subject: Subject) -> None:
        self.needs("any_id")
        subject.add([text_node(key, embedding=self._vector(1)) for key in ODD_KEYS])
        assert set(self._ask(subject)) == {*ODD_KEYS}
        for key in ODD_KEYS:
            if "get_nodes" not in self.lacks:
                assert [node.node_id for node in subject.get_nodes([key])] == [key]
            if "node_ids" not in self.lacks:
                assert self._ask(subject, node_ids=[key]) == [key]
        if "delete_nodes" not in self.lacks:
            subject.delete_nodes(ODD_KEYS[1:])
            assert self._ask(subject) == ODD_KEYS[:1]

    def test_any_text_is_the_id_of_a_document(self, subject: Subject) -> None:
        subject.add([*map(self._node_of, ODD_KEYS)])
        assert set(self._ask(subject)) == {f"of {key}" for key in ODD_KEYS}
        if "doc_ids" not in self.lacks:
            for key in ODD_KEYS:
                assert self._ask(subject, doc_ids=[key]) == [f"of {key}"]
        for key in ODD_KEYS[1:]:
            subject.delete(key)
        assert self._ask(subject) == [f"of {ODD_KEYS[0]}"]

    def _node_of(self, document: str) -> TextNode:
        return text_node(*ids(f"of {document}"), of=document, embedding=self._vector(1))

    def _check_stored(self, subject: Subject, node: BaseNode) -> None:
        _, _, nodes = self._answer(subject)
        assert nodes is not None
        found = nodes if "get_nodes" in self.lacks else [*nodes, *subject.get_nodes([node.node_id])]
        assert len(found) == (1 if "get_nodes" in self.lacks else 2)
        for one in found:
            check_same_node(one, node)

    # Deleting

    def test_delete_removes_the_nodes_of_a_document_and_no_others(self, subject: Subject) -> None:
        subject.add([*self._nodes("a", "b", of="x"), *self._nodes("c", of="xy"), *self._nodes("d")])
        subject.delete("x")
        assert sorted(self._ask(subject)) == ["c", "d"]
        subject.delete(ref_doc_id="xy")
        assert self._ask(subject) == ["d"]

    def test_delete_of_a_large_document_removes_all_of_it(self, subject: Subject) -> None:
        subject.add(self._nodes(*[f"n{number}" for number in range(120)], of="x"))
        subject.add(self._nodes("other", of="y"))
        subject.delete("x")
        assert self._ask(subject) == ["other"]

    def test_delete_of_a_document_that_is_not_there_is_no_error(self, subject: Subject) -> None:
        subject.delete("absent")
        subject.add(self._nodes("a", of="x"))
        subject.delete("absent")
        # the id of a node is not that of its document
        subject.delete(*ids("a"))
        assert self._ask(subject) == ["a"]

    def test_delete_nodes_by_id(self, subject: Subject) -> None:
        self.needs("delete_nodes")
        subject.add(self._nodes("a", "b", "c"))
        subject.delete_nodes(ids("c", "absent", "a", "a"))
        assert self._ask(subject) == ["b"]

    def test_delete_nodes_of_no_ids_deletes_nothing(self, subject: Subject) -> None:
        self.needs("delete_nodes")
        subject.add(self._nodes("a"))
        subject.delete_nodes([])
        assert self._ask(subject) == ["a"]

    def test_delete_nodes_by_filters(self, shelf: Subject) -> None:
        self.needs("delete_nodes", "filter_ne")
        shelf.delete_nodes(filters=_filters(_leaf("year", 2020, "!=")))
        assert set(self._ask(shelf)) == {"owl", "stone"}

    def test_delete_nodes_by_id_and_filters_deletes_what_both_name(self, shelf: Subject) -> None:
        self.needs("delete_nodes", "filter_or")
        shelf.delete_nodes(ids("owl", "stone"), _filters(_STONE, _OF_2019, by=_OR))
        assert set(self._ask(shelf)) == _ALL - {"stone"}

    def test_what_was_deleted_can_be_written_again(self, subject: Subject) -> None:
        subject.add(self._nodes("a", of="x"))
        subject.delete("x")
        subject.add(self._nodes("a", of="x"))
        assert self._ask(subject) == ["a"]

    def test_clear_leaves_an_empty_store_that_takes_nodes(self, subject: Subject) -> None:
        self.needs("clear")
        subject.add(self._nodes("a", "b", of="x"))
        subject.clear()
        assert self._ask(subject) == []
        subject.add(self._nodes("c"))
        assert self._ask(subject) == ["c"]

    # In another process, and under an index

    def test_it_is_opened_again(self, subject: Subject) -> None:
        self.needs("reopen")
        subject.add([*self._nodes("a", "b", of="x"), *self._nodes("c", of="y")])
        again = subject.on(self.reopen(subject.store))
        assert type(again.store) is type(subject.store)
        assert sorted(self._ask(again)) == ["a", "b", "c"]
        again.delete("x")
        assert self._ask(again) == ["c"]

    def test_an_index_retrieves_what_is_stored(self, subject: Subject) -> None:
        index = self._make_index(subject)
        assert sorted(_retrieve(subject, index)) == ["a", "b", "c"]
        index.delete_ref_doc("x")
        self.settle()
        assert _retrieve(subject, index) == ["c"]

    def test_an_index_passes_filters_on(self, subject: Subject) -> None:
        index = self._make_index(subject)
        filters = _filters(_leaf("page", 2))
        assert _retrieve(subject, index, filters=filters) == ["b"]

    def test_an_index_passes_documents_on(self, subject: Subject) -> None:
        self.needs("doc_ids")
        index = self._make_index(subject)
        assert _retrieve(subject, index, doc_ids=["y"]) == ["c"]
        assert _retrieve(subject, index, doc_ids=[]) == []

    def test_an_index_is_made_of_the_store_alone(self, subject: Subject) -> None:
        self.needs("stores_text")
        self._make_index(subject)
        again = VectorStoreIndex.from_vector_store(subject.store, embed_model=self._model())
        assert sorted(_retrieve(subject, again)) == ["a", "b", "c"]

    def _make_index(self, subject: Subject) -> VectorStoreIndex:
        nodes = [text_node(*ids(name), of=of) for name, of in [("a", "x"), ("b", "x"), ("c", "y")]]
        for page, node in enumerate(nodes, 1):
            node.metadata = {"page": page}
        context = StorageContext.from_defaults(vector_store=subject.store)
        index = VectorStoreIndex(nodes, storage_context=context, embed_model=self._model())
        self.settle()
        return index

    def _model(self) -> MockEmbedding:
        return MockEmbedding(embed_dim=self.dimension)


def _retrieve(subject: Subject, index: VectorStoreIndex, **options: Any) -> list[str]:
    retriever = index.as_retriever(similarity_top_k=100, **options)
    return names_of(found.node for found in subject.on(retriever).retrieve("text"))
