# %% [markdown]
# # LlamaIndex: fetch nodes by key
#
# [OSS Vectors](https://www.alibabacloud.com/help/en/oss/developer-reference/getvectors) is vector
# storage on Alibaba Cloud's object storage. Vectors live in an *index*: each has a *key*, float32
# *data* and *metadata*. Here a key is a node's id, and the data is its embedding.
#
#     pip install 'oss-vector-retriever[llama-index,emulator]'
#
# No account is needed: `OSSVectorClient.local()` is the service in this process. With an account,
# `OSSVectorClient(bucket=..., account_id=..., region=...)` goes in its place.

# %%
import json

from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.schema import QueryBundle, TextNode

from oss_vector_retriever import Float32Array, MissingKeysError, OSSVectorClient
from oss_vector_retriever.corpus import load_passages
from oss_vector_retriever.llama_index import (
    KeyQueryBundle,
    OSSVectorRetriever,
    OSSVectorStore,
    StoredEmbeddingDedupPostprocessor,
    StoredEmbeddingMMRPostprocessor,
)

client = OSSVectorClient.local()

# %% [markdown]
# ## Write
#
# The nodes are Python's own language reference, one for each topic, with embeddings that a model
# made beforehand. The index is made by the first write.

# %%
nodes = [
    TextNode(
        id_=passage.key,
        text=passage.text,
        metadata={"title": passage.metadata["title"], "topic": passage.metadata["topic"]},
        embedding=Float32Array.from_bytes(passage.data).tolist(),
    )
    for passage in load_passages()
]
store = OSSVectorStore(client, filterable=["topic"])
store.add(nodes)
print(f"{len(nodes)} nodes written")

# %% [markdown]
# ## Fetch by key
#
# The query of this retriever is a JSON array of keys, or one key a line. Nodes come in the order
# asked, with their stored embeddings; a key that does not exist is left out.

# %%
retriever = OSSVectorRetriever(client)
for hit in retriever.retrieve(json.dumps(["with", "lambda", "gone"])):
    print(f"{hit.node_id:8} {len(hit.node.embedding or [])} floats  {hit.node.metadata['title']}")

# %% [markdown]
# A question can carry the keys of the records that may answer it: the question goes on to the
# response synthesiser, the keys to the retriever. What is missing can be an error.

# %%
question = KeyQueryBundle("How is a resource released?", keys=["with", "try", "gone"])
print([hit.node_id for hit in retriever.retrieve(question)])

try:
    OSSVectorRetriever(client, on_missing="raise").retrieve(question)
except MissingKeysError as error:
    print("missing:", error.missing)

# %% [markdown]
# ## A VectorStoreIndex
#
# It works as over any vector store. No embedding model is installed here, so the question carries
# an embedding, that of the topic `while`, and the mock model is never asked; in a real program your
# embedding model is in its place, and the question is a text.

# %%
index = VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(embed_dim=384))
embedding_of = {node.node_id: node.embedding for node in nodes}
query = QueryBundle("while", embedding=embedding_of["while"])

hits = index.as_retriever(similarity_top_k=12).retrieve(query)
for hit in hits[:5]:
    print(f"{hit.score:.3f}  {hit.node_id:12} {hit.node.metadata['title']}")

# %% [markdown]
# ## Second stage on stored embeddings
#
# A search of OSS Vectors returns no embeddings. These postprocessors fetch the stored ones by node
# id, in one call; nothing is embedded again. The first drops repetitions (the reference has the
# same text under `if` and `else`), the second picks what is near the query and unlike the rest.

# %%
distinct = StoredEmbeddingDedupPostprocessor(client=client).postprocess_nodes(hits)
print("repeated:", {hit.node_id for hit in hits} - {hit.node_id for hit in distinct})

diverse = StoredEmbeddingMMRPostprocessor(client=client, top_n=5, lambda_mult=0.4)
picked = diverse.postprocess_nodes(distinct, query_bundle=query)
print("picked:  ", [hit.node_id for hit in picked])

# %%
client.close()
