"""Filters of both frameworks: what they mean, and that the service hides nothing that passes."""

import json
import os
import random
from typing import ClassVar

import pytest
from support.embedded import embedded
from support.filter_reference import passes as reference_passes
from support.promises import sized

from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.pair import ClientPair
from oss_vector_retriever.emulator import (
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_BUCKET,
    Behaviour,
    Service,
)
from oss_vector_retriever.emulator.rules.filters import parse_filter
from oss_vector_retriever.records import ENVELOPE_KEYS, decode
from oss_vector_retriever.records.conditions import can_pass, passes, push, visible_fields
from oss_vector_retriever.records.filters import read_filter
from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.store import RecordStore
from oss_vector_retriever.records.traits import traits_of

# at full size 2,000 trees a framework, over all services together; soaked, over each of them
TREES, RECORDS = sized(40, 225, 2000), sized(120, 1500)
DOCUMENTS = ("doc_id", "document_id", "ref_doc_id")
# some that the service is asked for, some without room for a copy, and one that it may not know
FIELDS = ("a", "b", "c", "d", "tags", "long", "größe", "n", "ref_doc_id", "doc_id")
TEXTS = ("", "x", "X", "xy", "5", "true", "é", "5.0", "d1", "-", "*")
NUMBERS = (0, 1, 5, 5.0, -2, 2.5, 2**53, float(2**53), 2**53 + 1, 2**70)
LISTS = (["x"], ["x", "5"], ["xy", "d1"], ["5"])
OTHERS = (None, [], [5], [1, "xy"], [True], [None], {"x": 1}, [["x"]])
SIMPLE = (*TEXTS, *NUMBERS, True, False, *LISTS)

OURS = [
    StoreSettings(),
    StoreSettings(scalars="strings"),
    StoreSettings(filterable=("a", "n")),
    StoreSettings(filterable=()),
]
SERVICES = {
    "as by default": Behaviour(),
    "numbers refused": Behaviour(scalars="refused"),
    "numbers turned into strings": Behaviour(scalars="strings"),
    "ten names in all": Behaviour(metadata_names="all"),
    "a negation needs the field": Behaviour(negation_needs_field=True),
    "an operator for each field": Behaviour(filter_shorthand=False),
    "unfilterable fields match nothing": Behaviour(ignore_non_filterable=True),
    "as documented": Behaviour(
        metadata_names="all", scalars="refused", filter_shorthand=False, negation_needs_field=True
    ),
}


@pytest.fixture
def dice():
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {seed}")  # noqa: T201 - shown with a failure, to repeat it
    return random.Random(seed)


def some_metadata(dice, values):
    fields = [name for name in FIELDS if name not in DOCUMENTS or dice.random() < 0.1]
    names = dice.sample(fields, dice.randint(0, len(fields)))
    metadata = {name: dice.choice(values) for name in names}
    if "long" in metadata:
        metadata["long"] = "x" * dice.choice((10, 700, 3000))
    for number in range(dice.choice((0, 0, 9))):
        metadata[f"other_{number}"] = number
    if dice.random() < 0.02:
        metadata |= {f"{'many' * 12}_{number}": "x" for number in range(60)}
    return metadata


def written_by_version_1(key, metadata, dice):
    """Return the vector of a record that has no mark, and copies of two fields or of none."""
    copies = {}
    if dice.random() < 0.7:
        for name in ("a", "n"):
            value = metadata.get(name)
            if isinstance(value, str):
                copies[name] = value
            elif value is not None and not isinstance(value, list | dict):
                copies[name] = json.dumps(value)
    envelope = json.dumps({"v": 1, "metadata": metadata})
    return Vector(key, [1.0, 0.0], {"_record_text": "t", "_record": envelope, **copies})


def written_by_others(key, metadata, dice):
    """Return a vector as other programs write it, LlamaIndex's among them."""
    stored = {name: value for name, value in metadata.items() if not name.startswith("many")}
    stored = dict(list(stored.items())[:6])
    if isinstance(stored.get("long"), str):
        stored["long"] = stored["long"][:200]
    kind = dice.random()
    if kind < 0.3:
        node = {"relationships": {"1": {"node_id": "d1"}}, "metadata": stored}
        ids = dict.fromkeys(DOCUMENTS, "d1")
        beside = stored if kind < 0.2 else {}  # some keep their metadata inside the node alone
        return Vector(key, [1.0, 0.0], {**beside, "_node_content": json.dumps(node), **ids})
    if kind < 0.6:
        return Vector(key, [1.0, 0.0], {**stored, "text": dice.choice(TEXTS)})
    return Vector(key, [1.0, 0.0], stored)


