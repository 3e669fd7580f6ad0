"""What a command prints: the API's own JSON, its entries as lines, or a table to read.

Keys, metadata, file names and a service's words come from whoever wrote them, and a terminal obeys
what is printed on it. So all that is printed goes through `echo`, or through cells of `tables`.
"""

import importlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import click

# the catalogue names these functions, and `--help` needs no more than the catalogue: whatever is
# heavy is imported where it is used
if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from ..client.errors import WriteReport
    from ..client.models.results import BucketLogging, FetchResult, VectorBucket, VectorIndex

Entry = dict[str, Any]


class Document(NamedTuple):
    """What a command prints.

    Attributes:
        members: the whole, for JSON.
        entries: what stands on the lines of JSON lines, and in the rows of a table.
        notes: what a reader of the entries should know besides.
        single: whether it is one object, and no list.
        columns: the members that a table shows, with their headings; none for all.
    """

    members: Any
    entries: list[Any]
    notes: Mapping[str, str] = {}
    single: bool = False
    columns: Mapping[str, str] = {}


class Listing(NamedTuple):
    """How a list is printed, a page of it or all.

    Attributes:
        member: the member that holds the entries.
        entry: from one of the client's items to JSON.
        outside: the member around all of it, if there is one.
        token: the member that holds the token of the next page.
        attribute: the attribute of a page that holds it.
        more: what brings the next page.
        columns: the members that a table shows, with their headings; none for all.
    """

    member: str
    entry: Callable[[Any], Entry]
    outside: str | None = None
    token: str = "nextToken"  # noqa: S105 - a member's name
    attribute: str = "next_token"
    more: str = "--next-token {}, or --all"
    columns: Mapping[str, str] = {}

    def __call__(self, page: Iterable[Any]) -> Document:
        """Return what is printed of a page, or of all items."""
        token = getattr(page, self.attribute, None)  # an iterator over all pages has none
        entries = [self.entry(item) for item in page]
        members: Entry = {self.member: entries, **({self.token: token} if token else {})}
        notes = {"more": self.more.format(token)} if token else {}
        whole = {self.outside: members} if self.outside else members
        return Document(whole, entries, notes, columns=self.columns)


def echo(text: str, *, err: bool = False, line_end: bool = True) -> None:
    """Print a text without what a terminal would obey; JSON stays JSON of the same value."""
    from ..client.errors import escape_controls  # noqa: PLC0415 - not for `--help`

    # a full or closed stderr changes nothing in what was done; what stdout cannot take is an error
    with suppress(OSError) if err else nullcontext():
        click.echo(escape_controls(text), err=err, nl=line_end)


def print_document(
    document: Document, style: str | None, query: Any = None, *, wide: bool = False
) -> None:
    """Print a document in one of the output formats.

    Args:
        document: what is printed.
        style: the format; None for JSON whose long data a terminal shows the beginning of.
        query: a compiled JMESPath expression.
        wide: show every member in a table.
    """
    if query is not None:
        document = _query(document, query)
    if style in _WHOLE:
        echo(_WHOLE[style](document.members))
        return
    if style is None or style == "json":
        _print_json(document.members, shortens=style is None)
        return
    if style == "jsonl":
        print_lines(document.entries)
    else:
        print_table(document, wide=wide)
    for name, note in document.notes.items():
        # lines are for programs: what is no entry must not stand among them
        echo(f"{name}: {note}", err=style == "jsonl")
    if style == "table" and not document.columns and any(map(_is_record, document.entries)):
        echo("hint: these are records of this package; --as-document shows what they say")


def print_lines(entries: Iterable[Any]) -> None:
    """Print each entry on a line of its own."""
    for entry in entries:
        echo(_json(entry))


