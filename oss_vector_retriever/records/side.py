"""`SideIndex`: rows beside a store's index, under their kind, collection and name.

A side index holds what no search should meet: key-value rows, nodes without embeddings, parts of
large values. Its dimension is 1 and each of its vectors is `DATA`. It is made by the first write
to it, and reads as empty before.

What others build on, all flows that a client runs:

    side = SideIndex(settings)                  the settings of the store that it stands beside
    side.name(context)                          its name
    side.records(context)                       a `RecordStore` on it, for records of any other form
    side.get_rows(context, kind, keys, collection="")     rows by name; those not there are left out
    side.put_rows(context, rows)                a `WriteReport`; rows of any size
    side.delete_rows(context, kind, keys, collection="")  the names of those that were there
    side.list_rows(context, kind, collection=None)        all rows; None: of any collection
    side.list_row_page(context, kind, collection=None, token=None)    one page, and the next token

The kinds share the index: each takes a name of its own for its rows.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from ..client.context import Context, Flow
from ..client.errors import NoSuchVectorIndexError, WriteReport
from ..client.models import Vector
from ..client.operations.checks import each_of
from .cutting import absence_error
from .filters import Filter
from .keys import is_key
from .listing import Pages
from .record import Record
from .settings import ROW_FIELD, StoreSettings, side_name, side_settings
from .store import RecordStore

COLLECTION_FIELD: Final = "_collection"
DATA: Final = (0.0,)  # a search in the side index would find nothing nearer than anything else
_NAME_FIELD: Final = "_name"  # JSON of collection and key, of which neither need be legal UTF-8
_VALUE_FIELD: Final = "value"
_LONGEST: Final = 200  # characters of a collection that a filter sees as it is


@dataclass(frozen=True, slots=True)
class Row:
    """One value under a name.

    Attributes:
        kind: of rows, such as "document"; of whose making they are.
        key: the name, any string: also one that is no legal key of the service.
        value: what JSON holds.
        collection: the part of the kind that it belongs to.
        text: stored beside the value, for what is text in the main.
    """

    kind: str
    key: str
    value: dict[str, Any] = field(default_factory=dict)
    collection: str = ""
    text: str = ""


class SideIndex:
    """The index beside a store's own; nothing is called before the first flow runs.

    Args:
        settings: of the store. Its `side_index` names this one, its `create_index` says whether
            a first write makes it.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings
        self._stores: dict[str, RecordStore] = {}

    def name(self, context: Context) -> str:
        """Return its name, `<index>side` unless the settings say another."""
        return side_name(self.settings, context.config.index_or(self.settings.index))

    def records(self, context: Context) -> RecordStore:
        """Return the records of the side index, of whatever form."""
        name = self.name(context)  # of which there is one, unless clients differ in their index
        if (store := self._stores.get(name)) is None:
            store = RecordStore(side_settings(self.settings, name), is_side=True)
            self._stores[name] = store
        return store

    def get_rows(
        self, context: Context, kind: str, keys: Iterable[str], collection: str = ""
    ) -> Flow[dict[str, Row]]:
        """Fetch rows by name; those that are not there are left out. No names: no call."""
        names = {stored_key(kind, collection, key): key for key in each_of(keys)}
        found = yield from self.records(context).fetch_records(context, list(names), _keep_record)
        rows = [_row_of(record) for record in found.made]
        return {row.key: row for row in rows if row is not None and row.kind == kind}

    def put_rows(
        self, context: Context, rows: Iterable[Row], *, fresh: bool = False
    ) -> Flow[WriteReport]:
        """Put rows; of a name that stands twice the last one counts. No rows: no call.

        With `fresh` nothing large stands under their names.

        Raises:
            InvalidRequestError: the side index is not there, and `create_index` is off.
            PartialWriteError: calls failed; its `report` says what was written and what not.
        """
        records = self.records(context)
        vectors = {one.key: one for one in (_vector_of(row, records) for row in rows)}
        try:
            return (yield from records.write(context, vectors.values(), fresh=fresh))
        except NoSuchVectorIndexError as error:
            name = self.name(context)
            raise absence_error(name, "rows that are not searched") from error

    def delete_rows(
        self, context: Context, kind: str, keys: Iterable[str], collection: str = ""
    ) -> Flow[set[str]]:
        """Delete rows by name and return the names that were there. No names: no call."""
        names = {stored_key(kind, collection, key): key for key in each_of(keys)}
        deleted = yield from self.records(context).delete_counted(context, list(names))
        return {names[key] for key in deleted.deleted}

    def list_rows(
        self, context: Context, kind: str, collection: str | None = None
    ) -> Flow[list[Row]]:
        """List all rows of a kind, or of one collection of it, page by page."""
        found: dict[str, Row] = {}
        token: str | None = None
        while True:
            page, token = yield from self.list_row_page(context, kind, collection, token)
            found |= {stored_key(kind, row.collection, row.key): row for row in page}
            if token is None:
                return list(found.values())

    def list_row_page(
        self, context: Context, kind: str, collection: str | None = None, token: str | None = None
    ) -> Flow[tuple[list[Row], str | None]]:
        """List the rows on one page of the index, and return the token of the next page."""
        records = self.records(context)
        pages = Pages(records, _filter(kind, collection), segments=1, token=token)
        page = yield from pages.read(context)
        while pages.is_within_page:
            page += yield from pages.read(context)
        # a service that ignores the filter lists everything
        own = [one for one in page if (one.metadata or {}).get(ROW_FIELD) == kind]
        rows = [_row_of(record) for one in own if (record := records.decode(one)) is not None]
        passing = [row for row in rows if row and collection in (None, row.collection)]
        return passing, pages.next_token


