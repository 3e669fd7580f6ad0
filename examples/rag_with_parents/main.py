# %% [markdown]
# # LangChain: find small sections, read whole chapters
#
# Small pieces are found best, large ones are read best. So the sections of Python's language
# reference are searched, and the chapters that contain them are fetched by id. Both lie in one
# index: there is no second database for the parents.
#
#     pip install 'oss-vector-retriever[langchain,emulator]' langchain-classic

# %%
from langchain_classic.retrievers import MultiVectorRetriever
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.prompts import ChatPromptTemplate

from oss_vector_retriever import Float32Array, OSSVectorClient
from oss_vector_retriever.corpus import load_passages
from oss_vector_retriever.langchain import (
    OSSVectorDocStore,
    OSSVectorStore,
    ParentHydratingRetriever,
)

CHAPTERS = {
    "compound/1": ["if", "while", "for", "try", "with"],
    "compound/2": ["function", "class", "async"],
    "specialnames/3": ["callable-types", "sequence-types", "numeric-types", "context-managers"],
    "execmodel": ["naming", "exceptions"],
}

# %% [markdown]
# ## The embedding model
#
# The documents come with embeddings that a model made beforehand. No model is installed here, so
# this class looks up the stored vector of the topic that a question names; in a real program it is
# your embedding model.

# %%
passages = {passage.key: passage for passage in load_passages()}


class TopicEmbeddings(Embeddings):
    def embed_query(self, text: str) -> list[float]:
        return Float32Array.from_bytes(passages[text].data).tolist()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


# %% [markdown]
# ## One index for children and parents
#
# A section says which chapter it is part of, in `parent_id`. The field `kind` lets a search look at
# sections alone.

# %%
client = OSSVectorClient.local()
store = OSSVectorStore(TopicEmbeddings(), client=client, filterable=["kind"], score_key="score")


def add(key: str, metadata: dict[str, str]) -> None:
    passage = passages[key]
    document = Document(passage.text, metadata={"title": passage.metadata["title"], **metadata})
    store.add_documents([document], ids=[key], embeddings=[Float32Array.from_bytes(passage.data)])


for chapter, sections in CHAPTERS.items():
    add(chapter, {"kind": "chapter"})
    for section in sections:
        add(section, {"kind": "section", "parent_id": chapter})

for document, distance in store.similarity_search_with_score(
    "break", k=5, filter={"kind": "section"}
):
    print(f"{distance:.3f}  {document.id:12} in {document.metadata['parent_id']}")

# %% [markdown]
# ## LangChain's own retriever
#
# `MultiVectorRetriever` (and its subclass `ParentDocumentRetriever`) takes any key-value store for
# the parents. This one reads them straight from the index, all of them in one call.

# %%
multi_vector = MultiVectorRetriever(
    vectorstore=store,
    docstore=OSSVectorDocStore(client=client),
    id_key="parent_id",
    search_kwargs={"k": 5, "filter": {"kind": "section"}},
)
for parent in multi_vector.invoke("break"):
    print(f"{parent.id:15} {len(parent.page_content):6,} characters")

# %% [markdown]
# ## Parents with their children's scores
#
# LangChain's retriever loses the scores on the way. `ParentHydratingRetriever` carries them: each
# parent says which children were found and how well they matched. The store puts the relevance of
# each hit, from 0 to 1, into the field that `score_key` named.

# %%
children = store.as_retriever(search_kwargs={"k": 5, "filter": {"kind": "section"}})
parents = ParentHydratingRetriever(retriever=children, client=client, order="best")
found = parents.invoke("break")
for parent in found:
    matches = parent.metadata["matches"]
    print(f"{parent.id:15} best {matches['best_score']:.3f} from {matches['children']}")

# %% [markdown]
# ## The prompt
#
# What remains is what every RAG program does: put the chapters into a prompt and hand it to a chat
# model.

# %%
prompt = ChatPromptTemplate.from_messages(
    [("system", "Answer from these chapters:\n\n{chapters}"), ("human", "{question}")]
)
messages = prompt.format_messages(
    chapters="\n\n".join(f"[{parent.id}]\n{parent.page_content}" for parent in found),
    question="Where does break leave a loop, and what becomes of its else clause?",
)
print(f"{len(messages)} messages, {sum(len(message.text) for message in messages):,} characters")

# %%
client.close()