def truth_of(metadata, source=None):
    """Return the fields of a record: the document's id has three names, and comes last."""
    document = source or metadata.get("ref_doc_id")
    return {**(dict.fromkeys(DOCUMENTS, document) if document else {}), **metadata}


class World:
    """The records of one index, of several writers, and what each is."""

    def __init__(self, client, dice, behaviour, count, *, foreign_index):
        self.behaviour = behaviour
        self.client = client
        self.run = ClientPair(client).run
        self.truth = {}
        if foreign_index:
            client.put_vector_index(dimension=2)
        self.hidden = () if foreign_index else ENVELOPE_KEYS
        values = (*SIMPLE, *SIMPLE, *OTHERS)
        self._write_ours(dice, values, count * 2 // 3, short=foreign_index)
        self._write_others(dice, values, count // 3)
        listed = client.list_vectors(return_metadata=True, max_results=1000)
        self.vectors = list(listed)
        while listed.next_token:
            listed = client.list_vectors(
                return_metadata=True, max_results=1000, next_token=listed.next_token
            )
            self.vectors += listed
        self.fields = {}
        self.seen = {}
        for vector in self.vectors:
            record = decode(vector)
            self.fields[vector.key] = visible_fields(record, vector.metadata)
            stored = vector.metadata or {}
            self.seen[vector.key] = {n: v for n, v in stored.items() if n not in self.hidden}
            if vector.key.startswith("other"):
                # a record of another program is its own metadata
                node = json.loads(stored.get("_node_content", "{}"))
                fields = {**node.get("metadata", {}), **stored}
                self.truth[vector.key] = truth_of(fields, "d1" if node else "")

    def _write_ours(self, dice, values, count, *, short):
        stores = [RecordStore(settings) for settings in OURS]
        batches = [[] for _ in stores]
        for number in range(count):
            position = dice.randrange(len(stores))
            metadata = some_metadata(dice, values)
            if short:
                metadata = {n: v for n, v in metadata.items() if len(str(v)) < 100}
                metadata = dict(list(metadata.items())[:12])
            if position == 2:  # a named field must be one that can be filterable
                for name in ("a", "n"):
                    if isinstance(metadata.get(name), dict | list):
                        metadata[name] = ["x", "5"]
            node = None
            if dice.random() < 0.3:
                node = {"relationships": {"1": {"node_id": dice.choice(("d1", "d2"))}}}
            key = f"ours {number}"
            vector = stores[position].encode(
                key, [1.0, 0.0], text="t", metadata=metadata, node=node
            )
            batches[position].append(vector)
            self.truth[key] = truth_of(metadata, node and node["relationships"]["1"]["node_id"])
        for store, batch in zip(stores, batches, strict=True):
            self.run(store.write, batch)
        self.native = self.run(lambda context: _give(traits_of(context, "vectors").native))

    def _write_others(self, dice, values, count):
        vectors = []
        able = [one for one in values if self._can_be_stored(one)]
        for number in range(count):
            metadata = some_metadata(dice, values)
            if dice.random() < 0.4 and len(json.dumps(metadata)) < 1500:
                key = f"old {number}"
                vectors.append(written_by_version_1(key, metadata, dice))
                self.truth[key] = truth_of(metadata)
            else:
                metadata = {n: v for n, v in some_metadata(dice, able).items() if n[0] != "o"}
                vectors.append(written_by_others(f"other {number}", metadata, dice))
        self.client.upsert(vectors)

    def _can_be_stored(self, value):
        if isinstance(value, list):
            return all(isinstance(item, str) for item in value)
        if isinstance(value, str):
            return True
        refused = self.behaviour.scalars == "refused" or value is None or isinstance(value, dict)
        return not refused and not (isinstance(value, int) and abs(value) >= 2**63)


def _give(value):
    return value
    yield


class Trees:
    """Conditions at random, in the words of one framework."""

    def __init__(self, dice):
        self.dice = dice

    def tree(self, depth=3):
        if depth and self.dice.random() < 0.55:
            count = self.dice.choice((0, 1, 1, 2, 2, 3) if self.empty_groups else (1, 1, 2, 2, 3))
            return (self.dice.choice(self.groups), [self.tree(depth - 1) for _ in range(count)])
        operator = self.dice.choice(self.operators)
        return (
            "test",
            self.dice.choice((*FIELDS, "absent", "text")),
            operator,
            self.operand(operator),
        )

    def several(self, values):
        return [self.dice.choice(values) for _ in range(self.dice.choice((0, 1, 2, 3)))]


class LlamaTrees(Trees):
    groups = ("and", "or", "not")
    empty_groups = True
    words: ClassVar = {
        "eq": "==", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=",
        **{name: name for name in ("in", "nin", "any", "all", "contains", "is_empty")},
        "text_match": "text_match", "text_match_insensitive": "text_match_insensitive",
    }  # fmt: skip
    operators = tuple(words)

    def operand(self, operator):
        values = (*TEXTS, *NUMBERS)
        if operator in ("in", "nin", "any", "all"):
            # core's own type takes lists of one kind
            return self.several(self.dice.choice((TEXTS, (0, 1, 5, 2**53), (5.0, 2.5))))
        if operator.startswith("text"):
            return self.dice.choice(TEXTS)
        if operator in ("eq", "ne") and self.dice.random() < 0.1:
            return self.dice.choice((None, ["x", "5"], ["x"]))
        return self.dice.choice(values)

    def condition(self, tree):
        from llama_index.core.vector_stores.types import MetadataFilters  # noqa: PLC0415

        from oss_vector_retriever.llama_index.filters import read_filters  # noqa: PLC0415

        return read_filters(MetadataFilters(filters=[self.filters(tree)]))

    def filters(self, tree):
        from llama_index.core.vector_stores.types import (  # noqa: PLC0415
            FilterOperator,
            MetadataFilter,
            MetadataFilters,
        )

        if tree[0] == "test":
            _, field, operator, operand = tree
            return MetadataFilter(
                key=field, operator=FilterOperator(self.words[operator]), value=operand
            )
        return MetadataFilters(filters=[self.filters(one) for one in tree[1]], condition=tree[0])


class LangChainTrees(Trees):
    groups = ("and", "or")
    empty_groups = False
    operators = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "exists")

    def operand(self, operator):
        if operator in ("in", "nin"):
            return self.several((*TEXTS, *NUMBERS, True, False))
        if operator == "exists":
            return self.dice.choice((True, False))
        if operator in ("eq", "ne"):
            return self.dice.choice((*TEXTS, *NUMBERS, True, False))
        return self.dice.choice(NUMBERS)

    def condition(self, tree):
        return read_filter(self.filters(tree))

    def filters(self, tree):
        if tree[0] == "test":
            _, field, operator, operand = tree
            return {field: {f"${operator}": operand}}
        return {f"${tree[0]}": [self.filters(one) for one in tree[1]]}


@pytest.fixture(params=[LlamaTrees, LangChainTrees], ids=["llama_index", "langchain"])
def trees(request, dice):
    if request.param is LlamaTrees:
        pytest.importorskip("llama_index.core")
    return request.param(dice)


def make_world(dice, behaviour, count, *, foreign_index=False):
    service = Service.in_memory(behaviour=behaviour)
    service.create_bucket(DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET)
    with service, embedded(service) as client:
        return World(client, dice, behaviour, count, foreign_index=foreign_index)


def check(world, trees, count):
    """Compare conditions with the reference, and with the service; return how many it hid."""
    hid = passed = 0
    for _ in range(count):
        tree = trees.tree()
        condition = trees.condition(tree)
        exact = trees.dice.random() < 0.3
        native = world.native and trees.dice.random() < 0.7
        pushed = push(condition, hidden=world.hidden, native=native, exact_lists=exact)
        sent = parse_filter(pushed.filter or {}, behaviour=world.behaviour)
        assert sent.fields.isdisjoint(world.hidden)
        for key, fields in world.fields.items():
            # filters without a test restrict nothing, whatever their groups are
            expected = condition is None or reference_passes(
                world.truth[key], tree, exact_lists=exact
            )
            what = (tree, key, world.truth[key])
            assert passes(fields, condition, exact) is expected, what
            let_through = sent.matches(world.seen[key])
            if expected:
                assert can_pass(condition), what
                assert let_through, (*what, pushed, world.seen[key])
            elif pushed.is_whole:
                assert not let_through, (*what, pushed)
            hid += not let_through
            passed += expected
    return hid, passed


@pytest.mark.timeout(sized(120, 600, 3600))
@pytest.mark.parametrize("behaviour", SERVICES.values(), ids=SERVICES)
def test_a_filter_means_what_it_says_and_the_service_hides_nothing_that_passes(
    dice, trees, behaviour
):
    world = make_world(dice, behaviour, RECORDS)
    assert world.native is (behaviour.scalars == "kept")
    hid, passed = check(world, trees, TREES)
    assert hid > 100
    assert passed > 100


@pytest.mark.timeout(sized(120, 600, 3600))
def test_neither_in_an_index_of_another_program(dice, trees):
    world = make_world(dice, Behaviour(), RECORDS, foreign_index=True)
    hid, passed = check(world, trees, TREES)
    assert hid > 1000
    assert passed > 100
