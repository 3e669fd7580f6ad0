"""What is kept of each document beside an index: a row in the side index.

A row names the nodes of a document, those whose vectors stand in the index and those that the
document store keeps without; it holds the document's hash and metadata. It is written before the
nodes that it names, and goes after them: whatever is interrupted, and wherever, the row names at
least what is there. So a document is deleted without a search for its nodes, and what was
interrupted is done by doing it again.

A row is `whole` where it is known to name all nodes of its document in the index: the side index
was made before the index, so that no node was written without a row, or the index was asked. Of
another one a listing with a filter tells the nodes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ..client import known_indexes
from ..client.context import Context, Flow, PerIndex
from ..client.errors import InvalidRequestError, NoSuchVectorIndexError
from ..client.holds import Hold, run_with
from ..client.models.vector import Vector
from ..records import decode
from ..records.conditions import Operator, Test, document_id
from ..records.decode import SOURCE_ID_FIELD
from ..records.listing import Pages
from ..records.settings import is_row
from ..records.side import Row, SideIndex, stored_key
from ..records.store import RecordStore

KIND: Final = "document"
NODE_KIND: Final = "node"
_BELIEVED: Final = 30.0  # seconds, of what a listing or a get has shown of rows
_ABSENCE_BELIEVED: Final = 300.0  # seconds, of the side index
_SINGLES: Final = 3  # gets of single rows, after which they are listed
_MOST_ROWS: Final = 20_000  # in memory; more documents than that are not listed to answer for one
_MOST_NODES: Final = 600  # named in a row, which has to stay within 36 KB


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """One document.

    Attributes:
        id: its id, of any form.
        hash: of the document, as who ingested it has set it.
        nodes: the ids of its nodes in the index.
        kept: the ids of its nodes that are kept without a vector, in the side index.
        is_kept: whether the document itself is kept so, as a node of its own.
        metadata: of the document.
        is_whole: whether `nodes` are all that it has in the index.
    """

    id: str
    hash: str | None = None
    nodes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    is_kept: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    is_whole: bool = False

    @classmethod
    def from_row(cls, row: Row) -> "DocumentRow":
        """Return the document in a row; a member of another form counts as absent."""
        value = row.value
        return cls(
            row.key,
            _of_type(value.get("hash"), str, None),
            tuple(_of_type(value.get("nodes"), list, [])),
            tuple(_of_type(value.get("kept"), list, [])),
            value.get("is_kept") is True,
            _of_type(value.get("metadata"), dict, {}),
            value.get("is_whole") is True,
        )

    def to_row(self) -> Row:
        """Return the row; what is empty is left out."""
        members: dict[str, Any] = {
            "hash": self.hash,
            "nodes": list(self.nodes),
            "kept": list(self.kept),
            "is_kept": self.is_kept,
            "metadata": dict(self.metadata),
            "is_whole": self.is_whole,
        }
        return Row(KIND, self.id, {name: value for name, value in members.items() if value})

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to keep of the document."""
        return not (self.hash or self.nodes or self.kept or self.is_kept)


def _of_type(value: Any, kind: type, otherwise: Any) -> Any:
    return value if isinstance(value, kind) else otherwise


@dataclass(frozen=True, slots=True)
class Entry:
    """What a row keeps of a node: its id, the document it is of (None: none), and metadata."""

    node: str
    document: str | None
    metadata: Mapping[str, Any]


class _Memory:
    """What this process knows of the rows beside one index."""

    def __init__(self) -> None:
        self.is_in_use = False  # a document store of this process keeps rows
        self.side_absent_at: float | None = None
        self.side_came_first = False
        self.rows: dict[str, tuple[DocumentRow | None, float]] = {}
        self.emptied: dict[str, float] = {}  # documents all of whose nodes this process deleted
        self.left: dict[str, DocumentRow] = {}  # rows that are gone, and not yet the nodes
        self.index_absent_at: float | None = None
        self.singles = 0
        self.began_at: float | None = None  # of a listing
        self.token: str | None = None
        self.is_listed = False

    def forget_expired(self, now: float) -> None:
        """Forget what is older than is believed."""
        if self.began_at is not None and now - self.began_at > _BELIEVED:
            self.began_at, self.token, self.is_listed, self.singles = None, None, False, 0
        oldest = now - _BELIEVED
        if self.rows and next(iter(self.rows.values()))[1] < oldest:
            self.rows = {key: one for key, one in self.rows.items() if one[1] >= oldest}
            self.emptied = {key: at for key, at in self.emptied.items() if at >= oldest}

    def note(self, key: str, row: DocumentRow | None, now: float) -> None:
        """Remember a row, or that there is none."""
        self.rows.pop(key, None)  # so that the oldest stand first
        self.rows[key] = (row, now)
        if row is not None:
            self.emptied.pop(key, None)


