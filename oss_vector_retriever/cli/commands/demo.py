"""`oss-vectors demo`: the main job on real data, with no account."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from oss_vector_retriever import emulator
from oss_vector_retriever.cli.tables import (
    add_row,
    describe_data,
    describe_metadata,
    make_table,
    shorten,
)
from oss_vector_retriever.client.clients import OSSVectorClient
from oss_vector_retriever.client.models.vector import Float32Array, Vector
from oss_vector_retriever.corpus import (
    Corpus,
    CorpusUnavailableError,
    Passage,
    load_corpus,
    running_topics,
)
from oss_vector_retriever.records import ENVELOPE_KEYS, decode, encode, query_of

_KEYS = ("with", "lambda", "no-such-topic", "for")
_LIKE = "lambda"


@click.command("demo")
@click.option(
    "--data", type=click.Path(dir_okay=False), help="Keep the service's data in this file."
)
def command(data: str | None) -> None:
    """Load real documents with their embeddings into the embedded service, and fetch by key."""
    console = Console()
    started = time.monotonic()
    try:
        corpus, topics = load_corpus(), running_topics()
    except CorpusUnavailableError as error:
        raise click.ClickException(str(error)) from error
    with running_service(data) as client:
        console.print(f"[bold]Embedded OSS Vectors service[/bold] on {client.config.endpoint}")
        _load(console, client, corpus)
        _show(console, client, max(topics, key=lambda name: len(topics[name])), topics)
    console.print(f"Done in {time.monotonic() - started:.1f} s.")


def _load(console: Console, client: OSSVectorClient, corpus: Corpus) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task(f"loading index {INDEX!r}", total=len(corpus.passages))
        load(client, list(corpus.passages), lambda count: progress.advance(task, count))
    index = client.get_vector_index()
    console.print(
        f"{len(corpus.passages)} passages of this Python's language reference, each with a real "
        f"embedding of {index.dimension} float32 (all-MiniLM-L6-v2), metric {index.distance_metric}"
    )
    if corpus.without_vector:
        console.print(f"left out, no embedding shipped: {', '.join(corpus.without_vector)}")
    console.print()


def _show(console: Console, client: OSSVectorClient, longest: str, topics: dict[str, str]) -> None:
    bare_client(console, client, _KEYS)
    langchain(console, client, _KEYS)
    llama_index(console, client, _KEYS)
    long_topic(console, client, longest, topics[longest])
    console.print()
    more_like_this(console, client, _LIKE)


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
    from llama_index.core.instrumentation.event_handlers.base import (  # noqa: PLC0415 - optional
        BaseEventHandler,
    )

    from oss_vector_retriever.llama_index import (  # noqa: PLC0415 - optional
        MissingKeysEvent,
        OSSVectorRetriever,
    )

    class MissingKeysHandler(BaseEventHandler):
        """Remember the keys that were missing."""

        missing: list[str] = []  # noqa: RUF012 - a pydantic field, copied for each handler

        @classmethod
        def class_name(cls) -> str:
            """Return the handler's stable name."""
            return "OSSVectorsMissingKeysHandler"

        def handle(self, event: Any, **_: Any) -> None:
            """Take the keys of our own event."""
            if isinstance(event, MissingKeysEvent):
                self.missing = event.missing

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


INDEX = "pythontopics"
_AT_ONCE = 10


@contextmanager
def running_service(path: str | None = None) -> Iterator[OSSVectorClient]:
    """Run the embedded service on a free port of this machine and give a client of it."""
    service = emulator.Service.open(path) if path else emulator.Service.in_memory()
    with service, emulator.Server(service) as server:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        with OSSVectorClient(
            bucket=emulator.DEVELOPMENT_BUCKET,
            account_id=emulator.DEVELOPMENT_ACCOUNT_ID,
            region=emulator.DEVELOPMENT_REGION,
            index=INDEX,
            endpoint=server.endpoint,
            credentials=(
                emulator.DEVELOPMENT_ACCESS_KEY_ID,
                emulator.DEVELOPMENT_ACCESS_KEY_SECRET,
            ),
        ) as client:
            yield client


def load(client: OSSVectorClient, passages: list[Passage], loaded: Callable[[int], object]) -> None:
    """Make the index and put the passages; `loaded` is told how many went in each time."""
    first = Float32Array.from_bytes(passages[0].data)
    if INDEX not in {found.index_name for found in client.list_vector_indexes()}:
        client.put_vector_index(
            dimension=len(first),
            distance_metric="cosine",
            non_filterable_metadata_keys=ENVELOPE_KEYS,
        )
    for start in range(0, len(passages), _AT_ONCE):
        batch = passages[start : start + _AT_ONCE]
        client.put_vectors([_vector(passage) for passage in batch])
        loaded(len(batch))


def _vector(passage: Passage) -> Vector:
    return encode(
        passage.key,
        Float32Array.from_bytes(passage.data),
        text=passage.text,
        metadata=passage.metadata,
        filterable=("topic",),
    )
