"""The emulator's own speed, and that of others at the same work, in the same run.

    make bench                      # pip install -e '.[bench]' brings the rivals

moto's s3vectors stores and fetches; it cannot search (`test_emulator_search`). A rival that is not
installed is said to be missing. The promises are the emulator's, at the door of the service: what a
client adds (JSON, MD5, signing) is shown beside it.
"""

import struct

import numpy as np
import orjson
import pytest
from langchain_core.documents import Document
from support.caller import Caller
from support.measuring import (
    BATCH,
    DIMENSION,
    Door,
    cpu_milliseconds,
    items,
    made,
    milliseconds,
    rate,
    rival,
    shown,
)

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.emulator import DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET, Service
from oss_vector_retriever.emulator.rules import arrays
from oss_vector_retriever.langchain import OSSVectorStore

COUNT = 10_000

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]


@pytest.fixture(params=["memory", "file"])
def caller(request, tmp_path):
    with Service(tmp_path / "v.db" if request.param == "file" else None) as service:
        service.create_bucket(DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET)
        caller = Caller(service)
        caller.make_index(dimension=DIMENSION, metric="cosine")
        caller.where = request.param
        yield caller


def keys_of(number):
    return [f"k{(number * 100 + place) * 7 % COUNT}" for place in range(100)]


def test_ingest_and_get(caller):
    data, door = made(COUNT), Door(caller)
    requests = iter([door.put(items(data[s : s + BATCH], s)) for s in range(0, COUNT, BATCH)])
    ingest = rate(lambda _: door.send(next(requests)), data)
    gets = [door.get(keys_of(number)) for number in range(30)]
    get = milliseconds(lambda number: door.send(gets[number]))
    with OSSVectorClient.local() as client:
        client.put_vector_index(dimension=DIMENSION)
        through = rate(client.put_vectors, data)
        fetched = milliseconds(lambda number: client.fetch(keys_of(number)))
    shown(
        f"{COUNT} x {DIMENSION}, {caller.where}",
        ingest=f"{ingest} vectors/s",
        through_the_client=f"{through} vectors/s",
        get_100_keys=f"{get:.1f} ms",
        through_fetch=f"{fetched:.1f} ms",
    )
    assert ingest >= 10_000
    assert get <= 5


MOST = {"pure": 1.6, "scan": 1.2}


@pytest.mark.parametrize("way", MOST)
@pytest.mark.parametrize("digits", ["short", "full"])
@pytest.mark.parametrize("where", ["memory", "file"])
def test_ingest_beside_json_and_packing(way, digits, where, tmp_path, monkeypatch):
    """The whole of a put, from vectors to SQLite, against what its JSON costs in any case.

    With full digits the vectors are lists of Python's floats on both sides.
    """
    if way == "scan":
        pytest.importorskip("oss_vector_scan", reason="make fast builds it")
    else:
        monkeypatch.setattr(arrays, "_scan", None)
    data = made(BATCH)
    batch = items(data if digits == "short" else data.tolist())
    option = orjson.OPT_SERIALIZE_NUMPY

    def floor():
        vectors = [{**item, "data": {"float32": item["data"]}} for item in batch]
        body = orjson.dumps({"indexName": "vectors", "vectors": vectors}, option=option)
        for item in orjson.loads(body)["vectors"]:
            struct.pack(f"<{DIMENSION}f", *item["data"]["float32"])

    rounds = 0

    def put(write):
        nonlocal rounds
        rounds += 1  # new keys each time
        write([{**item, "key": f"{item['key']}-{rounds}"} for item in batch])

    with OSSVectorClient.local(tmp_path / "v.db" if where == "file" else None) as client:
        client.put_vector_index(dimension=DIMENSION)
        put(client.put_vectors)
        calls = {"put": lambda: put(client.put_vectors), "upsert": lambda: put(client.upsert)}
        cost = cpu_milliseconds(15, floor=floor, **calls)
    shown(
        f"{BATCH} x {DIMENSION}, {digits} digits, {way}, {where}: CPU of dumps + loads + pack",
        floor=f"{cost['floor']:.1f} ms",
        put_vectors=f"{cost['put'] / cost['floor']:.2f} of it",
        upsert=f"{cost['upsert'] / cost['floor']:.2f} of it",
    )
    assert cost["put"] <= MOST[way] * cost["floor"]


