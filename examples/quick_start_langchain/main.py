# %% [markdown]
# # LangChain: fetch Documents by key
#
# [OSS Vectors](https://www.alibabacloud.com/help/en/oss/developer-reference/getvectors) is vector
# storage on Alibaba Cloud's object storage. Vectors live in an *index*: each has a *key*, float32
# *data* and *metadata*. Here a key is a Document's id, and the data is its embedding.
#
#     pip install 'oss-vector-retriever[langchain,emulator]'
#
# No account is needed: `OSSVectorClient.local()` is the service in this process. With an account,
# `OSSVectorClient(bucket=..., account_id=..., region=...)` goes in its place.

# %%
import json

from oss_vector_retriever import Float32Array, OSSVectorClient
from oss_vector_retriever.corpus import load_passages
from oss_vector_retriever.langchain import OSSVectorFetcher, OSSVectorRetriever, OSSVectorStore

client = OSSVectorClient.local()

# %% [markdown]
# ## Write
#
# The documents are Python's own language reference, one for each topic, with embeddings that a
# model made beforehand, so the store has no model here. With one, `OSSVectorStore(model, ...)`,
# leave `embeddings=` out. The index is made by the first write.

# %%
passages = load_passages()
store = OSSVectorStore(client=client, filterable=["topic"])
store.add_texts(
    [passage.text for passage in passages],
    [passage.metadata for passage in passages],
    ids=[passage.key for passage in passages],
    embeddings=[Float32Array.from_bytes(passage.data) for passage in passages],
)
print(f"{len(passages)} documents written")

# %% [markdown]
# ## Fetch by key
#
# The query of this retriever is a JSON array of keys, or one key a line. Documents come in the
# order asked, a repeated key is answered each time, and a key that does not exist is left out.

# %%
retriever = OSSVectorRetriever(client=client)
for document in retriever.invoke(json.dumps(["with", "lambda", "gone", "with"])):
    print(f"{document.id:8} {document.metadata['title']}")

# %% [markdown]
# A program that holds a list of keys, and wants to know what was missing and what it cost, uses
# the fetcher. Up to 100 keys cross the network in one call.

# %%
report = OSSVectorFetcher(client=client).report([*(passage.key for passage in passages), "gone"])
print(f"found {len(report.found)}, missing {list(report.missing)}, calls: {report.calls}")

# %% [markdown]
# ## Stored embeddings
#
# A Document has no place for an embedding, so they come beside it. Nothing is embedded again.

# %%
for document, embedding in store.get_by_ids_with_embeddings(["with", "try"]):
    start = ", ".join(f"{value:.4f}" for value in embedding[:3])
    print(f"{document.id:8} {len(embedding)} floats: {start}, ...")

# %% [markdown]
# ## More like this one
#
# A stored vector can be the query: no embedding model takes part. The score is a distance, so
# smaller is closer. A filter works on any field of the metadata: what the service cannot check is
# checked here. The store named `topic`, so that the service can.

# %%
for document, distance in store.similarity_search_with_score_by_id("with", k=4):
    print(f"{distance:.3f}  {document.id:20} {document.metadata['title']}")

# %%
for document in store.similarity_search_by_id("with", k=83, filter={"topic": "compound"}):
    print(f"{document.id:12} part {document.metadata['part']} of {document.metadata['topic']!r}")

# %%
client.close()
