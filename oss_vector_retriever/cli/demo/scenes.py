"""The scenes of the demonstration: what is fetched, and how it is shown."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from oss_vector_retriever.cli.tables import (
    add_row,
    describe_data,
    describe_metadata,
    make_table,
    shorten,
)
from oss_vector_retriever.client.clients import OSSVectorClient
from oss_vector_retriever.records import decode, query_of

_COLUMNS = ("key", "text", "metadata", "embedding")
_SHOWN_METADATA = ("title", "part")
_SHOWN_TEXT = 72


def bare_client(console: Console, client: OSSVectorClient, keys: Sequence[str]) -> None:
    """Fetch by key with the bare client."""
    result = client.fetch(keys)
    table = make_table(_COLUMNS, f"client.fetch({list(keys)!r})")
    for vector in result:
        record = decode(vector)
        metadata = describe_metadata(_some(record.metadata))
        add_row(
            table,
            record.key,
            shorten(record.text, _SHOWN_TEXT),
            metadata,
            describe_data(record.embedding),
        )
    console.print(table)
    _say_missing(console, result.missing, "result.missing")


def langchain(console: Console, client: OSSVectorClient, keys: Sequence[str]) -> None:
    """Fetch by key as LangChain Documents."""
    if not _installed(console, "langchain_core", "langchain"):
        return
    from langchain_core.callbacks import BaseCallbackHandler  # noqa: PLC0415 - optional

    from oss_vector_retriever.langchain import OSSVectorRetriever  # noqa: PLC0415 - optional

    class Missing(BaseCallbackHandler):
        keys: Sequence[str] = ()

        def on_custom_event(
            self, name: str, data: Mapping[str, Sequence[str]], **_: object
        ) -> None:
            self.keys = data["missing"] if name == "oss_vectors_missing_keys" else self.keys

    missing = Missing()
    retriever = OSSVectorRetriever(client=client, embedding_key="embedding")
    table = make_table(_COLUMNS, "LangChain: OSSVectorRetriever(...).invoke(keys) -> Documents")
    for document in retriever.invoke(query_of(keys), config={"callbacks": [missing]}):
        metadata = describe_metadata(_some(document.metadata))
        embedding = describe_data(document.metadata["embedding"])
        add_row(
            table, document.id, shorten(document.page_content, _SHOWN_TEXT), metadata, embedding
        )
    console.print(table)
    _say_missing(console, missing.keys, "custom event oss_vectors_missing_keys")


def llama_index(console: Console, client: OSSVectorClient, keys: Sequence[str]) -> None:
    """Fetch by key as LlamaIndex nodes."""
    if not _installed(console, "llama_index.core", "llama-index"):
        return
    from llama_index.core.instrumentation import get_dispatcher  # noqa: PLC0415 - optional

    from oss_vector_retriever.cli.demo.handlers import MissingKeysHandler  # noqa: PLC0415
    from oss_vector_retriever.llama_index import OSSVectorRetriever  # noqa: PLC0415 - optional

    handler = MissingKeysHandler()
    get_dispatcher().add_event_handler(handler)
    table = make_table(
        ("key", "score", "text", "metadata", "embedding"),
        "LlamaIndex: OSSVectorRetriever(...).retrieve(keys) -> nodes",
    )
    for hit in OSSVectorRetriever(client).retrieve(query_of(keys)):
        text, metadata = hit.node.get_content(), describe_metadata(_some(hit.node.metadata))
        embedding = describe_data(hit.node.embedding)
        add_row(table, hit.node_id, hit.score, shorten(text, _SHOWN_TEXT), metadata, embedding)
    console.print(table)
    _say_missing(console, handler.missing, "instrumentation MissingKeysEvent")


def long_topic(console: Console, client: OSSVectorClient, topic: str, original: str) -> None:
    """Fetch the parts of a topic that is too long for one record, and show that all is there."""
    parts = [decode(v) for v in client.fetch(_part_keys(client, topic))]
    joined = "".join(part.text for part in parts)
    same = "identical to the original" if joined == original else "NOT the original"
    console.print(
        f"[bold]Longest topic:[/bold] {topic!r}, {len(original.encode()):,} bytes, is over the "
        f"40 KB of metadata that a record may hold. It is stored as {len(parts)} records; joined "
        f"again it is {same}."
    )


def _part_keys(client: OSSVectorClient, topic: str) -> list[str]:
    hits = client.list_vectors(max_results=1000)
    return sorted(vector.key for vector in hits if vector.key.partition("/")[0] == topic)


def more_like_this(console: Console, client: OSSVectorClient, key: str, count: int = 5) -> None:
    """Find what is close to a stored key: its data by key, then a query, then the texts by key."""
    data = client.fetch([key])[0].data
    if data is None:
        return
    hits = [hit for hit in client.query_vectors(data, top_k=count + 1) if hit.key != key][:count]
    texts = {v.key: decode(v) for v in client.fetch([hit.key for hit in hits], return_data=False)}
    table = make_table(("key", "distance", "title", "text"), f"More like {key!r}, by its embedding")
    for hit in hits:
        record = texts[hit.key]
        distance = f"{hit.distance:.3f}" if hit.distance is not None else "-"
        add_row(
            table, hit.key, distance, record.metadata["title"], shorten(record.text, _SHOWN_TEXT)
        )
    console.print(table)


def _some(metadata: Mapping[str, object]) -> dict[str, object]:
    return {name: metadata[name] for name in _SHOWN_METADATA if name in metadata}


def _installed(console: Console, module: str, extra: str) -> bool:
    if importlib.util.find_spec(module.partition(".")[0]):
        return True
    console.print(f'Not installed here: pip install "oss-vector-retriever\\[{extra}]"')
    return False


def _say_missing(console: Console, missing: Sequence[str], where: str) -> None:
    named = ", ".join(repr(key) for key in missing) or "none"
    console.print(Text(f"missing ({where}): {named}\n", style="yellow"))
