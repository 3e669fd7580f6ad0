"""The emulator's own speed, and that of others at the same work, in the same run.

    make bench                      # pip install -e '.[bench]' brings the rivals

moto's s3vectors stores and fetches; it cannot search (`test_emulator_search`). A rival that is not
installed is said to be missing. The promises are the emulator's, at the door of the service: what a
client adds (JSON, MD5, signing) is shown beside it.
"""

import pytest
from support.caller import Caller
from support.measuring import BATCH, DIMENSION, Door, items, made, milliseconds, rate, rival, shown

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.emulator import DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET, Service

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
