"""`oss-vectors demo`: the main job on real data, with no account."""

import importlib.util
import json
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ... import emulator
from ...client.clients import OSSVectorClient
from ...client.models.vector import Float32Array, Vector
from ...corpus import Corpus, CorpusUnavailableError, Passage, load_corpus, running_topics
from ...records import ENVELOPE_KEYS, decode, encode, query_of
from ..tables import describe_data, draw_entries, make_console, plain, shorten

INDEX = "pythontopics"
_KEYS = ("with", "lambda", "no-such-topic", "for")
_LIKE = "lambda"
_BATCH = 10  # small, so that the bar moves


@click.command("demo")
@click.option(
    "--data", type=click.Path(dir_okay=False), help="Keep the service's data in this file."
)
def command(data: str | None) -> None:
    """Load real documents with their embeddings into the embedded service, and fetch by key."""
    console = make_console()
    started = time.monotonic()
    try:
        corpus, topics = load_corpus(), running_topics()
    except CorpusUnavailableError as error:
        raise click.ClickException(str(error)) from error
    with run_service(data) as client:
        console.print(f"[bold]Embedded OSS Vectors service[/bold] on {client.config.endpoint}")
        load_with_bar(console, client, corpus)
        show_client(console, client, _KEYS)
        show_langchain(console, client, _KEYS)
        show_llama_index(console, client, _KEYS)
        show_long_topic(console, client, topics)
        show_more_like(console, client, _LIKE)
    console.print(f"Done in {time.monotonic() - started:.1f} s.\n")
    for line in _next_steps(data):
        # a line that is wrapped cannot be pasted
        console.print(plain(line), soft_wrap=True)


def _next_steps(data: str | None) -> Iterator[str]:
    """Yield what to try next, word for word; without a file nothing is left to try it on."""
    if data is None:
        yield "Next: keep the data in a file, and look at them with the other commands:"
        yield "  oss-vectors demo --data demo.db"
        return
    where = f"--local {shlex.quote(data)} --index-name {INDEX}"
    yield f"Next: all of it is in {data}. Try"
    yield f"  oss-vectors explain {_LIKE} {where}"
    yield f"  oss-vectors query-vectors --key {_LIKE} --as-document --output-format table {where}"
    yield f"  oss-vectors get-vectors --keys with,for --as-document {where}"
    yield "or in Python"
    yield "  from oss_vector_retriever import OSSVectorClient"
    yield f'  client = OSSVectorClient.local({json.dumps(data)}, index="{INDEX}")'
    yield f"  print(client.fetch({list(_KEYS)!r}))"


@contextmanager
def run_service(path: str | None = None) -> Iterator[OSSVectorClient]:
    """Run the embedded service on a free port of this machine and give a client of it."""
    # over HTTP, though the client could call it directly: the demonstration shows the whole way
    service = emulator.Service.open(path) if path else emulator.Service.in_memory()
    with service, emulator.Server(service) as server:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        key_id, secret = emulator.DEVELOPMENT_ACCESS_KEY_ID, emulator.DEVELOPMENT_ACCESS_KEY_SECRET
        with OSSVectorClient(
            bucket=emulator.DEVELOPMENT_BUCKET,
            account_id=emulator.DEVELOPMENT_ACCOUNT_ID,
            region=emulator.DEVELOPMENT_REGION,
            index=INDEX,
            endpoint=server.endpoint,
            credentials=(key_id, secret),
        ) as client:
            yield client


def load_with_bar(console: Console, client: OSSVectorClient, corpus: Corpus) -> None:
    """Load the corpus into its index, and say what was loaded."""
    if INDEX not in {found.index_name for found in client.list_vector_indexes()}:
        client.put_vector_index(
            dimension=len(Float32Array.from_bytes(corpus.passages[0].data)),
            distance_metric="cosine",
            # which fields may be large is fixed for the life of an index
            non_filterable_metadata_keys=ENVELOPE_KEYS,
        )
    vectors = [_vector_of(passage) for passage in corpus.passages]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task(f"loading index {INDEX!r}", total=len(vectors))
        for start in range(0, len(vectors), _BATCH):
            batch = vectors[start : start + _BATCH]
            client.put_vectors(batch)
            progress.advance(task, len(batch))
    index = client.get_vector_index()
    console.print(
        f"{len(corpus.passages)} passages of this Python's language reference, each with a real "
        f"embedding of {index.dimension} float32 (all-MiniLM-L6-v2), metric {index.distance_metric}"
    )
    if corpus.without_vector:
        console.print(f"left out, no embedding shipped: {', '.join(corpus.without_vector)}")
    console.print()


def _vector_of(passage: Passage) -> Vector:
    return encode(
        passage.key,
        Float32Array.from_bytes(passage.data),
        text=passage.text,
        metadata=passage.metadata,
        filterable=("topic",),
    )


def show_client(console: Console, client: OSSVectorClient, keys: Sequence[str]) -> None:
    """Fetch by key with the bare client."""
    result = client.fetch(keys)
    records = map(decode, result)
    rows = [(each.key, each.text, each.metadata, each.embedding) for each in records]
    _print_rows(console, f"client.fetch({list(keys)!r})", rows)
    _print_missing(console, result.missing, "result.missing")


