"""Structured queries of a `SelfQueryRetriever` over a store: each operator, dates, and the loop."""

import random
from datetime import UTC, date, datetime

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import FakeListLLM
from langchain_core.structured_query import (
    Comparator,
    Comparison,
    Operation,
    Operator,
    StructuredQuery,
)

from oss_vector_retriever import InvalidRequestError, OSSVectorClient
from oss_vector_retriever.langchain import OSSVectorStore, OSSVectorTranslator

FILMS = {
    "a": {"year": 1979, "genre": "drama", "rating": 8.5, "tags": ["space", "slow"]},
    "b": {"year": 1993, "genre": "action", "rating": 7.7, "tags": ["dinosaurs"], "seen": True},
    "c": {"year": 1995, "genre": "animation", "tags": [], "seen": False},
    "d": {"genre": "drama", "day": date(2024, 5, 1)},
    "e": {"year": 2010, "day": date(2024, 6, 1), "at": datetime(2024, 6, 1, 12, tzinfo=UTC)},
    "f": {"year": "unknown", "genre": "Dramatic"},
}
DAY = {"type": "date", "date": "2024-05-15"}
MOMENT = {"type": "datetime", "datetime": "2024-06-01T11:59:59Z"}


@pytest.fixture(scope="module")
def store():
    with OSSVectorClient.local() as client:
        films = OSSVectorStore(
            DeterministicFakeEmbedding(size=4), client=client.with_options(index="films")
        )
        films.add_texts(list(FILMS), list(FILMS.values()), ids=list(FILMS))
        yield films


@pytest.fixture
def passing(store):
    """Give a function: the ids of what passes a structured filter, by a search of the store."""

    def found(directive):
        query = StructuredQuery(query="x", filter=directive, limit=None)
        text, options = OSSVectorTranslator().visit_structured_query(query)
        return "".join(sorted(d.id for d in store.similarity_search(text, k=9, **options)))

    return found


def compare(name, attribute, value):
    return Comparison(comparator=Comparator(name), attribute=attribute, value=value)


def join(name, *parts):
    return Operation(operator=Operator(name), arguments=list(parts))


def test_all_operators_and_comparators_are_allowed():
    assert set(OSSVectorTranslator.allowed_operators) == set(Operator)
    assert set(OSSVectorTranslator.allowed_comparators) == set(Comparator)


def test_a_comparison_an_operation_and_a_query_are_translated():
    translator = OSSVectorTranslator()
    assert translator.visit_comparison(compare("lt", "foo", 1)) == {"foo": {"$lt": 1}}
    both = join("and", compare("lt", "foo", 2), compare("eq", "bar", "baz"))
    expected = {"$and": [{"foo": {"$lt": 2}}, {"bar": {"$eq": "baz"}}]}
    assert translator.visit_operation(both) == expected
    query = StructuredQuery(query="what", filter=None, limit=None)
    assert translator.visit_structured_query(query) == ("what", {})
    query = StructuredQuery(query="what", filter=both, limit=None)
    assert translator.visit_structured_query(query) == ("what", {"filter": expected})
    inside = join("or", join("not", both), compare("in", "foo", [1, 2]))
    assert inside.accept(translator) == {"$or": [{"$not": [expected]}, {"foo": {"$in": [1, 2]}}]}


@pytest.mark.parametrize(
    ("directive", "ids"),
    [
        (compare("eq", "genre", "drama"), "ad"),
        (compare("ne", "genre", "drama"), "bcef"),
        (compare("gt", "year", 1993), "ce"),
        (compare("gte", "year", 1993), "bce"),
        (compare("lt", "year", 1993), "a"),
        (compare("lte", "rating", 7.7), "b"),
        (compare("in", "genre", ["action", "animation"]), "bc"),
        (compare("in", "genre", "action"), "b"),
        (compare("nin", "genre", ["drama", "action"]), "cef"),
        (compare("contain", "tags", "space"), "a"),
        (compare("contain", "genre", "ram"), "adf"),
        (compare("like", "genre", "%ram%"), "adf"),
        (compare("like", "genre", "ram"), "adf"),
        (compare("eq", "seen", True), "b"),
        (compare("gt", "day", DAY), "e"),
        (compare("lte", "day", DAY), "d"),
        (compare("eq", "day", {"type": "date", "date": "2024-05-01"}), "d"),
        (compare("gt", "at", MOMENT), "e"),
        (compare("in", "day", [DAY, {"type": "date", "date": "2024-06-01"}]), "e"),
        (join("not", compare("eq", "genre", "drama")), "bcef"),
        (join("not", compare("gt", "year", 1990)), "adf"),
        (join("not", compare("gt", "day", DAY)), "abcdf"),
        (join("not", join("or", compare("lt", "year", 1990), compare("gt", "year", 2000))), "bcdf"),
        (join("not", compare("contain", "tags", "space")), "bcdef"),
        (join("and", compare("gt", "year", 1980), join("not", compare("eq", "seen", True))), "ce"),
        (join("or", compare("eq", "genre", "drama"), compare("gt", "year", 2000)), "ade"),
    ],
    ids=str,
)
def test_what_passes_is_what_was_said(passing, directive, ids):
    assert passing(directive) == ids


