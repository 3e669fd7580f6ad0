"""What `doctor` finds in an index: records of the first version, and how its search filters.

It reads, and writes nothing. Some hundred vectors are listed, a dozen queries of one result each are made at most.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ...client import errors
from ...client.clients import OSSVectorClient
from ...client.models import ScoredVector, Vector
from ...client.wire import parse_json
from ...records.decode import ENVELOPE_FIELD, ENVELOPE_KEYS, UNSURE_FIELD
from ...records.settings import is_row

_LOOKED_AT: Final = 500  # vectors, in pages whose metadata take 4 MB at most
_PAGE: Final = 100
_OLD: Final = 1  # the version of envelopes that had no mark
_TRIED: Final = 5  # records that another's field may tell apart from the nearest


class Seen(NamedTuple):
    """What was seen, and what to do about it."""

    detail: str
    hint: str = ""


def sample_of(client: OSSVectorClient) -> tuple[list[Vector], bool]:
    """Return the first vectors of an index, with their metadata, and whether these are all."""
    sample: list[Vector] = []
    token: str | None = None
    while len(sample) < _LOOKED_AT:
        page = client.list_vectors(max_results=_PAGE, next_token=token, return_metadata=True)
        sample += page
        if (token := page.next_token) is None:
            return sample, True
    return sample, False


def count_old(sample: Sequence[Vector], *, is_all: bool) -> Seen:
    """Return how many records are of the first version, whose filters the service cannot judge."""
    old = sum(map(_is_old, sample))
    of = f"all {len(sample)}" if is_all else f"the first {len(sample)}"
    detail = f"{old} of {of} vectors are records of version {_OLD}"
    if not old:
        return Seen(detail)
    return Seen(
        detail,
        f"they have no mark ({UNSURE_FIELD}), so that a search with a filter brings each of them "
        "and looks at it here: update_metadata(ids, {}) of the LangChain store rewrites them",
    )


def _is_old(vector: Vector) -> bool:
    stored = vector.metadata or {}
    written = stored.get(ENVELOPE_FIELD)
    if not isinstance(written, str) or UNSURE_FIELD in stored or is_row(stored):
        return False
    try:
        envelope = parse_json(written.encode("utf-8", "surrogatepass"))
    except ValueError:
        return False
    return isinstance(envelope, dict) and envelope.get("v") == _OLD


def ask_order(client: OSSVectorClient, sample: Sequence[Vector], hidden: Collection[str]) -> Seen:
    """Return whether the index's search filters before it ranks, with the setting to pass.

    One hit is asked for, near a record that the filter does not pass: it is another's only where
    the filter comes first.

    Raises:
        OSSVectorError: a call failed.
    """
    near = _data_of(client, sample[0].key) if sample else None
    nearest = client.query_vectors(near, top_k=1, return_metadata=True) if near else ()
    for hit in nearest:
        for key, filter_ in _filters(sample, hit.metadata or {}, hidden):
            try:
                seen = _compare(client, near or (), hit, key, filter_)
            except errors.VectorIndexParameterInvalidError:
                return Seen(f"refuses the filter {filter_}; searches check all of it themselves")
            if seen is not None:
                return seen
    return Seen(_UNKNOWN)


def _compare(
    client: OSSVectorClient,
    near: Sequence[float],
    nearest: ScoredVector,
    key: str,
    filter_: Mapping[str, Any],
) -> Seen | None:
    found = client.query_vectors(near, top_k=1, filter=filter_)
    if found:
        # of two that are equally near either may be the first
        is_farther = (found[0].distance or 0.0) > (nearest.distance or 0.0)
        return Seen("filters first, and then ranks", _FIRST) if is_farther else None
    # a record that was written just now, or changed, is found by no filter yet
    data = _data_of(client, key)
    return Seen(_LATER) if data and client.query_vectors(data, top_k=1, filter=filter_) else None


def _data_of(client: OSSVectorClient, key: str) -> Sequence[float]:
    found = client.fetch([key], return_metadata=False)
    return (found[0].data or ()) if found else ()


def _filters(
    sample: Sequence[Vector], here: Mapping[str, Any], hidden: Collection[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield keys, and filters that they pass and the nearest record does not."""
    ours = {*ENVELOPE_KEYS, UNSURE_FIELD, *hidden}
    count = 0
    for vector in sample:
        for name, value in (vector.metadata or {}).items():
            is_text = isinstance(value, str) and len(value) <= _LONGEST
            if is_text and name not in ours and not _holds(here.get(name), value):
                yield vector.key, {name: {"$eq": value}}
                count += 1
                break
        if count == _TRIED:
            return


_LONGEST: Final = 256  # characters of a value to filter by


def _holds(found: object, value: str) -> bool:
    return value in found if isinstance(found, list) else found == value


_UNKNOWN: Final = (
    "whether it filters before it ranks cannot be told from the records that were looked at"
)
_LATER: Final = (
    "ranks first, and a filter chooses among the nearest: what it passes over is listed and ranked "
    "here (exhaustive=, scan_limit=)"
)
_FIRST: Final = "pass filters_first=True to the stores, which then list nothing after a search"
