"""What an upload leaves in memory for the searches of its process: bounded, however much it was.

    OSS_VECTORS_TESTS=soak pytest -m soak tests/soak/test_upload_memory.py -s

A process uploads 100,000 vectors of 1,024 numbers to a service in another process, in one of the
ways that there are. What it keeps is measured in three ways: by what Python has allocated since
the beginning, whenever no call is in progress; by its own accounts; and by how much more of the
machine's memory it takes than one that remembers nothing.
"""

import json
import os
import subprocess
import sys

import pytest
from support.served_index import IDENTITY, serve_index

pytest.importorskip("langchain_core")

COUNT, DIMENSION = 100_000, 1024
MOST = 80e6
WAYS = ["upsert", "records", "langchain"]

UPLOAD = f"""
import gc, json, resource, sys, tracemalloc
import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import FakeEmbeddings
from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.client import recent
from oss_vector_retriever.langchain import OSSVectorStore
from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.store import RecordStore

way, is_traced = sys.argv[1], sys.argv[3] == "yes"
# for longer than the upload takes: nothing grows old meanwhile
remembers = 3600.0 if sys.argv[2] == "yes" else False
client = OSSVectorClient(timeout=120)
store = OSSVectorStore(FakeEmbeddings(size={DIMENSION}), client=client, read_your_writes=remembers)
records = RecordStore(StoreSettings(read_your_writes=remembers), client._context)
dice = np.random.default_rng(5)

def upload(start, count):
    keys = [f"k{{start + n:06}}" for n in range(count)]
    rows = dice.random((count, {DIMENSION}), dtype=np.float32)
    if way == "upsert":
        client.upsert({{"key": key, "data": row}} for key, row in zip(keys, rows))
    elif way == "records":
        encoded = [records.encode(key, row, text=key) for key, row in zip(keys, rows)]
        client.run(records.write, encoded)
    else:
        documents = [Document(id=key, page_content=key) for key in keys]
        store.add_documents(documents, embeddings=rows.tolist())

def accounted():
    return recent._table._memory(client._context, None).size

client.put_vector_index(dimension={DIMENSION})
upload(0, 500)  # what is loaded and made once does not count
recent.forget_writes(client._context, None, is_made=True)
gc.collect()
if is_traced:
    tracemalloc.start()
began = tracemalloc.get_traced_memory()[0]
kept = own = 0
for start in range(500, {COUNT}, 2500):
    upload(start, min(2500, {COUNT} - start))
    gc.collect()
    kept, own = max(kept, tracemalloc.get_traced_memory()[0] - began), max(own, accounted())
lost = recent.recent_writes(client._context, None, remembers).lost
most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({{"kept": kept, "own": own, "most": most, "lost": lost}}))
"""


def upload(way, *, remembers, is_traced):
    """Return what a process says that uploads to a service of its own."""
    environment = {name: value for name, value in os.environ.items() if "OSS_" not in name}
    flags = ["yes" if flag else "no" for flag in (remembers, is_traced)]
    with serve_index("other", (), dimension=1) as endpoint:
        done = subprocess.run(
            [sys.executable, "-c", UPLOAD, way, *flags],
            env=environment | IDENTITY | {"OSS_ENDPOINT": endpoint, "OSS_VECTORS_INDEX": "big"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.name == "nt", reason="the system does not tell a process its memory")
@pytest.mark.parametrize("way", WAYS)
def test_an_upload_is_remembered_within_eighty_megabytes(way):
    traced = upload(way, remembers=True, is_traced=True)
    whole = upload(way, remembers=True, is_traced=False)
    without = upload(way, remembers=False, is_traced=False)
    more = whole["most"] - without["most"]
    print(  # noqa: T201 - the figures are what the run is for
        f"{way}: {traced['kept'] / 1e6:.1f} MB allocated, {traced['own'] / 1e6:.1f} MB by its "
        f"accounts, {more / 1e6:.1f} MB more of {whole['most'] / 1e6:.0f} MB resident"
    )
    assert 60e6 < traced["own"] < 67.2e6
    assert traced["kept"] < MOST
    assert more < MOST
    assert traced["lost"]  # and a search would say so
    assert without["own"] == 0
