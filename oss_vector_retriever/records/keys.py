"""A retriever's query string and the keys in it."""

import json
from collections.abc import Iterable

from pydantic_core import from_json

from ..client.errors import InvalidRequestError
from ..client.models.limits import DEFAULT_LIMITS, Limits
from ..client.operations.checks import check_key

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

    Examples:
        >>> parse_keys("doc-001"), parse_keys('["doc-001", "doc-002"]')
        (['doc-001'], ['doc-001', 'doc-002'])
    """
    if not isinstance(query, str):
        raise InvalidRequestError(
            "a query of keys is a string, not {kind}", argument="keys", value=query
        )
    # No comma-separated form: commas are legal in keys, and a guess would read two for one.
    if query.lstrip(f"{_BLANK}\n").startswith("["):
        try:
            loaded = from_json(query)
        except (ValueError, TypeError) as error:
            raise InvalidRequestError(
                'the query begins with "[" and is not a JSON array ({reason})',
                argument="keys",
                remedy=_ADVICE,
                fields={"reason": str(error)},
            ) from error
        return _check_strings(loaded)
    # not splitlines: it breaks at characters that are legal in keys, such as U+2028
    lines = (line.strip(_BLANK) for line in query.split("\n"))
    return [line for line in lines if line]


def query_of(keys: Iterable[str]) -> str:
    """Return a query that names exactly these keys, always as a JSON array.

    Raises:
        InvalidRequestError: `keys` is one string, or holds something that is not a string.

    Examples:
        >>> query_of(["doc-001", "[odd"])
        '["doc-001", "[odd"]'
    """
    if isinstance(keys, str):
        raise InvalidRequestError(
            "query_of takes several keys", argument="keys", remedy="put a single one into a list"
        )
    # ensure_ascii would make six characters of each Chinese one, in traces too
    return json.dumps(_check_strings(keys), ensure_ascii=False)


def is_key(key: object, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Tell whether something can be the key of a record at all."""
    try:
        check_key(key, limits)
    except InvalidRequestError:
        return False
    return True


def _check_strings(items: Iterable[object]) -> list[str]:
    keys = []
    for position, item in enumerate(items):
        if not isinstance(item, str):
            raise InvalidRequestError(
                "keys are strings, and the one at position {position} (counted from 0) is of type "
                "{kind}",
                argument="keys",
                value=item,
                fields={"position": position},
            )
        keys.append(item)
    return keys