def stored_key(kind: str, collection: str, key: str) -> str:
    """Return the key of a row in the index; with a hash of its name where that is no legal key."""
    prefix = f"{kind}/{_escape(collection)}/"
    if is_key(prefix + key):
        return prefix + key
    # no collection is written like this one: of its % signs all are escaped
    return f"{kind}/%h/{_digest(prefix + key)}"


def _escape(collection: str) -> str:
    return collection.replace("%", "%25").replace("/", "%2F")


def _digest(text: str) -> str:
    # a lone surrogate is a legal character of a string, and no legal UTF-8
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _keep_record(record: Record) -> Record:
    return record


def _vector_of(row: Row, records: RecordStore) -> Vector:
    metadata = {
        ROW_FIELD: row.kind,
        # one that is empty might be refused
        **({COLLECTION_FIELD: _mark(row.collection)} if row.collection else {}),
        _NAME_FIELD: json.dumps([row.collection, row.key]),
        _VALUE_FIELD: row.value,
    }
    return records.encode(
        stored_key(row.kind, row.collection, row.key),
        DATA,
        text=row.text,
        metadata=metadata,
        own=(ROW_FIELD, COLLECTION_FIELD),
    )


def _mark(collection: str) -> str:
    """Return what stands for a collection where filters see it."""
    fits = len(collection) <= _LONGEST and is_key(collection)
    return collection if fits else _digest(collection)


def _row_of(record: Record) -> Row | None:
    """Return the row in a record; None for what stands there in another form."""
    kind, name, value = (record.metadata.get(f) for f in (ROW_FIELD, _NAME_FIELD, _VALUE_FIELD))
    if not (isinstance(kind, str) and isinstance(name, str) and isinstance(value, dict)):
        return None
    try:
        collection, key = json.loads(name)
    except (ValueError, TypeError):
        return None
    return Row(kind, key, value, collection, record.text)


def _filter(kind: str, collection: str | None) -> Filter:
    of_kind = {ROW_FIELD: {"$eq": kind}}
    if not collection:
        return of_kind
    return {"$and": [of_kind, {COLLECTION_FIELD: {"$eq": _mark(collection)}}]}
