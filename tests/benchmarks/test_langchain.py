"""What LangChain's users pay: a Document from a record, and by-id fetches beside a peer's.

    make bench

The peer is langchain-aws' AmazonS3Vectors (dependency group `bench`); one server in another process
answers both from the same documents. Each side is run in turns; the figure is the ratio of the
medians.
"""

import contextlib
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("langchain_core")

from langchain_core.documents import Document
from support import documents_server
from support.documents_server import DATA, KEYS, metadata_of, text_of

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.langchain import OSSVectorStore
from oss_vector_retriever.langchain.documents import document_from
from oss_vector_retriever.records import decode, encode

pytestmark = pytest.mark.benchmark
LATENCY = 0.020


@contextlib.contextmanager
def stores(seconds, **options):
    """Give our store and the peer's, on one server; `options` are our client's."""
    aws = pytest.importorskip("langchain_aws.vectorstores", reason="needs the extra bench")
    command = [sys.executable, str(Path(documents_server.__file__)), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            endpoint = process.stdout.readline().strip()
            with OSSVectorClient(
                bucket="examplebucket",
                account_id="123456",
                region="cn-hangzhou",
                index="vectors",
                endpoint=endpoint,
                credentials=("id", "secret"),
                **options,
            ) as client:
                theirs = aws.AmazonS3Vectors(
                    vector_bucket_name="examplebucket",
                    index_name="vectors",
                    region_name="us-east-1",
                    aws_access_key_id="id",
                    aws_secret_access_key="secret",
                    endpoint_url=endpoint,
                )
                yield OSSVectorStore(client=client), theirs
        finally:
            process.terminate()
            process.stdout.close()


def medians(clock, ours, theirs, rounds):
    """Return the median seconds of each, run in turns."""
    pairs = []
    for _ in range(rounds):
        pair = []
        for call in (ours, theirs):
            started = clock()
            call()
            pair.append(clock() - started)
        pairs.append(pair)
    return [statistics.median(side) for side in zip(*pairs, strict=True)]


def test_a_document_from_a_fetched_record_against_a_bare_one():
    key = KEYS[7]
    stored = encode(key, DATA, text=text_of(key), metadata=metadata_of(key))
    vector = Vector(key, None, stored.metadata)
    text, metadata = text_of(key), metadata_of(key)

    def ours():
        for _ in range(2000):
            document_from(decode(vector))

    def bare():
        for _ in range(2000):
            Document(id=key, page_content=text, metadata=metadata)

    mine, theirs = medians(time.process_time, ours, bare, 15)
    print(
        f"\na Document from a record {mine / 2000 * 1e6:.1f} us, bare "
        f"{theirs / 2000 * 1e6:.1f} us, ratio {mine / theirs:.2f} (target 3)"
    )


def test_the_cpu_of_100_documents_by_id_against_s3_vectors():
    with stores(0) as (ours, theirs):
        keys = KEYS[:100]
        assert ours.get_by_ids(keys) == theirs.get_by_ids(keys)
        mine, other = medians(
            time.process_time,
            lambda: [ours.get_by_ids(keys) for _ in range(5)],
            lambda: [theirs.get_by_ids(keys) for _ in range(5)],
            30,
        )
    print(
        f"\n100 documents by id, CPU: ours {mine * 200:.2f} ms, AmazonS3Vectors "
        f"{other * 200:.2f} ms, ratio {mine / other:.2f} (target 0.6)"
    )


@pytest.mark.parametrize("max_concurrency", [8, 16])
def test_the_wall_time_of_1000_documents_at_20_ms_against_s3_vectors(max_concurrency):
    with stores(LATENCY, max_concurrency=max_concurrency) as (ours, theirs):
        assert ours.get_by_ids(KEYS) == theirs.get_by_ids(KEYS)
        mine, other = medians(
            time.perf_counter, lambda: ours.get_by_ids(KEYS), lambda: theirs.get_by_ids(KEYS), 9
        )
    print(
        f"\n1,000 documents by id at 20 ms, {max_concurrency} at once, wall: ours "
        f"{mine * 1e3:.0f} ms, AmazonS3Vectors {other * 1e3:.0f} ms, "
        f"ratio {mine / other:.2f} (target 0.20)"
    )
