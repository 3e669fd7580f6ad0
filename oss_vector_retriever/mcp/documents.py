"""Records as documents of an answer: what to cite them by, and as much as there is room for.

`search` and `fetch` have the form that OpenAI's connectors and deep research ask for: a result has
`id`, `title` and `url`, a document `text` and `metadata` besides. A host cites only what has a URL,
and opens it when a user clicks on it: so the URL of a record is taken from its metadata only where
it is one that a browser opens as a page, and else names the record, as `ossvectors://` does.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote, unquote

from ..client.errors import escape_controls
from ..records import Record
from ..records.agent_ids import Access
from ..records.answers import show_metadata
from ..records.settings import ROW_FIELD, ROW_ID_FIELD

T = TypeVar("T")

Object = dict[str, Any]

SCHEME: Final = "ossvectors"
LEAST_ROOM: Final = 1_000  # characters of an answer; less of it would be ids and URLs alone

_LONGEST_TITLE: Final = 200
_LEAST_TEXT: Final = 200  # of the first document, so that who reads on comes to an end
# A page on the web, with a host and without a password. Nothing in it ends a link, or is read
# otherwise by a browser than it looks: blanks, controls, quotes, brackets, backslashes.
_PAGE: Final = re.compile(
    r"https?://[^\s\x00-\x20/?#@\\<>\"'`{}|^\x7f-\xa0\u2028\u2029\ufeff]+"
    r"(?:[/?#][^\s\x00-\x20\\<>\"`{}|^\x7f-\xa0\u2028\u2029\ufeff]*)?",
    re.IGNORECASE,
)
_LONGEST_URL: Final = 2_000
# Where to read on, as of a text (RFC 5147): `#char=4000`.
_START: Final = re.compile(r"char=([0-9]{1,18})(?:,[0-9]*)?")
_LINKS: Final = {"previous_id": "2", "next_id": "3"}  # LlamaIndex's own numbers of them
# The one member of a document's metadata that is ours; of a record's own nothing is known.
READING: Final = "_reading"


def to_json(value: object) -> str:
    """Return a value as the JSON of a text content."""
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Presentation:
    """The way in which the records of an index are shown.

    Attributes:
        bucket, index: where they are.
        url_field: the metadata field that holds the URL of a record's page.
        title_field: the metadata field that holds a title.
        metadata_fields: the only metadata that are shown; None for all.
        access: the keys that may be shown; one that a record links to may be another.
    """

    bucket: str
    index: str
    access: Access
    url_field: str | None = None
    title_field: str | None = None
    metadata_fields: Sequence[str] | None = None

    @property
    def base(self) -> str:
        """Return what the URL of each record begins with."""
        return f"{SCHEME}://{quote(self.bucket, safe='')}/{quote(self.index, safe='')}/"

    def own_url(self, key: str) -> str:
        """Return the URL that names a record by where it is stored."""
        return self.base + quote(key, safe="")

    def split_url(self, asked: str) -> tuple[str, int] | None:
        """Return the key that a URL of `own_url` names and where to begin; None for another."""
        if not asked.startswith(self.base):
            return None
        key, _, fragment = asked.removeprefix(self.base).partition("#")
        start = _START.fullmatch(fragment)
        return unquote(key), int(start[1]) if start else 0

    def url(self, record: Record) -> str:
        """Return the URL to cite a record by."""
        given = record.metadata.get(self.url_field) if self.url_field else None
        is_page = (
            isinstance(given, str) and len(given) <= _LONGEST_URL and bool(_PAGE.fullmatch(given))
        )
        return str(given) if is_page else self.own_url(record.key)

    def title(self, record: Record) -> str:
        """Return the title of a record, on one line; its id where it has none."""
        given = record.metadata.get(self.title_field) if self.title_field else None
        # a number may be a title, a list is none
        words = str(given).split() if isinstance(given, str | int | float) else []
        title = escape_controls(" ".join(words) or record.key)
        return title if len(title) <= _LONGEST_TITLE else f"{title[:_LONGEST_TITLE]}..."

    def visible_fields(self, record: Record) -> list[str]:
        """Return the names of the metadata that an agent may see."""
        # what a LlamaIndex program hides from its model stays hidden
        excluded = _strings((record.node or {}).get("excluded_llm_metadata_keys"))
        hidden = {ROW_FIELD, ROW_ID_FIELD, READING, *excluded}
        shown = record.metadata if self.metadata_fields is None else self.metadata_fields
        return [name for name in shown if name in record.metadata and name not in hidden]

    def result(self, record: Record, snippet: int = 0) -> Object:
        """Return a record as a result of a search, with so much of its text."""
        found = {"id": record.key, "title": self.title(record), "url": self.url(record)}
        if snippet:
            cut = "..." if len(record.text) > snippet else ""
            found["text"] = record.text[:snippet] + cut
        return found

    def document(self, record: Record, start: int, room: int, least: int = _LEAST_TEXT) -> Object:
        """Return a record as a document whose JSON has `room` characters.

        It has more where as few as `least` of its text would not fit. What there is to know of the
        text, such as the id by which to read on after a cut, stands in its metadata.
        """
        total = len(record.text)
        reading = self._links(record)
        # the longest that it can become is reserved before it is known whether the text is cut
        longest = {**reading, **self._describe_cut(record.key, start, total, total + 1)}
        document: Object = {
            "id": record.key,
            "title": self.title(record),
            "text": "",
            "url": self.url(record),
            "metadata": {**self._metadata(record, room // 4), READING: longest},
        }
        left = max(room - len(to_json(document)), least)
        body = fit(record.text[start : start + left], left)
        document["text"] = body
        if start + len(body) < total or start > total:
            reading |= self._describe_cut(record.key, start, start + len(body), total)
        if reading:
            document["metadata"][READING] = reading
        else:
            del document["metadata"][READING]
        return document

    def _metadata(self, record: Record, room: int) -> Object:
        # on its way through JSON, which all that is shown has to take: NaN does not
        text = show_metadata(record.metadata, self.visible_fields(record)) or "{}"
        shown: Object = json.loads(text, parse_constant=str)
        kept: Object = {}
        for name, value in shown.items():
            if len(to_json({**kept, name: value})) > room:
                # who reads it should know that there is more
                return {**kept, "...": f"{len(shown) - len(kept)} more fields"}
            kept[name] = value
        return kept

    def _links(self, record: Record) -> Object:
        """Return the ids of what stands before and after a record in its document."""
        given = (record.node or {}).get("relationships")
        links: Object = given if isinstance(given, dict) else {}
        found: Object = {}
        for name, link in _LINKS.items():
            linked = links.get(link)
            key = linked.get("node_id") if isinstance(linked, dict) else None
            if isinstance(key, str) and self.access.permits(key):
                found[name] = key
        return found

    def _describe_cut(self, key: str, start: int, end: int, total: int) -> Object:
        if start > total:
            return {"characters": f"nothing more: it has {total}"}
        said = f"{start} to {min(end, total)} of {total}"
        return {"characters": said, "rest_id": f"{self.own_url(key)}#char={end}"}


def _strings(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def fit(text: str, room: int) -> str:
    """Return as much of the beginning of a text as has `room` characters in JSON."""
    text = text[:room]
    if len(to_json(text)) <= room + 2:
        return text
    low, high = 0, len(text)  # controls take six characters each
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(to_json(text[:middle])) <= room + 2 else (low, middle - 1)
    return text[:low]


def take_fitting(objects: Iterable[T], room: int) -> list[T]:
    """Return as many of the first objects as have `room` characters in JSON; one at least."""
    taken: list[T] = []
    for one in objects:
        room -= len(to_json(one)) + 2
        if room < 0 and taken:
            break
        taken.append(one)
    return taken
