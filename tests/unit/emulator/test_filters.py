import orjson
import pytest

from oss_vector_retriever.client.models.limits import Limits
from oss_vector_retriever.emulator import Behaviour
from oss_vector_retriever.emulator.rules.filters import parse_filter

METADATA = {
    "category": "technology",
    "tags": ["ai", "search"],
    "none": [],
    "year": 2024,
    "score": 0.5,
    "flag": True,
    "one": 1,
}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({}, True),
        ({"category": {"$eq": "technology"}}, True),
        ({"category": {"$eq": "Technology"}}, False),
        ({"category": "technology"}, True),
        ({"tags": {"$eq": "ai"}}, True),
        ({"tags": {"$eq": "a"}}, False),
        ({"tags": {"$ne": "ai"}}, False),
        ({"tags": {"$ne": "x"}}, True),
        ({"none": {"$eq": "x"}}, False),
        ({"none": {"$ne": "x"}}, True),
        ({"category": {"$ne": "technology"}}, False),
        ({"missing": {"$eq": "x"}}, False),
        ({"missing": {"$ne": "x"}}, True),
        ({"category": {"$in": ["x", "technology"]}}, True),
        ({"category": {"$in": ["x"]}}, False),
        ({"tags": {"$in": ["x", "search"]}}, True),
        ({"tags": {"$nin": ["x", "search"]}}, False),
        ({"tags": {"$nin": ["x"]}}, True),
        ({"missing": {"$in": ["x"]}}, False),
        ({"missing": {"$nin": ["x"]}}, True),
        ({"category": {"$exists": True}}, True),
        ({"category": {"$exists": False}}, False),
        ({"none": {"$exists": True}}, True),
        ({"missing": {"$exists": True}}, False),
        ({"missing": {"$exists": False}}, True),
        ({"year": {"$eq": 2024}}, True),
        ({"year": {"$eq": 2024.0}}, True),
        ({"year": {"$eq": "2024"}}, False),
        ({"flag": {"$eq": True}}, True),
        ({"flag": {"$eq": 1}}, False),
        ({"one": {"$eq": True}}, False),
        ({"one": {"$in": [True, False]}}, False),
        ({"year": {"$gt": 2023}}, True),
        ({"year": {"$gt": 2024}}, False),
        ({"year": {"$gte": 2024}}, True),
        ({"score": {"$lt": 0.5}}, False),
        ({"score": {"$lte": 0.5}}, True),
        ({"flag": {"$gte": 0}}, False),
        ({"category": {"$gt": 0}}, False),
        ({"tags": {"$lt": 9}}, False),
        ({"missing": {"$lt": 9}}, False),
        ({"year": {"$gt": 2000, "$lt": 2020}}, False),
        ({"year": {"$gt": 2000, "$lt": 2030}}, True),
        ({"year": 2024, "category": "x"}, False),
        ({"year": 2024, "category": "technology"}, True),
        ({"$and": [{"year": 2024}, {"category": "x"}]}, False),
        ({"$or": [{"year": 2024}, {"category": "x"}]}, True),
        ({"$or": [{"year": 1}, {"$and": [{"one": 1}, {"flag": True}]}]}, True),
        ({"$or": [{"year": 1}], "$and": [{"one": 1}]}, False),
    ],
)
def test_an_operator_means_what_it_says(condition, expected):
    assert parse_filter(condition).matches(METADATA) is expected


