"""The stores of S3 Vectors: langchain-aws' `AmazonS3Vectors`, llama-index' `S3VectorStore`."""

import os

from content import (
    essence_of_documents,
    essence_of_nodes,
    make_documents,
    make_embeddings,
    make_nodes,
)
from worker import serve

ACCOUNT = {"aws_access_key_id": "id", "aws_secret_access_key": "secret"}


def documents(job):
    from langchain_aws.vectorstores import AmazonS3Vectors

    store = AmazonS3Vectors(
        vector_bucket_name="examplebucket",
        index_name="langchain-aws",
        embedding=make_embeddings(),
        create_index_if_not_exist=False,
        region_name="us-east-1",
        endpoint_url=job["endpoint"],
        **ACCOUNT,
    )
    keys = job["keys"]
    store.add_documents(make_documents(keys), ids=keys)
    return lambda: store.get_by_ids(keys), essence_of_documents


def nodes(job):
    os.environ |= {
        "AWS_ENDPOINT_URL": job["endpoint"],
        "AWS_DEFAULT_REGION": "us-east-1",
        **{name.upper(): value for name, value in ACCOUNT.items()},
    }
    from llama_index.vector_stores.s3 import S3VectorStore

    store = S3VectorStore(
        index_name_or_arn="llama-index-vector-stores-s3", bucket_name_or_arn="examplebucket"
    )
    keys = job["keys"]
    store.add(make_nodes(keys))
    return lambda: store.get_nodes(keys), essence_of_nodes


if __name__ == "__main__":
    serve({"documents": documents, "nodes": nodes})
