"""What the members of the service's replies may look like, and what each shape means.

The tables are written from the API's pages, not from the client: a shape has a meaning, or it is
refused with a word that the error must hold. A reply is put together of shapes, and what it means
of their meanings.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

T = TypeVar("T")
SEED = 20261127
ABSENT: Any = object()


@dataclass(frozen=True)
class Shape:
    """One way in which a member may come; `refused` is a word of the error, where it is one."""

    name: str
    value: Any
    meaning: Any = None
    refused: str = ""


@dataclass(frozen=True)
class Refused:
    """An error of ours that holds one of these words."""

    words: frozenset[str]


def refusal_of(shapes: Iterable[Shape]) -> Refused | None:
    words = frozenset(shape.refused for shape in shapes if shape.refused)
    return Refused(words) if words else None


def put_together(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Return the JSON object of members, without the absent ones."""
    return {name: one.value for name, one in shapes.items() if one.value is not ABSENT}


def some_of(cases: Sequence[T], count: int) -> list[T]:
    """Return so many of the cases, always the same ones, in their order; all where that is all."""
    if count >= len(cases):
        return list(cases)
    picked = sorted(random.Random(SEED).sample(range(len(cases)), count))
    return [cases[position] for position in picked]


def pairs_of(
    table: Mapping[str, Sequence[Shape]], usual: Mapping[str, Shape]
) -> Iterator[dict[str, Shape]]:
    """Yield all shapes of each two members together, the others as they usually are."""
    for one, other in itertools.combinations(table, 2):
        for first, second in itertools.product(table[one], table[other]):
            yield {**usual, one: first, other: second}


# Vectors: key, data, metadata

KEYS = {
    "asked": lambda key: Shape("asked", key, key),
    "absent": lambda _: Shape("absent", ABSENT, refused="key"),
    "null": lambda _: Shape("null", None, refused="key"),
    "empty": lambda _: Shape("empty", "", refused="key"),
    "a number": lambda _: Shape("a number", 5, refused="key"),
    "an object": lambda _: Shape("an object", {"key": "a"}, refused="key"),
}
DATA = [
    Shape("whole", {"float32": [0.5, -2.0, 1e-45]}, [0.5, -2.0, 1.401298464324817e-45]),
    Shape("integers", {"float32": [1, 0, -(2**60)]}, [1.0, 0.0, -float(2**60)]),
    Shape("more beside", {"float32": [1, 2, 3], "int8": [1], "norm": None}, [1.0, 2.0, 3.0]),
    Shape("absent", ABSENT, refused="data"),
    Shape("null", None, refused="data"),
    Shape("empty", {}, refused="data"),
    Shape("of another type", {"float64": [1.0, 2.0, 3.0]}, refused="data"),
    Shape("null inside", {"float32": None}, refused="data"),
    Shape("empty inside", {"float32": []}, refused="data"),
    Shape("a null among numbers", {"float32": [1.0, None, 3.0]}, refused="data"),
    Shape("a list", [1.0, 2.0, 3.0], refused="data"),
    Shape("an empty string", "", refused="data"),
]
METADATA = [
    Shape("whole", {"t": "x", "l": ["y"]}, {"t": "x", "l": ["y"]}),
    Shape("absent", ABSENT, {}),
    Shape("null", None, {}),
    Shape("empty", {}, {}),
    Shape("nulls inside", {"t": None, "l": [None], "": ""}, {"t": None, "l": [None], "": ""}),
    Shape("numbers", {"n": 1, "f": 0.5, "b": False}, {"n": 1, "f": 0.5, "b": False}),
    Shape("nested", {"o": {"p": [{}]}}, {"o": {"p": [{}]}}),
    Shape("an empty string", "", refused="metadata"),
    Shape("a list", [], refused="metadata"),
]
# what no page names: it is passed over
EXTRA = [
    Shape("none", ABSENT),
    Shape("null", None),
    Shape("an object", {"key": "z", "data": {"float32": ["x"]}}),
]
NUMBERS = [
    Shape("a fraction", 0.25, 0.25),
    Shape("an integer", 3, 3.0),
    Shape("zero", 0, 0.0),
    Shape("below zero", -0.5, -0.5),
    Shape("absent", ABSENT, None),
    Shape("null", None, None),
    Shape("a string", "0.25", refused="{name}"),
    Shape("empty", "", refused="{name}"),
    Shape("true", True, refused="{name}"),
    Shape("a list", [0.25], refused="{name}"),
]
TOKENS = [
    Shape("absent", ABSENT, None),
    Shape("null", None, None),
    Shape("empty", "", None),
    Shape("another", "CAESCG15", "CAESCG15"),
    Shape("that of this page", "t", refused="{name}"),
    Shape("a number", 5, refused="{name}"),
    Shape("zero", 0, refused="{name}"),
    Shape("false", False, refused="{name}"),
    Shape("a list", [], refused="{name}"),
]


