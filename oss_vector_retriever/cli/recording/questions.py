"""The questions that the service's documentation leaves open, as a table.

An answer by the name of one of `emulator.Behaviour`'s fields goes into a record's behaviour, any
other into its observations. A question asks what it needs and nothing else: each is right whatever
the others' answers are.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from ...client import errors
from ...client.flow import Operation
from ...client.models import Reply
from ...client.retry import http_date
from .probe import FUSION, MAIN, MANY, Answer, NoAnswerError, Probe, describe_error, read


class Question(NamedTuple):
    """One question, or several that one procedure answers.

    Attributes:
        names: of the answers.
        ask: returns the answer, or a mapping of several by their names.
        needs: an earlier answer without which it cannot be asked.
        costly: whether it is about load or size, and asked with `--limits` alone.
    """

    names: tuple[str, ...]
    ask: Callable[[Probe], Any]
    needs: str = ""
    costly: bool = False


# Vectors of the main index in the order in which they are written, which is none that a sort makes.
_AXIS = "mcxatfpk"
_VECTORS: list[dict[str, Any]] = [
    {"key": key, "data": {"float32": [position, 0]}, "metadata": {"tag": "near", "hidden": "h"}}
    for position, key in enumerate(_AXIS, 1)
]
_VECTORS += [
    {
        "key": "far",
        "data": {"float32": [90, 0]},
        "metadata": {"tag": "far", "colours": ["red", "blue"], "hidden": "f"},
    },
    {"key": "bare", "data": {"float32": [0.1, 95]}},
    {"key": "vector-key-1", "data": {"float32": [0.5, 96]}, "metadata": {"tag": "near"}},
]
_KEYS = {vector["key"] for vector in _VECTORS}
_MANY: list[dict[str, Any]] = [
    {"key": f"n{number}", "data": {"float32": [1, number / 64]}} for number in range(120)
]
_AT = (1.0, 0.0)  # where most searches look from: the first vector's place


def _tag_filter(value: object) -> dict[str, Any]:
    return {"tag": {"$eq": value}}


def _extra(key: str, **metadata: object) -> dict[str, Any]:
    # beyond all others, so that no search for these finds it among the nearest
    vector: dict[str, Any] = {"key": key, "data": {"float32": [0.5, 99]}}
    return vector | ({"metadata": metadata} if metadata else {})


def _ask_bucket_list(probe: Probe) -> float:
    # by the whole name, so that no other bucket of the account is seen
    listing = Operation(
        "ListVectorBuckets", _as_it_is, "GET", f"prefix={probe.bucket}", on_bucket=False
    )

    def look() -> bool | None:
        answer = probe.send(listing)
        if not answer.ok:
            raise NoAnswerError(answer.outcome)
        return probe.bucket in answer.reply.body.decode(errors="replace") or None

    return probe.wait_until(look)[0]


def _ask_new_indexes(probe: Probe) -> dict[str, Any]:
    for name, metric in ((MAIN, "euclidean"), (MANY, "cosine")):
        members = {
            "indexName": name,
            "dataType": "float32",
            "dimension": 2,
            "distanceMetric": metric,
            "metadata": {"nonFilterableMetadataKeys": ["hidden"]},
        }
        made = probe.post("PutVectorIndex", members)
        # one that is there is the run's own: a request was repeated whose reply was lost
        if not made.ok and made.status != HTTPStatus.CONFLICT:
            raise NoAnswerError(made.outcome)
    seen = {"refused": False, "creating": False}
    created, _ = probe.wait_until(lambda: _look_at_creation(probe, seen))
    answers: dict[str, Any] = {"index_creation_seconds": created}
    # one that was never seen to be made has refused nothing meanwhile
    if seen["creating"]:
        answers["creating_refuses_writes"] = seen["refused"]
    try:
        failing, _ = probe.wait_until(lambda: probe.put(_extra("first"), once=True).ok or None)
        probe.wait_until(lambda: probe.put(_extra("first"), index=MANY, once=True).ok or None)
    except NoAnswerError as error:
        raise NoAnswerError(str(error), answers) from None
    return answers | {"enable_failure_seconds": failing}


def _look_at_creation(probe: Probe, seen: dict[str, bool]) -> bool | None:
    if _is_enabled(probe):
        return True
    if not seen["creating"]:
        failed = not probe.put(_extra("first"), once=True).ok
        # only what it said before and after it said it in between, too
        seen["creating"] = not _is_enabled(probe)
        seen["refused"] = failed and seen["creating"]
    return None


def _is_enabled(probe: Probe) -> bool:
    answer = probe.post("GetVectorIndex", {})
    if not answer.ok:
        raise NoAnswerError(answer.outcome)
    index = answer.members.get("index")
    # without a status there is nothing to wait for
    return not isinstance(index, dict) or index.get("status", "enable") == "enable"


def _ask_delays(probe: Probe) -> dict[str, Any]:
    for index, vectors in ((MAIN, _VECTORS), (MANY, _MANY)):
        written = probe.put(*vectors, index=index)
        if not written.ok:
            raise NoAnswerError(written.outcome)
    began = probe.monotonic()
    times: dict[str, float] = {}

    looks: dict[str, Callable[[], Answer]] = {
        "get_delay_seconds": lambda: probe.get(_KEYS),
        "query_delay_seconds": lambda: probe.query(_AT),
    }

    def look() -> bool | None:
        for name in [name for name in looks if name not in times]:
            moment, answer = probe.when(looks[name])
            if set(answer.keys) >= _KEYS:
                times[name] = round(moment - began, 1)
        return len(times) == len(looks) or None

    try:
        probe.wait_until(look)
    except NoAnswerError as error:
        raise NoAnswerError(str(error), times) from None
    finally:
        probe.read_lag = times.get("get_delay_seconds", 0.0)
    return times


def _ask_order(probe: Probe) -> dict[str, Any]:
    orders = [sorted(_AXIS), sorted(_AXIS, reverse=True), [*_AXIS[3:], *_AXIS[:3]]]
    replies = [probe.get(order).keys for order in orders]
    seen = "another each time"
    if all(reply == replies[0] for reply in replies):
        seen = "sorted by key" if replies[0] == sorted(_AXIS) else "the same each time"
    if replies == orders:
        return {"order": "request", "order_seen": "as asked"}
    if all(reply == list(_AXIS) for reply in replies):
        return {"order": "storage", "order_seen": "as written"}
    return {"order": "shuffled", "order_seen": seen}


def _ask_duplicates(probe: Probe) -> str:
    count = probe.get(["m", "c", "m"]).keys.count("m")
    return "each" if count > 1 else "once"


def _ask_many_keys(probe: Probe) -> bool:
    return _is_done(probe.get(["m"] * 101))


def _ask_nothing_found(probe: Probe) -> bool:
    answer = probe.get(["nobody"])
    if answer.vectors:
        raise NoAnswerError("it answers a key that was never written")
    return "vectors" not in answer.members


def _ask_no_metadata(probe: Probe) -> bool:
    return "metadata" in _only(probe.get(["bare"], returnMetadata=True).vectors)


_FLOAT = re.compile(rb'"float32"\s*:\s*\[\s*([0-9.eE+-]{1,40})')


def _ask_float_text(probe: Probe) -> dict[str, Any]:
    answer = probe.get(["bare"], returnData=True)
    _only(answer.vectors)
    found = _FLOAT.search(answer.reply.body)
    text = found[1].decode() if found else ""
    known = {"0.1": "shortest", "0.10000000149011612": "double"}.get(text)
    return {"float_of_a_tenth": text, **({"float_text": known} if known else {})}


def _ask_distances(probe: Probe) -> bool:
    found = _distances(probe.query(_AT, returnDistance=True))
    # three away from the first
    squared = {3.0: False, 9.0: True}.get(round(found.get("a", 0.0), 3))
    if squared is None:
        raise NoAnswerError("neither plain nor squared")
    return squared


def _ask_cosine(probe: Probe) -> str:
    query = {"indexName": MANY, "queryVector": {"float32": [0, 1]}, "topK": 10}
    found = _distances(probe.post("QueryVectors", {**query, "returnDistance": True}))
    values = {vector["key"]: vector["data"]["float32"] for vector in _MANY}
    cosines = {key: values[key][1] / math.hypot(*values[key]) for key in found if key in values}
    if not cosines:
        raise NoAnswerError("nothing is found")
    off = max(abs(1 - cosines[key] - found[key]) for key in cosines)
    return "1 - cosine similarity" if off < _ROUNDING else "another"


_ROUNDING = 1e-3  # of float32, and of what a search may round


def _distances(answer: Answer) -> dict[str, float]:
    return {
        each["key"]: float(each["distance"])
        for each in answer.vectors
        if isinstance(each.get("distance"), int | float)
    }


def _ask_ranking(probe: Probe) -> bool:
    found = probe.query(_AT, 3, filter=_tag_filter("far")).keys
    if found not in ([], ["far"]):
        raise NoAnswerError("it finds what the filter does not match")
    return not found


def _ask_list_filter(probe: Probe) -> str:
    answer = probe.post("ListVectors", {"filter": _tag_filter("far")})
    if _is_refused(answer):
        return "refused"
    return "honoured" if answer.keys == ["far"] else "ignored"


def _ask_top_k(probe: Probe) -> int:
    def ask(top_k: int) -> Answer:
        query = {"queryVector": {"float32": _AT}, "topK": top_k, "indexName": MANY}
        return probe.post("QueryVectors", query)

    probe.wait_until(lambda: len(ask(30).keys) >= 30 or None)  # noqa: PLR2004 - as asked
    for most, fewer in ((500, 100), (100, 30)):
        answer = ask(most)
        count = len(answer.keys) if _is_done(answer) else fewer
        if count > fewer:
            return most
        # just as many as the next cap is a cap that is kept without a word
        if count < fewer:
            raise NoAnswerError(f"topK {most} brings {count} of {len(_MANY)}")
    return 30


def _ask_names(probe: Probe) -> str:
    names = {f"f{number}": "v" for number in range(10)}
    return "filterable" if _is_done(probe.put(_extra("names", **names, hidden="h"))) else "all"


def _ask_scalars(probe: Probe) -> dict[str, Any]:
    if not _is_done(probe.put(_extra("scalar", number=1.5, truth=True))):
        return {"scalars": "refused"}
    _, found = probe.wait_until(
        lambda: next(iter(probe.get(["scalar"], returnMetadata=True).vectors), None)
    )
    metadata = found.get("metadata") or {}
    kept = metadata.get("number"), metadata.get("truth")
    if kept == (1.5, True):
        return {"scalars": "kept"}
    if all(isinstance(each, str) and len(each) < 9 for each in kept):  # noqa: PLR2004 - a word
        return {"scalars": "strings", "scalar_texts": kept}
    raise NoAnswerError("neither kept nor strings")


def _ask_unstorable(probe: Probe) -> bool:
    zero = {"key": "zero", "data": {"float32": [0, 0]}}
    answer = probe.put(zero, index=MANY, once=True)
    if answer.status not in (_REFUSED, _FAILED):
        raise NoAnswerError(answer.outcome)
    return answer.status == _FAILED


def _ask_hidden(probe: Probe) -> bool:
    answer = probe.query(_AT, filter={"hidden": {"$eq": "f"}})
    if _is_refused(answer):
        return False
    if answer.keys:
        raise NoAnswerError("it filters by a key that cannot be filtered by")
    return True


def _ask_shorthand(probe: Probe) -> bool:
    answer = probe.query(_AT, filter={"tag": "far"})
    if _is_refused(answer):
        return False
    if answer.keys != ["far"]:
        raise NoAnswerError("it is taken, and not for $eq")
    return True


def _ask_negation(probe: Probe) -> bool:
    found = probe.query(_AT, filter={"tag": {"$ne": "near"}}).keys
    if "far" not in found:
        raise NoAnswerError("$ne does not find what differs")
    return "bare" not in found


def _ask_filters(probe: Probe) -> dict[str, Any]:
    answers = {name: probe.query(_AT, filter=each) for name, each in _FILTERS.items()}
    return {
        name: ("finds" if "far" in answer.keys else "finds nothing")
        if answer.ok
        else answer.outcome
        for name, answer in answers.items()
    }


_FILTERS: dict[str, Any] = {
    "filter_in_on_array": {"colours": {"$in": ["blue", "green"]}},
    "filter_of_two_fields": {"tag": {"$eq": "far"}, "colours": {"$eq": "red"}},
    "filter_of_two_operators": {"tag": {"$ne": "near", "$exists": True}},
    "filter_that_is_empty": {},
    "filter_of_1025_items": {"tag": {"$in": ["far", *map(str, range(1024))]}},
}


def _ask_listing(probe: Probe) -> dict[str, Any]:
    listed = [key for key in probe.post("ListVectors", {}).keys if key in _KEYS]
    written = [vector["key"] for vector in _VECTORS]
    orders = {"as written": written, "sorted by key": sorted(written)}
    order = next((name for name, keys in orders.items() if keys == listed), "another")
    parts = [
        probe.post("ListVectors", {"segmentCount": 2, "segmentIndex": number}).keys
        for number in range(2)
    ]
    whole = sorted(key for part in parts for key in part if key in _KEYS)
    return {
        "list_order": order,
        "segments_hold_each_once": whole == sorted(written),
        "segment_of_vector_key_1": int("vector-key-1" in parts[1]),
    }


def _ask_outcomes(probe: Probe) -> dict[str, Any]:
    outcomes = {}
    for name, (operation, members) in _OUTCOMES.items():
        try:
            outcomes[name] = probe.post(operation, members, once=True).outcome
        except errors.AccessDeniedError as error:  # of one operation, and not of the others
            outcomes[name] = describe_error(error)
    return outcomes


_READ = b'{"indexName":"%s","keys":["m"]' % MAIN.encode()
_WRITE = b'{"indexName":"%s","vectors":[{"key":"nan","data":{"float32":[' % MAIN.encode()
_FIELD = {"name": "v", "type": "vector", "dataType": "float32", "dimension": 2}
_OUTCOMES: dict[str, tuple[str, Any]] = {
    "nan_written": ("PutVectors", _WRITE + b"NaN,1]}}]}"),
    "infinity_written": ("PutVectors", _WRITE + b"1e999,1]}}]}"),
    "member_unknown": ("GetVectors", _READ + b',"nobody":1}'),
    "member_null": ("GetVectors", _READ + b',"returnData":null}'),
    "member_twice": ("GetVectors", _READ + b',"returnData":true,"returnData":true}'),
    "boolean_as_text": ("GetVectors", _READ + b',"returnData":"true"}'),
    "key_of_2048_bytes": ("GetVectors", {"keys": ["é" * 1024]}),
    "scalar_in_array": ("PutVectors", {"vectors": [_extra("array", numbers=[1, 2])]}),
    "null_in_metadata": ("PutVectors", {"vectors": [_extra("null", nothing=None)]}),
    "object_in_metadata": ("PutVectors", {"vectors": [_extra("object", inner={"a": "b"})]}),
    "metadata_name_with_space": ("PutVectors", {"vectors": [_extra("name", **{"a é": "b"})]}),
    # 2,050 bytes as JSON, and 2,043 as what billing counts
    "filterable_2043_bytes": ("PutVectors", {"vectors": [_extra("size", a="b" * 2042)]}),
    "fusion_index": (
        "PutVectorIndexFusion",
        {
            "indexName": FUSION,
            "mode": "fusion",
            "schemaConfiguration": {"fields": [{**_FIELD, "distanceMetric": "cosine"}]},
        },
    ),
}


def _ask_policy(probe: Probe) -> str:
    statement = {
        "Effect": "Allow",
        "Action": ["oss:GetVectors"],
        "Principal": ["*"],
        "Resource": [f"acs:ossvector:*:*:{probe.bucket}/*"],
        # nobody's address, so that nobody is let in
        "Condition": {"IpAddress": {"acs:SourceIp": ["192.0.2.1"]}},
    }
    body = json.dumps({"Version": "1", "Statement": [statement]}).encode()
    policy = Operation("PutBucketPolicy", _as_it_is, "PUT", "policy", body)
    outcome = probe.send(policy, once=True).outcome
    probe.send(Operation("DeleteBucketPolicy", _as_it_is, "DELETE", "policy"))
    return outcome


def _ask_atomicity(probe: Probe) -> str:
    good = _extra("good")
    answer = probe.put(good, {"key": "bad", "data": {"float32": [1]}}, once=True)
    if answer.ok:
        return "all of it is written"
    probe.sleep(probe.read_lag)
    return "in part" if probe.get(["good"]).keys else "nothing of it"


def _ask_error_bodies(probe: Probe) -> dict[str, Any]:
    elsewhere = Operation("GetVectors", _as_it_is, query="getVectors", body=_READ + b"}")
    answers = {
        "error_of_no_bucket": probe.ask_elsewhere(elsewhere),
        "error_of_no_index": probe.post("GetVectors", {"indexName": "nosuch", "keys": ["m"]}),
        "error_of_a_parameter": probe.get([]),
        "error_of_no_json": probe.post("GetVectors", b"{"),
    }
    return {name: _describe_body(answer) for name, answer in answers.items()}


_MEMBER = re.compile(r"[A-Za-z]{1,40}")
_EC = re.compile(r"[0-9]{4}-[0-9]{8}")
_TYPE = re.compile(r"[a-z]+/[a-z+.-]+(; ?charset=[A-Za-z0-9-]+)?")


def _describe_body(answer: Answer) -> dict[str, Any]:
    # its words are left out: they may name whom they were said to
    names = [name for name in answer.error if _MEMBER.fullmatch(name)]
    kind, ec = answer.reply.headers.get("content-type", ""), answer.error.get("EC")
    known = isinstance(ec, str) and _EC.fullmatch(ec)
    return {
        "outcome": answer.outcome,
        "content_type": kind if _TYPE.fullmatch(kind) else "another",
        "members": sorted(names),
        **({"ec": ec} if known else {}),
    }


def _ask_clock(probe: Probe) -> int:
    ours, answer = datetime.now(UTC), probe.get(["m"])
    theirs = http_date(answer.reply.headers.get("date", ""))
    if theirs is None:
        raise NoAnswerError("the reply has no Date")
    # a Date has no fractions of a second: half of one is missing on average
    return round((theirs - ours).total_seconds() + 0.5)


def _ask_bucket_again(probe: Probe) -> str:
    return probe.put_bucket().outcome


_KEPT_SECONDS = 10.0  # to wait for a name that may not be free for hours


def _ask_deleted_name(probe: Probe) -> float:
    probe.clean_up()
    return probe.wait_until(lambda: probe.put_bucket().ok or None, _KEPT_SECONDS)[0]


def _ask_rate(probe: Probe) -> dict[str, Any]:
    body = _READ + b"}"
    operation = Operation("GetVectors", _as_it_is, query="getVectors", body=body)
    refused = None
    for _ in range(0, _MOST_ASKED, _AT_ONCE):
        replies = probe.send_together(operation, _AT_ONCE)
        if refused := next((reply for reply in replies if not reply.ok), None):
            break
    if refused is None:
        raise NoAnswerError(f"{_MOST_ASKED} requests were not refused")
    # what was saved up is used; from here on as many pass as the rate allows
    began, done = probe.monotonic(), 0
    while (elapsed := probe.monotonic() - began) < _RATE_SECONDS:
        probe.sleep(0.1)
        while (more := _count_done(probe, operation)) > 0:
            done += more
            if more < _AT_ONCE:
                break
    return {
        "requests_per_second": round(done / elapsed, 1),
        "error_of_a_rate": _describe_body(read(refused)),
    }


_AT_ONCE = 32
_MOST_ASKED = 3200
_RATE_SECONDS = 2.0


def _count_done(probe: Probe, operation: Operation[Reply]) -> int:
    return sum(reply.ok for reply in probe.send_together(operation, _AT_ONCE))


_DONE = "200"


def _ask_body_size(probe: Probe) -> dict[str, Any]:
    most = 0
    for size in (1, 2, 4, 8, 16, 32, 64, 96):  # MiB
        # blanks are JSON: what is refused is refused for its size
        body = _READ + b" " * (size * 1024 * 1024) + b"}"
        try:
            outcome = probe.post("GetVectors", body, once=True).outcome
        except errors.TransportError as error:  # one that is not read to its end
            outcome = describe_error(error)
        if outcome != _DONE:
            return {"body_mebibytes": most, "body_too_large": outcome}
        most = size
    return {"body_mebibytes": most}


def _ask_page_size(probe: Probe) -> bool:
    text, count = "t" * 20_000, 60  # 1.2 MB
    vectors = [_extra(f"large{number}", hidden=text) for number in range(count)]
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


def _as_it_is(reply: Reply) -> Reply:
    return reply


def _only(vectors: list[dict[str, Any]]) -> Mapping[str, Any]:
    if len(vectors) != 1:
        raise NoAnswerError(f"{len(vectors)} vectors for one key")
    return vectors[0]


_REFUSED, _FAILED = HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR


def _is_refused(answer: Answer) -> bool:
    """Tell whether it was refused, or done; anything else is no answer."""
    return not _is_done(answer)


def _is_done(answer: Answer) -> bool:
    if answer.ok or answer.status == _REFUSED:
        return answer.ok
    raise NoAnswerError(answer.outcome)


_SEEN, _FOUND = "get_delay_seconds", "query_delay_seconds"
_CREATION = ("index_creation_seconds", "creating_refuses_writes", "enable_failure_seconds")
QUESTIONS = (
    Question(("bucket_list_delay_seconds",), _ask_bucket_list),
    Question(("bucket_of_ones_own_put_again",), _ask_bucket_again),
    Question(_CREATION, _ask_new_indexes),
    Question((_SEEN, _FOUND), _ask_delays, "enable_failure_seconds"),
    Question(("order", "order_seen"), _ask_order, _SEEN),
    Question(("duplicates",), _ask_duplicates, _SEEN),
    Question(("count_distinct_keys",), _ask_many_keys, _SEEN),
    Question(("omit_empty_vectors",), _ask_nothing_found, _SEEN),
    Question(("show_empty_metadata",), _ask_no_metadata, _SEEN),
    Question(("float_text", "float_of_a_tenth"), _ask_float_text, _SEEN),
    Question(("squared_euclidean",), _ask_distances, _FOUND),
    Question(("filter_after_ranking",), _ask_ranking, _FOUND),
    Question(("ignore_non_filterable",), _ask_hidden, _FOUND),
    Question(("filter_shorthand",), _ask_shorthand, _FOUND),
    Question(("negation_needs_field",), _ask_negation, _FOUND),
    Question(tuple(_FILTERS), _ask_filters, _FOUND),
    Question(("list_filter",), _ask_list_filter, _SEEN),
    Question(
        ("list_order", "segments_hold_each_once", "segment_of_vector_key_1"), _ask_listing, _SEEN
    ),
    Question(("top_k_limit",), _ask_top_k, _FOUND),
    Question(("cosine_distance",), _ask_cosine, "top_k_limit"),
    Question(("metadata_names",), _ask_names, _SEEN),
    Question(("scalars",), _ask_scalars, _SEEN),
    Question(("unstorable_fails",), _ask_unstorable, _SEEN),
    Question(("batch_with_a_bad_vector",), _ask_atomicity, _SEEN),
    Question(tuple(_OUTCOMES), _ask_outcomes, _SEEN),
    Question(
        ("error_of_no_bucket", "error_of_no_index", "error_of_a_parameter", "error_of_no_json"),
        _ask_error_bodies,
        _SEEN,
    ),
    Question(("policy_with_a_condition",), _ask_policy),
    Question(("clock_ahead_seconds",), _ask_clock, _SEEN),
    Question(("requests_per_second", "error_of_a_rate"), _ask_rate, _SEEN, costly=True),
    Question(("body_mebibytes",), _ask_body_size, _SEEN, costly=True),
    Question(("list_page_cut_by_size",), _ask_page_size, _SEEN, costly=True),
    # the last: it needs the bucket gone
    Question(("bucket_name_kept_seconds",), _ask_deleted_name),
)
"""Every question, in the order in which they are asked."""
