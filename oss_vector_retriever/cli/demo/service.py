"""The demonstration's service: the embedded one, reached over HTTP, with the corpus in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oss_vector_retriever import emulator
from oss_vector_retriever.cli.corpus.topics import Passage
from oss_vector_retriever.client.clients import OSSVectorClient
from oss_vector_retriever.client.models.vector import Float32Array, Vector
from oss_vector_retriever.records import ENVELOPE_KEYS, encode

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
