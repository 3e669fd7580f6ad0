"""Ids as a model writes them: which of them exist for an agent, and what it may have meant.

A model copies an id from what it has read, with the brackets, quotes and labels that stood around
it, or writes several into one string. What is written so is read as what was meant where no record
has that very id, and only then. All of it under the same prefix and list of allowed keys: an id
that is out of reach is never asked for, and answered as one that does not exist.
"""

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from pydantic_core import from_json

from ..client.context import Context, Flow
from ..client.models import ListVectorsResult
from ..client.operations.vectors import list_vectors
from ..client.steps import Call
from .keys import is_key
from .store import RecordStore

T = TypeVar("T")
Fetched = tuple[Mapping[str, T], Iterable[str]]  # what was found by its key, and what was not


@dataclass(frozen=True, slots=True)
class Access:
    """The keys that an agent may ask for and see; all others do not exist for it."""

    allowed_keys: frozenset[str] | None = None  # the only keys, or None for any
    key_prefix: str = ""  # what each key begins with

    @property
    def restricted(self) -> bool:
        """Tell whether any key is out of reach."""
        return self.allowed_keys is not None or bool(self.key_prefix)

    @property
    def visible_keys(self) -> tuple[str, ...]:
        """Return the keys that are known without a call, sorted; empty where any may exist."""
        return tuple(sorted(key for key in self.allowed_keys or () if self.permits(key)))

    def permits(self, key: str) -> bool:
        """Tell whether a key may be asked for and shown."""
        allowed = self.allowed_keys is None or key in self.allowed_keys
        return allowed and key.startswith(self.key_prefix)

    def fetchable(self, context: Context, ids: Iterable[str]) -> list[str]:
        """Return the ids that may be asked for and that can be keys at all, each once."""
        limits = context.config.limits
        return [key for key in dict.fromkeys(ids) if self.permits(key) and is_key(key, limits)]


def read_ids(given: object) -> object:
    """Return what a model passed as a list of ids: one id, or a list that is written as text."""
    if not isinstance(given, str):
        return given
    with suppress(ValueError):
        if isinstance(ids := from_json(given), list):
            return ids
    return [given]


@dataclass(slots=True)
class Meant(Generic[T]):
    """What came of a model's ids.

    Attributes:
        found: by key, in the order of the ids.
        missing: the ids that do not exist.
        refused: ids that were too many.
    """

    found: dict[str, T] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def fetch_meant(
    context: Context,
    ids: Iterable[str],
    access: Access,
    limit: int,
    fetch: Callable[[Context, list[str]], Flow[Fetched[T]]],
) -> Flow[Meant[T]]:
    """Fetch what a model's ids mean: records of these very ids, or else what they are echoes of.

    A second fetch is made only where an id does not exist and holds another that may. Ids beyond
    `limit` are refused, and those that stand in one string beyond as many again. `fetch` is not
    called without keys.
    """
    asked = list(dict.fromkeys(ids))
    meant: Meant[T] = Meant(refused=asked[limit:])
    asked = asked[:limit]
    keys = access.fetchable(context, asked)
    found, missing = (yield from fetch(context, keys)) if keys else ({}, ())
    there = {*keys} - {*missing}  # also what is there and cannot be read: no other was meant
    pieces = {key: _pieces(key) for key in asked if key not in there}
    readings: dict[str, list[list[str]]] = {}
    room = limit  # a few strings may hold any number
    for key, several in pieces.items():
        readings[key] = _readings(key, several[:room])
        room -= len(several[:room])
    forms = (form for reading in readings.values() for each in reading for form in each)
    others = [key for key in access.fetchable(context, forms) if key not in keys]
    if others:
        more, absent = yield from fetch(context, others)
        found, there = {**found, **more}, there | ({*others} - {*absent})
    for key in asked:
        exist, lacking = ([key], []) if key in there else _choose(key, readings[key], there)
        meant.found |= {one: found[one] for one in exist if one in found}
        meant.missing += lacking
        if exist and key not in there and len(readings[key]) > 1:
            meant.refused += pieces[key][len(readings[key]) - 1 :]
    return meant


def absent_ids(asked: Iterable[str], there: Collection[str]) -> list[str]:
    """Return those of a model's ids that mean none of some keys that exist."""
    absent: list[str] = []
    for key in dict.fromkeys(asked):
        if key not in there:
            absent += _choose(key, _readings(key, _pieces(key)), there)[1]
    return absent


def _readings(key: str, pieces: Iterable[str]) -> list[list[str]]:
    """Return what an id may mean: the forms of one, and those of each in it, the first first."""
    return [_forms(key), *([piece, *_forms(piece)] for piece in pieces)]


def _choose(
    asked: str, readings: Sequence[Sequence[str]], there: Collection[str]
) -> tuple[list[str], list[str]]:
    """Return the keys that were meant by an id that does not exist, and what is missing."""
    whole, *pieces = readings
    if (one := _first_there(whole, there)) is not None:
        return [one], []
    chosen = [(piece, _first_there(piece, there)) for piece in pieces]
    exist = [one for _, one in chosen if one is not None]
    if not exist:
        return [], [asked]
    return exist, [piece[-1] for piece, one in chosen if one is None]


def _first_there(forms: Iterable[str], there: Collection[str]) -> str | None:
    return next((form for form in forms if form in there), None)