def nested(depth):
    condition = {"a": "x"}
    for _ in range(depth - 1):
        condition = {"$and": [condition]}
    return condition


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (None, "must be an object"),
        ([], "must be an object"),
        ("a", "must be an object"),
        ({"a": {}}, "no operator for 'a'"),
        ({"a": {"$what": 1}}, r"the operator '\$what'"),
        ({"a": {"eq": 1}}, "the operator 'eq'"),
        ({"$not": {"a": 1}}, r"'\$not' in this place"),
        ({"$eq": 1}, r"'\$eq' in this place"),
        ({"a": None}, r"by \$eq with a string, a number or a boolean"),
        ({"a": ["x"]}, r"by \$eq with a string"),
        ({"a": {"$eq": None}}, r"by \$eq with a string"),
        ({"a": {"$ne": ["x"]}}, r"by \$ne with a string"),
        ({"a": {"$in": []}}, r"\$in an array that is not empty"),
        ({"a": {"$in": "x"}}, r"\$in an array"),
        ({"a": {"$nin": [None]}}, r"by \$nin with a string"),
        ({"a": {"$in": [["x"]]}}, r"by \$in with a string"),
        ({"a": {"$exists": "true"}}, r"\$exists true or false"),
        ({"a": {"$exists": 1}}, r"\$exists true or false"),
        ({"a": {"$gt": "2"}}, r"by \$gt with a number"),
        ({"a": {"$lte": True}}, r"by \$lte with a number"),
        ({"$and": []}, r"\$and an array that is not empty"),
        ({"$and": {"a": 1}}, r"\$and an array"),
        ({"$or": [{}]}, "not an object with members"),
        ({"$or": ["a"]}, "not an object with members"),
        (nested(9), "nested deeper than 8"),
        ({"a": {"$in": ["x"] * 1025}}, "more than 1024 items"),
        ({"$or": [{"a": "x"}] * 1024}, "more than 1024 items"),
        ({"a": "x" * 20480}, "has 20488 bytes; at most 20480"),
    ],
)
def test_a_filter_that_breaks_a_rule_is_refused(condition, reason):
    with pytest.raises(ValueError, match=reason):
        parse_filter(condition)


def test_a_filter_at_its_limits_is_accepted():
    parse_filter(nested(8))
    parse_filter({"a": {"$in": ["x"] * 1024}})
    parse_filter({"$or": [{"a": "x"}] * 1023})
    assert len(orjson.dumps({"a": "x" * 20472})) == 20480
    parse_filter({"a": "x" * 20472})
    with pytest.raises(ValueError, match="deeper than 2"):
        parse_filter(nested(3), Limits(filter_depth=2))


def test_shorthand_can_be_refused():
    strict = Behaviour(filter_shorthand=False)
    with pytest.raises(ValueError, match="must give an operator for 'a'"):
        parse_filter({"a": "x"}, behaviour=strict)
    assert parse_filter({"a": {"$eq": "x"}}, behaviour=strict).matches({"a": "x"})


def test_a_filter_names_the_fields_it_looks_at():
    condition = {"$or": [{"a": "x"}, {"$and": [{"b": {"$exists": True}}, {"c": {"$gt": 1}}]}]}
    assert parse_filter(condition).fields == {"a", "b", "c"}
    assert parse_filter({}).fields == set()


class TestInQueries:
    @pytest.fixture
    def filled(self, make_caller):
        def make(**options):
            caller = make_caller(**options)
            caller.make_index(non_filterable=["hidden"])
            caller.put(("a", [1, 0, 0], {"n": "1", "hidden": "x"}), ("b", [2, 0, 0], {"n": "2"}))
            return caller

        return make

    def test_a_non_filterable_key_is_refused(self, filled):
        members = {"indexName": "index1", "filter": {"$and": [{"hidden": {"$eq": "x"}}]}}
        caller = filled()
        assert "non-filterable key 'hidden'" in caller.message("listVectors", members)
        members |= {"queryVector": {"float32": [1, 0, 0]}, "topK": 1}
        assert caller.code("queryVectors", members) == (400, "VectorIndexParameterInvalid")

    def test_a_non_filterable_key_can_match_nothing_instead(self, filled):
        caller = filled(behaviour=Behaviour(ignore_non_filterable=True))
        assert caller.query([1, 0, 0], filter={"hidden": {"$eq": "x"}}) == []
        assert len(caller.query([1, 0, 0], filter={"hidden": {"$exists": False}})) == 2

    def test_shorthand_can_be_switched_off(self, filled):
        members = {"indexName": "index1", "filter": {"n": "1"}}
        assert filled().post("listVectors", members)[1] == {"vectors": [{"key": "a"}]}
        strict = filled(behaviour=Behaviour(filter_shorthand=False))
        assert strict.code("listVectors", members) == (400, "VectorIndexParameterInvalid")
