"""Celery tasks of a client that the worker's parent has used when it imported them."""

import os
from pathlib import Path

from celery import Celery
from langchain_core.embeddings import DeterministicFakeEmbedding
from support.deployed import KEYS, work

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.langchain import OSSVectorStore

FOLDER = Path(os.environ["CELERY_FOLDER"])
QUEUE, RESULTS = FOLDER / "queue", FOLDER / "results"
for folder in (QUEUE, RESULTS):
    folder.mkdir(exist_ok=True)

app = Celery("tasks", broker="filesystem://", backend=RESULTS.as_uri())
folders = {
    "data_folder_in": str(QUEUE),
    "data_folder_out": str(QUEUE),
    "processed_folder": str(QUEUE),
    "control_folder": str(QUEUE),
    "polling_interval": 0.05,  # by default it looks once a second
}
app.conf.update(broker_transport_options=folders, broker_connection_retry_on_startup=True)

client = OSSVectorClient(timeout=60)
store = OSSVectorStore(DeterministicFakeEmbedding(size=2), client=client)
PARENT = os.getpid()
assert dict(work(client, 1, 10)) == {"right": 10}
assert [one.id for one in store.get_by_ids(KEYS)] == KEYS


@app.task
def serve(seed, count):
    seen = work(client, seed, count)
    documents = [one.id for one in store.get_by_ids(KEYS[:150])]
    seen["right" if documents == KEYS[:150] else "wrong"] += 1
    return {"pid": os.getpid(), "parent": PARENT, "seen": dict(seen)}