# What models leave around an id: [id: "a"], `a`, <a>, (a), **a**, and the quotes and brackets of
# Chinese and of typesetting.
_PAIRS: Final = (
    *("[]", "()", "<>", "{}", '""', "''", "``", "**"),
    *("\u201c\u201d", "\u2018\u2019", "\u300c\u300d", "\u300a\u300b", "\u3010\u3011"),
    *("\uff08\uff09", "\uff3b\uff3d", "\uff5b\uff5d", "\u300e\u300f", "\u3008\u3009"),
    *("\u3014\u3015", "\uff02\uff02", "\uff07\uff07", "\uff1c\uff1e", "\u00ab\u00bb"),
)
_SEPARATORS: Final = ",;\n\uff0c\uff1b\u3001"  # with the Chinese ones
_AROUND: Final = "".join(_PAIRS) + " \t\r.\u3002\u3000" + _SEPARATORS
_LABEL: Final = re.compile(
    r"(?:(?:document|doc|key|\u6587\u6863|\u6587\u4ef6)[ _]?)?(?:ids?|\u7f16\u53f7)"
    r"\s*[:=\uff1a]\s*",
    re.IGNORECASE,
)
_DISTANCE: Final = re.compile(r"distance=-?[\d.]+$")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_HEADINGS: Final = re.compile(r'\[id:\s*(?:"(?:[^"\\]|\\.)*"|[^\[\]"]*)\]', re.IGNORECASE)
_BETWEEN: Final = re.compile(f"[{_SEPARATORS}]")
_SEVERAL: Final = 2
_MOST_LAYERS: Final = 12  # [id: "a"] distance=0.1 has five
_LONGEST: Final = 20_000  # characters; models have passed a page of text as an id


def _forms(written: str) -> list[str]:
    """Return an id with less and less of what stands around it; the id as it was written is none.

    The first that exists is meant: of `"[draft]"` that is `[draft]`, and `draft` only without it.
    """
    forms: dict[str, None] = {}
    text = written if len(written) <= _LONGEST else ""
    for _ in range(_MOST_LAYERS):
        if not (inner := _peel(text)) or inner == text:
            break
        text = inner
        forms[text] = None
    return list(forms)


def _peel(text: str) -> str:
    """Return a text without the outermost of what stands around it; as it is where nothing does."""
    bare = _DISTANCE.sub("", text.strip())
    if bare != text:
        return bare
    if (label := _LABEL.match(bare)) is not None:
        return bare[label.end() :]
    if len(bare) >= _SEVERAL and bare[0] + bare[-1] in _PAIRS:
        return _unquote(bare)
    # half of a pair, as where a list was cut
    return bare.strip(_AROUND)


def _unquote(text: str) -> str:
    if text[0] == '"':
        with suppress(ValueError):
            if isinstance(inner := json.loads(text), str):
                return inner
    return text[1:-1]


def _pieces(written: str) -> list[str]:
    """Return the ids in a string that holds several; none where it holds one."""
    if len(written) > _LONGEST:
        return []
    # without the brackets of a list around all of them
    inside = written.strip(" \t\r\n[](){}\uff08\uff09\uff3b\uff3d\u3010\u3011")
    split = [piece.strip() for piece in _BETWEEN.split(inside)]
    for found in (_HEADINGS.findall(written), _QUOTED.findall(written), split):
        several = list(dict.fromkeys(filter(None, found)))
        if len(several) >= _SEVERAL:
            return several
    return []


def suggest(
    context: Context, missing: Iterable[str], access: Access, store: RecordStore, scan: int
) -> Flow[dict[str, list[str]]]:
    """Return for each missing id the permitted keys that may have been meant.

    At most `scan` keys of the index are listed. Where nothing is missing, and with a list of
    allowed keys, no call is made.
    """
    absent = list(missing)
    known = access.visible_keys
    # With a list of allowed keys nothing else may be named, so there is nothing to scan for.
    if absent and access.allowed_keys is None:
        listed = yield from _list_keys(context, store, scan)
        known = tuple(key for key in listed if access.permits(key))
    if not known:
        return {key: [] for key in absent}
    # off the event loop: a few hundred ids among thousands of keys take seconds
    near: dict[str, list[str]] = yield Call(
        lambda: {key: near_misses(key, known) for key in absent}
    )
    return near


def _list_keys(context: Context, store: RecordStore, count: int) -> Flow[list[str]]:
    keys: list[str] = []
    token: str | None = None
    # The service cannot search among keys, only list them, and an index may hold millions.
    while (left := count - len(keys)) > 0:
        listing = list_vectors(
            context,
            index=store.settings.index,
            max_results=min(left, context.config.limits.list_page),
            next_token=token,
        )
        page = yield from store.or_empty(context, listing, lambda: ListVectorsResult(()))
        keys += [vector.key for vector in page]
        if (token := page.next_token) is None:
            break
    return keys


_LONGEST_KNOWN: Final = 4_096  # characters; a key, which has a quarter, resembles nothing longer


def near_misses(key: str, known: Iterable[str]) -> list[str]:
    """Return the known keys that a wrong key most resembles, the nearest first, at most 3.

    Letter case and the punctuation that models change are looked through; where these alone differ,
    nothing else is returned.
    """
    if len(key) > _LONGEST_KNOWN:
        return []
    plain: dict[str, str] = {}
    for other in known:
        if other != key:  # an allowed key need not exist
            plain.setdefault(_letters(other), other)
    # "Report_2024" can only mean "report-2024": to name report-2025 too would invite a mistake.
    meant = _letters(key)
    if meant in plain:
        return [plain[meant]]
    return [plain[name] for name in difflib.get_close_matches(meant, plain)]


def _letters(key: str) -> str:
    return "".join(letter for letter in key.casefold() if letter.isalnum()) or key