_memories: PerIndex[_Memory] = PerIndex()


class DocumentRows:
    """The rows of the documents of one index, each method a flow."""

    def __init__(self, records: RecordStore) -> None:
        self.records = records
        self.side = SideIndex(records.settings)

    def memory(self, context: Context) -> _Memory:
        """Return what this process knows of the rows."""
        return _memories.find(context, self.side.name(context), _Memory)

    def use(self, context: Context) -> None:
        """Have rows kept from now on, by all stores of this process on the index."""
        self.memory(context).is_in_use = True

    def are_kept(self, context: Context) -> Flow[bool]:
        """Return whether rows are kept: a document store of the index has begun to, anywhere."""
        if self.records.settings.side_index is False:
            return False
        memory = self.memory(context)
        if memory.is_in_use or known_indexes.peek(context, self.side.name(context)) is not None:
            return True
        absent_at = memory.side_absent_at
        if absent_at is not None and context.monotonic() - absent_at < _ABSENCE_BELIEVED:
            return False
        try:
            found = yield from known_indexes.describe(context, self.side.name(context))
        except NoSuchVectorIndexError:
            memory.side_absent_at = context.monotonic()
            return False
        if found.dimension == 0:  # who may not look at it keeps no rows in it
            memory.side_absent_at = context.monotonic()
        return found.dimension != 0

    def are_there(self, context: Context) -> bool:
        """Tell whether there is a side index, as far as that is known without a call."""
        if self.records.settings.side_index is False:
            return False
        return known_indexes.peek(context, self.side.name(context)) is not None

    def find(self, context: Context, key: str) -> Flow[DocumentRow | None]:
        """Return a document's row, from memory where it was seen within the last half minute.

        Core asks for documents one by one: after a few that were got, they are listed page by page,
        one page for each that is asked for.
        """
        memory, now = self.memory(context), context.monotonic()
        memory.forget_expired(now)
        if memory.singles >= _SINGLES and self._is_unknown(memory, key):
            yield from self._list_page(context, memory)
        if not self._is_unknown(memory, key):
            return memory.rows.get(key, (None, 0.0))[0]
        memory.singles += 1
        found = yield from self.get(context, [key])
        return found.get(key)

    def get(self, context: Context, keys: Sequence[str]) -> Flow[dict[str, DocumentRow]]:
        """Return rows as they are now; those not there are left out."""
        rows = yield from self.side.get_rows(context, KIND, keys)
        found = {key: DocumentRow.from_row(row) for key, row in rows.items()}
        self._note(context, {key: found.get(key) for key in keys})
        return found

    def list_all(self, context: Context) -> Flow[dict[str, DocumentRow]]:
        """Return all rows; listed, unless they were within the last half minute."""
        memory = self.memory(context)
        memory.forget_expired(context.monotonic())
        while not memory.is_listed and len(memory.rows) <= _MOST_ROWS:
            yield from self._list_page(context, memory)
        if memory.is_listed:
            return {key: row for key, (row, _) in memory.rows.items() if row is not None}
        rows = yield from self.side.list_rows(context, KIND)
        return {row.key: DocumentRow.from_row(row) for row in rows}

    def set_hashes(self, context: Context, hashes: Mapping[str, str]) -> Flow[None]:
        """Set the hashes of documents."""
        self.use(context)
        changes = self._set_hashes(context, hashes)
        yield from run_with(self._hold(context, hashes), changes, context.deadline())

    def _set_hashes(self, context: Context, hashes: Mapping[str, str]) -> Flow[None]:
        rows = yield from self._current(context, hashes)
        changed = [replace(rows[key], hash=digest) for key, digest in hashes.items()]
        yield from self._put(context, [row for row in changed if row != rows[row.id]])

    def write(self, context: Context, entries: Sequence[Entry], writing: Flow[Any]) -> Flow[None]:
        """Run a flow that writes vectors of nodes, which the rows name before it and after it.

        Nodes that were kept without a vector until now are kept so no longer.
        """
        keys = _documents(entries)
        flow = self._write(context, entries, writing)
        yield from run_with(self._hold(context, keys), flow, context.deadline())

    def _write(self, context: Context, entries: Sequence[Entry], writing: Flow[Any]) -> Flow[None]:
        rows = yield from self.name(context, entries)
        self.memory(context).index_absent_at = None
        yield from writing
        yield from self.drop_kept(context, rows, [entry.node for entry in entries])

    def name(
        self,
        context: Context,
        entries: Sequence[Entry],
        kept: Sequence[Entry] = (),
        hashes: Mapping[str, str] | None = None,
    ) -> Flow[dict[str, DocumentRow]]:
        """Have the rows name nodes that are about to be written; return the rows as they were.

        Of those `kept` without a vector one without a document is a document of its own; the
        `hashes` are of such. Nothing is called where the rows name all of them.
        """
        rows = yield from self._current(context, _documents([*entries, *kept]))
        changed = dict(rows)
        # what is kept is named until it is gone
        for key, group in _grouped(entries).items():
            named = dict.fromkeys([*changed[key].nodes, *(entry.node for entry in group)])
            changed[key] = _describe(changed[key], group, nodes=tuple(named))
        for key, group in _grouped(kept).items():
            named = dict.fromkeys([*changed[key].kept, *(entry.node for entry in group)])
            changed[key] = _describe(changed[key], group, kept=tuple(named))
        for entry in kept:
            if entry.document is None:
                changed[entry.node] = _describe(changed[entry.node], [entry], is_kept=True)
        for key, digest in (hashes or {}).items():
            if not changed[key].is_empty:
                changed[key] = replace(changed[key], hash=digest)
        yield from self._put(context, [row for row in changed.values() if row != rows[row.id]])
        return changed

    def drop_kept(
        self, context: Context, rows: Mapping[str, DocumentRow], nodes: Iterable[str]
    ) -> Flow[None]:
        """Drop nodes that were kept without a vector, and their names from the rows."""
        written, kept, changed = set(nodes), list[str](), list[DocumentRow]()
        for row in rows.values():
            moved = written.intersection(row.kept)
            kept += moved
            if row.is_kept and row.id in written:
                kept.append(row.id)
                moved.add(row.id)
            if moved:
                left = tuple(node for node in row.kept if node not in moved)
                changed.append(replace(row, kept=left, is_kept=row.is_kept and row.id not in moved))
        if kept:
            yield from self._delete_stored(context, NODE_KIND, kept)
            yield from self._put(context, changed)

    def hold(self, context: Context, entries: Sequence[Entry]) -> Hold:
        """Return a hold on the documents of nodes, for what reads rows and writes them back."""
        return self._hold(context, _documents(entries))

    def _hold(self, context: Context, keys: Iterable[str]) -> Hold:
        # not on the keys themselves: a write of the rows would wait for its own hold
        names = [f"{KIND}!{key}" for key in keys]
        return Hold(context, self.side.name(context), names, alone=True)

    def nodes_of(
        self, context: Context, row: DocumentRow | None, key: str, *, return_data: bool = False
    ) -> Flow[dict[str, Vector]]:
        """Return the vectors of a document's nodes in the index, each looked at here.

        Those that a whole row names are got by key; else the index is listed, with a filter.
        """
        if row is not None and row.is_whole:
            if not row.nodes:
                return {}
            found = yield from self.records.fetch(context, row.nodes, return_data=return_data)
            return {name: one for name, one in found.by_key.items() if is_of(one, key)}
        of_document = Test(SOURCE_ID_FIELD, Operator.EQ, key)
        pushed = self.records.push(context, of_document).filter
        pages = Pages(self.records, pushed)
        listed: dict[str, Vector] = {}
        while not pages.is_done:
            page = yield from pages.read(context)
            listed |= {one.key: one for one in page if is_of(one, key)}
        if not return_data or not listed:
            return listed
        found = yield from self.records.fetch(context, list(listed), return_data=True)
        return {name: one for name, one in found.by_key.items() if is_of(one, key)}

    def forget_nodes_of(self, context: Context, row: DocumentRow | None, key: str) -> Flow[None]:
        """Have no row name nodes that are gone from the index, nor say that the document is there.

        What the document store keeps of it without a vector stays, and is named.
        """
        left = None if row is None else replace(row, nodes=(), hash=None, is_whole=True)
        if left is None or left.is_empty:
            yield from self.drop(context, row, key)
        elif left != row:
            yield from self._put(context, [left])

    def forget_nodes(self, context: Context) -> Flow[None]:
        """Do the same for all documents: the index is empty."""
        rows = yield from self.side.list_rows(context, KIND)
        found = [DocumentRow.from_row(row) for row in rows]
        left = [replace(row, nodes=(), hash=None, is_whole=True) for row in found]
        yield from self._put(context, [row for row in left if not row.is_empty])
        gone = [row.id for row in left if row.is_empty]
        yield from self._delete_stored(context, KIND, gone)
        self._note(context, dict.fromkeys(gone))

    def forget_own(self, context: Context, row: DocumentRow) -> Flow[None]:
        """Forget a document's own node and its hash; the nodes of it stay where they are."""
        memory = self.memory(context)
        if row.kept:
            yield from self._delete_stored(context, NODE_KIND, [row.id] if row.is_kept else [])
            yield from self._put(context, [replace(row, hash=None, is_kept=False)])
            return
        # a vector store is asked next for its nodes, as a rule; what others know is the index
        yield from self.drop(context, row, row.id)
        if row.nodes:
            memory.emptied.pop(row.id, None)
            memory.left[row.id] = row

    def leave_out(self, context: Context, key: str, node: str) -> Flow[None]:
        """Leave a node that is gone out of its document's row; without nodes the row goes."""
        hold = self._hold(context, [key])
        yield from run_with(hold, self._leave_out(context, key, node), context.deadline())

    def _leave_out(self, context: Context, key: str, node: str) -> Flow[None]:
        found = yield from self.get(context, [key])
        row = found.get(key)
        if row is None or node not in {*row.nodes, *row.kept}:
            return
        nodes = tuple(one for one in row.nodes if one != node)
        left = replace(row, nodes=nodes, kept=tuple(one for one in row.kept if one != node))
        if left.nodes or left.kept or not left.is_whole:
            yield from self._put(context, [left])
        else:
            yield from self.drop(context, left, key)

    def was_emptied(self, context: Context, key: str) -> bool:
        """Tell whether this process has just deleted all nodes of a document."""
        return key in self.memory(context).emptied

    def left_by(self, context: Context, key: str) -> DocumentRow | None:
        """Return the row of a document that is deleted, all but for its nodes."""
        return self.memory(context).left.pop(key, None)

    def has_index(self, context: Context) -> Flow[bool]:
        """Return whether the index is there; that it is not is believed half a minute."""
        memory, now = self.memory(context), context.monotonic()
        if memory.index_absent_at is not None and now - memory.index_absent_at < _BELIEVED:
            return False
        if (yield from self.records.describe(context)) is None:
            memory.index_absent_at = now
            return False
        return True

    def drop(self, context: Context, row: DocumentRow | None, key: str) -> Flow[None]:
        """Drop a document whose nodes are gone from the index: its row, and all that is kept."""
        if row is not None:
            side = self.side.records(context)
            kept = [*row.kept, *([key] if row.is_kept else ())]
            names = [stored_key(KIND, "", key), *(stored_key(NODE_KIND, "", one) for one in kept)]
            yield from side.delete(context, names)
        self._note(context, {key: None})
        memory = self.memory(context)
        memory.emptied[key] = context.monotonic()

    def delete_kept(self, context: Context, nodes: Sequence[str]) -> Flow[None]:
        """Delete nodes that are kept without a vector; the rows are the caller's."""
        yield from self._delete_stored(context, NODE_KIND, nodes)

    def _put(self, context: Context, rows: Sequence[DocumentRow]) -> Flow[None]:
        if not rows:
            return
        # a row that has no room for its nodes does not name them: they are listed when they matter
        rows = [
            replace(row, nodes=(), is_whole=False) if len(row.nodes) > _MOST_NODES else row
            for row in rows
        ]
        yield from self.side.put_rows(context, [row.to_row() for row in rows])
        self._note(context, {row.id: row for row in rows})

    def _delete_stored(self, context: Context, kind: str, keys: Iterable[str]) -> Flow[None]:
        names = [stored_key(kind, "", key) for key in keys]
        yield from self.side.records(context).delete(context, names)

    def _note(self, context: Context, rows: Mapping[str, DocumentRow | None]) -> None:
        memory, now = self.memory(context), context.monotonic()
        for key, row in rows.items():
            memory.note(key, row, now)

    def _current(self, context: Context, keys: Iterable[str]) -> Flow[dict[str, DocumentRow]]:
        """Return rows as they are now, new ones of documents that have none.

        A row that was seen is read again: another process may have written to it. That there was
        none is believed.
        """
        memory, wanted = self.memory(context), list(keys)
        memory.forget_expired(context.monotonic())
        asked = [
            key
            for key in wanted
            if self._is_unknown(memory, key) or memory.rows.get(key, (None,))[0] is not None
        ]
        found = yield from self.get(context, asked)
        rows = {key: found.get(key) for key in wanted}
        if all(row is not None for row in rows.values()):
            return {key: row for key, row in rows.items() if row is not None}
        came_first = yield from self._came_first(context)
        return {
            key: row
            or memory.left.pop(key, None)
            or DocumentRow(key, is_whole=came_first or key in memory.emptied)
            for key, row in rows.items()
        }

    def _is_unknown(self, memory: _Memory, key: str) -> bool:
        return key not in memory.rows and not memory.is_listed

    def _list_page(self, context: Context, memory: _Memory) -> Flow[None]:
        if memory.is_listed or len(memory.rows) > _MOST_ROWS:
            return
        began = context.monotonic()
        token = memory.token
        page, memory.token = yield from self.side.list_row_page(context, KIND, None, token)
        memory.began_at = began if memory.began_at is None else memory.began_at
        for row in page:
            # what this process has written since it asked is newer
            if row.key not in memory.rows or memory.rows[row.key][1] < began:
                memory.note(row.key, DocumentRow.from_row(row), began)
        memory.is_listed = memory.token is None

    def _came_first(self, context: Context) -> Flow[bool]:
        """Return whether the side index was made before the index, which is not there at best."""
        memory = self.memory(context)
        if memory.side_came_first:
            return True
        index = yield from self.records.describe(context)
        try:
            side = yield from known_indexes.describe(context, self.side.name(context))
        except NoSuchVectorIndexError:
            side = None
        if index is None:
            # whoever makes both makes the side index first: here, by a row
            memory.side_came_first = True
        elif side is not None and side.create_time and index.create_time:
            memory.side_came_first = side.create_time < index.create_time
        return memory.side_came_first


def is_of(vector: Vector, document: str) -> bool:
    """Tell whether a stored vector is a node of a document, whoever wrote it."""
    # a damaged record is none of the document's, or still says so beside its envelope
    return not is_row(vector.metadata) and (
        document_id(decode(vector, on_decode_error="raw")) == document
    )


def check_document(doc_id: object) -> None:
    """Refuse what is no id of a document."""
    if not isinstance(doc_id, str) or not doc_id:
        raise InvalidRequestError(
            "{argument} is the id of a document, not {value}.", argument="ref_doc_id", value=doc_id
        )


def _documents(entries: Iterable[Entry]) -> list[str]:
    return list(dict.fromkeys(entry.document or entry.node for entry in entries))


def _grouped(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Return the nodes of each document."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.document is not None:
            groups.setdefault(entry.document, []).append(entry)
    return groups


def _describe(row: DocumentRow, entries: Sequence[Entry], **members: Any) -> DocumentRow:
    return replace(row, metadata=row.metadata or entries[0].metadata, **members)
