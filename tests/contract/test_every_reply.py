"""Every legal reply, and those that are none: each method's result is right, or the error is ours.

Each operation is answered with each of its optional members absent, null, empty and present, all
shapes of each two members together, under headers that are there or not. What a reply means stands
in the tables of `support.reply_shapes`; each is read by both JSON readers, and by the methods of
both clients that use the operation. A sample in each run; all of them in `make trust`.
"""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from support.canned import (
    CannedService,
    async_client,
    blocking_client,
    call_awaited,
    call_blocking,
    json_reply,
)
from support.promises import sized
from support.reply_shapes import (
    ABSENT,
    BUCKET_ATTRIBUTES,
    BUCKET_MEMBERS,
    DATA,
    EMPTY_OBJECTS,
    EXTRA,
    HEADERS,
    INDEX_ATTRIBUTES,
    INDEX_MEMBERS,
    INDEX_NAME,
    KEYS,
    LOGGING_ATTRIBUTES,
    LOGGING_MEMBERS,
    METADATA,
    NO_ANSWERS,
    NO_OBJECTS,
    NOTHINGS,
    NUMBERS,
    SEED,
    TOKENS,
    Case,
    Described,
    Refused,
    Shape,
    described,
    named,
    put_together,
    refusal_of,
    some_of,
    with_headers,
)

from oss_vector_retriever import OSSVectorError, Vector
from oss_vector_retriever.client import wire

pytestmark = pytest.mark.promise("R8", "R15")

SAMPLE, ALL = 40, 10**9
FLAGS = list(itertools.product([True, False], repeat=2))


