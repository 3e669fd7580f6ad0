"""A whole LlamaIndex application in one bucket: made, used, refreshed and emptied by processes."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("llama_index.core")

from support.embedded import settings
from support.promises import FULL_SIZE

from oss_vector_retriever import OSSVectorClient, emulator

# Each step is a process of its own, which knows nothing of what the others know; they share the
# imports alone, which take longer than all of them.
PROGRAM = """
import json, os, sys, traceback
from llama_index.core import Document, MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core import load_index_from_storage
from llama_index.core.embeddings.utils import resolve_embed_model
from llama_index.core.node_parser import SentenceSplitter
from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.llama_index import (
    OSSVectorDocumentStore, OSSVectorIndexStore, OSSVectorStore,
)

where, count, changed = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

where["credentials"] = tuple(where["credentials"])

class Counting(MockEmbedding):
    seen: int = 0

    def _get_text_embedding(self, text):
        self.seen += 1
        return super()._get_text_embedding(text)

def document(n, text="text"):
    return Document(id_=f"d{n}", text=f"{text} of {n}", metadata={"n": n})

def load(client, model):
    options = {"embed_model": model, "transformations": [SPLITTER]}
    return load_index_from_storage(context_of(client), **options)

def context_of(client):
    return StorageContext.from_defaults(
        vector_store=OSSVectorStore(client),
        docstore=OSSVectorDocumentStore(client),
        index_store=OSSVectorIndexStore(client),
    )

def make(client, model):
    VectorStoreIndex.from_documents(
        [document(n) for n in range(count)], storage_context=context_of(client),
        embed_model=model, transformations=[SPLITTER],
    )
    return model.seen

def use(client, model):
    index = load(client, model)
    found = index.as_retriever(similarity_top_k=5).retrieve("x")
    return [len(found), len(index.docstore.get_all_ref_doc_info())]

def refresh(client, model):
    given = [document(n, "changed" if n < changed else "text") for n in range(count)]
    done = load(client, model).refresh_ref_docs(given)
    nodes = OSSVectorStore(client).get_nodes()
    of = [node.ref_doc_id for node in nodes]
    texts = sum(node.get_content().startswith("changed") for node in nodes)
    return [model.seen, sum(done), len(nodes), len(set(of)), texts]

def empty(client, model):
    index = load(client, model)
    for n in range(count):
        index.delete_ref_doc(f"d{n}", delete_from_docstore=True)
    index.storage_context.index_store.delete_index_struct(index.index_id)

SPLITTER = SentenceSplitter()
# they load LangChain, where it is installed, and the HTTP library
resolve_embed_model(MockEmbedding(embed_dim=3))
OSSVectorClient(**where).close()
for step in (make, use, refresh, empty):
    if (child := os.fork()) == 0:
        status = 1
        try:
            with OSSVectorClient(**where) as client:
                told = step(client, Counting(embed_dim=3))
            print(json.dumps([step.__name__, told]), flush=True)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{step.__name__} failed")
"""


def test_it_is_made_used_refreshed_and_emptied_by_four_processes(tmp_path):
    count, changed = (300, 12) if FULL_SIZE else (30, 3)
    with emulator.Service.in_memory() as service, emulator.Server(service) as server:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        where = settings(server.endpoint)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(where), str(count), str(changed)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told = dict(json.loads(line) for line in done.stdout.splitlines() if line[0] == "[")
        assert told["make"] == count
        assert told["use"] == [5, count]
        # those that changed are embedded, none stands twice
        assert told["refresh"] == [changed, changed, count, count, changed]
        with OSSVectorClient(**where) as client:
            names = [index.index_name for index in client.list_vector_indexes().indexes]
            assert names == ["vectors", "vectorsside"]
            assert [list(client.iter_vectors(index=name)) for name in names] == [[], []]
    assert list(tmp_path.iterdir()) == []