@pytest.mark.parametrize(
    ("directive", "reason"),
    [
        (compare("gt", "day", {"type": "date", "date": "2024-13-01"}), "no date of ISO 8601"),
        (compare("like", "genre", "dra%"), "another pattern"),
        (compare("like", "genre", "d%a"), "another pattern"),
    ],
)
def test_what_would_mean_something_else_is_refused(directive, reason):
    with pytest.raises(InvalidRequestError, match=reason):
        directive.accept(OSSVectorTranslator())


def test_any_query_passes_the_same_in_the_store_as_by_the_words(passing):
    """Random trees, against a reading of them that knows nothing of the package."""
    chance = random.Random(14)
    values = {"year": [1979, 1993, 2000], "genre": ["drama", "action"], "tags": ["space"]}
    ordered = ["eq", "ne", "gt", "gte", "lt", "lte"]

    def tree(depth):
        if depth == 0 or chance.random() < 0.3:
            name = chance.choice(list(values))
            kind = chance.choice([*ordered, "in", "nin"] if name == "year" else ["eq", "ne", "in"])
            several = kind in {"in", "nin"}
            return compare(kind, name, values[name] if several else chance.choice(values[name]))
        kind = chance.choice(["and", "or", "not"])
        return join(kind, *(tree(depth - 1) for _ in range(1 if kind == "not" else 2)))

    for _ in range(60):
        directive = tree(3)
        expected = "".join(key for key, film in FILMS.items() if holds(directive, film))
        assert passing(directive) == expected, directive


def holds(directive, film):
    if isinstance(directive, Operation):
        parts = [holds(part, film) for part in directive.arguments]
        if directive.operator is Operator.NOT:
            return not any(parts)
        return all(parts) if directive.operator is Operator.AND else any(parts)
    kind, value, there = directive.comparator, directive.value, film.get(directive.attribute)
    found = there if isinstance(there, list) else [there]
    if kind in {Comparator.EQ, Comparator.IN, Comparator.NE, Comparator.NIN}:
        is_among = any(one in (value if isinstance(value, list) else [value]) for one in found)
        return is_among is (kind in {Comparator.EQ, Comparator.IN})
    if not isinstance(there, int):
        return False
    return {"gt": there > value, "gte": there >= value, "lt": there < value, "lte": there <= value}[
        kind.value
    ]


ANSWER = """```json
{"query": "x", "filter": "%s", "limit": 3}
```"""


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        ('and(gt(\\"year\\", 1990), not(eq(\\"genre\\", \\"action\\")))', "ce"),
        ('gt(\\"day\\", \\"2024-05-15\\")', "e"),
        ('gte(\\"at\\", \\"2024-06-01T12:00:00Z\\")', "e"),
        ('or(contain(\\"tags\\", \\"space\\"), in(\\"genre\\", [\\"action\\"]))', "ab"),
        ("NO_FILTER", None),
    ],
)
async def test_a_self_query_retriever_asks_the_store_what_the_model_wrote(store, written, ids):
    pytest.importorskip("lark", reason="lark is not installed")
    base = pytest.importorskip("langchain_classic.retrievers.self_query.base")
    about = [
        {"name": name, "description": name, "type": "string"}
        for name in ("year", "genre", "tags", "day", "at", "seen")
    ]
    retriever = base.SelfQueryRetriever.from_llm(
        FakeListLLM(responses=[ANSWER % written]),
        store,
        "films",
        about,
        structured_query_translator=OSSVectorTranslator(),
        enable_limit=True,
    )
    for found in (retriever.invoke("?"), await retriever.ainvoke("?")):
        assert len(found) <= 3
        assert ids is None or "".join(sorted(document.id for document in found)) == ids