def test_get_by_ids_beside_qdrant_in_memory():
    (qdrant,) = rival("qdrant_client")
    data = made(COUNT)
    texts = [f"The text of document {n}" for n in range(COUNT)]
    theirs = qdrant.QdrantClient(":memory:")
    shape = qdrant.models.VectorParams(size=DIMENSION, distance=qdrant.models.Distance.COSINE)
    theirs.create_collection("c", vectors_config=shape)
    metadata = [{"title": "A title", "n": str(n % 10)} for n in range(COUNT)]
    for start in range(0, COUNT, 1000):
        ids = list(range(start, start + 1000))
        payloads = [{"page_content": texts[n], "metadata": metadata[n]} for n in ids]
        theirs.upsert(
            "c", qdrant.models.Batch(ids=ids, vectors=data[ids].tolist(), payloads=payloads)
        )
    rng = np.random.default_rng(1)

    def chosen():
        return rng.choice(COUNT, 100, replace=False).tolist()

    def get_theirs():
        # as langchain-qdrant's get_by_ids does
        for point in theirs.retrieve("c", chosen(), with_payload=True):
            Document(page_content=point.payload["page_content"], metadata=point.payload["metadata"])

    with OSSVectorClient.local() as client:
        client.put_vector_index(dimension=DIMENSION)
        fields = zip(data, texts, metadata, strict=True)
        client.upsert(
            {"key": f"k{n}", "data": row, "metadata": {"text": text, **more}}
            for n, (row, text, more) in enumerate(fields)
        )
        store = OSSVectorStore(client=client)
        cost = cpu_milliseconds(
            60,
            qdrant=get_theirs,
            ours=lambda: store.get_by_ids([f"k{n}" for n in chosen()]),
            qdrant_with_vectors=lambda: theirs.retrieve("c", chosen(), with_vectors=True),
            fetch_with_data=lambda: client.fetch([f"k{n}" for n in chosen()]),
        )
    shown(
        f"100 of {COUNT} x {DIMENSION} in memory, CPU",
        Documents=f"{cost['ours']:.2f} ms, {cost['ours'] / cost['qdrant']:.2f} of Qdrant",
        with_vectors=f"{cost['fetch_with_data']:.2f} ms, "
        f"{cost['fetch_with_data'] / cost['qdrant_with_vectors']:.2f} of Qdrant",
    )
    # 1.3 on a quiet machine; on a busy one a call of a millisecond finds little in the caches.
    assert cost["ours"] <= 2.5 * cost["qdrant"]


def test_ingest_and_get_by_moto():
    moto, boto3 = rival("moto", "boto3")
    fake = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    names = {"vectorBucketName": "bucket", "indexName": "index1"}
    with moto.mock_aws():
        theirs = boto3.client("s3vectors", region_name="us-east-1", **fake)
        theirs.create_vector_bucket(vectorBucketName="bucket")
        theirs.create_index(
            **names, dataType="float32", dimension=DIMENSION, distanceMetric="cosine"
        )

        def put(part):
            vectors = [{**item, "data": {"float32": item["data"].tolist()}} for item in part]
            theirs.put_vectors(**names, vectors=vectors)

        def get(number):
            keys = [f"k{(number * 100 + place) * 7 % 2000}" for place in range(100)]
            wanted = {"returnData": True, "returnMetadata": True}
            assert len(theirs.get_vectors(**names, keys=keys, **wanted)["vectors"]) == 100

        ingest = rate(put, made(2000))
        shown(
            f"moto {moto.__version__} through boto3, 2000 x {DIMENSION}",
            ingest=f"{ingest} vectors/s",
            get_100_keys=f"{milliseconds(get, 5):.0f} ms",
            search="none",
        )
