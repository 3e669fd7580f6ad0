"""Operations on vectors: the request as the API page writes it, the reply as a value."""

import json
import pickle
from types import MappingProxyType

import numpy as np
import pytest

from oss_vector_retriever import InvalidRequestError, Limits, ResponseError, Vector
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.operations import vectors

REPLY = Reply(200, {"x-oss-request-id": "R1"}, b"{}")
NUMBERED = [f"k{number}" for number in range(600)]


def sent(machine, operation, *args, **kwargs):
    """Return the one request of an operation, and its body."""
    played = machine.play(operation(machine.context(), *args, **kwargs), [REPLY])
    assert played.error is None
    (request,) = played.requests
    return request, json.loads(request.body)


def answered(machine, body, operation, *args, **kwargs):
    reply = Reply(200, {"x-oss-request-id": "R1"}, json.dumps(body).encode())
    played = machine.play(operation(machine.context(), *args, **kwargs), [reply])
    if played.error:
        raise played.error
    return played.value


def refused(machine, operation, *args, **kwargs):
    with pytest.raises(InvalidRequestError) as raised:
        operation(machine.context(), *args, **kwargs)
    return str(raised.value)


class TestGetVectors:
    def test_asks_as_the_page_does(self, machine):
        request, body = sent(machine, vectors.get_vectors, ["doc-001", "doc-002"])
        assert (request.method, request.target) == ("POST", "/?getVectors")
        assert request.url == (
            "https://examplebucket-123456.cn-hangzhou.oss-vectors.aliyuncs.com/?getVectors"
        )
        assert request.headers["content-type"] == "application/json"
        assert body == {
            "indexName": "vectorindex1",
            "keys": ["doc-001", "doc-002"],
            "returnData": False,
            "returnMetadata": False,
        }

    def test_asks_for_data_and_metadata(self, machine):
        options = {"return_data": True, "return_metadata": 1, "index": "other"}
        _, body = sent(machine, vectors.get_vectors, ["a", "a"], **options)
        assert (body["returnData"], body["returnMetadata"]) == (True, True)
        assert (body["indexName"], body["keys"]) == ("other", ["a", "a"])

    @pytest.mark.parametrize("keys", [[], NUMBERED[:101]])
    def test_takes_1_to_100_keys(self, machine, keys):
        message = refused(machine, vectors.get_vectors, keys)
        assert message == (
            f"get_vectors takes 1 to 100, not {len(keys)}; fetch() takes any number of keys."
        )
        assert sent(machine, vectors.get_vectors, NUMBERED[:100])

    def test_keeps_to_the_accounts_own_limit(self, machine):
        with pytest.raises(InvalidRequestError, match="1 to 3"):
            vectors.get_vectors(machine.context(limits=Limits(keys_per_get=3)), list("abcd"))

    def test_returns_the_vectors_in_the_services_order(self, machine):
        body = {"vectors": [{"key": "b", "data": {"float32": [1]}, "metadata": {}}, {"key": "a"}]}
        found = answered(machine, body, vectors.get_vectors, ["a", "b"], return_metadata=True)
        assert [vector.key for vector in found] == ["b", "a"]
        assert (found[0].data, found[0].metadata, found.request_id) == (None, {}, "R1")


class TestPutVectors:
    def test_asks_as_the_page_does(self, machine):
        put = [Vector("a", [0.5, 1], {"t": "x", "l": ["y"]}), {"key": "b", "data": [1, 2]}]
        request, body = sent(machine, vectors.put_vectors, put)
        assert request.target == "/?putVectors"
        assert body == {
            "indexName": "vectorindex1",
            "vectors": [
                {"key": "a", "data": {"float32": [0.5, 1.0]}, "metadata": {"t": "x", "l": ["y"]}},
                {"key": "b", "data": {"float32": [1.0, 2.0]}},
            ],
        }

    @pytest.mark.parametrize(
        "data",
        [[0.5], (0.5,), {"float32": [0.5]}, np.float32([0.5]), np.float64([0.5]), iter([0.5])],
    )
    def test_takes_numbers_in_every_form(self, machine, data):
        put = [MappingProxyType({"key": "a", "data": data, "metadata": MappingProxyType({})})]
        _, body = sent(machine, vectors.put_vectors, put)
        assert body["vectors"] == [{"key": "a", "data": {"float32": [0.5]}}]

    def test_says_what_the_service_acknowledged(self, machine):
        put = [Vector("a", [1])]
        assert answered(machine, {}, vectors.put_vectors, put).request_id == "R1"