def print_table(document: Document, *, wide: bool = False) -> None:
    """Print the entries as a table, or one below the other where they are too wide for it."""
    from . import tables  # noqa: PLC0415 - rich is loaded for tables alone

    if not document.entries:
        click.echo("(none)")
        return
    if document.single:
        drawn = tables.draw_one(document.entries[0], wide=wide)
    else:
        drawn = tables.draw_entries(document.entries, document.columns, wide=wide)
    # not by rich's own print: click's output is what tests and pipes are given
    click.echo(drawn, nl=False)


def _is_record(entry: Any) -> bool:
    metadata = entry.get("metadata") if isinstance(entry, Mapping) else None
    return isinstance(metadata, Mapping) and "_record" in metadata


def _print_json(value: Any, *, shortens: bool) -> None:
    """Print JSON on one line; on a terminal in lines to read, with data shortened if it may be."""
    if not sys.stdout.isatty():
        echo(_json(value))
        return
    lines = IndentedJson(_FEW if shortens else None)
    echo(lines.text_of(_plain(value)))
    if lines.was_shortened:
        # what is shown is no JSON then: a copy of it fails, where a vector cut in silence would not
        echo("data are shown in part; --output-format json shows them whole", err=True)


_FEW = 3  # numbers of an embedding, which tell two apart


class IndentedJson:
    """JSON in lines to read: an object's members below each other, numbers beside each other.

    Args:
        most: how many numbers of a longer list are shown; None for all.

    Attributes:
        was_shortened: whether some were left out.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self.was_shortened = False

    def text_of(self, value: Any, indent: str = "") -> str:
        """Return a value of JSON's own types as text; lines after the first begin with `indent`."""
        if isinstance(value, dict) and value:
            inner = indent + "  "
            members = (f"{_json(n)}: {self.text_of(item, inner)}" for n, item in value.items())
            return "{\n" + ",\n".join(inner + member for member in members) + f"\n{indent}}}"
        if not isinstance(value, list) or not value:
            return _json(value)
        if all(isinstance(item, int | float) for item in value):
            return self._numbers(value)
        inner = indent + "  "
        items = ",\n".join(inner + self.text_of(item, inner) for item in value)
        return f"[\n{items}\n{indent}]"

    def _numbers(self, values: list[Any]) -> str:
        # a list that is a little longer than what is shown of one is shown whole
        if self._most is None or len(values) <= 2 * self._most:
            return "[" + ", ".join(map(_json, values)) + "]"
        self.was_shortened = True
        shown = ", ".join(map(_json, values[: self._most]))
        return f"[{shown}, ... {len(values) - self._most:,} more]"


def _query(document: Document, query: Any) -> Document:
    """Return what a query picks of the JSON that would be printed."""
    try:
        found = query.search(_plain(document.members))
    except importlib.import_module("jmespath.exceptions").JMESPathError as error:
        text = " ".join(str(error).split())
        raise click.BadParameter(text, param_hint="--output-query") from None
    entries = found if isinstance(found, list) else [found]
    return Document(found, entries, single=isinstance(found, Mapping))


def _json(value: Any) -> str:
    from ..client.wire import dump_json  # noqa: PLC0415 - not for `--help`

    try:
        return dump_json(value).decode()
    except TypeError:
        # orjson has no integers over 64 bits, which records of this package may hold
        separators = (",", ":")
        return json.dumps(value, default=_numbers_of, ensure_ascii=False, separators=separators)


