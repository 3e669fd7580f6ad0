"""A WSGI application that has used its store and client before its workers are forked."""

import json
import os
from urllib.parse import parse_qs

from langchain_core.embeddings import DeterministicFakeEmbedding
from support.deployed import KEYS, work

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.langchain import OSSVectorStore

client = OSSVectorClient(timeout=60)
store = OSSVectorStore(DeterministicFakeEmbedding(size=2), client=client)
PARENT = os.getpid()
assert dict(work(client, 1, 10)) == {"right": 10}
assert [one.id for one in store.get_by_ids(KEYS)] == KEYS  # threads and connections


def application(environ, start_response):
    asked = parse_qs(environ["QUERY_STRING"])
    seen = work(client, int(asked["seed"][0]), int(asked["count"][0]))
    documents = [one.id for one in store.get_by_ids(KEYS[:150])]
    seen["right" if documents == KEYS[:150] else "wrong"] += 1
    body = json.dumps({"pid": os.getpid(), "parent": PARENT, "seen": seen}).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