class TestDeleteVectors:
    def test_asks_as_the_page_does(self, machine):
        request, body = sent(machine, vectors.delete_vectors, ["a", "b"])
        assert request.target == "/?deleteVectors"
        assert body == {"indexName": "vectorindex1", "keys": ["a", "b"]}

    def test_sends_each_key_once(self, machine):
        _, body = sent(machine, vectors.delete_vectors, ["b", "a", "b"])
        assert body["keys"] == ["b", "a"]
        _, body = sent(machine, vectors.delete_vectors, NUMBERED[:500] * 2)
        assert len(body["keys"]) == 500

    @pytest.mark.parametrize("keys", [[], NUMBERED[:501]])
    def test_takes_1_to_500_keys(self, machine, keys):
        assert "takes 1 to 500" in refused(machine, vectors.delete_vectors, keys)


class TestListVectors:
    def test_asks_for_a_page_with_nothing_more_than_said(self, machine):
        request, body = sent(machine, vectors.list_vectors)
        assert request.target == "/?listVectors"
        expected = {"indexName": "vectorindex1", "returnData": False, "returnMetadata": False}
        assert body == expected

    def test_asks_for_everything_that_was_said(self, machine):
        _, body = sent(
            machine,
            vectors.list_vectors,
            index="other",
            max_results=1000,
            next_token="CAES",
            return_data=True,
            return_metadata=True,
            segment_count=4,
            segment_index=0,
            filter={"a": {"$eq": "b"}},
        )
        assert body == {
            "indexName": "other",
            "maxResults": 1000,
            "nextToken": "CAES",
            "returnData": True,
            "returnMetadata": True,
            "segmentCount": 4,
            "segmentIndex": 0,
            "filter": {"a": {"$eq": "b"}},
        }

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"max_results": 0}, "max_results must be a whole number from 1 to 1000"),
            ({"max_results": 1001}, "from 1 to 1000"),
            ({"max_results": True}, "max_results"),
            ({"max_results": "5"}, "max_results"),
            ({"segment_count": 0, "segment_index": 0}, "segment_count"),
            ({"segment_count": 17, "segment_index": 0}, "from 1 to 16"),
            ({"segment_count": 4, "segment_index": 4}, "segment_index must be .* from 0 to 3"),
            ({"segment_count": 4, "segment_index": -1}, "segment_index"),
            ({"segment_count": 4}, "segment_index"),
            ({"segment_index": 0}, "segment_index needs segment_count"),
            ({"index": "my-index"}, "not an index name"),
        ],
    )
    def test_refuses_what_the_service_would(self, machine, wrong, said):
        with pytest.raises(InvalidRequestError, match=said):
            vectors.list_vectors(machine.context(), **wrong)

    @pytest.mark.parametrize(("token", "expected"), [("T", "T"), ("", None), (None, None)])
    def test_says_where_the_next_page_begins(self, machine, token, expected):
        body = {"vectors": [{"key": "a", "data": {"float32": [1]}}], "nextToken": token}
        page = answered(machine, body, vectors.list_vectors, return_data=True)
        assert (page.next_token, page[0].data.tolist(), page.request_id) == (expected, [1.0], "R1")

    @pytest.mark.parametrize("before", [0, 1, 2, 7, 50])
    @pytest.mark.parametrize("around", [1, 2, 3, 8, 100])
    @pytest.mark.parametrize("begin", [None, "kept elsewhere"])
    def test_sees_tokens_that_go_round_in_a_circle(self, machine, before, around, begin):
        asked = []

        def walk(token):
            while True:
                asked.append(token)
                assert len(asked) <= 3 * (before + around) + 2, "an endless loop"
                number = len(asked) - 1
                number = number if number < before else before + (number - before) % around
                body = {"vectors": [], "nextToken": f"t{number}"}
                token = answered(machine, body, vectors.list_vectors, next_token=token).next_token

        with pytest.raises(ResponseError, match="so that no page is last"):
            walk(begin)
        assert {*asked} >= {f"t{number}" for number in range(before + around)}  # each page came

    def test_a_long_listing_is_none(self, machine):
        token = None
        for number in range(2000):
            body = {"vectors": [], "nextToken": f"t{number}"}
            page = answered(machine, body, vectors.list_vectors, next_token=token)
            token = page.next_token
        assert token == "t1999"
        assert json.loads(json.dumps({"t": pickle.loads(pickle.dumps(token))})) == {"t": "t1999"}

    def test_takes_each_key_once(self, machine):
        body = {"vectors": [{"key": "a"}, {"key": "a"}]}
        with pytest.raises(ResponseError, match="more often than asked for"):
            answered(machine, body, vectors.list_vectors)