@dataclass(frozen=True)
class Way:
    """A method that uses an operation: how it is called, and what its result and the case say."""

    method: str
    arguments: Callable[[dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]
    seen: Callable[[Any], Any]
    expected: Callable[[Case], Any]


def refused(*words):
    return Refused(frozenset(words))


# What is answered, and what that means: the expectation of a case is a list of plain values


def item_of(key, data, metadata, extra, more=()):
    return put_together(
        {"key": key, "data": data, "metadata": metadata, "later": extra, **dict(more)}
    )


def vector_of(key, data, metadata, with_data, with_metadata):
    return (
        key.meaning,
        data.meaning if with_data else None,
        metadata.meaning if with_metadata else None,
    )


def vectors_cases(asked):
    """Yield replies with vectors to a request that may ask for data and metadata."""
    a, b = KEYS["asked"]("a"), KEYS["asked"]("b")
    for with_data, with_metadata in FLAGS:
        wanted = {**asked, "return_data": with_data, "return_metadata": with_metadata}

        def case(*shaped, wanted=wanted, with_data=with_data, with_metadata=with_metadata):
            looked_at = [
                shape
                for key, data, metadata, _ in shaped
                for shape in (key, *([data] * with_data), *([metadata] * with_metadata))
            ]
            meaning = [vector_of(*one[:3], with_data, with_metadata) for one in shaped]
            body = {"vectors": [item_of(*one) for one in shaped]}
            return Case(wanted, body, refusal_of(looked_at) or meaning)

        keys = [make("a") for make in KEYS.values()]
        for shaped in itertools.product(keys, DATA, METADATA, EXTRA):
            yield case(shaped)
        for (one, other), metadata in itertools.product(
            itertools.product(DATA, repeat=2), METADATA[:2]
        ):
            yield case((b, one, metadata, EXTRA[0]), (a, other, METADATA[0], EXTRA[0]))
        for one, other in itertools.product(METADATA, repeat=2):
            yield case((b, DATA[0], one, EXTRA[0]), (a, DATA[1], other, EXTRA[1]))
        for vectors in (ABSENT, None, []):
            yield Case(wanted, {} if vectors is ABSENT else {"vectors": vectors}, [])
        for vectors in ({}, "", "a", 5, False, {"a": {}}):
            yield Case(wanted, {"vectors": vectors}, refused("vectors"))
        for item in (None, {}, [], "a", 5):
            yield Case(wanted, {"vectors": [item]}, refused("key"))
        whole = item_of(a, DATA[0], METADATA[0], EXTRA[0])
        for again in (whole, {**whole, "metadata": {"t": "other"}}, {**whole, "data": None}):
            yield Case(wanted, {"vectors": [whole, again]}, refused("more often", "data"))
        if with_data:
            short = {**whole, "key": "b", "data": {"float32": [1.0]}}
            yield Case(wanted, {"vectors": [whole, short]}, refused("values"))


def get_vectors_cases():
    yield from vectors_cases({"keys": ["a", "b"]})
    for key in ("c", "A", "a ", "ä"):
        body = {"vectors": [{"key": key, "data": {"float32": [1]}, "metadata": {}}]}
        asked = {"keys": ["a", "b"], "return_data": True, "return_metadata": True}
        yield Case(asked, body, refused("not asked for"))


def paged(cases, name, empty):
    """Yield cases of a list, whose expectation is its items and the token of the next page."""
    tokens = named(TOKENS, name)
    for number, case in enumerate(cases):
        token = tokens[number % 4]  # those that mean something
        meaning = case.expected if isinstance(case.expected, Refused) else None
        body = {**case.body, **({} if token.value is ABSENT else {name: token.value})}
        asked = {**case.asked, "next_token": (None, "t")[number % 2]}
        yield Case(asked, body, meaning or (case.expected, token.meaning))
    for token, vectors, asked in itertools.product(tokens, (ABSENT, None, []), (None, "", "t")):
        body = put_together({name: token, empty: Shape("", vectors)})
        repeated = token.value == "t" and asked != "t"  # of another page it is a token like any
        meaning = Refused(frozenset([token.refused])) if token.refused else ([], token.meaning)
        yield Case({"next_token": asked}, body, ([], "t") if repeated else meaning)


def list_vectors_cases():
    yield from paged(list(vectors_cases({})), "nextToken", "vectors")


def hits_cases(name, flag):
    """Yield hits of a query with a number, which is asked for by a flag."""
    numbers = named(NUMBERS, name)
    for with_number, with_metadata in FLAGS:
        wanted = {flag: with_number, "return_metadata": with_metadata}
        keys = [make("a") for make in KEYS.values()]
        for key, number, metadata, extra in itertools.product(keys, numbers, METADATA, EXTRA):
            looked_at = [key, *([number] * with_number), *([metadata] * with_metadata)]
            body = {"vectors": [item_of(key, DATA[-1], metadata, extra, [(name, number)])]}
            meaning = (
                key.meaning,
                number.meaning if with_number else None,
                metadata.meaning if with_metadata else None,
            )
            yield Case(wanted, body, refusal_of(looked_at) or [meaning])
        for one, other in itertools.product(numbers, repeat=2):
            hits = [("b", one), ("a", other)]
            body = {"vectors": [put_together({name: number}) | {"key": k} for k, number in hits]}
            metadata = {} if with_metadata else None
            meaning = [(k, n.meaning if with_number else None, metadata) for k, n in hits]
            looked_at = [one, other] if with_number else []
            yield Case(wanted, body, refusal_of(looked_at) or meaning)
        for vectors in (ABSENT, None, []):
            yield Case(wanted, {} if vectors is ABSENT else {"vectors": vectors}, [])
        for vectors in ({}, "", 5, False):
            yield Case(wanted, {"vectors": vectors}, refused("vectors"))
        for item in (None, {}, [], "a"):
            yield Case(wanted, {"vectors": [item]}, refused("key"))
        hit = {"key": "a", name: 0.5}
        yield Case(wanted, {"vectors": [hit, {**hit, name: 1.5}]}, refused("more often"))


def query_vectors_cases():
    yield from hits_cases("distance", "return_distance")
    hits = [{"key": key, "distance": 0.5} for key in "abc"]
    yield Case({"top_k": 2}, {"vectors": hits}, refused("3 vectors"))


def fusion_cases():
    # the score comes unasked: there is no flag for it
    found = [case for case in hits_cases("score", "score") if case.asked["score"]]
    flags = [replace(case, asked={"return_metadata": case.asked["return_metadata"]})
             for case in found]  # fmt: skip
    yield from paged(flags, "nextToken", "vectors")


INDEXES = described(INDEX_MEMBERS, INDEX_ATTRIBUTES)


def get_vector_index_cases():
    for one in INDEXES:
        expected = one.expected
        if isinstance(expected, dict):  # the name that was asked for stands in for one left out
            expected = {**expected, "index_name": expected["index_name"] or INDEX_NAME}
        yield Case({}, {"index": one.members, "later": {}}, expected)
    for nothing in (*EMPTY_OBJECTS, *NO_OBJECTS):
        yield Case({}, {} if nothing is ABSENT else {"index": nothing}, refused("index"))


def nameless(one: Described, attribute: str, word: str):
    nothing = isinstance(one.expected, dict) and not one.expected[attribute]
    return refused(word) if nothing else one.expected


def listing_cases(descriptions, attribute, word, name):
    """Yield lists of descriptions; without a name a description is of nothing."""
    for one in descriptions:
        expected = nameless(one, attribute, word)
        yield Case({}, {name: [one.members]}, expected if isinstance(expected, Refused)
                   else [expected])  # fmt: skip
    for first, second in itertools.pairwise(descriptions):
        both = [nameless(one, attribute, word) for one in (first, second)]
        words = [one.words for one in both if isinstance(one, Refused)]
        expected = Refused(frozenset().union(*words)) if words else both
        yield Case({}, {name: [first.members, second.members]}, expected)
    for nothing in (ABSENT, None, []):
        yield Case({}, {} if nothing is ABSENT else {name: nothing}, [])
    for no_list in ({}, "", "x", 5, False):
        yield Case({}, {name: no_list}, refused(name))
    for item in (None, "x", 5, []):
        yield Case({}, {name: [item]}, refused("description"))


def list_vector_indexes_cases():
    found = list(listing_cases(INDEXES, "index_name", "indexName", "indexes"))
    yield from paged(found, "nextToken", "indexes")


BUCKETS = described(BUCKET_MEMBERS, BUCKET_ATTRIBUTES)


def get_vector_bucket_cases():
    for one in BUCKETS:
        yield Case({}, {"BucketInfo": one.members}, one.expected)
    for nothing in EMPTY_OBJECTS:
        yield Case({}, {} if nothing is ABSENT else {"BucketInfo": nothing}, refused("Name"))
    for no_object in NO_OBJECTS:
        yield Case({}, {"BucketInfo": no_object}, refused("BucketInfo"))


def list_vector_buckets_cases():
    outer = "ListAllMyBucketsResult"
    found = list(listing_cases(BUCKETS, "arn", "Name", "Buckets"))
    for case in paged(found, "NextMarker", "Buckets"):
        asked = {"marker": case.asked["next_token"]}
        more = {"Prefix": None, "Marker": "", "MaxKeys": 10, "Owner": {}}
        yield Case(asked, {outer: {**case.body, **more}}, case.expected)
    for nothing in EMPTY_OBJECTS:
        yield Case({}, {} if nothing is ABSENT else {outer: nothing}, ([], None))
    for no_object in NO_OBJECTS:
        yield Case({}, {outer: no_object}, refused(outer))
    truths = [(ABSENT, None), (None, None), (True, True), (False, False), ("", None)]
    for (truncated, said), token in itertools.product(truths, named(TOKENS, "NextMarker")[:4]):
        members = {"IsTruncated": Shape("", truncated), "NextMarker": token}
        following = None if said is False else token.meaning
        lacks = said is True and following is None
        expected = refused("IsTruncated") if lacks else ([], following)
        yield Case({}, {outer: put_together(members)}, expected)
    last = {"IsTruncated": False, "NextMarker": "t", "Buckets": []}
    yield Case({"marker": "t"}, {outer: last}, ([], None))


def logging_cases():
    outer, inner = "BucketLoggingStatus", "LoggingEnabled"
    for one in described(LOGGING_MEMBERS, LOGGING_ATTRIBUTES):
        expected = one.expected
        if isinstance(expected, dict) and not expected["target_bucket"]:
            expected = None  # nothing is logged to nowhere
        yield Case({}, {outer: {inner: one.members}}, expected)
        yield Case({}, {outer: {inner: one.members, "Later": []}, "later": 1}, expected)
    for one, other in itertools.product(EMPTY_OBJECTS, repeat=2):
        status = {} if other is ABSENT else {inner: other}
        yield Case({}, {outer: status}, None)
        yield Case({}, {} if one is ABSENT else {outer: one}, None)
    for no_object in NO_OBJECTS:
        yield Case({}, {outer: no_object}, refused(outer))
        yield Case({}, {outer: {inner: no_object}}, refused(inner))


def policy_cases():
    statement = {"Effect": "Allow", "Action": ["oss:*"], "Principal": None, "Resource": []}
    for policy in (
        {"Version": "1", "Statement": [statement]},
        *({"Version": None, "Statement": None}, {"Statement": []}, {"Version": "1", "later": {}}),
    ):
        yield Case({}, policy, policy)


# The methods that use each operation


def just(*arguments, **keywords):
    return lambda asked: (arguments, {**keywords, **asked})


def seen_vectors(result):
    return [
        (one.key, None if one.data is None else one.data.tolist(), one.metadata) for one in result
    ]


def seen_hits(result, name):
    found = [(one.key, getattr(one, name), one.metadata) for one in result]
    assert all(type(number) in (float, type(None)) for _, number, _ in found)
    return found


def seen_described(attributes):
    return lambda one: {name: getattr(one, name) for name in attributes.values()}


def seen_page(see, result, token="next_token"):
    return see(result), getattr(result, token), result.request_id


def as_page(case):
    items, token = case.expected
    return items, token, case.request_id


def in_order(case):
    return sorted(case.expected)  # the keys were asked for in the order of the alphabet


def fetched(result):
    keys = {one.key for one in result}
    assert result.missing == tuple(key for key in result.keys if key not in keys)
    assert set(result.by_key) == keys
    assert result.aligned() == [result.by_key.get(key) for key in result.keys]
    return seen_vectors(result), result.request_ids


def described_list(attributes):
    return lambda result: [seen_described(attributes)(one) for one in result]


VECTOR = [0.5, 1.0, 2.0]
INDEX_SEEN, BUCKET_SEEN = seen_described(INDEX_ATTRIBUTES), seen_described(BUCKET_ATTRIBUTES)
READS = {
    "GetVectors": (
        get_vectors_cases,
        [
            Way("get_vectors", just(), lambda r: (seen_vectors(r), r.request_id),
                lambda case: (case.expected, case.request_id)),
            Way("fetch", just(), fetched,
                lambda case: (in_order(case), (case.request_id,) if case.request_id else ())),
            Way("stream", just(), seen_vectors, in_order),
        ],
    ),
    "ListVectors": (
        list_vectors_cases,
        [Way("list_vectors", just(), lambda r: seen_page(seen_vectors, r), as_page)],
    ),
    "QueryVectors": (
        query_vectors_cases,
        [Way("query_vectors", just(VECTOR), lambda r: (seen_hits(r, "distance"), r.request_id),
             lambda case: (case.expected, case.request_id))],
    ),
    "QueryVectorsFusion": (
        fusion_cases,
        [Way("query_vectors_fusion", just(query={}),
             lambda r: seen_page(lambda hits: seen_hits(hits, "score"), r), as_page)],
    ),
    "GetVectorIndex": (
        get_vector_index_cases,
        [Way("get_vector_index", just(), INDEX_SEEN, lambda case: case.expected)],
    ),
    "ListVectorIndexes": (
        list_vector_indexes_cases,
        [Way("list_vector_indexes", just(),
             lambda r: seen_page(described_list(INDEX_ATTRIBUTES), r), as_page)],
    ),
    "GetVectorBucket": (
        get_vector_bucket_cases,
        [Way("get_vector_bucket", just(), BUCKET_SEEN, lambda case: case.expected)],
    ),
    "ListVectorBuckets": (
        list_vector_buckets_cases,
        [Way("list_vector_buckets", just(),
             lambda r: seen_page(described_list(BUCKET_ATTRIBUTES), r, "next_marker"), as_page)],
    ),
    "GetBucketLogging": (
        logging_cases,
        [Way("get_bucket_logging", just(),
             lambda one: one and seen_described(LOGGING_ATTRIBUTES)(one),
             lambda case: case.expected)],
    ),
    "GetBucketPolicy": (
        policy_cases,
        [Way("get_bucket_policy", just(), lambda policy: policy, lambda case: case.expected)],
    ),
}  # fmt: skip
# what each reading returns where the service has nothing to tell; None: that is an error
NOTHING = {
    "GetVectors": [],
    "ListVectors": ([], None),
    "QueryVectors": [],
    "QueryVectorsFusion": ([], None),
    "GetVectorIndex": refused("index"),
    "ListVectorIndexes": ([], None),
    "GetVectorBucket": refused("Name"),
    "ListVectorBuckets": ([], None),
    "GetBucketLogging": None,
    "GetBucketPolicy": {},
}
ASKED = {"GetVectors": {"keys": ["a", "b"]}}
READERS = ("orjson", "pydantic_core")


class Clients:
    """Both clients of one canned service, and both readers of JSON."""

    def __init__(self, monkeypatch):
        self.service = CannedService()
        self.blocking, self.awaited = blocking_client(self.service), async_client(self.service)
        self.loop = asyncio.Runner()
        self._monkeypatch = monkeypatch
        self.count = 0

    def outcomes(self, operation, way, case):
        """Yield who called, and what came of it."""
        reply = json_reply(case.body, case.status, case.headers)
        self.service.answers[operation] = reply
        arguments, keywords = way.arguments(case.asked)
        for reader in READERS:
            self._monkeypatch.setattr(wire, "_HAS_ORJSON", reader == "orjson")
            for who, call in (("blocking", self._call), ("awaited", self._call_awaited)):
                self.count += 1
                try:
                    yield (
                        f"{who} {way.method}, {reader}",
                        way.seen(call(way.method, *arguments, **keywords)),
                    )
                except Exception as error:  # noqa: BLE001 - which one is what is looked at
                    yield f"{who} {way.method}, {reader}", error

    def _call(self, name, *arguments, **keywords):
        return call_blocking(self.blocking, name, *arguments, **keywords)

    def _call_awaited(self, name, *arguments, **keywords):
        return call_awaited(self.loop, self.awaited, name, *arguments, **keywords)

    def close(self):
        self.loop.run(self.awaited.close())
        self.loop.close()
        self.blocking.close()

    def surprises(self, operation, ways, cases):
        """Return what was not as the tables have it."""
        found = []
        for case, way in itertools.product(cases, ways):
            expected = case.expected
            if not isinstance(expected, Refused):
                expected = way.expected(case)
            for who, outcome in self.outcomes(operation, way, case):
                if not is_right(operation, outcome, expected):
                    about = f"{who}\n  asked {case.asked}\n  got {case.body!r}\n  under "
                    found.append(f"{about}{case.headers}\n  wants {expected}\n  is {outcome!r}")
        return found


def is_right(operation, outcome, expected):
    if isinstance(expected, Refused):
        said = str(outcome)
        ours = isinstance(outcome, OSSVectorError)
        return ours and operation in said and any(word in said for word in expected.words)
    return not isinstance(outcome, Exception) and outcome == expected


@pytest.fixture
def clients(monkeypatch):
    made = Clients(monkeypatch)
    yield made
    made.close()


def assert_none(found):
    shown = "\n".join(found[:12])
    assert not found, f"{len(found)} surprises (seed {SEED}):\n{shown}"


@pytest.mark.parametrize("operation", READS)
def test_each_shape_of_a_reply_means_what_the_table_says(clients, operation):
    make, ways = READS[operation]
    cases = some_of(with_headers(make()), sized(SAMPLE, ALL))
    assert_none(clients.surprises(operation, ways, cases))


def test_the_replies_that_it_looks_at_are_many(figure):
    # apart from the others: a figure for each operation would be a table by itself
    counts = {name: sum(1 for _ in make()) for name, (make, _) in READS.items()}
    looked_at = {name: min(count, sized(SAMPLE, ALL)) for name, count in counts.items()}
    calls = sum(looked_at[name] * 2 * len(READERS) * len(ways)
                for name, (_, ways) in READS.items())  # fmt: skip
    assert sum(counts.values()) > 40_000
    figure(f"{sum(looked_at.values()):,} shapes of replies in {calls:,} calls, 0 surprises")


@pytest.mark.parametrize("operation", READS)
def test_what_is_no_answer_is_an_error_and_what_says_nothing_is_nothing(clients, operation, figure):
    _, ways = READS[operation]
    asked, cases = ASKED.get(operation, {}), []
    for (body, word), headers in itertools.product(NO_ANSWERS, HEADERS):
        cases += [Case(asked, body, refused(word), headers, status) for status in (200, 206)]
    cases += [Case(asked, b"", refused("JSON"), headers, 204) for headers in HEADERS]
    for nothing, headers in itertools.product(NOTHINGS, HEADERS):
        expected = nothing or {} if operation == "GetBucketPolicy" else NOTHING[operation]
        cases.append(Case(asked, nothing, expected, headers))
    cases = some_of(cases, sized(12, ALL))
    assert_none(clients.surprises(operation, ways, cases))
    figure(f"{len(cases)} replies without an answer")


WRITTEN = [Vector("a", [1.0, 2.0], {"t": "x"}), Vector("b", [1.0, 3.0])]
POLICY = {"Version": "1", "Statement": []}
WRITES = {
    "PutVectors": [
        Way("put_vectors", just(WRITTEN), lambda r: r.request_id, lambda case: case.request_id),
        Way("upsert", just(WRITTEN), lambda r: (r.ok, r.written, r.failed),
            lambda _: (True, ("a", "b"), ())),
    ],
    "DeleteVectors": [
        Way("delete_vectors", just(["a"]), lambda r: r.request_id, lambda case: case.request_id),
        Way("delete", just(["a"]), lambda r: (r.ok, r.written, r.failed),
            lambda _: (True, ("a",), ())),
    ],
    **{
        operation: [Way(method, just(*arguments, **keywords), lambda r: r.request_id,
                        lambda case: case.request_id)]
        for operation, method, arguments, keywords in [
            ("PutVectorIndex", "put_vector_index", (), {"dimension": 2}),
            ("DeleteVectorIndex", "delete_vector_index", (), {"index": "docs"}),
            ("PutVectorIndexFusion", "put_vector_index_fusion", ({"fields": []},), {}),
            ("PutVectorBucket", "put_vector_bucket", (), {}),
            ("DeleteVectorBucket", "delete_vector_bucket", (), {}),
            ("PutBucketPolicy", "put_bucket_policy", (POLICY,), {}),
            ("DeleteBucketPolicy", "delete_bucket_policy", (), {}),
            ("PutBucketLogging", "put_bucket_logging", (), {"target_bucket": "logs"}),
            ("DeleteBucketLogging", "delete_bucket_logging", (), {}),
        ]
    },
}  # fmt: skip
DONE = [b"", b" ", b"\r\n", b"null", b"{}", b'{"later":{"Error":null}}', b'{"Error":null}']


@pytest.mark.parametrize("operation", WRITES)
def test_a_write_is_done_where_the_service_says_so_and_else_an_error(clients, operation, figure):
    cases = [
        Case({}, body, None, headers, status)
        for body, headers, status in itertools.product(DONE, HEADERS, (200, 201, 204))
    ]
    cases += [
        Case({}, body, refused(word), headers, status)
        for (body, word), headers, status in itertools.product(NO_ANSWERS, HEADERS, (200, 204))
        if body.strip()
    ]
    cases = some_of(cases, sized(14, ALL))
    assert_none(clients.surprises(operation, WRITES[operation], cases))
    figure(f"{len(cases)} replies to a write")


def test_a_making_that_a_page_answered_may_have_been_done(clients):
    refusal = {"Error": {"Code": "VectorBucketIndexAlreadyExist", "Message": "m"}}
    for call in (clients._call, clients._call_awaited):
        replies = [json_reply(b"<html>Sign in</html>"), json_reply(refusal, 409)]
        clients.service.answers["PutVectorIndex"] = lambda *_, left=replies: left.pop(0)
        with pytest.raises(OSSVectorError, match="not whole JSON"):
            call("put_vector_index", dimension=2)
        with pytest.raises(OSSVectorError, match="An earlier call of this client"):
            call("put_vector_index", dimension=2)


# Pages: what is listed page by page, from first to last


TOKEN_SHAPES = [Shape("", value) for value in (ABSENT, None, "")]
PAGED = {
    "ListVectors": ("iter_vectors", "vectors", "nextToken", lambda name: {"key": name},
                    lambda one: one.key),
    "ListVectorIndexes": ("iter_vector_indexes", "indexes", "nextToken",
                          lambda name: {"indexName": name}, lambda one: one.index_name),
    "ListVectorBuckets": ("iter_vector_buckets", "Buckets", "NextMarker",
                          lambda name: {"Name": name}, lambda one: one.arn),
}  # fmt: skip


def pages_of(size):
    """Yield lists of pages: names or what stands for none of them; their last has no token."""
    contents = (["a", "b"], [], None, ABSENT)
    for listed in itertools.product(contents, repeat=size):
        yield [
            [f"{name}{number}" for name in one] if isinstance(one, list) else one
            for number, one in enumerate(listed)
        ]


@pytest.mark.parametrize("operation", PAGED)
def test_pages_are_read_to_the_one_without_a_token(clients, operation, figure):
    method, member, token_name, described_as, name_of = PAGED[operation]
    way = Way(method, just(), lambda found: [name_of(one) for one in found],
              lambda case: case.expected)  # fmt: skip
    found, count = [], 0
    for pages, last in itertools.product(pages_of(3), TOKEN_SHAPES):
        bodies = []
        for number, names in enumerate(pages):
            items = [described_as(n) for n in names] if isinstance(names, list) else names
            token = last if number == len(pages) - 1 else Shape("", f"t{number}")
            body = put_together({member: Shape("", items), token_name: token})
            listed = operation == "ListVectorBuckets"
            bodies.append({"ListAllMyBucketsResult": body} if listed else body)
        expected = [name for names in pages if isinstance(names, list) for name in names]
        left = [json_reply(body) for body in bodies]

        def answer(asked, query, left=left):
            del asked, query
            return left[0] if len(left) == 1 else left.pop(0)

        for who, face in ("blocking", clients._call), ("awaited", clients._call_awaited):
            left[:] = [json_reply(body) for body in bodies]
            clients.service.answers[operation] = answer
            names = [name_of(one) for one in face(way.method)]
            count += 1
            if names != expected:
                found.append(f"{who} {method}: {bodies} gave {names}")
    assert_none(found)
    figure(f"{count} listings of 3 pages")


@pytest.mark.parametrize("operation", PAGED)
@pytest.mark.parametrize("page", [["a"], [], None])
def test_a_token_that_brings_itself_again_is_an_error_and_no_endless_loop(clients, operation, page):
    method, member, token_name, described_as, _ = PAGED[operation]
    items = page and [described_as(name) for name in page]
    body = {member: items, token_name: "again"}
    outer = {"ListAllMyBucketsResult": body} if operation == "ListVectorBuckets" else body

    def answer(*_):
        assert len(clients.service.asked) < 10, "an endless loop"
        return json_reply(outer)

    clients.service.answers[operation] = answer
    for call in (clients._call, clients._call_awaited):
        clients.service.asked.clear()
        with pytest.raises(OSSVectorError, match=f"{operation}: .*{token_name}"):
            call(method)
        assert len(clients.service.asked) == 2


# What is no success: the shapes of an error

ERROR_MEMBERS = {
    "Code": [Shape("present", "NoSuchVectorIndex", "NoSuchVectorIndex"),
             *(Shape(name, value, "BadErrorResponse")
               for name, value in [("absent", ABSENT), ("null", None), ("empty", ""),
                                   ("a number", 5), ("a list", [])])],
    "Message": [Shape("present", "m"), Shape("absent", ABSENT), Shape("null", None),
                Shape("an object", {})],
    "RequestId": [Shape("present", "R2", "R2"), Shape("absent", ABSENT), Shape("null", None),
                  Shape("empty", ""), Shape("a number", 5)],
    "EC": [Shape("present", "0016", "0016"), Shape("absent", ABSENT), Shape("null", None)],
    "HostId": [Shape("absent", ABSENT), Shape("null", None), Shape("a list", [])],
}  # fmt: skip


@pytest.mark.parametrize("operation", [*READS, *WRITES])
def test_an_error_says_what_it_can_whatever_it_leaves_out(clients, operation, figure):
    way = (READS[operation][1] if operation in READS else WRITES[operation])[0]
    shaped = [dict(zip(ERROR_MEMBERS, one, strict=True))
              for one in itertools.product(*ERROR_MEMBERS.values())]  # fmt: skip
    shaped = some_of(shaped, sized(2, 300))
    count = 0
    for shapes, headers, status in zip(
        shaped, itertools.cycle(HEADERS), itertools.cycle((400, 403, 404, 409, 500, 503)),
        strict=False,
    ):  # fmt: skip
        for body in ({"Error": put_together(shapes)}, put_together(shapes)):
            case = Case(ASKED.get(operation, {}), body, None, headers, status)
            ids = (shapes["RequestId"].meaning, case.request_id)
            for who, error in clients.outcomes(operation, way, case):
                count += 1
                assert isinstance(error, OSSVectorError), (who, body, error)
                assert (error.code, error.status) == (shapes["Code"].meaning, status), (who, body)
                assert error.request_id in ids, (who, body)
                assert operation in error.where, (who, body)
    for nothing in ({"Error": None}, {"Error": []}, {"Error": "x"}, b"", b"{", None, [], "x"):
        case = Case(ASKED.get(operation, {}), nothing, None, HEADERS[0], 404)
        for who, error in clients.outcomes(operation, way, case):
            count += 1
            assert isinstance(error, OSSVectorError), (who, nothing, error)
            assert error.code == "BadErrorResponse", (who, nothing)
    figure(f"{count:,} error replies")


# Both readers of JSON read the same, or refuse the same

TEXTS = [
    *("1e400", "-1e400", "1E5", "-0", "-0.0", "0.1", "1.0", "01", "1.", "1e", "NaN", "null"),
    *("9007199254740993", "18446744073709551615", "18446744073709551616", "1" * 30, "1" * 400),
    *("1e-400", "3.4028235e38", "3.4028236e38", "true", '"1"', "[]", "{}", "1_000", "٣"),
]  # fmt: skip
STRINGS = [
    *("", "é", "\U0001f600", "\\u00e9", "\\ud83d\\ude00", "\\ud800", "\\udc00\\ud800", "\\u0000"),
    *("1e400", "1" * 30, "\\/", "\\x", "\t", "\x00", "\x7f", "\\n", "\\u12", "a\\", "\u2028"),
]


def test_both_readers_read_the_same(clients, figure):
    bodies = [f'{{"vectors":[{{"key":"a","data":{{"float32":[{text}]}}}}]}}' for text in TEXTS]
    bodies += [f'{{"vectors":[{{"key":"a","data":{{"float32":[1]}},"metadata":{{"n":{text}}}}}]}}'
               for text in TEXTS]  # fmt: skip
    for text in STRINGS:
        data = '"data":{"float32":[1]}'
        bodies.append(f'{{"vectors":[{{"key":"a",{data},"metadata":{{"s":"{text}"}}}}]}}')
        bodies.append(f'{{"vectors":[{{"key":"a",{data},"metadata":{{"{text}":1}}}}]}}')
        bodies.append(f'{{"vectors":[{{"key":"{text}",{data}}}]}}')
    # pydantic_core refuses what is nested deeper than 200, orjson deeper than 1,024
    for depth in (100, 150, 190, 1100):
        nested = '{"a":' * depth + "1" + "}" * depth
        bodies.append(f'{{"vectors":[{{"key":"a","data":{{"float32":[1]}},"metadata":{nested}}}]}}')
    bodies += ['{"vectors":[],"vectors":[{"key":"a","data":{"float32":[1]}}]}',
               ' \n{"vectors" : [ ] }\t', '{"vectors":[]}\x00', '{"VECTORS":[]}']  # fmt: skip
    way = READS["GetVectors"][1][0]
    asked = {"keys": ["a"], "return_data": True, "return_metadata": True}
    for body in bodies:
        case = Case(asked, body.encode(), None, HEADERS[0])
        outcomes = dict(clients.outcomes("GetVectors", way, case))
        for who, outcome in outcomes.items():
            if isinstance(outcome, Exception):
                assert isinstance(outcome, OSSVectorError), (who, body[:200], outcome)
        assert len({repr(plain(one)) for one in outcomes.values()}) == 1, (body[:200], outcomes)
    figure(f"{len(bodies)} texts of JSON, read the same by both readers")


def plain(outcome: Any) -> Any:
    return "refused" if isinstance(outcome, OSSVectorError) else outcome
