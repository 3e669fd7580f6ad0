"""`oss-vectors explain`: what stands under a key, and what becomes of it for a program."""

from typing import Any

import click

from ...client.clients import OSSVectorClient
from ...client.errors import OSSVectorError, escape_controls
from ...records.explanation import Explanation, explain_keys, find_neighbors
from ...records.parts import Parts
from ...records.typed import json_form
from ...studio.frameworks import Made, make_document, make_node
from ..arguments import CONNECTION, INDEX, OUTPUT_QUERY, WIDE, Command
from ..connection import Connection, open_client
from ..errors import SERVICE, Failure, word
from ..rendering import Document, Entry, print_document, vector_entry
from ..tables import describe, draw_entries, draw_record, shorten


@click.command("explain", cls=Command)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--text-key", help="A further metadata field that the text may stand in.")
@click.option(
    "--neighbors",
    type=click.IntRange(0, 100),
    default=5,
    show_default=True,
    help="How many of the nearest vectors to show.",
)
@click.option(
    "--output-format",
    type=click.Choice(["table", "json", "yaml", "jsonl"]),
    default="table",
    show_default=True,
    help="How to print what was found.",
)
def command(
    *,
    keys: tuple[str, ...],
    text_key: str | None,
    neighbors: int,
    output_format: str,
    output_query: Any,
    wide: bool,
    index: str | None,
    **connection_flags: Any,
) -> None:
    """Show what is stored under a KEY, and what each framework makes of it.

    That is the record as it stands, the rung of the decode ladder that reads it, the Document of
    LangChain, the node of LlamaIndex, its sizes against the service's limits, and what is near.
    """
    connection = Connection.pop_from(connection_flags)
    with open_client(connection, index=index) as client:
        name = client.config.index_or(index)
        explained = client.run(explain_keys, keys, name, text_key)
        entries = []
        for key, found in explained.found.items():
            entry = _entry_of(found, name, text_key)
            if neighbors:
                entry |= _neighbors_entry(client, key, neighbors, name, text_key)
            entries.append(entry)
    if output_format == "table" and output_query is None:
        # as for tables: nothing in it commands a terminal, and `echo` would escape the bold type
        click.echo("\n".join(_draw(entry, wide=wide) for entry in entries), nl=False)
    else:
        members = {"records": entries, "missing": list(explained.missing)}
        print_document(Document(members, entries), output_format, output_query, wide=wide)
    if explained.missing:
        missing = ", ".join(map(repr, explained.missing))
        raise Failure(f"there is no vector {missing} in index {name!r}", SERVICE)


command.params.extend([INDEX, OUTPUT_QUERY, WIDE, *CONNECTION])


def _entry_of(found: Explanation, index: str, text_key: str | None) -> Entry:
    """Return an explanation as JSON has it."""
    rung, record, parts = found.rung, found.record, found.parts
    return {
        "key": found.vector.key,
        "index": index,
        "decoded_as": {"rung": record.source, "field": rung.field},
        "text": record.text,
        "metadata": json_form(record.metadata),
        **({"problem": found.error.reason} if found.error else {}),
        **({"parts": _describe_parts(parts)} if parts is not None else {}),
        "stored": vector_entry(found.vector),
        "ladder": [
            {"rung": one.source, "field": one.field, "outcome": one.outcome} for one in found.rungs
        ],
        "fields": [
            {"field": one.name, "bytes": one.size, "filterable": one.is_filterable}
            for one in found.fields
        ],
        "sizes": [
            {"what": one.name, "value": one.value, "limit": one.limit, "unit": one.unit}
            for one in found.sizes
        ],
        "document": _value_of(make_document(found.whole, text_key)),
        "node": _value_of(make_node(found.whole, text_key)),
    }


def _value_of(made: Made) -> Entry:
    """Return what a framework gets, under the name of its class, or why it gets nothing."""
    if made.value is None:
        return {"problem": made.problem}
    return {made.kind: json_form(made.value)}


def _describe_parts(parts: Parts | str) -> str:
    if isinstance(parts, str):
        return parts  # why they cannot be read
    return f"{parts.count:,} of {parts.size:,} bytes together, in index {parts.side}"


def _neighbors_entry(
    client: OSSVectorClient, key: str, number: int, index: str, text_key: str | None
) -> Entry:
    try:
        near = client.run(find_neighbors, key, number, index, text_key=text_key)
    except OSSVectorError as error:
        # who may fetch need not be allowed to search
        return {"neighbors": [], "no_neighbors": error.render(word)}
    return {
        "neighbors": [
            {
                "key": one.key,
                "distance": one.distance,
                "text": one.record.text if one.record else None,
            }
            for one in near.items
        ]
    }


def _draw(entry: Entry, *, wide: bool) -> str:
    """Return one explanation for reading: its sections below each other."""
    facts = {
        "key": entry["key"],
        "index": entry["index"],
        "decoded as": _describe_rung(entry),
        "text": entry["text"] or "(none)",
        "metadata": entry["metadata"],
        "data": entry["stored"].get("data"),
    }
    facts |= {name: entry[name] for name in ("problem", "parts") if name in entry}
    climbed = [step for step in entry["ladder"] if step["outcome"] != "not reached"]
    stored = entry["stored"].get("metadata", {})
    fields = [{**one, "value": _shorten(stored[one["field"]])} for one in entry["fields"]]
    sections = {
        "": draw_record(facts, wide=wide),
        "Ladder": draw_entries(climbed),
        "Stored metadata": draw_entries(fields) if fields else "none\n",
        "Sizes": draw_entries([_describe_size(size) for size in entry["sizes"]]),
        **_draw_made("LangChain", entry["document"], wide=wide),
        **_draw_made("LlamaIndex", entry["node"], wide=wide),
    }
    if "neighbors" in entry:
        near = [{**one, "text": _shorten(one["text"])} for one in entry["neighbors"]]
        none = f"{escape_controls(entry.get('no_neighbors', 'none'))}\n"
        sections["Nearest"] = draw_entries(near) if near else none
    return "\n".join(f"{title}\n{text}" if title else text for title, text in sections.items())


def _describe_rung(entry: Entry) -> str:
    rung, field = entry["decoded_as"].values()
    if "problem" in entry:
        return f"nothing: {field} is broken; what is shown is as it is stored"
    return "empty: no field holds a text" if rung == "empty" else f"{rung}, by {field}"


def _draw_made(framework: str, made: Entry, *, wide: bool) -> dict[str, str]:
    ((kind, value),) = made.items()
    if kind == "problem":
        return {framework: draw_record({kind: value})}
    return {f"{framework}: {kind}": draw_record(value, wide=wide)}


def _describe_size(size: Entry) -> Entry:
    value, limit, unit = size["value"], size["limit"], size["unit"]
    # who may not look at the index cannot know which fields are filterable
    known = "not known" if value is None else f"{value:,}"
    used = "-" if value is None else f"{value / limit:.0%}"
    return {"size": size["what"], "is": known, "limit": f"{limit:,} {unit}", "used": used}


_SHOWN = 60


def _shorten(value: Any) -> str:
    return (
        "-"
        if value is None
        else shorten(value if isinstance(value, str) else describe(value), _SHOWN)
    )
