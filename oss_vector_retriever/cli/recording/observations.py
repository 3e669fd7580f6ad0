"""Questions that no switch answers: how replies look, what is refused, and what is kept."""

import json
import math
from datetime import UTC, datetime
from typing import Any

from ...client import errors
from ...client.flow import Operation
from ...client.retry import http_date
from .answers import Answer, NoAnswerError, describe_body, describe_error
from .probe import AT, FUSION, KEYS, MAIN, MANY, MANY_VECTORS, READ, VECTORS, Probe, as_it_is, extra


def ask_bucket_again(probe: Probe) -> str:
    """Return what making a bucket comes to that is there, and one's own."""
    return probe.put_bucket().outcome


def ask_cosine(probe: Probe) -> str:
    """Return whether the cosine distance is what it is taken for."""
    query = {"indexName": MANY, "queryVector": {"float32": [0, 1]}, "topK": 10}
    found = probe.post("QueryVectors", {**query, "returnDistance": True}).distances
    values = {vector["key"]: vector["data"]["float32"] for vector in MANY_VECTORS}
    cosines = {key: values[key][1] / math.hypot(*values[key]) for key in found if key in values}
    if not cosines:
        raise NoAnswerError("nothing is found")
    off = max(abs(1 - cosines[key] - found[key]) for key in cosines)
    return "1 - cosine similarity" if off < _ROUNDING else "another"


_ROUNDING = 1e-3  # of float32, and of what a search may round


def ask_filters(probe: Probe) -> dict[str, Any]:
    """Return what filters of forms that no page explains find."""
    answers = {name: probe.query(AT, filter=each) for name, each in FILTERS.items()}
    return {
        name: ("finds" if "far" in answer.keys else "finds nothing")
        if answer.ok
        else answer.outcome
        for name, answer in answers.items()
    }


FILTERS: dict[str, Any] = {
    "filter_in_on_array": {"colours": {"$in": ["blue", "green"]}},
    "filter_of_two_fields": {"tag": {"$eq": "far"}, "colours": {"$eq": "red"}},
    "filter_of_two_operators": {"tag": {"$ne": "near", "$exists": True}},
    "filter_that_is_empty": {},
    "filter_of_1025_items": {"tag": {"$in": ["far", *map(str, range(1024))]}},
}


def ask_listing(probe: Probe) -> dict[str, Any]:
    """Return the order of a listing, and how its segments are dealt out."""
    listed = [key for key in probe.post("ListVectors", {}).keys if key in KEYS]
    written = [vector["key"] for vector in VECTORS]
    orders = {"as written": written, "sorted by key": sorted(written)}
    order = next((name for name, keys in orders.items() if keys == listed), "another")
    parts = [
        probe.post("ListVectors", {"segmentCount": 2, "segmentIndex": number}).keys
        for number in range(2)
    ]
    whole = sorted(key for part in parts for key in part if key in KEYS)
    return {
        "list_order": order,
        "segments_hold_each_once": whole == sorted(written),
        "segment_of_vector_key_1": int("vector-key-1" in parts[1]),
    }


def ask_outcomes(probe: Probe) -> dict[str, Any]:
    """Return what requests at the edge of what is documented come to."""
    outcomes = {}
    for name, (operation, members) in OUTCOMES.items():
        try:
            outcomes[name] = probe.post(operation, members, once=True).outcome
        except errors.AccessDeniedError as error:  # of one operation, and not of the others
            outcomes[name] = describe_error(error)
    return outcomes


_WRITE = b'{"indexName":"%s","vectors":[{"key":"nan","data":{"float32":[' % MAIN.encode()
_FIELD = {"name": "v", "type": "vector", "dataType": "float32", "dimension": 2}
OUTCOMES: dict[str, tuple[str, Any]] = {
    "nan_written": ("PutVectors", _WRITE + b"NaN,1]}}]}"),
    "infinity_written": ("PutVectors", _WRITE + b"1e999,1]}}]}"),
    "member_unknown": ("GetVectors", READ + b',"nobody":1}'),
    "member_null": ("GetVectors", READ + b',"returnData":null}'),
    "member_twice": ("GetVectors", READ + b',"returnData":true,"returnData":true}'),
    "boolean_as_text": ("GetVectors", READ + b',"returnData":"true"}'),
    "key_of_2048_bytes": ("GetVectors", {"keys": ["é" * 1024]}),
    "scalar_in_array": ("PutVectors", {"vectors": [extra("array", numbers=[1, 2])]}),
    "null_in_metadata": ("PutVectors", {"vectors": [extra("null", nothing=None)]}),
    "object_in_metadata": ("PutVectors", {"vectors": [extra("object", inner={"a": "b"})]}),
    "metadata_name_with_space": ("PutVectors", {"vectors": [extra("name", **{"a é": "b"})]}),
    # 2,050 bytes as JSON, and 2,043 as what billing counts
    "filterable_2043_bytes": ("PutVectors", {"vectors": [extra("size", a="b" * 2042)]}),
    "fusion_index": (
        "PutVectorIndexFusion",
        {
            "indexName": FUSION,
            "mode": "fusion",
            "schemaConfiguration": {"fields": [{**_FIELD, "distanceMetric": "cosine"}]},
        },
    ),
}


