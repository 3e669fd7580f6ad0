# %% [markdown]
# # Quick start: one index, an answer of LangChain and one of LlamaIndex
#
# [OSS Vectors](https://www.alibabacloud.com/help/en/oss/developer-reference/getvectors) is vector
# storage on Alibaba Cloud's object storage. Vectors live in an *index*: each has a *key* that you
# choose, float32 *data* and *metadata*. This package fetches them by key. From nothing to two
# answers takes one command and four cells:
#
#     pip install 'oss-vector-retriever[langchain,llama-index,emulator]'
#
# No account and no model is needed: `OSSVectorClient.local()` is the service in this process. With
# an account, `OSSVectorClient(bucket=..., account_id=..., region=...)` goes in its place.
#
# ## Write
#
# Python's language reference, one record for each topic, with embeddings that a model made
# beforehand. The text stands in a field of the metadata that cannot be filtered by, since such
# fields may be long.

# %%
from oss_vector_retriever import Float32Array, OSSVectorClient
from oss_vector_retriever.corpus import load_passages

client = OSSVectorClient.local()
client.put_vector_index(dimension=384, non_filterable_metadata_keys=["text"], wait=True)
report = client.upsert(
    {
        "key": passage.key,
        "data": Float32Array.from_bytes(passage.data),
        "metadata": {"text": passage.text, "title": passage.metadata["title"]},
    }
    for passage in load_passages()
)
print(f"{len(report.written)} vectors written")

# %% [markdown]
# ## Fetch by key
#
# Vectors come in the order asked, and what does not exist is named. The data of one of them finds
# what is near it.

# %%
fetched = client.fetch(["with", "lambda", "gone"])
for vector in fetched:
    print(f"{vector.key:7} {len(vector.data or ())} floats  {(vector.metadata or {})['title']}")
print("missing:", *fetched.missing)

near = client.query_vectors(fetched[0].data or (), top_k=4)
print("near 'with':", *(hit.key for hit in near[1:]))

# %% [markdown]
# ## An answer of LangChain
#
# The query of this retriever is a key, or several: a JSON array, or one a line. A stand-in takes
# the place of your chat model (`ChatTongyi`, `ChatOpenAI`, ...): it answers with the sentence of
# the prompt that has most of the question's words.

# %%
import re
from operator import itemgetter

from langchain_core.documents import Document
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from oss_vector_retriever import langchain


def words(text: str) -> set[str]:
    return set(re.findall(r"\w{4,}", text.lower()))


def stand_in(prompt: str) -> str:
    texts, _, question = prompt.partition("Question:")
    sentences = [" ".join(one.split()) for one in re.split(r"(?<=\.)\s+|\n\n", texts)]
    return max(sentences, key=lambda one: len(words(one) & words(question)))


def model(prompt: PromptValue) -> str:
    return stand_in(prompt.to_string())


def join(documents: list[Document]) -> str:
    return "\n\n".join(document.page_content for document in documents)


texts = itemgetter("keys") | langchain.OSSVectorRetriever(client=client) | join
prompt = ChatPromptTemplate.from_template("{texts}\n\nQuestion: {question}")
chain = RunnablePassthrough.assign(texts=texts) | prompt | RunnableLambda(model)
print(chain.invoke({"keys": "with\ntry", "question": "What does the with statement wrap?"}))

# %% [markdown]
# ## An answer of LlamaIndex
#
# The same records, read as nodes: whatever wrote a record, both frameworks read it. A question
# carries the keys of the records that may answer it, and the response names its sources.

# %%
from collections.abc import Sequence
from typing import Any

from llama_index.core import PromptTemplate, get_response_synthesizer
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.query_engine import RetrieverQueryEngine

from oss_vector_retriever import llama_index


def reply(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
    return ChatMessage(stand_in(str(messages[-1].content)), role="assistant")


llm = MockFunctionCallingLLM(response_generator=reply, is_chat_model=True)
template = PromptTemplate("{context_str}\n\nQuestion: {query_str}")
engine = RetrieverQueryEngine(
    llama_index.OSSVectorRetriever(client),
    get_response_synthesizer(llm=llm, text_qa_template=template),
)
question = "What object does a lambda expression yield?"
response = engine.query(llama_index.KeyQueryBundle(question, keys=["lambda"]))
print(response)
print("source:", response.source_nodes[0].node_id)

client.close()
