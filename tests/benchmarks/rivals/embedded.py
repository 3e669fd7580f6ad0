"""Embedded stores, and what an embedded service cannot do without: JSON, a product, a file."""

import struct
import uuid
from itertools import count
from pathlib import Path

import numpy as np
import orjson
from content import essence_of_documents, make_documents, make_rows, make_vectors
from worker import serve

BATCH = 500


def json_and_packing(job):
    """Write a request as JSON, read it and pack its floats, as service and client must."""
    vectors = [
        {**one, "data": {"float32": one["data"]}}
        for one in make_vectors(job["count"], job["dimension"], lists=job.get("lists", False))
    ]

    def call():
        for start in range(0, len(vectors), BATCH):
            request = {"vectors": vectors[start : start + BATCH]}
            text = orjson.dumps(request, option=orjson.OPT_SERIALIZE_NUMPY)
            for one in orjson.loads(text)["vectors"]:
                numbers = one["data"]["float32"]
                struct.pack(f"<{len(numbers)}f", *numbers)
        return len(vectors)

    return call, int


def product(job):
    """Multiply all vectors by one."""
    matrix = make_rows(job["count"], job["dimension"])
    queries = iter_queries(matrix)
    return lambda: matrix @ next(queries), lambda scores: int(scores.argmax())


def reading(job):
    """Read a file of the packed vectors."""
    path = Path(job["folder"]) / "vectors.f32"
    path.write_bytes(make_rows(job["count"], job["dimension"]).tobytes())
    return path.read_bytes, len


def qdrant_ingest(job):
    from qdrant_client import QdrantClient, models

    client, numbers = QdrantClient(":memory:"), count()
    vectors = make_vectors(job["count"], job["dimension"])

    def call():
        name = f"n{next(numbers)}"
        make_qdrant(client, models, name, job["dimension"])
        for start in range(0, len(vectors), BATCH):
            part = vectors[start : start + BATCH]
            client.upsert(
                name,
                models.Batch(
                    ids=list(range(start, start + len(part))),
                    vectors=[one["data"].tolist() for one in part],
                    payloads=[one["metadata"] for one in part],
                ),
            )
        return len(vectors)

    return call, int


def make_qdrant(client, models, name, dimension):
    client.create_collection(
        name, vectors_config=models.VectorParams(size=dimension, distance=models.Distance.COSINE)
    )


def qdrant_documents(job):
    """Get documents by id as langchain-qdrant does: `retrieve`, and a Document of each payload."""
    from langchain_core.documents import Document
    from qdrant_client import QdrantClient, models

    client, keys = QdrantClient(":memory:"), job["keys"]
    make_qdrant(client, models, "documents", job["dimension"])
    documents = make_documents(keys)
    ids = [str(uuid.uuid5(uuid.NAMESPACE_URL, key)) for key in keys]
    client.upsert(
        "documents",
        models.Batch(
            ids=ids,
            vectors=[[0.5] * job["dimension"]] * len(ids),
            payloads=[
                {"id": one.id, "page_content": one.page_content, "metadata": one.metadata}
                for one in documents
            ],
        ),
    )
    ids = ids[:100]

    def call():
        found = client.retrieve("documents", ids, with_payload=True)
        return [Document(**point.payload) for point in found]

    return call, essence_of_documents


def moto_ingest(job):
    """Put vectors into the emulator of the nearest kin, S3 Vectors, by its users' client."""
    import boto3
    import moto

    moto.mock_aws().start()
    account = {"aws_access_key_id": "id", "aws_secret_access_key": "secret"}
    client = boto3.client("s3vectors", region_name="us-east-1", **account)
    client.create_vector_bucket(vectorBucketName="bucket")
    vectors = [
        {**one, "data": {"float32": one["data"]}}
        for one in make_vectors(job["count"], job["dimension"], lists=True)
    ]
    numbers = count()

    def call():
        place = {"vectorBucketName": "bucket", "indexName": f"index-{next(numbers)}"}
        client.create_index(
            **place, dataType="float32", dimension=job["dimension"], distanceMetric="cosine"
        )
        for start in range(0, len(vectors), BATCH):
            client.put_vectors(**place, vectors=vectors[start : start + BATCH])
        return len(vectors)

    return call, int


def lancedb_ingest(job):
    import lancedb

    database, numbers = lancedb.connect(job["folder"] + "/lancedb"), count()
    vectors = make_vectors(job["count"], job["dimension"])

    def call():
        table = None
        for start in range(0, len(vectors), BATCH):
            rows = lancedb_rows(vectors[start : start + BATCH])
            if table is None:
                table = database.create_table(f"n{next(numbers)}", rows)
            else:
                table.add(rows)
        return len(vectors)

    return call, int


def lancedb_rows(vectors):
    import pyarrow as pa

    matrix = np.stack([one["data"] for one in vectors])
    columns = {"key": pa.array([one["key"] for one in vectors])}
    columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])
    columns["metadata"] = pa.array([one["metadata"] for one in vectors])
    return pa.table(columns)


def lancedb_search(job):
    import lancedb

    vectors = make_vectors(job["count"], job["dimension"])
    database = lancedb.connect(job["folder"] + "/lancedb")
    table = database.create_table("all", lancedb_rows(vectors))
    queries = iter_queries(make_rows(job["count"], job["dimension"]))

    def call():
        found = table.search(next(queries)).metric("cosine").limit(10).select(["key"])
        return found.to_arrow()["key"].to_pylist()

    return call, list


def sqlite_vec_search(job):
    import apsw
    import sqlite_vec

    rows = make_rows(job["count"], job["dimension"])
    database = apsw.Connection(":memory:")
    database.enable_load_extension(True)
    database.load_extension(sqlite_vec.loadable_path())
    column = f"embedding float[{job['dimension']}] distance_metric=cosine"
    database.execute(f"CREATE VIRTUAL TABLE v USING vec0({column})")
    with database:
        numbered = ((number, row.tobytes()) for number, row in enumerate(rows))
        database.executemany("INSERT INTO v(rowid, embedding) VALUES (?, ?)", numbered)
    queries = iter_queries(rows)
    question = "SELECT rowid FROM v WHERE embedding MATCH ? AND k = 10 ORDER BY distance"

    def call():
        return [f"k{n:06}" for (n,) in database.execute(question, (next(queries).tobytes(),))]

    return call, list


def iter_queries(rows):
    return (rows[number % len(rows)] for number in count())


if __name__ == "__main__":
    serve(
        {
            "json": json_and_packing,
            "product": product,
            "reading": reading,
            "Qdrant ingest": qdrant_ingest,
            "Qdrant documents": qdrant_documents,
            "moto ingest": moto_ingest,
            "LanceDB ingest": lancedb_ingest,
            "LanceDB search": lancedb_search,
            "sqlite-vec search": sqlite_vec_search,
        }
    )