def ask_policy(probe: Probe) -> str:
    """Return what a policy with a condition comes to; it lets nobody in, and goes at once."""
    statement = {
        "Effect": "Allow",
        "Action": ["oss:GetVectors"],
        "Principal": ["*"],
        "Resource": [f"acs:ossvector:*:*:{probe.bucket}/*"],
        # nobody's address, so that nobody is let in
        "Condition": {"IpAddress": {"acs:SourceIp": ["192.0.2.1"]}},
    }
    body = json.dumps({"Version": "1", "Statement": [statement]}).encode()
    policy = Operation("PutBucketPolicy", as_it_is, "PUT", "policy", body)
    outcome = probe.send(policy, once=True).outcome
    probe.send(Operation("DeleteBucketPolicy", as_it_is, "DELETE", "policy"))
    return outcome


def ask_atomicity(probe: Probe) -> str:
    """Return what is written of a batch in which one vector is bad."""
    good = extra("good")
    answer = probe.put(good, {"key": "bad", "data": {"float32": [1]}}, once=True)
    if answer.ok:
        return "all of it is written"
    probe.sleep(probe.read_lag)
    return "in part" if probe.get(["good"]).keys else "nothing of it"


def ask_error_bodies(probe: Probe) -> dict[str, Any]:
    """Return how the replies to four kinds of errors look."""
    elsewhere = Operation("GetVectors", as_it_is, query="getVectors", body=READ + b"}")
    answers = {
        "error_of_no_bucket": probe.ask_elsewhere(elsewhere),
        "error_of_no_index": probe.post("GetVectors", {"indexName": "nosuch", "keys": ["m"]}),
        "error_of_a_parameter": probe.get([]),
        "error_of_no_json": probe.post("GetVectors", b"{"),
    }
    return {name: describe_body(answer) for name, answer in answers.items()}


def ask_clock(probe: Probe) -> int:
    """Return the seconds by which the service's clock is ahead of this machine's."""
    ours, answer = datetime.now(UTC), probe.get(["m"])
    theirs = http_date(answer.reply.headers.get("date", ""))
    if theirs is None:
        raise NoAnswerError("the reply has no Date")
    # a Date has no fractions of a second: half of one is missing on average
    return round((theirs - ours).total_seconds() + 0.5)


def ask_body_size(probe: Probe) -> dict[str, Any]:
    """Return the largest body that is taken, and what comes of a larger one."""
    most = 0
    for size in (1, 2, 4, 8, 16, 32, 64, 96):  # MiB
        # blanks are JSON: what is refused is refused for its size
        body = READ + b" " * (size * 1024 * 1024) + b"}"
        try:
            outcome = probe.post("GetVectors", body, once=True).outcome
        except errors.TransportError as error:  # one that is not read to its end
            outcome = describe_error(error)
        if outcome != _DONE:
            return {"body_mebibytes": most, "body_too_large": outcome}
        most = size
    return {"body_mebibytes": most}


_DONE = "200"


def ask_page_size(probe: Probe) -> bool:
    """Return whether a page of 1.2 MB is cut."""
    text, count = "t" * 20_000, 60  # 1.2 MB
    vectors = [extra(f"large{number}", hidden=text) for number in range(count)]
    written = probe.put(*vectors)
    if not written.ok:
        raise NoAnswerError(written.outcome)
    _, page = probe.wait_until(lambda: _page_of_all(probe, count))
    return bool(page.members.get("nextToken"))


def _page_of_all(probe: Probe, count: int) -> Answer | None:
    last = {f"large{number}" for number in range(count)}
    if len(probe.get(last).keys) < count:
        return None
    return probe.post("ListVectors", {"returnMetadata": True, "maxResults": 1000})
