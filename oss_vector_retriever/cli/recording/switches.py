"""Questions that a switch of `emulator.Behaviour` answers, each by the name of its field."""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from ...client.flow import Operation
from ...client.models import Reply
from .answers import Answer, NoAnswerError, describe_body, read
from .probe import (
    AT,
    AXIS,
    KEYS,
    MAIN,
    MANY,
    MANY_VECTORS,
    READ,
    VECTORS,
    Probe,
    as_it_is,
    extra,
    tag_filter,
)


def ask_bucket_list(probe: Probe) -> float:
    """Return the seconds until a new bucket is listed."""
    # by the whole name, so that no other bucket of the account is seen
    listing = Operation(
        "ListVectorBuckets", as_it_is, "GET", f"prefix={probe.bucket}", on_bucket=False
    )

    def look() -> bool | None:
        answer = probe.send(listing)
        if not answer.ok:
            raise NoAnswerError(answer.outcome)
        return probe.bucket in answer.reply.body.decode(errors="replace") or None

    return probe.wait_until(look)[0]


def ask_new_indexes(probe: Probe) -> dict[str, Any]:
    """Make the indexes, and return how long they take and what writes come to meanwhile."""
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
        failing, _ = probe.wait_until(lambda: probe.put(extra("first"), once=True).ok or None)
        probe.wait_until(lambda: probe.put(extra("first"), index=MANY, once=True).ok or None)
    except NoAnswerError as error:
        raise NoAnswerError(str(error), answers) from None
    return answers | {"enable_failure_seconds": failing}


def _look_at_creation(probe: Probe, seen: dict[str, bool]) -> bool | None:
    if _is_enabled(probe):
        return True
    if not seen["creating"]:
        failed = not probe.put(extra("first"), once=True).ok
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


def ask_delays(probe: Probe) -> dict[str, Any]:
    """Write the vectors, and return the seconds until each kind of reading shows them."""
    # the main ones last: the time is theirs
    for index, vectors in ((MANY, MANY_VECTORS), (MAIN, VECTORS)):
        written = probe.put(*vectors, index=index)
        if not written.ok:
            raise NoAnswerError(written.outcome)
    began = probe.monotonic()
    times: dict[str, float] = {}

    looks: dict[str, Callable[[], Answer]] = {
        "get_delay_seconds": lambda: probe.get(KEYS),
        "query_delay_seconds": lambda: probe.query(AT),
    }

    def look() -> bool | None:
        for name in [name for name in looks if name not in times]:
            moment, answer = probe.when(looks[name])
            if set(answer.keys) >= KEYS:
                times[name] = round(moment - began, 1)
        return len(times) == len(looks) or None

    try:
        probe.wait_until(look)
    except NoAnswerError as error:
        raise NoAnswerError(str(error), times) from None
    finally:
        probe.read_lag = times.get("get_delay_seconds", 0.0)
    return times


def ask_deleted_name(probe: Probe) -> float:
    """Delete the bucket, and return the seconds until its name is free."""
    probe.clean_up()
    return probe.wait_until(lambda: probe.put_bucket().ok or None, _KEPT_SECONDS)[0]


_KEPT_SECONDS = 10.0  # to wait for a name that may not be free for hours


def ask_order(probe: Probe) -> dict[str, Any]:
    """Return the order of what is got by key."""
    orders = [sorted(AXIS), sorted(AXIS, reverse=True), [*AXIS[3:], *AXIS[:3]]]
    replies = [probe.get(order).keys for order in orders]
    seen = "another each time"
    if all(reply == replies[0] for reply in replies):
        seen = "sorted by key" if replies[0] == sorted(AXIS) else "the same each time"
    if replies == orders:
        return {"order": "request", "order_seen": "as asked"}
    if all(reply == list(AXIS) for reply in replies):
        return {"order": "storage", "order_seen": "as written"}
    return {"order": "shuffled", "order_seen": seen}


def ask_duplicates(probe: Probe) -> str:
    """Return how often a key that is asked for twice comes back."""
    count = probe.get(["m", "c", "m"]).keys.count("m")
    return "each" if count > 1 else "once"


def ask_many_keys(probe: Probe) -> bool:
    """Return whether over 100 keys pass that are one."""
    return probe.get(["m"] * 101).accepted


def ask_nothing_found(probe: Probe) -> bool:
    """Return whether a reply without vectors lacks their member."""
    answer = probe.get(["nobody"])
    if answer.vectors:
        raise NoAnswerError("it answers a key that was never written")
    return "vectors" not in answer.members


def ask_no_metadata(probe: Probe) -> bool:
    """Return whether a vector without metadata is shown with some."""
    return "metadata" in _only(probe.get(["bare"], returnMetadata=True).vectors)


_FLOAT = re.compile(rb'"float32"\s*:\s*\[\s*([0-9.eE+-]{1,40})')


def ask_float_text(probe: Probe) -> dict[str, Any]:
    """Return how a float32 is written, known by 0.1."""
    answer = probe.get(["bare"], returnData=True)
    _only(answer.vectors)
    found = _FLOAT.search(answer.reply.body)
    text = found[1].decode() if found else ""
    known = {"0.1": "shortest", "0.10000000149011612": "double"}.get(text)
    return {"float_of_a_tenth": text, **({"float_text": known} if known else {})}


def _only(vectors: list[dict[str, Any]]) -> Mapping[str, Any]:
    if len(vectors) != 1:
        raise NoAnswerError(f"{len(vectors)} vectors for one key")
    return vectors[0]


