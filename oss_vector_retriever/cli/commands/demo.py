"""`oss-vectors demo`: the main job on real data, with no account."""

from __future__ import annotations

import time

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from oss_vector_retriever.cli.corpus.topics import (
    Corpus,
    CorpusUnavailableError,
    load_corpus,
    running_topics,
)
from oss_vector_retriever.cli.demo import scenes
from oss_vector_retriever.cli.demo.service import INDEX, load, running_service
from oss_vector_retriever.client.clients import OSSVectorClient

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
    scenes.bare_client(console, client, _KEYS)
    scenes.langchain(console, client, _KEYS)
    scenes.llama_index(console, client, _KEYS)
    scenes.long_topic(console, client, longest, topics[longest])
    console.print()
    scenes.more_like_this(console, client, _LIKE)