def _numbers_of(data: Any) -> Any:
    from ..client.wire import dump_json  # noqa: PLC0415 - as above

    return json.loads(dump_json(data))  # with the digits of a float32, not of a double


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: lists in place of packed data."""
    return json.loads(_json(value))


def _yaml(value: Any) -> str:
    from ..client.errors import CONTROLS  # noqa: PLC0415 - the same

    dump = importlib.import_module("yaml").safe_dump
    text: str = dump(_plain(value), allow_unicode=True, sort_keys=False)
    if CONTROLS.search(text):
        # what `echo` would escape must stand in quotes, where YAML reads it as it was
        text = dump(_plain(value), allow_unicode=False, sort_keys=False)
    return text.removesuffix("\n...\n").removesuffix("\n")


def _xml(value: Any) -> str:
    """Return a value as XML under `root`, as ossutil names it; a list repeats its element."""
    from xml.etree import ElementTree as ET  # noqa: PLC0415 - the same

    root = ET.Element("root")
    _fill(root, _plain(value))
    ET.indent(root)
    return ET.tostring(root, "unicode")


_XML_NAME = re.compile(r"(?!xml)[A-Za-z_][A-Za-z0-9_.-]*", re.IGNORECASE)


def _fill(element: "Element", content: Any) -> None:
    if not isinstance(content, Mapping | list):
        element.text = content if isinstance(content, str) else _json(content)
        return
    # a list that is no member's has no name of its own
    members = content.items() if isinstance(content, Mapping) else [("item", content)]
    for name, member in members:
        for item in member if isinstance(member, list) else [member]:
            # a name that XML does not allow, as metadata may have, becomes an attribute
            if _XML_NAME.fullmatch(name):
                child = element.makeelement(name, {})
            else:
                child = element.makeelement("member", {"name": name})
            element.append(child)
            _fill(child, item)


_WHOLE: dict[str, Callable[[Any], str]] = {"yaml": _yaml, "xml": _xml}


def vector_entry(item: Any) -> Entry:
    """Return a vector, or a hit, in the API's own form."""
    entry: Entry = {"key": item.key}
    data = getattr(item, "data", None)
    if data is not None:
        entry["data"] = {"float32": data}  # packed: the JSON writer knows how to write it
    for name in ("distance", "score", "metadata"):
        value = getattr(item, name, None)
        if value is not None:
            entry[name] = value
    return entry


def api_entry(item: "VectorIndex | VectorBucket") -> Entry:
    """Return the description of an index or a bucket in the API's own form."""
    return item.to_api()


VECTORS = Listing("vectors", vector_entry)
INDEXES = Listing(
    "indexes",
    api_entry,
    columns={
        "indexName": "name",
        "dimension": "dimension",
        "distanceMetric": "metric",
        "status": "status",
        "createTime": "created (UTC)",
    },
)
BUCKETS = Listing(
    "Buckets",
    api_entry,
    "ListAllMyBucketsResult",
    "NextMarker",
    "next_marker",
    "--marker {}, or --all",
    {"Name": "name", "Region": "region", "CreationDate": "created (UTC)"},
)
HITS = Listing("vectors", vector_entry, more="--next-token {}")


def show_fetched(result: "FetchResult") -> Document:
    """Return what GetVectors would answer for all keys at once, and what was missing."""
    entries = [vector_entry(item) for item in result]
    notes = {"missing": ", ".join(result.missing)} if result.missing else {}
    return Document({"vectors": entries, "missing": list(result.missing)}, entries, notes)


def show_index(item: "VectorIndex") -> Document:
    """Return what GetVectorIndex answers."""
    return Document({"index": item.to_api()}, [item.to_api()], single=True)


def show_bucket(item: "VectorBucket") -> Document:
    """Return what GetVectorBucket answers."""
    return Document({"BucketInfo": item.to_api()}, [item.to_api()], single=True)


def show_object(item: Entry) -> Document:
    """Return JSON that the client hands on."""
    return Document(item, [item], single=True)


def show_logging(item: "BucketLogging | None") -> Document:
    """Return what GetBucketLogging answers."""
    if item is None:
        return Document({"BucketLoggingStatus": {}}, [])
    enabled = item.to_api()
    members = {"BucketLoggingStatus": {"LoggingEnabled": enabled}}
    return Document(members, [enabled], single=True)


def raise_failures(report: "WriteReport") -> None:
    """Print nothing of a write that succeeded.

    Raises:
        PartialWriteError: some of it failed.
        OSSVectorError: all of it failed.
    """
    from ..client.errors import PartialWriteError  # noqa: PLC0415 - the same

    errors = [batch.error for batch in report.batches if batch.error is not None]
    if errors:
        raise PartialWriteError(report) if report.written else errors[0]