def ask_distances(probe: Probe) -> bool:
    """Return whether euclidean distances are squared."""
    found = probe.query(AT, returnDistance=True).distances
    # three away from the first
    squared = {3.0: False, 9.0: True}.get(round(found.get("a", 0.0), 3))
    if squared is None:
        raise NoAnswerError("neither plain nor squared")
    return squared


def ask_ranking(probe: Probe) -> bool:
    """Return whether a filter chooses among the nearest alone."""
    found = probe.query(AT, 3, filter=tag_filter("far")).keys
    if found not in ([], ["far"]):
        raise NoAnswerError("it finds what the filter does not match")
    return not found


def ask_list_filter(probe: Probe) -> str:
    """Return what ListVectors makes of a filter."""
    answer = probe.post("ListVectors", {"filter": tag_filter("far")})
    if not answer.accepted:
        return "refused"
    return "honoured" if answer.keys == ["far"] else "ignored"


def ask_top_k(probe: Probe) -> int:
    """Return the most that `topK` may be, refused or kept to without a word."""

    def ask(top_k: int) -> Answer:
        query = {"queryVector": {"float32": AT}, "topK": top_k, "indexName": MANY}
        return probe.post("QueryVectors", query)

    probe.wait_until(lambda: len(ask(30).keys) >= 30 or None)  # noqa: PLR2004 - as asked
    for most, fewer in ((500, 100), (100, 30)):
        answer = ask(most)
        count = len(answer.keys) if answer.accepted else fewer
        if count > fewer:
            return most
        # just as many as the next cap is a cap that is kept without a word
        if count < fewer:
            raise NoAnswerError(f"topK {most} brings {count} of {len(MANY_VECTORS)}")
    return 30


def ask_names(probe: Probe) -> str:
    """Return which names of metadata count: 10 that can be filtered by, and another."""
    names = {f"f{number}": "v" for number in range(10)}
    written = probe.put(extra("names", **names, hidden="h"))
    return "filterable" if written.accepted else "all"


def ask_scalars(probe: Probe) -> dict[str, Any]:
    """Return what becomes of numbers and booleans in metadata."""
    if not probe.put(extra("scalar", number=1.5, truth=True)).accepted:
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


def ask_unstorable(probe: Probe) -> bool:
    """Return whether a vector without direction is a failure, and not refused."""
    zero = {"key": "zero", "data": {"float32": [0, 0]}}
    answer = probe.put(zero, index=MANY, once=True)
    refused, failed = HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR
    if answer.status not in (refused, failed):
        raise NoAnswerError(answer.outcome)
    return answer.status == failed


def ask_hidden(probe: Probe) -> bool:
    """Return whether a filter on a key that cannot be filtered by is taken, and finds nothing."""
    answer = probe.query(AT, filter={"hidden": {"$eq": "f"}})
    if not answer.accepted:
        return False
    if answer.keys:
        raise NoAnswerError("it filters by a key that cannot be filtered by")
    return True


def ask_shorthand(probe: Probe) -> bool:
    """Return whether a filter may leave out `$eq`."""
    answer = probe.query(AT, filter={"tag": "far"})
    if not answer.accepted:
        return False
    if answer.keys != ["far"]:
        raise NoAnswerError("it is taken, and not for $eq")
    return True


def ask_forms(probe: Probe) -> dict[str, Any]:
    """Return which forms of filters are refused; of several the one that says the most."""
    refused = [name for name, each in FORMS.items() if not probe.query(AT, filter=each).accepted]
    said = {"filter_forms": refused[-1] if refused else "all"}
    return {**said, "filter_forms_refused": refused} if len(refused) > 1 else said


_FAR = tag_filter("far")
FORMS: dict[str, Any] = {
    "no_ranges": {"number": {"$gte": 1}},
    "flat": {"$and": [_FAR, {"$and": [_FAR, _FAR]}]},
    "no_or": {"$or": [_FAR, _FAR]},
    "no_exists": {"tag": {"$exists": True}},
}


def ask_negation(probe: Probe) -> bool:
    """Return whether `$ne` needs the field."""
    found = probe.query(AT, filter={"tag": {"$ne": "near"}}).keys
    if "far" not in found:
        raise NoAnswerError("$ne does not find what differs")
    return "bare" not in found


def ask_rate(probe: Probe) -> dict[str, Any]:
    """Return how many requests a second are taken, where some are refused."""
    body = READ + b"}"
    operation = Operation("GetVectors", as_it_is, query="getVectors", body=body)
    asked, replies = 0, list[Reply]()
    while not (refused := list(filter(_is_too_fast, replies))):
        if asked >= _MOST_ASKED:
            raise NoAnswerError(f"{_MOST_ASKED} requests were not refused")
        replies = probe.send_together(operation, _AT_ONCE)
        asked += _AT_ONCE
    # what was saved up is used; from here on as many pass as the rate allows
    began, done = probe.monotonic(), 0
    while (elapsed := probe.monotonic() - began) < _RATE_SECONDS:
        if any(map(_is_too_fast, replies)):
            probe.sleep(0.1)
        replies = probe.send_together(operation, _AT_ONCE)
        done += sum(reply.ok for reply in replies)
    return {
        "requests_per_second": round(done / elapsed, 1),
        "error_of_a_rate": describe_body(read(refused[0])),
    }


_AT_ONCE = 32
_MOST_ASKED = 3200
_RATE_SECONDS = 2.0


def _is_too_fast(reply: Reply) -> bool:
    return reply.status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