def named(shapes: Iterable[Shape], name: str) -> list[Shape]:
    """Return shapes of a member whose name their errors hold."""
    return [
        Shape(one.name, one.value, one.meaning, one.refused.format(name=name)) for one in shapes
    ]


# Headers and bodies of any reply

HEADERS = [
    {"x-oss-request-id": "R1", "date": "Fri, 27 Nov 2026 08:00:00 GMT"},
    {"x-oss-request-id": "R1", "content-type": "application/json"},
    {"x-oss-request-id": "R1", "content-type": "application/json;charset=utf-8"},
    {"x-oss-request-id": "R1", "content-type": "text/plain", "date": "yesterday"},
    {"x-oss-request-id": "R1", "content-type": "", "x-oss-server-time": "12"},
    {"x-oss-request-id": "", "date": ""},
    {"content-type": "application/octet-stream"},
    {},
]
# what is no answer to anything that reads
NO_ANSWERS = [
    (b"", "JSON"),
    (b" ", "JSON"),
    (b"\r\n\t", "JSON"),
    (b"[]", "list"),
    (b'""', "str"),
    (b"0", "int"),
    (b"false", "bool"),
    (b"<html><title>Sign in</title></html>", "JSON"),
    (b"<ListAllMyBucketsResult/>", "JSON"),
    (b'{"vectors":[', "JSON"),
    (b'\xef\xbb\xbf{"vectors":[]}', "JSON"),
    (b'{"Error":{"Code":"InternalError","Message":"m"}}', "InternalError"),
    (b'{"Error":{}}', "error"),
    (b'{"Error":{"Code":null},"vectors":[]}', "error"),
]
NOTHINGS: list[Any] = [None, {}, {"later": {"nextToken": "x"}}]

# Descriptions of indexes and buckets

MOMENTS = [
    Shape("absent", ABSENT, None),
    Shape("null", None, None),
    Shape("empty", "", None),
    Shape("whole seconds", "2025-08-02T10:49:17Z", datetime(2025, 8, 2, 10, 49, 17, tzinfo=UTC)),
    Shape("no zone", "2025-08-02T10:49:17", datetime(2025, 8, 2, 10, 49, 17, tzinfo=UTC)),
    Shape("Beijing", "2025-08-02T18:49:17+08:00", datetime(2025, 8, 2, 10, 49, 17, tzinfo=UTC)),
    *(
        Shape(
            f"{count} digits",
            f"2025-08-02T10:49:17.{'289372919'[:count]}Z",
            datetime(
                *(2025, 8, 2, 10, 49, 17),
                microsecond=int("289372919"[: min(count, 6)].ljust(6, "0")),
                tzinfo=UTC,
            ),
        )
        for count in range(1, 10)
    ),
    Shape("a word", "yesterday", refused="{name}"),
    Shape("a number", 1754131757, refused="{name}"),
    Shape("true", True, refused="{name}"),
]


def texts(value: str, nothing: str | None) -> list[Shape]:
    return [
        Shape("present", value, value),
        Shape("absent", ABSENT, nothing),
        Shape("null", None, nothing),
        Shape("empty", "", ""),
        Shape("a number", 5, refused="{name}"),
        Shape("an object", {}, refused="{name}"),
    ]