class TestQueryVectors:
    def test_asks_as_the_page_does(self, machine):
        request, body = sent(machine, vectors.query_vectors, [0.5, 1])
        assert request.target == "/?queryVectors"
        assert body == {
            "indexName": "vectorindex1",
            "queryVector": {"float32": [0.5, 1.0]},
            "topK": 10,
            "returnDistance": True,
            "returnMetadata": False,
        }

    def test_asks_for_everything_that_was_said(self, machine):
        _, body = sent(
            machine,
            vectors.query_vectors,
            np.float32([1]),
            top_k=500,
            index="other",
            filter={},
            return_distance=False,
            return_metadata=True,
        )
        assert (body["indexName"], body["topK"], body["filter"]) == ("other", 500, {})
        assert (body["returnDistance"], body["returnMetadata"]) == (False, True)

    def test_takes_a_vector_in_the_apis_own_form_too(self, machine):
        _, body = sent(machine, vectors.query_vectors, {"float32": [0.5, 1]})
        assert body["queryVector"] == {"float32": [0.5, 1.0]}
        assert "query_vector holds no numbers" in refused(
            machine, vectors.query_vectors, {"float64": [1.0]}
        )

    @pytest.mark.parametrize("top_k", [0, 501, -1, 1.0, True, None, "5"])
    def test_takes_a_top_k_of_1_to_500(self, machine, top_k):
        said = refused(machine, vectors.query_vectors, [1.0], top_k=top_k)
        assert said.startswith("top_k must be a whole number from 1 to 500")

    def test_returns_hits_closest_first_as_they_came(self, machine):
        body = {"vectors": [{"key": "b", "distance": 0.25, "metadata": {"x": "y"}}, {"key": "a"}]}
        hits = answered(machine, body, vectors.query_vectors, [1.0], return_metadata=True)
        assert [(hit.key, hit.distance, hit.metadata) for hit in hits] == [
            ("b", 0.25, {"x": "y"}),
            ("a", None, {}),
        ]

    @pytest.mark.parametrize("distance", ['"near"', "true", "[0.1]"])
    def test_refuses_a_distance_that_is_no_number(self, machine, monkeypatch, distance):
        from oss_vector_retriever.client import wire  # noqa: PLC0415 - only here

        monkeypatch.setattr(wire, "_HAS_ORJSON", False)
        body = f'{{"vectors":[{{"key":"a","distance":{distance}}}]}}'.encode()
        flow = vectors.query_vectors(machine.context(), [1.0])
        error = machine.play(flow, [Reply(200, {}, body)]).error
        assert "distance of 'a' that is no number" in str(error)


@pytest.mark.parametrize(
    ("operation", "asked"),
    [(vectors.get_vectors, ["a"]), (vectors.list_vectors, None), (vectors.query_vectors, [1.0])],
)
def test_metadata_that_were_not_asked_for_are_left_out(machine, operation, asked):
    body = {"vectors": [{"key": "a", "metadata": {"x": "y"}, "data": {"float32": [1]}}]}
    arguments = [] if asked is None else [asked]
    (vector,) = answered(machine, body, operation, *arguments)
    assert (vector.key, vector.metadata) == ("a", None)
    (vector,) = answered(machine, body, operation, *arguments, return_metadata=True)
    assert vector.metadata == {"x": "y"}


@pytest.mark.parametrize(
    ("operation", "asked"), [(vectors.get_vectors, ["a"]), (vectors.list_vectors, None)]
)
def test_data_that_were_not_asked_for_are_left_out(machine, operation, asked):
    body = {"vectors": [{"key": "a", "metadata": {"x": "y"}, "data": {"float32": [1]}}]}
    arguments = [] if asked is None else [asked]
    (vector,) = answered(machine, body, operation, *arguments, return_metadata=True)
    assert (vector.data, vector.metadata) == (None, {"x": "y"})
