"""A retriever's query string and the keys in it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic_core import from_json

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, named_type
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS, Limits
from oss_vector_retriever.client.operations.checks import check_key
from oss_vector_retriever.client.operations.vectors import list_vectors
from oss_vector_retriever.client.steps import Flow

_BLANK = " \t\r"
_ADVICE = 'a key that begins with "[" goes into a JSON array, as in ["[draft] 1"]'


def parse_keys(query: str) -> list[str]:
    r"""Return the keys that a query names, in order, duplicates kept.

    Two forms, and no guessing:
        - a JSON array of strings, where the first character that is not blank is "[";
        - else one key a line (LF or CRLF). Blanks (space, tab, CR) around a line go, blank lines
          too; blanks, commas and everything else inside a line belong to the key.

    An empty query names no key. A key that begins with "[" and stands first, that begins or ends
    with a blank, or that holds a line feed needs the array: `query_of` writes it.

    Raises:
        InvalidRequestError: the query is not a string, or begins with "[" and is not a JSON array
            of strings.
    """
    if not isinstance(query, str):
        raise InvalidRequestError(
            "a query of keys is a string, not {kind}", argument="keys", kind=named_type(query)
        )
    if query.lstrip(f"{_BLANK}\n").startswith("["):
        return _array(query)
    lines = (line.strip(_BLANK) for line in query.split("\n"))
    return [line for line in lines if line]


def query_of(keys: Iterable[str]) -> str:
    """Return a query that names exactly these keys, always as a JSON array.

    Raises:
        InvalidRequestError: `keys` is one string, or holds something that is not a string.
    """
    if isinstance(keys, str):
        raise InvalidRequestError(
            "query_of takes several keys", argument="keys", remedy="put a single one into a list"
        )
    return json.dumps(_strings(keys), ensure_ascii=False)


def is_key(key: object, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Tell whether something can be the key of a record at all."""
    try:
        check_key(key, limits)
    except InvalidRequestError:
        return False
    return True


def _array(query: str) -> list[str]:
    try:
        loaded = from_json(query)
    except (ValueError, TypeError) as error:
        raise InvalidRequestError(
            'the query begins with "[" and is not a JSON array ({reason})',
            argument="keys",
            remedy=_ADVICE,
            reason=str(error),
        ) from error
    return _strings(loaded)


def _strings(items: Iterable[object]) -> list[str]:
    keys = []
    for position, item in enumerate(items):
        if not isinstance(item, str):
            raise InvalidRequestError(
                "keys are strings, and the one at position {position} (counted from 0) is of type "
                "{kind}",
                argument="keys",
                value=item,
                position=position,
                kind=named_type(item),
            )
        keys.append(item)
    return keys


_NEAR = 0.6  # difflib's own cut-off
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Access:
    """Say which keys may be asked for.

    Attributes:
        allowed: the only keys, or None for any.
        prefix: what each key begins with; empty for anything.
    """

    allowed: frozenset[str] | None = None
    prefix: str = ""

    @property
    def restricted(self) -> bool:
        """Tell whether any key is out of reach."""
        return self.allowed is not None or bool(self.prefix)

    def permits(self, key: str) -> bool:
        """Tell whether a key may be asked for and shown."""
        return key.startswith(self.prefix) and (self.allowed is None or key in self.allowed)

    def visible(self) -> tuple[str, ...]:
        """Return the keys that are known without a call, sorted; empty where any may exist."""
        return tuple(sorted(key for key in self.allowed or () if self.permits(key)))

    def known(self, context: Context, index: str | None, scan: int) -> Flow[tuple[str, ...]]:
        """Return permitted keys to suggest: those allowed, or of the first `scan` of the index.

        Args:
            context: the client's.
            index: another index than the client's own.
            scan: how many keys to list, at most; 0 makes no call.
        """
        if self.allowed is not None:
            return self.visible()
        keys: list[str] = []
        token: str | None = None
        while (left := scan - len(keys)) > 0:
            page = yield from list_vectors(
                context,
                index=index,
                max_results=min(left, context.config.limits.list_page),
                next_token=token,
            )
            keys += [vector.key for vector in page]
            token = page.next_token
            if token is None:
                break
        return tuple(key for key in keys if self.permits(key))


def near_misses(key: str, known: Iterable[str]) -> list[str]:
    """Return the known keys that a wrong key most resembles, the nearest first, at most 3.

    Letter case and the punctuation that models change are looked through; where these alone differ,
    nothing else is returned.
    """
    plain: dict[str, str] = {}
    for other in known:
        if other != key:  # which may be allowed, and does not exist
            plain.setdefault(_plain(other), other)
    meant = _plain(key)
    found = [meant] if meant in plain else difflib.get_close_matches(meant, plain, _SHOWN, _NEAR)
    return [plain[name] for name in found]


def _plain(key: str) -> str:
    return "".join(letter for letter in key.casefold() if letter.isalnum()) or key