INDEX_NAME = "docs"
INDEX_MEMBERS = {
    "indexName": texts(INDEX_NAME, ""),
    "dataType": texts("float32", "float32"),
    "distanceMetric": texts("cosine", ""),
    "status": texts("enable", ""),
    "bucketArn": texts("acs:ossvector:cn-hangzhou:123456:examplebucket", None),
    "mode": texts("fusion", None),
    "dimension": [
        Shape("present", 128, 128),
        Shape("zero", 0, 0),
        Shape("absent", ABSENT, 0),
        Shape("null", None, 0),
        Shape("below zero", -1, refused="{name}"),
        Shape("a string", "128", refused="{name}"),
        Shape("a fraction", 128.5, refused="{name}"),
        Shape("true", True, refused="{name}"),
    ],
    "createTime": MOMENTS,
    "metadata": [
        Shape("present", {"nonFilterableMetadataKeys": ["text", "_x"]}, ("text", "_x")),
        Shape("absent", ABSENT, ()),
        Shape("null", None, ()),
        Shape("empty", {}, ()),
        Shape("null inside", {"nonFilterableMetadataKeys": None}, ()),
        Shape("none inside", {"nonFilterableMetadataKeys": []}, ()),
        # another member's name inside is none of the index's own
        Shape("others inside", {"dimension": 7, "status": "x", "mode": 5, "schemaFields": 1}, ()),
        Shape("a null name", {"nonFilterableMetadataKeys": [None]}, refused="nonFilterable"),
        Shape("a string inside", {"nonFilterableMetadataKeys": "t"}, refused="nonFilterable"),
        Shape("a list", ["text"], refused="{name}"),
        Shape("a string", "text", refused="{name}"),
    ],
    "schemaConfiguration": [
        Shape("absent", ABSENT, ()),
        Shape("null", None, ()),
        Shape("empty", {}, ()),
        Shape("null inside", {"fields": None}, ()),
        Shape("none inside", {"fields": []}, ()),
        Shape(
            "present",
            {"fields": [{"name": "v", "type": "vector"}]},
            ({"name": "v", "type": "vector"},),
        ),
        Shape("an empty field", {"fields": [{}]}, ({},)),
        Shape("a null field", {"fields": [None]}, refused="schema"),
        Shape("an object inside", {"fields": {}}, refused="schema"),
        Shape("a list", [], refused="{name}"),
    ],
    "vectorBucketName": [Shape("absent", ABSENT), Shape("null", None), Shape("a list", [1])],
    # the names under which the client keeps what stands in an inner object
    "nonFilterableMetadataKeys": [Shape("absent", ABSENT), Shape("beside", ["no"])],
}
INDEX_ATTRIBUTES = {
    "indexName": "index_name",
    "dataType": "data_type",
    "distanceMetric": "distance_metric",
    "status": "status",
    "bucketArn": "bucket_arn",
    "mode": "mode",
    "dimension": "dimension",
    "createTime": "create_time",
    "metadata": "non_filterable_metadata_keys",
    "schemaConfiguration": "schema_fields",
}
BUCKET = "acs:ossvector:cn-hangzhou:123456:examplebucket"
BUCKET_MEMBERS = {
    "Name": [
        Shape("present", BUCKET, BUCKET),
        Shape("plain", "examplebucket", "examplebucket"),
        Shape("absent", ABSENT, refused="Name"),
        Shape("null", None, refused="Name"),
        Shape("empty", "", refused="Name"),
        Shape("a number", 5, refused="Name"),
    ],
    "Region": texts("cn-hangzhou", ""),
    "Location": texts("oss-cn-hangzhou", ""),
    "CreationDate": MOMENTS,
    "ExtranetEndpoint": texts("cn-hangzhou.oss-vectors.aliyuncs.com", None),
    "IntranetEndpoint": texts("cn-hangzhou-internal.oss-vectors.aliyuncs.com", None),
    "ResourceGroupId": texts("rg-aek27tc", None),
    "Tagging": [Shape("absent", ABSENT), Shape("null", None), Shape("tags", {"TagSet": []})],
    "Versioning": [Shape("absent", ABSENT), Shape("a list", [])],
}
BUCKET_ATTRIBUTES = {
    "Name": "arn",
    "Region": "region",
    "Location": "location",
    "CreationDate": "creation_date",
    "ExtranetEndpoint": "extranet_endpoint",
    "IntranetEndpoint": "intranet_endpoint",
    "ResourceGroupId": "resource_group_id",
}
LOGGING_MEMBERS = {
    "TargetBucket": texts("logs", ""),
    "TargetPrefix": texts("access/", ""),
    "LoggingRole": texts("AliyunOSSLoggingDefaultRole", None),
    "Later": [Shape("absent", ABSENT), Shape("null", None)],
}
LOGGING_ATTRIBUTES = {
    "TargetBucket": "target_bucket",
    "TargetPrefix": "target_prefix",
    "LoggingRole": "logging_role",
}
# of an object that says nothing: absent, null, empty, and what XML makes of it
EMPTY_OBJECTS = [ABSENT, None, {}, ""]
NO_OBJECTS: list[Any] = [[], [{}], 5, True, "x"]


def all_named(table: Mapping[str, Sequence[Shape]]) -> dict[str, list[Shape]]:
    return {name: named(shapes, name) for name, shapes in table.items()}


def usual_of(table: Mapping[str, Sequence[Shape]]) -> dict[str, Shape]:
    return {name: shapes[0] for name, shapes in table.items()}


@dataclass(frozen=True)
class Described:
    """A description put together, and the attributes that it must be read as."""

    members: dict[str, Any]
    expected: dict[str, Any] | Refused


def described(
    table: Mapping[str, Sequence[Shape]], attributes: Mapping[str, str]
) -> list[Described]:
    """Return a description for all shapes of each two members, and with each member alone."""
    shaped = all_named(table)
    alone = {name: Shape("absent", ABSENT, None) for name in shaped}
    found = []
    for shapes in [*pairs_of(shaped, usual_of(shaped)), usual_of(shaped)]:
        meaning = {attributes[name]: shapes[name].meaning for name in attributes}
        found.append(Described(put_together(shapes), refusal_of(shapes.values()) or meaning))
    assert set(attributes) <= set(alone)
    return found


@dataclass(frozen=True)
class Case:
    """A reply to one operation: what was asked, what came, and what that means."""

    asked: dict[str, Any]
    body: Any
    expected: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-oss-request-id") or None


def with_headers(cases: Iterable[Case]) -> list[Case]:
    """Return cases, each under the next of the headers in turn."""
    return [
        Case(one.asked, one.body, one.expected, headers, one.status)
        for one, headers in zip(cases, itertools.cycle(HEADERS), strict=False)
    ]