def show_langchain(console: Console, client: OSSVectorClient, keys: Sequence[str]) -> None:
    """Fetch by key as LangChain Documents."""
    if not _is_installed(console, "langchain_core", "langchain"):
        return
    from langchain_core.callbacks import BaseCallbackHandler  # noqa: PLC0415 - optional

    from ...langchain import OSSVectorRetriever  # noqa: PLC0415 - optional

    class MissingKeysHandler(BaseCallbackHandler):
        keys: Sequence[str] = ()

        def on_custom_event(
            self, name: str, data: Mapping[str, Sequence[str]], **_: object
        ) -> None:
            self.keys = data["missing"] if name == "oss_vectors_missing_keys" else self.keys

    handler = MissingKeysHandler()
    retriever = OSSVectorRetriever(client=client, embedding_key="embedding")
    documents = retriever.invoke(query_of(keys), config={"callbacks": [handler]})
    rows = [(d.id, d.page_content, d.metadata, d.metadata["embedding"]) for d in documents]
    _print_rows(console, "LangChain: OSSVectorRetriever(...).invoke(keys) -> Documents", rows)
    _print_missing(console, handler.keys, "custom event oss_vectors_missing_keys")


def show_llama_index(console: Console, client: OSSVectorClient, keys: Sequence[str]) -> None:
    """Fetch by key as LlamaIndex nodes."""
    if not _is_installed(console, "llama_index.core", "llama-index"):
        return
    from llama_index.core.instrumentation import get_dispatcher  # noqa: PLC0415 - optional
    from llama_index.core.instrumentation.event_handlers.base import BaseEventHandler  # noqa: PLC0415 - optional

    from ...llama_index import MissingKeysEvent, OSSVectorRetriever  # noqa: PLC0415 - optional

    class MissingKeysHandler(BaseEventHandler):
        missing: list[str] = []  # noqa: RUF012 - a pydantic field, copied for each handler

        @classmethod
        def class_name(cls) -> str:
            return "OSSVectorsMissingKeysHandler"

        def handle(self, event: Any, **_: Any) -> None:
            if isinstance(event, MissingKeysEvent):
                self.missing = event.missing

    handler = MissingKeysHandler()
    get_dispatcher().add_event_handler(handler)
    nodes = [hit.node for hit in OSSVectorRetriever(client).retrieve(query_of(keys))]
    rows = [(n.node_id, n.get_content(), n.metadata, n.embedding) for n in nodes]
    _print_rows(console, "LlamaIndex: OSSVectorRetriever(...).retrieve(keys) -> nodes", rows)
    _print_missing(console, handler.missing, "instrumentation MissingKeysEvent")


def show_long_topic(console: Console, client: OSSVectorClient, topics: dict[str, str]) -> None:
    """Fetch the parts of a topic that is too long for one record, and show that all is there."""
    topic = max(topics, key=lambda name: len(topics[name]))
    stored = client.list_vectors(max_results=1000)
    keys = sorted(vector.key for vector in stored if vector.key.partition("/")[0] == topic)
    parts = [decode(vector) for vector in client.fetch(keys)]
    whole = "".join(part.text for part in parts)
    same = "identical to the original" if whole == topics[topic] else "NOT the original"
    console.print(
        f"[bold]Longest topic:[/bold] {topic!r}, {len(topics[topic].encode()):,} bytes, is over "
        f"the 40 KB of metadata that a record may hold. It is stored as {len(parts)} records; "
        f"joined again it is {same}.\n"
    )


def show_more_like(console: Console, client: OSSVectorClient, key: str, count: int = 5) -> None:
    """Find what is close to a stored key: its data by key, then a query, then the texts by key."""
    data = client.fetch([key])[0].data
    if data is None:
        return
    # one more than is shown: the key itself is its own nearest neighbour
    hits = [hit for hit in client.query_vectors(data, top_k=count + 1) if hit.key != key][:count]
    records = {v.key: decode(v) for v in client.fetch([hit.key for hit in hits], return_data=False)}
    entries = [
        {
            "key": hit.key,
            "distance": hit.distance,
            "title": records[hit.key].metadata["title"],
            "text": shorten(records[hit.key].text, _TEXT),
        }
        for hit in hits
    ]
    _print_table(console, f"More like {key!r}, by its embedding", entries)


_TEXT = 72
_METADATA = ("title", "part")


def _print_rows(
    console: Console,
    title: str,
    rows: Iterable[tuple[str | None, str, Mapping[str, Any], Sequence[float] | None]],
) -> None:
    entries = [
        {
            "key": key,
            "text": shorten(text, _TEXT),
            "metadata": {name: metadata[name] for name in _METADATA if name in metadata},
            "embedding": describe_data(embedding),
        }
        for key, text, metadata, embedding in rows
    ]
    _print_table(console, title, entries)


def _print_table(console: Console, title: str, entries: Sequence[Mapping[str, Any]]) -> None:
    console.print(plain(title, style="bold"))
    click.echo(draw_entries(entries), nl=False)


def _print_missing(console: Console, missing: Sequence[str], where: str) -> None:
    names = ", ".join(repr(key) for key in missing) or "none"
    console.print(plain(f"missing ({where}): {names}\n", style="yellow"))


def _is_installed(console: Console, module: str, extra: str) -> bool:
    # of llama_index.core only the parent: looking for a submodule imports its parents
    if importlib.util.find_spec(module.partition(".")[0]):
        return True
    console.print(f'Not installed here: pip install "oss-vector-retriever\\[{extra}]"')
    return False
