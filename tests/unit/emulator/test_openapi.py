import jsonschema_rs
import orjson
import pytest
from support.openapi import describe

from oss_vector_retriever.client.models.limits import Limits
from oss_vector_retriever.emulator.operations.table import OPERATIONS

DOCUMENT = describe()
DESCRIBED = {
    operation["operationId"]: operation
    for path in DOCUMENT["paths"].values()
    for operation in path.values()
}


def schema(described):
    """Return the validator of a body or of a reply."""
    inner = described["content"]["application/json"]["schema"]
    return jsonschema_rs.Draft202012Validator({**inner, "components": DOCUMENT["components"]})


def test_every_operation_is_described_once_and_no_other():
    assert sorted(DESCRIBED) == sorted(operation.name for operation in OPERATIONS)
    count = sum(len(path) for path in DOCUMENT["paths"].values())
    assert count == len(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_is_chosen_by_a_required_query_parameter(operation):
    described = DESCRIBED[operation.name]
    required = [p["name"] for p in described["parameters"] if p.get("required")]
    assert required == [operation.query] * bool(operation.query)
    assert str(operation.status) in described["responses"]
    assert ("requestBody" in described) is (
        operation.method == "POST" or operation.name[:9] == "PutBucket"
    )


def test_the_document_is_json_and_its_references_lead_somewhere():
    text = orjson.dumps(DOCUMENT).decode()
    for part in text.split('"$ref":"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in DOCUMENT["components"]["schemas"]


def test_the_limits_are_those_of_the_service():
    document = describe(Limits(keys_per_get=7, dimension=9))
    body = document["paths"]["/#getVectors"]["post"]["requestBody"]
    assert body["content"]["application/json"]["schema"]["properties"]["keys"]["maxItems"] == 7
    assert document["components"]["schemas"]["Float32"]["properties"]["float32"]["maxItems"] == 9


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("getVectors", {"indexName": "index1", "keys": ["a", "x"], "returnData": True}),
        ("listVectors", {"indexName": "index1", "maxResults": 1, "returnMetadata": True}),
        (
            "queryVectors",
            {
                "indexName": "index1",
                "queryVector": {"float32": [1, 2, 3]},
                "topK": 2,
                "returnDistance": True,
            },
        ),
        ("getVectorIndex", {"indexName": "index1"}),
        ("listVectorIndexes", {"maxResults": 1}),
    ],
)
def test_bodies_and_replies_are_as_described(caller, operation, members):
    caller.put(("a", [1, 2, 3], {"title": "A", "tags": ["x"], "n": 1}), ("b", [1, 0, 0]))
    described = DOCUMENT["paths"][f"/#{operation}"]["post"]
    assert schema(described["requestBody"]).is_valid(members)
    status, parsed = caller.post(operation, members)
    schema(described["responses"][str(status)]).validate(parsed)
    wrong, error = caller.post(operation, {"indexName": "no such", "maxResults": -1})
    assert wrong == 400
    schema(described["responses"]["default"]).validate(error)


@pytest.mark.parametrize("query", ["bucketInfo", ""])
def test_buckets_are_as_described(caller, query):
    reply = caller.send("GET", query, **({} if query else {"bucket": None}))
    described = DOCUMENT["paths"][f"/#{query}" if query else "/"]["get"]
    schema(described["responses"]["200"]).validate(orjson.loads(reply.body))
