"""What is kept of each document beside an index: a row in the side index.

A row names the nodes of a document, those whose vectors stand in the index and those that the
document store keeps without; it holds the document's hash and metadata. It is written before the
nodes that it names, and goes after them: whatever is interrupted, and wherever, the row names at
least what is there. So a document is deleted without a search for its nodes, and what was
interrupted is done by doing it again.

A row is `whole` where it is known to name all nodes of its document in the index: the side index
was made before the index, so that no node was written without a row, or the index was asked. Of
another one a listing with a filter tells the nodes.

Who deletes an index leaves the side index, with rows of documents that are nowhere any more. So a
row says when its index was made. What it says of an index that is gone, or of one that was made
again since, does not count: else none of these documents would ever be ingested again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from ..client import known_indexes
from ..client.context import Context, Flow, PerIndex
from ..client.errors import NoSuchVectorIndexError
from ..client.holds import Hold, run_with
from ..client.models.vector import Vector
from ..records.conditions import Operator, Test
from ..records.decode import SOURCE_ID_FIELD
from ..records.listing import Pages
from ..records.side import Row, SideIndex, stored_key
from ..records.store import RecordStore
from .document_row import KIND, NODE_KIND, DocumentRow, Entry, is_of

_BELIEVED: Final = 30.0  # seconds, of what a listing or a get has shown of rows
_SINGLES: Final = 2  # gets of single rows, after which they are listed
_MOST_ROWS: Final = 20_000  # in memory; more documents than that are not listed to answer for one
_MOST_NODES: Final = 20_000  # named in a row, which is written whole at each change: a megabyte
_LOOKED_AT: Final = 10.0  # seconds between a look at a record and its deletion, at most
_AHEAD: Final = 500  # vectors that are fetched at once, with those that are likely to be next
_GONE: Final = 2  # documents that are gone, from which on others are expected to follow


@dataclass(frozen=True, slots=True)
class Named:
    """The rows that name nodes, and whether a large node was kept by one of them before."""

    rows: dict[str, DocumentRow]
    had_large: bool


class _Memory:
    """What this process knows of the rows beside one index."""

    def __init__(self) -> None:
        self.is_in_use = False  # a document store of this process keeps rows
        self.side_came_first = False
        self.rows: dict[str, tuple[DocumentRow | None, float]] = {}
        self.kept: set[str] = set()  # nodes that rows named as kept, at any time
        self.emptied: dict[str, float] = {}  # documents all of whose nodes this process deleted
        self.left: dict[str, DocumentRow] = {}  # rows that are gone, and not yet the nodes
        self.index_absent_at: float | None = None
        self.singles = 0
        self.began_at: float | None = None  # of a listing
        self.token: str | None = None
        self.is_listed = False
        # Core deletes the documents that it has not asked for, one by one, after it has asked for
        # all others. From the second on their nodes are looked at together.
        self.asked: set[str] = set()
        self.count_gone = 0
        self.looked_at: dict[str, tuple[Vector, float]] = {}

    def forget_expired(self, now: float) -> None:
        """Forget what is older than is believed."""
        if self.began_at is not None and now - self.began_at > _BELIEVED:
            self.began_at, self.token, self.is_listed, self.singles = None, None, False, 0
            self.asked, self.count_gone, self.looked_at = set(), 0, {}
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
            self.kept.update(row.kept, [key] if row.is_kept else ())


_memories: PerIndex[_Memory] = PerIndex()


class DocumentRows:
    """The rows of the documents of one index, each method a flow."""

    def __init__(self, records: RecordStore) -> None:
        self.records = records
        self.side = SideIndex(records.settings)
        # whether rows were seen; as long as none were, to get nodes takes no second call
        self.are_seen = False
        self.are_off = records.settings.side_index is False

    def memory(self, context: Context) -> _Memory:
        """Return what this process knows of the rows."""
        return _memories.find(context, self._name(context), _Memory)

    def _name(self, context: Context) -> str:
        if self.are_off:
            return context.config.index_or(self.records.settings.index)
        return self.side.name(context)

    def use(self, context: Context) -> None:
        """Have rows kept from now on, by all stores of this process on the index."""
        if self.are_off:
            return
        self.memory(context).is_in_use = True
        self.are_seen = True

    def are_kept(self, context: Context) -> Flow[bool]:
        """Return whether rows are kept: a document store of the index has begun to, anywhere."""
        if self.are_off:
            return False
        # without leave to make the side index nobody has begun where it is not there
        if self.memory(context).is_in_use and self.records.settings.create_index:
            return True
        if not (yield from self.records.has_side(context)):
            return False
        # who may not look at it keeps no rows in it
        found = known_indexes.peek(context, self.side.name(context))
        return found is None or found.dimension != 0

    def find(self, context: Context, key: str) -> Flow[DocumentRow | None]:
        """Return a document's row, from memory where it was seen within the last half minute.

        Core asks for documents one by one: after a few that were got, they are listed page by page,
        one page for each that is asked for.
        """
        if self.are_off:
            return None
        memory, now = self.memory(context), context.monotonic()
        memory.forget_expired(now)
        if memory.singles >= _SINGLES and self._is_unknown(memory, key):
            yield from self._list_page(context, memory)
        if self._is_unknown(memory, key):
            memory.singles += 1
            row = (yield from self.get(context, [key])).get(key)
        else:
            row = memory.rows.get(key, (None, 0.0))[0]
        if row is None:
            return None
        return (yield from self._leave_out_gone(context, {key: row}))[key]

    def get(self, context: Context, keys: Sequence[str]) -> Flow[dict[str, DocumentRow]]:
        """Return rows as they are now; those not there are left out."""
        rows = yield from self.side.get_rows(context, KIND, keys)
        found = {key: DocumentRow.from_row(row) for key, row in rows.items()}
        self._note(context, {key: found.get(key) for key in keys})
        return found

    def list_all(self, context: Context) -> Flow[dict[str, DocumentRow]]:
        """Return all rows; listed, unless they were within the last half minute."""
        if self.are_off:
            return {}
        memory = self.memory(context)
        memory.forget_expired(context.monotonic())
        while not memory.is_listed and len(memory.rows) <= _MOST_ROWS:
            yield from self._list_page(context, memory)
        if memory.is_listed:
            known = {key: row for key, (row, _) in memory.rows.items() if row is not None}
        else:
            rows = yield from self.side.list_rows(context, KIND)
            known = {row.key: DocumentRow.from_row(row) for row in rows}
        return (yield from self._leave_out_gone(context, known))

    def kept_nodes(self, context: Context, keys: Sequence[str]) -> Flow[dict[str, Row]]:
        """Return the nodes that are kept without a vector, by id."""
        if self.are_off or not keys:
            return {}
        return (yield from self.side.get_rows(context, NODE_KIND, keys))

    def all_kept_nodes(self, context: Context) -> Flow[list[Row]]:
        """Return all nodes that are kept without a vector, listed."""
        return [] if self.are_off else (yield from self.side.list_rows(context, NODE_KIND))

    def set_hashes(self, context: Context, hashes: Mapping[str, str]) -> Flow[None]:
        """Set the hashes of documents.

        Raises:
            InvalidRequestError: there is no side index.
        """
        self.side.name(context)  # refused before a hold is waited for
        self.use(context)
        changes = self._set_hashes(context, hashes)
        yield from run_with(self._hold(context, hashes), changes, context.deadline())

    def _set_hashes(self, context: Context, hashes: Mapping[str, str]) -> Flow[None]:
        rows = yield from self._current(context, hashes)
        changed = [replace(rows[key], hash=digest) for key, digest in hashes.items()]
        differing = [row for row in changed if row != rows[row.id]]
        yield from self._put(context, differing, rows.values())

    def write(self, context: Context, entries: Sequence[Entry], writing: Flow[Any]) -> Flow[None]:
        """Run a flow that writes vectors of nodes, which the rows name before it and after it.

        Nodes that were kept without a vector until now are kept so no longer.
        """
        keys = _documents(entries)
        flow = self._write(context, entries, writing)
        yield from run_with(self._hold(context, keys), flow, context.deadline())

    def _write(self, context: Context, entries: Sequence[Entry], writing: Flow[Any]) -> Flow[None]:
        named = yield from self.name(context, entries)
        self.memory(context).index_absent_at = None
        yield from writing
        yield from self.drop_kept(context, named.rows, [entry.node for entry in entries])
        yield from self.date(context, named.rows)

    def date(self, context: Context, keys: Iterable[str]) -> Flow[None]:
        """Have rows say when the index was made, which the writing of their nodes has made."""
        memory = self.memory(context)
        noted = [memory.rows[key][0] for key in keys if key in memory.rows]
        undated = [row for row in noted if row and row.is_of_index and not row.index_made]
        if undated and (yield from self._index_made(context)):
            yield from self._put(context, undated, undated)

    def drop_hash(self, context: Context, row: DocumentRow | None) -> Flow[None]:
        """Have a row not say that its document is there, before the nodes of it are deleted.

        Who is killed after that deletion would else have left a document that counts as ingested,
        and is never ingested again. One whose hash was asked for is ingested anew at once, as a
        rule, with another hash: that saves a call for each document that has changed.
        """
        if row is None or row.hash is None or not row.is_of_index:
            return
        if row.id not in self.memory(context).asked:
            yield from self._put(context, [replace(row, hash=None)], [row])

    def name(
        self,
        context: Context,
        entries: Sequence[Entry],
        kept: Sequence[Entry] = (),
        hashes: Mapping[str, str] | None = None,
    ) -> Flow[Named]:
        """Have the rows name nodes that are about to be written.

        Of those `kept` without a vector one without a document is a document of its own; the
        `hashes` are of such. Nothing is called where the rows name all of them.
        """
        if self.are_off and not kept:
            return Named({}, False)
        rows = yield from self._current(context, _documents([*entries, *kept]))
        changed = dict(rows)
        for entry in entries:
            self.memory(context).looked_at.pop(entry.node, None)
        # what is kept is named until it is gone
        for key, group in _group_by_document(entries).items():
            named = dict.fromkeys([*changed[key].nodes, *(entry.node for entry in group)])
            changed[key] = _describe(changed[key], group, nodes=tuple(named))
        for key, group in _group_by_document(kept).items():
            named = dict.fromkeys([*changed[key].kept, *(entry.node for entry in group)])
            changed[key] = _describe(changed[key], group, kept=tuple(named))
        for entry in kept:
            if entry.document is None:
                changed[entry.node] = _describe(changed[entry.node], [entry], is_kept=True)
            if entry.is_large:
                row = changed[entry.document or entry.node]
                changed[row.id] = replace(row, has_large=True)
        for key, digest in (hashes or {}).items():
            if not changed[key].is_empty:
                changed[key] = replace(changed[key], hash=digest)
        differing = [row for row in changed.values() if row != rows[row.id]]
        yield from self._put(context, differing, rows.values())
        return Named(changed, any(row.has_large for row in rows.values()))

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
            is_small = not any(row.has_large for row in changed)
            yield from self._delete_stored(context, NODE_KIND, kept, is_small=is_small)
            yield from self._put(context, changed, rows.values())

    def hold(self, context: Context, entries: Sequence[Entry]) -> Hold:
        """Return a hold on the documents of nodes, for what reads rows and writes them back."""
        return self._hold(context, _documents(entries))

    def _hold(self, context: Context, keys: Iterable[str]) -> Hold:
        # not on the keys themselves: a write of the rows would wait for its own hold
        names = [f"{KIND}!{key}" for key in keys]
        return Hold(context, self._name(context), names, alone=True)

    def nodes_of(
        self,
        context: Context,
        row: DocumentRow | None,
        key: str,
        *,
        own: bool = False,
        return_data: bool = False,
    ) -> Flow[dict[str, Vector]]:
        """Return the vectors of a document's nodes in the index, each looked at here.

        Those that a whole row names are got by key; else the index is listed, with a filter. With
        `own` the vector whose key is the document's id is among them, whatever it is of.
        """
        names = list(dict.fromkeys([*(row.nodes if row else ()), *([key] if own else ())]))
        if row is None or not row.is_whole:
            listed = yield from self._list_nodes(context, key)
            names = [*listed, *(name for name in names if name == key and name not in listed)]
            if not return_data and names == list(listed):
                return listed
        found = yield from self._look_at(context, names, return_data=return_data)
        return {
            name: one for name, one in found.items() if is_of(one, key) or (own and name == key)
        }

    def _look_at(
        self, context: Context, names: Sequence[str], *, return_data: bool
    ) -> Flow[dict[str, Vector]]:
        """Fetch vectors, and with them those that are likely to be looked at next."""
        memory, now = self.memory(context), context.monotonic()
        seen = {n: one for n, one in memory.looked_at.items() if now - one[1] < _LOOKED_AT}
        memory.looked_at = {name: one for name, one in seen.items() if name not in names}
        if all(name in seen for name in names):
            return {name: seen[name][0] for name in names}
        ahead = self._names_ahead(memory, {*names, *seen}, _AHEAD - len(names))
        found = yield from self.records.fetch(context, [*names, *ahead], return_data=return_data)
        there = found.by_key
        memory.looked_at |= {name: (there[name], now) for name in ahead if name in there}
        return {name: there[name] for name in names if name in there}

    def _names_ahead(self, memory: _Memory, known: Collection[str], most: int) -> list[str]:
        if most <= 0 or not memory.is_listed or memory.count_gone < _GONE:
            return []
        rows = (row for row, _ in memory.rows.values() if row is not None)
        others = (row for row in rows if row.is_whole and row.id not in memory.asked)
        return [name for row in others for name in row.nodes if name not in known][:most]

    def note_asked(self, context: Context, key: str) -> None:
        """Remember that a document's hash was asked for."""
        self.memory(context).asked.add(key)

    def _list_nodes(self, context: Context, key: str) -> Flow[dict[str, Vector]]:
        of_document = Test(SOURCE_ID_FIELD, Operator.EQ, key)
        pages = Pages(self.records, self.records.push(context, of_document).filter)
        listed: dict[str, Vector] = {}
        while not pages.is_done:
            page = yield from pages.read(context)
            listed |= {one.key: one for one in page if is_of(one, key)}
        return listed

    def forget_nodes_of(self, context: Context, row: DocumentRow | None, key: str) -> Flow[None]:
        """Have no row name nodes that are gone from the index, nor say that the document is there.

        What the document store keeps of it without a vector stays, and is named.
        """
        left = None if row is None else replace(row, nodes=(), hash=None, is_whole=True)
        if left is None or left.is_empty:
            yield from self.drop(context, row, key)
        elif left != row:
            yield from self._put(context, [left], [row] if row is not None else ())

    def forget_nodes(self, context: Context) -> Flow[None]:
        """Do the same for all documents: the index is empty."""
        rows = yield from self.side.list_rows(context, KIND)
        found = [DocumentRow.from_row(row) for row in rows]
        left = [replace(row, nodes=(), hash=None, is_whole=True) for row in found]
        yield from self._put(context, [row for row in left if not row.is_empty], found)
        gone = [row.id for row in left if row.is_empty]
        yield from self._delete_stored(context, KIND, gone)
        self._note(context, dict.fromkeys(gone))

    def forget_own(self, context: Context, row: DocumentRow) -> Flow[None]:
        """Forget a document's own node and its hash; the nodes of it stay where they are."""
        memory = self.memory(context)
        if row.kept:
            own = [row.id] if row.is_kept else []
            yield from self._delete_stored(context, NODE_KIND, own, is_small=not row.has_large)
            yield from self._put(context, [replace(row, hash=None, is_kept=False)], [row])
            return
        # a vector store is asked next for its nodes, as a rule; what others know is the index
        yield from self.drop(context, row, row.id)
        if row.nodes:
            memory.emptied.pop(row.id, None)
            memory.left[row.id] = row
            memory.count_gone += 1

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
            yield from self._put(context, [left], [row])
        else:
            yield from self.drop(context, left, key)

    def was_emptied(self, context: Context, key: str) -> bool:
        """Tell whether this process has just deleted all nodes of a document."""
        return key in self.memory(context).emptied

    def left_by(self, context: Context, key: str) -> DocumentRow | None:
        """Return the row of a document that is deleted, all but for its nodes."""
        return self.memory(context).left.pop(key, None)

    def vector(self, context: Context, key: str) -> Flow[Vector | None]:
        """Return the vector under a key; that there is no index is believed half a minute."""
        memory, now = self.memory(context), context.monotonic()
        if memory.index_absent_at is not None and now - memory.index_absent_at < _BELIEVED:
            return None
        found = yield from self.records.fetch(context, [key])
        if not found.by_key and not found.request_ids:  # answered by an error, or not at all
            memory.index_absent_at = now
        return found.by_key.get(key)

    def may_keep(self, context: Context, key: str) -> bool:
        """Tell whether a node may be kept without a vector; where all rows are known they say."""
        memory = self.memory(context)
        return key in memory.kept or not memory.is_listed

    def drop(self, context: Context, row: DocumentRow | None, key: str) -> Flow[None]:
        """Drop a document whose nodes are gone from the index: its row, and all that is kept."""
        if row is not None:
            kept = [*row.kept, *([key] if row.is_kept else ())]
            names = [stored_key(KIND, "", key), *(stored_key(NODE_KIND, "", one) for one in kept)]
            read = () if row.is_small and not row.has_large else None
            yield from self.side.records(context).delete(context, names, read=read)
        self._note(context, {key: None})
        memory = self.memory(context)
        memory.emptied[key] = context.monotonic()

    def delete_kept(self, context: Context, nodes: Sequence[str]) -> Flow[None]:
        """Delete nodes that are kept without a vector; the rows are the caller's."""
        yield from self._delete_stored(context, NODE_KIND, nodes)

    def _put(
        self, context: Context, rows: Sequence[DocumentRow], old: Iterable[DocumentRow]
    ) -> Flow[None]:
        if not rows:
            return
        # a row that has no room for its nodes does not name them: they are listed when they matter
        rows = [
            replace(row, nodes=(), is_whole=False) if len(row.nodes) > _MOST_NODES else row
            for row in rows
        ]
        fresh = all(row.is_small for row in old)
        if any(row.is_of_index for row in rows):
            made = (yield from self._index_made(context)) or ""
            rows = [replace(row, index_made=made) if row.is_of_index else row for row in rows]
        yield from self.side.put_rows(context, [row.to_row() for row in rows], fresh=fresh)
        self._note(context, {row.id: row for row in rows})

    def _delete_stored(
        self, context: Context, kind: str, keys: Iterable[str], *, is_small: bool = False
    ) -> Flow[None]:
        names = [stored_key(kind, "", key) for key in keys]
        records = self.side.records(context)
        yield from records.delete(context, names, read=() if is_small else None)

    def _note(self, context: Context, rows: Mapping[str, DocumentRow | None]) -> None:
        memory, now = self.memory(context), context.monotonic()
        for key, row in rows.items():
            memory.note(key, row, now)
            self.are_seen = self.are_seen or row is not None

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
        found = yield from self._leave_out_gone(context, found)
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

    def _leave_out_gone(
        self, context: Context, rows: Mapping[str, DocumentRow]
    ) -> Flow[dict[str, DocumentRow]]:
        """Return rows without what they say of an index that is gone, or was made again since."""
        if not any(row.is_of_index for row in rows.values()):
            return dict(rows)
        made = yield from self._index_made(context)
        return {
            key: replace(row, hash=None, nodes=(), is_whole=True, index_made="")
            if row.is_of_index and (made is None or (made and row.index_made not in {"", made}))
            else row
            for key, row in rows.items()
        }

    def _index_made(self, context: Context) -> Flow[str | None]:
        """Return when the index was made; None: it is not there, "": nobody tells."""
        memory, index = self.memory(context), self.records.settings.index
        found = known_indexes.peek(context, index)
        if found is None:
            now, at = context.monotonic(), memory.index_absent_at
            if at is not None and now - at < _BELIEVED:
                return None
            try:
                found = yield from known_indexes.describe(context, index)
            except NoSuchVectorIndexError:
                memory.index_absent_at = now
                return None
        return "" if found.create_time is None else found.create_time.isoformat()

    def _came_first(self, context: Context) -> Flow[bool]:
        """Return whether the side index was made before the index, which is not there at best."""
        memory = self.memory(context)
        if memory.side_came_first:
            return True
        index = yield from self.records.describe(context)
        name, side = self.side.name(context), None
        # threads that begin together look once; who takes it for absent only lists more
        if not known_indexes.was_absent(context, name):
            with suppress(NoSuchVectorIndexError):
                side = yield from known_indexes.describe(context, name)
        if index is None:
            # whoever makes both makes the side index first: here, by a row
            memory.side_came_first = True
        elif side is not None and side.create_time and index.create_time:
            memory.side_came_first = side.create_time < index.create_time
        return memory.side_came_first


def _documents(entries: Iterable[Entry]) -> list[str]:
    return list(dict.fromkeys(entry.document or entry.node for entry in entries))


def _group_by_document(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Return the nodes of each document."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.document is not None:
            groups.setdefault(entry.document, []).append(entry)
    return groups


def _describe(row: DocumentRow, entries: Sequence[Entry], **members: Any) -> DocumentRow:
    return replace(row, metadata=row.metadata or entries[0].metadata, **members)
