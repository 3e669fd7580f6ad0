"""Our embedded service: writing, searching and documents by id, through signed requests."""

import shutil
from itertools import count
from pathlib import Path

from client import choose_path
from content import essence_of_documents, make_documents, make_embeddings, make_rows, make_vectors
from worker import serve

BATCH = 500


def ingest(job):
    choose_path(job)
    from oss_vector_retriever import OSSVectorClient

    path = Path(job["folder"]) / f"{job['name']}.db" if job.get("kept") else None
    client, numbers = OSSVectorClient.local(path), count()
    vectors = make_vectors(job["count"], job["dimension"], lists=job.get("lists", False))

    def call():
        name = f"n{next(numbers)}"
        client.put_vector_index(index=name, dimension=job["dimension"])
        for start in range(0, len(vectors), BATCH):
            client.put_vectors(vectors[start : start + BATCH], index=name)
        return len(vectors)

    return call, int


def copy_file(job):
    """Return the path of a file of all vectors, for one contender: who opens it locks it."""
    choose_path(job)
    from oss_vector_retriever import OSSVectorClient

    whole = Path(job["folder"]) / "whole.db"
    if not whole.exists():
        vectors = make_vectors(job["count"], job["dimension"])
        with OSSVectorClient.local(whole) as client:
            client.put_vector_index(dimension=job["dimension"])
            for start in range(0, len(vectors), BATCH):
                client.put_vectors(vectors[start : start + BATCH])
    return shutil.copyfile(whole, Path(job["folder"]) / f"{job['name']}.db")


def open_file(path, *, filter_after_ranking=True):
    from oss_vector_retriever import OSSVectorClient, emulator

    behaviour = emulator.Behaviour(filter_after_ranking=filter_after_ranking)
    return OSSVectorClient.local(path, behaviour=behaviour)


def first_query(job):
    path, row = copy_file(job), make_rows(1, job["dimension"])[0]

    def call():
        with open_file(path) as client:
            return client.query_vectors(row)

    return call, keys_of


def search(job):
    client = open_file(copy_file(job), filter_after_ranking=job.get("filter_after_ranking", True))
    rows, numbers = make_rows(job["count"], job["dimension"]), count()
    chosen = job.get("filter")
    client.query_vectors(rows[0], filter=chosen)
    return lambda: client.query_vectors(rows[next(numbers) % len(rows)], filter=chosen), keys_of


def keys_of(found):
    return [one.key for one in found.vectors]


def documents(job):
    choose_path(job)
    from oss_vector_retriever import OSSVectorClient
    from oss_vector_retriever.langchain import OSSVectorStore

    store = OSSVectorStore(client=OSSVectorClient.local(), embedding=make_embeddings())
    store.add_documents(make_documents(job["keys"]), ids=job["keys"])
    keys = job["keys"][:100]
    return lambda: store.get_by_ids(keys), essence_of_documents


if __name__ == "__main__":
    serve({"ingest": ingest, "first query": first_query, "search": search, "documents": documents})
